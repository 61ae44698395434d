//! What only DynamoDB has: units that are paid for, queries that show too little, nodes that tell each other. For
//! answers that get lost see `dynamodb_lost`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, ReturnConsumedCapacity, ReturnValue,
};
use meshwire_protocol::MessageId;
use meshwire_server::secret;
use meshwire_server::store::dynamodb::DynamoStore;
use meshwire_server::store::{
    AccountStore as _, Ended, NodeStore, Present, Result, Store, StoreError, Stream, TokenMade,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::dynamodb::{DynamoDb, config};
use crate::engine::Engine as _;
use crate::fixture::{Mesh, T0, World, contents, id, new_token, to_all};

/// How often something is tried that a machine may spoil which stands still for seconds.
const TRIES: usize = 5;

/// Adds up the read units of a store, in thousandths.
#[derive(Debug, Clone, Default)]
struct Meter(Arc<AtomicU64>);

impl Meter {
    fn read(&self) -> u64 {
        self.0.swap(0, Ordering::SeqCst).div_ceil(1_000)
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let total = Some(ReturnConsumedCapacity::Total);
        if let Some(get) = context.input_mut().downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
        } else if let Some(query) = context.input_mut().downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let Some(Ok(output)) = context.output_or_error() else { return Ok(()) };
        let get = output.downcast_ref::<GetItemOutput>();
        let query = output.downcast_ref::<QueryOutput>();
        let consumed = get
            .and_then(GetItemOutput::consumed_capacity)
            .or_else(|| query.and_then(QueryOutput::consumed_capacity));
        let units = consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        self.0.fetch_add((units * 1_000.0) as u64, Ordering::SeqCst);
        Ok(())
    }
}

async fn open(table: &str) -> Arc<DynamoStore> {
    Arc::new(DynamoStore::open_with(table, config()).await.expect("the table can be used"))
}

