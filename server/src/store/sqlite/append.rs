//! Appending batches of several meshes with a fixed number of statements.

use std::collections::HashMap;
use std::sync::Arc;

use meshwire_protocol::{AgentId, AgentKind, MeshId, MessageId, Via};
use serde::Serialize;
use sqlx::ConnectOptions as _;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};

use super::cache::{Cache, Effect};
use super::writer::{Tx, statement};
use super::{decode, is_transient, store_error};
use crate::clock::system_micros;
use crate::store::{Appended, Batch, Digest, Head, Micros, Result};

/// A node's clock that is further ahead than this is not used for ids.
const CLOCK_TOLERANCE: Micros = 60 * 1_000_000;

/// Appends what it can, inside the transaction. An error means that the transaction is of no use any more;
/// a batch that fails for its own content fails alone.
pub(super) async fn append_all(
    tx: &mut Tx,
    cache: &Cache,
    batches: &[Arc<Batch>],
) -> sqlx::Result<Vec<Result<Appended>>> {
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    match append_together(tx, cache, batches).await {
        Together::Done(outcomes) => return Ok(outcomes.into_iter().map(Ok).collect()),
        Together::Unknown(error, _) => return Err(error),
        Together::OneByOne => {}
    }
    let all: Vec<&Batch> = batches.iter().map(Arc::as_ref).collect();
    match try_append(tx, cache, &all).await {
        Ok(outcomes) => Ok(outcomes.into_iter().map(Ok).collect()),
        Err(error) if is_transient(&error) => Err(error),
        Err(_) => {
            let mut outcomes = Vec::with_capacity(batches.len());
            for batch in batches {
                outcomes.push(match try_append(tx, cache, &[batch]).await {
                    Ok(mut one) => Ok(one.remove(0)),
                    Err(error) if is_transient(&error) => return Err(error),
                    Err(error) => Err(store_error(error)),
                });
            }
            Ok(outcomes)
        }
    }
}

/// Appends all of the batches that may be appended, or, on an error, nothing.
async fn try_append(tx: &mut Tx, cache: &Cache, batches: &[&Batch]) -> sqlx::Result<Vec<Appended>> {
    let mut taken: HashMap<usize, Vec<usize>> = HashMap::new();
    loop {
        let effects = tx.effects.len();
        statement(&mut tx.conn, "SAVEPOINT append").await?;
        let attempt = write(tx, cache, batches, &taken).await;
        let again = match attempt {
            Ok(Written::All(outcomes)) => {
                statement(&mut tx.conn, "RELEASE append").await?;
                return Ok(outcomes);
            }
            Ok(Written::KeysTaken(found)) => Ok(found),
            Err(error) if is_transient(&error) => return Err(error),
            Err(error) => Err(error),
        };
        tx.effects.truncate(effects);
        statement(&mut tx.conn, "ROLLBACK TO append").await?;
        statement(&mut tx.conn, "RELEASE append").await?;
        taken.extend(again?);
    }
}

enum Written {
    All(Vec<Appended>),
    /// Batch → messages whose key is in use.
    KeysTaken(HashMap<usize, Vec<usize>>),
}

/// What became of batches that were to be written with one statement.
pub(super) enum Together {
    Done(Vec<Appended>),
    /// Nothing is written; tried one by one it will show what stands in the way.
    OneByOne,
    /// Whether they are written as it was meant is not known.
    Unknown(sqlx::Error, Vec<Appended>),
}

/// What a row of `appending` means, so that all of an append is one statement, and alone a transaction of its own: each
/// statement has the connection's thread wake us once more. A key that is in use makes it fail, for `message_id` may not
/// be null.
const APPENDING: &str = "
    CREATE TEMP VIEW appending AS SELECT
        NULL AS mesh_id, NULL AS id, NULL AS stream, NULL AS batch, NULL AS from_agent, NULL AS from_name,
        NULL AS from_user, NULL AS from_kind, NULL AS via, NULL AS to_name, NULL AS content, NULL AS metadata,
        NULL AS hops, NULL AS key, NULL AS fingerprint, NULL AS expires_at, NULL AS is_last, NULL AS now;
    CREATE TEMP TRIGGER append INSTEAD OF INSERT ON appending BEGIN
        INSERT INTO sent_key (mesh_id, agent_id, key, fingerprint, message_id, expires_at)
        SELECT NEW.mesh_id, NEW.from_agent, NEW.key, unhex(NEW.fingerprint), NEW.id, NEW.expires_at
        WHERE NEW.key IS NOT NULL
        ON CONFLICT DO UPDATE SET
            fingerprint = excluded.fingerprint,
            message_id = CASE WHEN sent_key.expires_at <= NEW.now THEN excluded.message_id END,
            expires_at = excluded.expires_at;
        INSERT INTO message (mesh_id, id, stream, batch, from_agent, from_name, from_user, from_kind, via,
                             to_name, content, metadata, hops)
        VALUES (NEW.mesh_id, NEW.id, NEW.stream, NEW.batch, NEW.from_agent, NEW.from_name, NEW.from_user,
                NEW.from_kind, NEW.via, NEW.to_name, NEW.content, NEW.metadata, NEW.hops);
        UPDATE mesh SET head = NEW.id WHERE id = NEW.mesh_id AND NEW.is_last;
    END";

