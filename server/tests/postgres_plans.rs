//! How Postgres goes about what it is asked for most: by an index, and looking at no more rows when a million
//! old messages lie behind. It tells itself, with `auto_explain`, of the very statements that the store makes.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

#[path = "support/postgres.rs"]
mod postgres_server;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use meshwire_protocol::{AgentId, AgentKind, MeshId, MessageId, Scope, Via};
use meshwire_server::secret;
use meshwire_server::settings::Place;
use meshwire_server::store::postgres::PostgresStore;
use meshwire_server::store::{
    AccountStore as _, AgentChange, Appended, Batch, LogStore as _, MemberStore as _,
    MeshStore as _, Move, NewAgent, NewMesh, NewMessage, NewUser, NodeStore as _, Present,
    Register, Seen, SentKey, Store as _, Stream, TokenRow, Visibility,
};
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Messages that lie behind; a million in the long form.
fn behind() -> i64 {
    if std::env::var_os("MESHWIRE_TEST_LONG").is_some() { 1_000_000 } else { 50_000 }
}

/// The plans that the server has told of.
#[derive(Clone, Default)]
struct Plans(Arc<Mutex<Vec<Value>>>);

impl<S: tracing::Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::postgres::notice" {
            event.record(&mut self.clone());
        }
    }
}

impl Visit for Plans {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, _: &Field, value: &str) {
        if let Some((_, plan)) = value.split_once("plan:\n") {
            self.0.lock().unwrap().push(serde_json::from_str(plan).unwrap());
        }
    }
}