pub(crate) async fn world() -> (DynamoDb, World) {
    let engine = DynamoDb::fresh().await;
    let world = World::on(DynamoDb::again(&engine).await);
    (engine, world)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_pays_for_what_lies_behind_its_cursor_once() -> Result<()> {
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    let mut bytes = 0;
    for n in 0..40 {
        let batch = vec![to_all(&a, &"x".repeat(200 + 40 * n)); 5 + 3 * n];
        bytes += batch.iter().map(|message| message.size() + 200).sum::<usize>();
        mesh.write(T0, batch).await?;
    }

    let meter = Meter::default();
    for limit in [100, 1_000, 7] {
        let store = DynamoStore::open_with(&engine.table, config().interceptor(meter.clone()));
        let cold = Mesh { store: Arc::new(store.await.expect("it is there")), ..mesh.clone() };
        meter.read();
        let all = cold.pages(&[Stream::All], MessageId::ZERO, limit).await?;
        let pages = u64::try_from(all.len()).expect("it is small") / u64::from(limit) + 1;
        // Each page also looks at the head.
        let units = meter.read().saturating_sub(pages);
        let fair = u64::try_from(bytes).expect("it is small") / 4_096 + 10;
        assert!(units <= fair, "{units} units for {bytes} bytes, on pages of {limit}");
    }
    Ok(())
}

/// In the long form a million messages lie behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_at_the_head_pays_the_same_however_much_lies_behind() -> Result<()> {
    const BATCH: usize = 1_000;
    let behind = if std::env::var_os("MESHWIRE_TEST_LONG").is_some() { 1_000_000 } else { 10_000 };
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    let (empty, _) = world.mesh_with_agent().await?;
    for n in 0..behind / BATCH {
        let batch = (0..BATCH).map(|m| to_all(&a, &format!("message {m} of batch {n}")));
        mesh.write(T0, batch.collect()).await?;
    }
    let head = mesh.head().await?;

    let meter = Meter::default();
    let mut paid = Vec::new();
    for (mesh, after) in [(&empty, MessageId::ZERO), (&mesh, head)] {
        let store = DynamoStore::open_with(&engine.table, config().interceptor(meter.clone()));
        let cold = Mesh { store: Arc::new(store.await.expect("it is there")), ..mesh.clone() };
        meter.read();
        let page = cold.page(&[Stream::All], after, 100).await?;
        assert_eq!((page.messages.len(), page.more), (0, false));
        paid.push(meter.read());
    }
    assert!(paid[0] > 0, "the meter sees what is paid");
    assert_eq!(paid[0], paid[1], "as on an empty mesh");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_torn_query_shows_is_not_believed() -> Result<()> {
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    for n in 0..3 {
        mesh.write(T0 + n, vec![to_all(&a, &n.to_string())]).await?;
    }
    // What is used here never shows a later item before an earlier one, so one is taken away by hand.
    for hidden in [1, 2] {
        let store = open(&engine.table).await;
        let reader = Mesh { store: store.clone(), ..mesh.clone() };
        let taken = engine
            .client
            .delete_item()
            .table_name(&engine.table)
            .key("pk", AttributeValue::S(format!("log#{}", mesh.id)))
            .key("sk", AttributeValue::S(format!("{:016}", T0 + hidden)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .expect("it can be deleted");
        let page = reader.page(&[Stream::All], MessageId::ZERO, 10).await?;
        assert_eq!((page.seen_to, page.more), (id(T0 + hidden - 1), true));
        let put = engine.client.put_item().table_name(&engine.table);
        let late = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            put.set_item(taken.attributes).send().await.expect("it can be put back");
        };
        // From there it waits for what is missing.
        let (rest, ()) = tokio::join!(reader.page(&[Stream::All], page.seen_to, 10), late);
        let expected = &["0", "1", "2"][usize::try_from(hidden).expect("it is small")..];
        assert_eq!(contents(&rest?.messages), expected);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_polls_pays_for_no_look() -> Result<()> {
    // It is asked before each look that it might do, and this often at least nobody waits.
    const NOBODY: u64 = 60;
    let (engine, world) = world().await;
    let (mesh, _) = world.mesh_with_agent().await?;
    let meter = Meter::default();
    let config = config().interceptor(meter.clone());
    let node = DynamoStore::open_with(&engine.table, config).await.expect("it is there");
    let other = open(&engine.table).await;
    let heads = [(mesh.id.clone(), id(T0 + 7))];
    for _ in 0..TRIES {
        meter.read();
        let (asked, is_told) = (AtomicU64::new(0), AtomicBool::new(false));
        let waits = || {
            let before = asked.fetch_add(1, Ordering::SeqCst);
            // Somebody waits from when there is something to hear, so that the first look hears it.
            let waits = before >= NOBODY && is_told.load(Ordering::SeqCst);
            if !waits {
                assert_eq!(meter.read(), 0, "it looked while nobody waited");
            }
            waits
        };
        let tell = async {
            while asked.load(Ordering::SeqCst) < NOBODY - 15 {
                tokio::task::yield_now().await;
            }
            other.hint(&heads).await?;
            is_told.store(true, Ordering::SeqCst);
            Result::Ok(())
        };
        let began = Instant::now();
        let both = futures_util::future::try_join(node.hinted(&waits), tell);
        let both = tokio::time::timeout(Duration::from_secs(20), both).await;
        // What was told more than three seconds before the first look is never heard: it is told again.
        let Ok(both) = both else { continue };
        let (heard, ()) = both?;
        assert!(
            began.elapsed() > Duration::from_secs(2),
            "so long that it may have missed something"
        );
        // Nobody waited, which is no reason to take anything for missed. A pause of two seconds is one.
        let Some(heard) = heard else { continue };
        // What was told shortly before is heard at once.
        assert_eq!(heard, heads);
        assert_eq!(meter.read(), 1);
        return Ok(());
    }
    panic!("in {TRIES} tries it did not hear what was told shortly before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_tell_each_other_of_heads_and_polls_and_of_what_has_ended() -> Result<()> {
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    let (one, two) = (open(&engine.table).await, open(&engine.table).await);

    let moved = [(mesh.id.clone(), id(T0 + 7))];
    let mut heard = None;
    // Who has not looked for two seconds hears only that something may be missed, and what was told more than three
    // seconds ago is not heard: then it is told again.
    for _ in 0..TRIES {
        let (hearing, told) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(5), two.hinted(&|| true)),
            one.hint(&moved),
        );
        told?;
        heard = hearing.ok().transpose()?.flatten();
        if heard.is_some() {
            break;
        }
    }
    assert_eq!(heard.expect("it is heard"), moved);
    let own = async {
        // It may well say that it has missed something.
        while one.hinted(&|| true).await?.is_none() {}
        Result::Ok(())
    };
    let own = tokio::time::timeout(Duration::from_millis(500), own).await;
    assert!(own.is_err(), "nobody hears of itself, nor twice");
    let heads = two.heads(&[mesh.id.clone(), secret::mesh_id()]).await?;
    assert_eq!(heads.len(), 1);

    one.renew(Duration::from_secs(20)).await?;
    let c = secret::agent_id();
    let here = Present { polling: vec![a.id.clone()], recent: vec![c] };
    one.note_present(&mesh.id, &here).await?;
    assert_eq!(two.present(&mesh.id).await?, here);
    assert_eq!(one.present(&mesh.id).await?, Present::default(), "it knows of its own");
    one.renew(Duration::ZERO).await?;
    // What two nodes know of the time may be a second apart.
    let over = Instant::now() + Duration::from_secs(10);
    while two.present(&mesh.id).await? != Present::default() {
        assert!(Instant::now() < over, "the lease is over");
    }
    one.renew(Duration::from_secs(20)).await?;
    one.note_present(&mesh.id, &Present::default()).await?;
    assert_eq!(two.present(&mesh.id).await?, Present::default());

    let token = new_token(&mesh.owner.id, "secret");
    assert_eq!(one.create_token(token.clone(), 0).await?, TokenMade::Created);
    assert!(world.store.revoke_token(&mesh.owner.id, &token.id, T0).await?);
    assert!(world.store.remove_agent(&mesh.id, &a.id, T0).await?);
    let ended: Vec<_> = two.ended().await?.into_iter().map(|row| row.what).collect();
    assert_eq!(ended, [Ended::Token(token.id), Ended::Mesh(mesh.id.clone())]);
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    assert_eq!(two.ended().await?.len(), 3);
    assert!(two.heads(std::slice::from_ref(&mesh.id)).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_make_one_table_at_once() {
    let table = format!("meshwire-{:016x}", rand::random::<u64>());
    let opened = futures_util::future::join_all((0..4).map(|_| open(&table))).await;
    for store in opened {
        store.ping().await.expect("it answers");
    }
}

#[tokio::test]
async fn an_engine_that_is_away_is_a_clear_error() {
    let nowhere = config().endpoint_url("http://127.0.0.1:9");
    let error = DynamoStore::open_with("mine", nowhere).await.err().expect("nobody is there");
    let text = error.to_string();
    assert!(text.contains("table mine") && text.contains("AWS_REGION"), "{text}");
}

/// Stands before the engine, and lets nothing through while it is told so.
async fn gate(open: watch::Receiver<bool>) -> std::io::Result<String> {
    let engine = std::env::var("MESHWIRE_TEST_DYNAMODB").expect("it is set");
    let engine = engine.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (mut open, engine) = (open.clone(), engine.clone());
            tokio::spawn(async move {
                let mut closed = open.clone();
                let through = async {
                    // Whoever comes while it is closed hears nothing at all.
                    open.wait_for(|open| *open).await.expect("it is told");
                    let mut engine = TcpStream::connect(engine).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut engine).await
                };
                tokio::select! {
                    _ = through => {}
                    () = async {
                        let _ = closed.wait_for(|open| *open).await;
                        let _ = closed.wait_for(|open| !*open).await;
                    } => {}
                }
            });
        }
    });
    Ok(format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_goes_away_is_unavailable_within_seconds_and_comes_back_by_itself()
-> Result<()> {
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    let (tell, open) = watch::channel(true);
    let address = gate(open).await.expect("there is a port");
    let through = config().endpoint_url(address);
    let store = DynamoStore::open_with(&engine.table, through).await.expect("it is open");
    let mesh = Mesh { store: Arc::new(store), ..mesh };
    mesh.write(T0, vec![to_all(&a, "before")]).await?;
    let epoch = mesh.epoch().await?;

    tell.send_replace(false);
    let began = Instant::now();
    let batch = mesh.batch(epoch, T0 + 1, vec![to_all(&a, "away")]);
    let (read, append) = tokio::join!(mesh.head(), mesh.store.append(batch));
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(matches!(append, Err(StoreError::Unavailable(_))), "{append:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());

    tell.send_replace(true);
    mesh.write(T0 + 2, vec![to_all(&a, "after")]).await?;
    let log = mesh.broadcasts().await?;
    // What was under way may have arrived, also later than it was given up; but once.
    let arrived = contents(&log).iter().filter(|text| **text == "away").count();
    assert!(arrived <= 1);
    let log: Vec<_> = contents(&log).into_iter().filter(|text| *text != "away").collect();
    assert_eq!(log, ["before", "after"]);
    Ok(())
}