/// Prepares a connection for appending.
pub(super) async fn prepare(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(APPENDING).execute(conn).await.map(drop)
}

/// Appends batches with one statement, when nothing stands in the way.
pub(super) async fn append_together(
    tx: &mut Tx,
    cache: &Cache,
    batches: &[Arc<Batch>],
) -> Together {
    let all: Vec<&Batch> = batches.iter().map(Arc::as_ref).collect();
    let Ok(plan) = plan(tx, cache, &all, &HashMap::new()).await else { return Together::OneByOne };
    if plan.messages.is_empty() {
        return Together::Done(plan.outcomes);
    }
    let done = sqlx::query(
        "INSERT INTO appending
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12,
                value ->> 13, value ->> 14, value ->> 15, value ->> 16, ?2
         FROM jsonb_each(?1)",
    )
    .bind(rows(&plan.messages))
    .bind(earliest(&all))
    .execute(&mut tx.conn)
    .await;
    match done {
        Ok(_) => {
            tx.effects.extend(plan.effects());
            Together::Done(plan.outcomes)
        }
        Err(error) if is_transient(&error) => Together::Unknown(error, plan.outcomes),
        // Then nothing of it was done.
        Err(_) => Together::OneByOne,
    }
}

async fn write(
    tx: &mut Tx,
    cache: &Cache,
    batches: &[&Batch],
    taken: &HashMap<usize, Vec<usize>>,
) -> sqlx::Result<Written> {
    let plan = plan(tx, cache, batches, taken).await?;
    if plan.messages.is_empty() {
        return Ok(Written::All(plan.outcomes));
    }
    if !plan.keys.is_empty() {
        let keys = plan.keys();
        if insert_keys(&mut tx.conn, &keys, earliest(batches)).await? < plan.keys.len() {
            let conflicts = conflicts(&mut tx.conn, &keys).await?;
            return Ok(Written::KeysTaken(taken_keys(conflicts, batches, &plan.outcomes)?));
        }
    }
    insert_messages(&mut tx.conn, &rows(&plan.messages)).await?;
    sqlx::query(
        "UPDATE mesh SET head = j.value ->> 1 FROM jsonb_each(?1) AS j WHERE mesh.id = j.value ->> 0",
    )
    .bind(plan.heads())
    .execute(&mut tx.conn)
    .await?;
    tx.effects.extend(plan.effects());
    Ok(Written::All(plan.outcomes))
}

/// What appending some batches means for the tables, one array a row.
struct Plan<'b> {
    outcomes: Vec<Appended>,
    messages: Vec<MessageRow<'b>>,
    keys: Vec<KeyRow<'b>>,
    moved: Vec<(MeshId, Head)>,
}

/// The columns of `appending` in their order, but for `now`.
#[derive(Serialize)]
struct MessageRow<'b>(
    &'b MeshId,
    i64,
    String,
    i64,
    &'b AgentId,
    &'b str,
    &'b str,
    AgentKind,
    Via,
    &'b str,
    &'b str,
    String,
    u32,
    Option<&'b str>,
    Option<String>,
    Option<Micros>,
    bool,
);

/// Mesh, agent, key, fingerprint, message, when it expires; which batch, and which message in it.
#[derive(Serialize)]
struct KeyRow<'b>(&'b MeshId, &'b AgentId, &'b str, String, i64, Micros, usize, usize);