impl Plans {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// What a plan does: the nodes that walk whole tables, and how many rows all its scans have looked at.
fn look_at(node: &Value, whole: &mut Vec<String>, rows: &mut f64) {
    let kind = node["Node Type"].as_str().unwrap();
    if let Some(table) = node["Relation Name"].as_str() {
        if kind == "Seq Scan" {
            whole.push(table.to_owned());
        }
        let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
        *rows +=
            (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        look_at(child, whole, rows);
    }
}

struct World {
    store: PostgresStore,
    plans: Plans,
    mesh: MeshId,
    agent: AgentId,
    user: NewUser,
    token: TokenRow,
}

impl World {
    /// Runs something, and returns how many rows its statements have looked at; none may walk a whole table.
    async fn rows<T>(&self, what: &str, act: impl Future<Output = T>) -> f64 {
        self.plans.take();
        act.await;
        let (mut whole, mut rows) = (Vec::new(), 0.0);
        let plans = self.plans.take();
        assert!(!plans.is_empty(), "{what}: the server tells of no plan");
        for plan in &plans {
            look_at(&plan["Plan"], &mut whole, &mut rows);
        }
        assert!(whole.is_empty(), "{what} walks through all of {whole:?}: {plans:#?}");
        rows
    }

    /// All that happens often, each with the rows that it looks at.
    async fn hot(&self) -> Vec<(&'static str, f64)> {
        let World { store, mesh, agent, token, user, .. } = self;
        let head = store.head(mesh).await.unwrap().unwrap();
        let streams = [Stream::All, Stream::Agent(agent.clone())];
        let visible = Visibility { agents: vec![agent.clone()] };
        let now = user.now;
        let seen = Seen {
            mesh: mesh.clone(),
            agent: agent.clone(),
            at: now,
            read_at: Some(now),
            handed: MessageId::ZERO,
        };
        // Those that come together are asked for together.
        let hashes: Vec<_> = (0..64).map(|n| secret::digest(&n.to_string())).collect();
        let meshes: Vec<_> = (0..64).map(|_| secret::mesh_id()).collect();
        let present = Present { polling: vec![agent.clone()], recent: Vec::new() };
        let mut all = Vec::new();
        macro_rules! hot {
            ($($what:literal: $act:expr;)*) => {
                $(all.push(($what, self.rows($what, async { $act.await.unwrap() }).await));)*
            };
        }
        hot! {
            "a token": store.token(&token.hash);
            "the head": store.head(mesh);
            "tokens of many requests": try_join_all(hashes.iter().map(|hash| store.token(hash)));
            "heads of many requests": try_join_all(meshes.iter().map(|mesh| store.head(mesh)));
            "a poll at the head": store.read(mesh, &streams, head.head, 100);
            "what another node has written": store.read_all(mesh, head.head, 100);
            "a send": store.append(self.batch(head.epoch, now));
            "a key": store.sent(mesh, agent, "key", now);
            "a message": store.message(mesh, head.head);
            "the history": store.history(mesh, &visible, MessageId::MAX, 10);
            "where an agent is": store.position(mesh, agent);
            "an acknowledgement": store.move_cursor(mesh, agent, head.head, Move::Acknowledge);
            "signs of life": store.note_seen(&[seen]);
            "uses of tokens": store.note_used(&[(token.id.clone(), now)]);
            "the roster": store.roster(mesh);
            "the meshes of a user": store.meshes_of(&user.id);
            "an invite": store.invite_by_code(mesh, &token.hash);
            "a session": store.session(&token.hash, now);
            "a sweep": store.heads(std::slice::from_ref(mesh));
            "what has ended": store.ended();
            "who is here": store.note_present(mesh, &present);
            "who is elsewhere": store.present(mesh);
            "who was seen": store.last_seen(mesh, std::slice::from_ref(agent));
            "the lease": store.renew(Duration::from_secs(30));
        }
        all
    }

    fn batch(&self, epoch: i64, now: i64) -> Arc<Batch> {
        let key = SentKey {
            key: format!("{:x}", rand::random::<u64>()),
            fingerprint: secret::digest("what was sent"),
            expires_at: now + 1_000_000,
        };
        let message = NewMessage {
            stream: Stream::All,
            from: "a".to_owned(),
            from_agent: self.agent.clone(),
            from_user: "ann".to_owned(),
            from_kind: AgentKind::Agent,
            via: Via::Account,
            to: "all".to_owned(),
            content: "hello".to_owned(),
            metadata: serde_json::Map::new(),
            hops: 0,
            key: Some(key),
        };
        let mesh = self.mesh.clone();
        Arc::new(Batch { mesh, id: rand::random(), epoch, now, messages: vec![message] })
    }
}

async fn world() -> (World, PgConnection) {
    let plans = Plans::default();
    tracing_subscriber::registry().with(plans.clone()).init();
    let schema = postgres_server::schema().await;
    // Small tables are walked through even when they have an index: only what has none is to show.
    let explained = "%20-csession_preload_libraries%3Dauto_explain%20-cauto_explain.log_min_duration%3D0\
        %20-cauto_explain.log_analyze%3Don%20-cauto_explain.log_format%3Djson\
        %20-cclient_min_messages%3Dlog%20-cenable_seqscan%3Doff";
    let store =
        PostgresStore::open(&format!("{schema}{explained}"), Place::CONNECTIONS).await.unwrap();
    let connection = PgConnection::connect(&schema).await.unwrap();
    let now = 1_700_000_000_000_000;
    let user = NewUser {
        id: secret::user_id(),
        identity: "github:1".to_owned(),
        login: "ann".to_owned(),
        name: "Ann".to_owned(),
        password: None,
        now,
    };
    store.sign_in_github(user.clone()).await.unwrap();
    let token = TokenRow {
        hash: secret::digest("secret"),
        id: secret::token_id(),
        suffix: "abcdef".to_owned(),
        user: user.id.clone(),
        name: "laptop".to_owned(),
        scopes: vec![Scope::Read],
        mesh: None,
        agent: None,
        created_at: now,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    store.create_token(token.clone(), 0).await.unwrap();
    let mesh = secret::mesh_id();
    let owner = user.id.clone();
    let new = NewMesh { id: mesh.clone(), name: "ours".to_owned(), owner, created_at: now };
    assert!(store.create_mesh(new, 0).await.unwrap());
    let agent = NewAgent {
        mesh: mesh.clone(),
        id: secret::agent_id(),
        name: "a".to_owned(),
        kind: AgentKind::Agent,
        user: user.id.clone(),
        fields: AgentChange::default(),
        now,
    };
    let Register::Created(agent) = store.register_agent(agent, 0).await.unwrap() else {
        panic!("the agent is new");
    };
    (World { store, plans, mesh, agent: agent.id, user, token }, connection)
}

#[tokio::test]
async fn what_happens_often_goes_by_an_index_and_costs_no_more_with_old_messages_behind() {
    let (world, mut connection) = world().await;
    let head = world.store.head(&world.mesh).await.unwrap().unwrap();
    let first = world.store.append(world.batch(head.epoch, world.user.now)).await.unwrap();
    assert!(matches!(first, Appended::Written { .. }));
    let empty = world.hot().await;

    // From other agents, to all and to one, as they would lie there after a long time.
    sqlx::query(
        "INSERT INTO message (mesh_id, id, stream, batch, follows, size, from_agent, from_name,
                              from_user, from_kind, via, to_name, content, metadata, hops)
         SELECT mesh_id, id - n * 1000, CASE WHEN n % 3 = 0 THEN 'agent:' || from_agent ELSE stream END,
                n, id - n * 1000 - 1, size, from_agent, from_name, from_user, from_kind, via, to_name,
                content, metadata, hops
         FROM (SELECT * FROM message WHERE mesh_id = $1 ORDER BY id LIMIT 1) AS m
         CROSS JOIN generate_series(1, $2) AS n",
    )
    .bind(world.mesh.as_str())
    .bind(behind())
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("ANALYZE").execute(&mut connection).await.unwrap();

    let full = world.hot().await;
    for ((what, before), (_, after)) in empty.iter().zip(&full) {
        // The history shows its page, which is longer now.
        let page = if *what == "the history" { 2_100.0 } else { 2.0 };
        assert!(*after <= before + page, "{what} looks at {after} rows, and before at {before}");
    }
    world.store.close().await;
}
