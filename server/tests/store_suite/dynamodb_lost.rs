//! Transactions that are done, and whose answers get lost.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use meshwire_server::store::dynamodb::DynamoStore;
use meshwire_server::store::{Appended, Result, Store, StoreError};
use tokio::task::Id;

use crate::dynamodb::config;
use crate::dynamodb_only::world;
use crate::fixture::{DAY, Mesh, T0, contents, keyed, to_all};

/// What becomes of the answer to a transaction that was done.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    None,
    /// The engine has failed, it says.
    Failed,
    /// Another transaction was in its way, it says.
    Conflict,
}

/// Answers to transactions what is not so, after they were done.
#[derive(Debug)]
struct Liar {
    /// By how many there were before.
    lie: fn(u64) -> Lie,
    transactions: AtomicU64,
    /// The tasks that wait for one.
    waiting: Mutex<HashSet<Option<Id>>>,
}

impl Intercept for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target");
        if target.is_some_and(|target| target.ends_with(".TransactWriteItems")) {
            self.waiting.lock().expect("nobody panics").insert(tokio::task::try_id());
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let waiting = self.waiting.lock().expect("nobody panics").remove(&tokio::task::try_id());
        if !waiting {
            return Ok(());
        }
        let answer = context.response_mut();
        match (self.lie)(self.transactions.fetch_add(1, Ordering::SeqCst)) {
            Lie::None => {}
            Lie::Failed => *answer.status_mut() = 500.try_into()?,
            Lie::Conflict => {
                *answer.status_mut() = 400.try_into()?;
                *answer.body_mut() = CONFLICT.into();
            }
        }
        Ok(())
    }
}

const CONFLICT: &str = r#"{
    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
    "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}]
}"#;

/// Another node on a table, whose answers are lies.
async fn node(table: &str, lie: fn(u64) -> Lie) -> Arc<DynamoStore> {
    let liar = Liar { lie, transactions: AtomicU64::default(), waiting: Mutex::default() };
    Arc::new(DynamoStore::open_with(table, config().interceptor(liar)).await.expect("it is there"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_whose_answers_get_lost_lose_and_double_nothing() -> Result<()> {
    const EACH: usize = 30;
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    let epoch = mesh.epoch().await?;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        // As often in a row as a transaction is sent.
        nodes.push(node(&engine.table, |n| if n % 6 < 3 { Lie::None } else { Lie::Failed }).await);
    }
    let tasks = (0..8).map(|writer| {
        let node: Arc<dyn Store> = nodes[writer % 2].clone();
        let (mesh, a) = (Mesh { store: node, ..mesh.clone() }, a.clone());
        tokio::spawn(async move {
            let mut written = Vec::with_capacity(EACH);
            for n in 0..EACH {
                let text = format!("{writer}:{n}");
                let message = keyed(to_all(&a, &text), &text, T0 + DAY);
                match mesh.store.append(mesh.batch(epoch, T0, vec![message])).await? {
                    Appended::Written { first, .. } => written.push((first, text)),
                    other => panic!("nothing stands against it, but: {other:?}"),
                }
            }
            Ok::<_, StoreError>(written)
        })
    });
    let mut answered = Vec::new();
    for written in futures_util::future::try_join_all(tasks).await.expect("no task panics") {
        let written = written?;
        assert!(written.is_sorted(), "for one sender it is the order of sending");
        answered.extend(written);
    }
    answered.sort();
    let log = mesh.broadcasts().await?;
    let log: Vec<_> =
        log.into_iter().map(|stored| (stored.message.id, stored.message.content)).collect();
    assert_eq!(log, answered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_is_not_done_again_when_its_next_try_meets_a_conflict() -> Result<()> {
    let (engine, world) = world().await;
    let (mesh, a) = world.mesh_with_agent().await?;
    let store = node(&engine.table, |n| match n {
        0 => Lie::Failed,
        1 => Lie::Conflict,
        _ => Lie::None,
    });
    let mesh = Mesh { store: store.await, ..mesh };
    let texts = ["one", "two", "three"];
    for (text, now) in texts.into_iter().zip(T0..) {
        // Without a key: nothing but the store keeps it from being there twice.
        mesh.write(now, vec![to_all(&a, text)]).await?;
    }
    assert_eq!(contents(&mesh.broadcasts().await?), texts);
    Ok(())
}