impl Plan<'_> {
    fn keys(&self) -> String {
        rows(&self.keys)
    }

    fn heads(&self) -> String {
        let heads: Vec<_> = self.moved.iter().map(|(mesh, head)| (mesh, head.head)).collect();
        rows(&heads)
    }

    fn effects(&self) -> impl Iterator<Item = Effect> {
        self.moved.iter().map(|(mesh, head)| Effect::Head(mesh.clone(), Some(*head)))
    }
}

fn rows<R: Serialize>(rows: &[R]) -> String {
    serde_json::to_string(rows).expect("text and numbers make JSON")
}

/// Keys that were over by then are free.
fn earliest(batches: &[&Batch]) -> Micros {
    batches.iter().map(|batch| batch.now).min().unwrap_or_default()
}

async fn plan<'b>(
    tx: &mut Tx,
    cache: &Cache,
    batches: &[&'b Batch],
    taken: &HashMap<usize, Vec<usize>>,
) -> sqlx::Result<Plan<'b>> {
    let mut heads: HashMap<&MeshId, Head> = HashMap::new();
    let mut outcomes = Vec::with_capacity(batches.len());
    let (mut messages, mut keys) = (Vec::new(), Vec::new());
    for (place, batch) in batches.iter().enumerate() {
        if let Some(taken) = taken.get(&place) {
            outcomes.push(Appended::KeysTaken(taken.clone()));
            continue;
        }
        let head = match heads.get(&batch.mesh) {
            Some(head) => Some(*head),
            None => head_of(tx, cache, &batch.mesh).await?,
        };
        let Some(mut head) = head else {
            outcomes.push(Appended::NoMesh);
            continue;
        };
        if head.epoch != batch.epoch {
            outcomes.push(Appended::EpochMoved);
            continue;
        }
        let (follows, first) = (head.head, first_id(batch.now, head.head));
        for ((offset, id), message) in (0..).zip(first..).zip(&batch.messages) {
            let key = message.key.as_ref();
            messages.push(MessageRow(
                &batch.mesh,
                id,
                message.stream.to_string(),
                batch.id,
                &message.from_agent,
                &message.from,
                &message.from_user,
                message.from_kind,
                message.via,
                &message.to,
                &message.content,
                serde_json::to_string(&message.metadata).expect("a map of JSON makes JSON"),
                message.hops,
                key.map(|key| key.key.as_str()),
                key.map(|key| hex(&key.fingerprint)),
                key.map(|key| key.expires_at),
                false,
            ));
            if let Some(key) = key {
                let fingerprint = hex(&key.fingerprint);
                let (agent, expires_at) = (&message.from_agent, key.expires_at);
                let key = key.key.as_str();
                keys.push(KeyRow(
                    &batch.mesh,
                    agent,
                    key,
                    fingerprint,
                    id,
                    expires_at,
                    place,
                    offset,
                ));
            }
        }
        let count = i64::try_from(batch.messages.len()).unwrap_or(i64::MAX);
        head.head = message_id(first + count - 1)?;
        heads.insert(&batch.mesh, head);
        outcomes.push(Appended::Written { follows, first: message_id(first)? });
    }
    for MessageRow(mesh, id, .., is_last) in &mut messages {
        *is_last = heads.get(mesh).is_some_and(|head| head.head.get() == *id);
    }
    let moved = heads.into_iter().map(|(mesh, head)| (mesh.clone(), head)).collect();
    Ok(Plan { outcomes, messages, keys, moved })
}

/// max(now, head + 1), without a clock that runs far ahead of ours.
fn first_id(now: Micros, head: MessageId) -> i64 {
    let next = head.next().get();
    if now > system_micros().saturating_add(CLOCK_TOLERANCE) { next } else { next.max(now) }
}

fn message_id(id: i64) -> sqlx::Result<MessageId> {
    MessageId::new(id)
        .ok_or_else(|| sqlx::Error::Protocol(format!("message id {id} is out of range")))
}

/// The head as of this transaction.
async fn head_of(tx: &mut Tx, cache: &Cache, mesh: &MeshId) -> sqlx::Result<Option<Head>> {
    let moved = tx.effects.iter().rev().find_map(|effect| match effect {
        Effect::Head(moved, head) if moved == mesh => Some(*head),
        _ => None,
    });
    let known = moved.or_else(|| cache.read().heads.get(mesh).copied());
    match known {
        Some(head) => Ok(head),
        None => decode::head(&mut tx.conn, mesh).await,
    }
}

/// Inserts the keys that are free, or whose time is over; how many.
async fn insert_keys(conn: &mut SqliteConnection, keys: &str, now: Micros) -> sqlx::Result<usize> {
    let done = sqlx::query(
        "INSERT INTO sent_key (mesh_id, agent_id, key, fingerprint, message_id, expires_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5
         FROM jsonb_each(?1) WHERE true
         ON CONFLICT DO UPDATE SET
             fingerprint = excluded.fingerprint,
             message_id = excluded.message_id,
             expires_at = excluded.expires_at
         WHERE sent_key.expires_at <= ?2",
    )
    .bind(keys)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// A key of this attempt that another message has.
struct Conflict {
    /// The batch.
    place: usize,
    /// The message in it.
    offset: usize,
    /// The message that has the key.
    holder: i64,
}

/// The keys of this attempt that could not be inserted, batch by batch.
async fn conflicts(conn: &mut SqliteConnection, keys: &str) -> sqlx::Result<Vec<Conflict>> {
    let rows = sqlx::query(
        "SELECT j.value ->> 6, j.value ->> 7, k.message_id
         FROM jsonb_each(?1) AS j JOIN sent_key AS k
             ON k.mesh_id = j.value ->> 0 AND k.agent_id = j.value ->> 1 AND k.key = j.value ->> 2
         WHERE k.message_id <> j.value ->> 4
         ORDER BY j.value ->> 6, j.value ->> 7",
    )
    .bind(keys)
    .fetch_all(conn)
    .await?;
    let number = |row: &SqliteRow, column: usize| -> sqlx::Result<usize> {
        Ok(usize::try_from(row.try_get::<i64, _>(column)?).unwrap_or(usize::MAX))
    };
    rows.iter()
        .map(|row| {
            Ok(Conflict {
                place: number(row, 0)?,
                offset: number(row, 1)?,
                holder: row.try_get(2)?,
            })
        })
        .collect()
}

/// Which messages are refused: those whose key was in use before, or went to an earlier batch of this
/// attempt. A batch that is refused itself takes no key from a later one.
fn taken_keys(
    conflicts: Vec<Conflict>,
    batches: &[&Batch],
    outcomes: &[Appended],
) -> sqlx::Result<HashMap<usize, Vec<usize>>> {
    let mut of_this_attempt: HashMap<(&MeshId, i64), usize> = HashMap::new();
    for (place, (batch, outcome)) in batches.iter().zip(outcomes).enumerate() {
        if let Appended::Written { first, .. } = outcome {
            let ids = (first.get()..).take(batch.messages.len());
            of_this_attempt.extend(ids.map(|id| ((&batch.mesh, id), place)));
        }
    }
    let mut taken: HashMap<usize, Vec<usize>> = HashMap::new();
    for Conflict { place, offset, holder } in conflicts {
        let mesh = batches.get(place).map(|batch| &batch.mesh);
        let holder = mesh.and_then(|mesh| of_this_attempt.get(&(mesh, holder)));
        if holder.is_none_or(|holder| !taken.contains_key(holder)) {
            taken.entry(place).or_default().push(offset);
        }
    }
    if taken.is_empty() {
        return Err(sqlx::Error::Protocol("idempotency keys are taken, but not found".to_owned()));
    }
    Ok(taken)
}

async fn insert_messages(conn: &mut SqliteConnection, messages: &str) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO message (mesh_id, id, stream, batch, from_agent, from_name, from_user, from_kind, via,
                              to_name, content, metadata, hops)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12
         FROM jsonb_each(?1)",
    )
    .bind(messages)
    .execute(conn)
    .await
    .map(drop)
}

fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Asks over a new connection whether batches of a failed commit were written.
pub(super) struct Unsure {
    conn: Option<SqliteConnection>,
}

impl Unsure {
    pub(super) async fn new(options: &SqliteConnectOptions) -> Self {
        Self { conn: options.connect().await.ok() }
    }

    pub(super) async fn is_there(&mut self, batch: &Batch, first: MessageId) -> bool {
        let Some(conn) = &mut self.conn else { return false };
        sqlx::query("SELECT 1 FROM message WHERE mesh_id = ?1 AND id = ?2 AND batch = ?3")
            .bind(batch.mesh.as_str())
            .bind(first.get())
            .bind(batch.id)
            .fetch_optional(conn)
            .await
            .is_ok_and(|row| row.is_some())
    }
}
