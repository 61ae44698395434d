//! Appending a batch: lock the head, then one statement that moves it and writes messages and keys.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meshwire_protocol::{AgentId, MessageId};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::failure::is_transient;
use super::tx::{Failed, Tx};
use super::{PostgresStore, decode, store_error};
use crate::planted;
use crate::store::{Appended, Batch, Micros, Result};

/// A node's clock that is further ahead of the server's than this is not used for ids.
const CLOCK_TOLERANCE: Micros = 60 * 1_000_000;
/// How long a batch is tried for that the server did not confirm.
const PERSIST: Duration = Duration::from_secs(6);
/// The pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(50);

impl PostgresStore {
    /// Appends a batch. When it is not known whether it was written, the next try finds out under the lock on
    /// the head, which the one before holds for as long as it may still be committed.
    pub(super) async fn append_batch(&self, batch: Arc<Batch>) -> Result<Appended> {
        #[cfg(feature = "planted-bugs")]
        if planted::is("keys-looked-up-before")
            && let Some(taken) = self.taken_before(&batch).await?
        {
            return Ok(taken);
        }
        let began = Instant::now();
        let mut unsure = false;
        // The head that the first try found: whatever any of them has written lies after it.
        let after = Arc::new(OnceLock::new());
        loop {
            let (mine, after) = (Arc::clone(&batch), Arc::clone(&after));
            let tried = Tx::run(&self.pool, move |tx| {
                Box::pin(async move { append(tx, &mine, &after, unsure).await })
            });
            match tried.await {
                Ok(outcome) => return Ok(outcome),
                Err(Failed { error, nothing_written })
                    if is_transient(&error) && began.elapsed() < PERSIST =>
                {
                    unsure |= !nothing_written && !planted::is("unsure-not-looked");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Failed { error, .. }) => return Err(store_error(error)),
            }
        }
    }

    /// A bug that can be planted: keys are looked up here, and not in the transaction.
    #[cfg(feature = "planted-bugs")]
    async fn taken_before(&self, batch: &Batch) -> Result<Option<Appended>> {
        let mut places = Vec::new();
        for (place, message) in batch.messages.iter().enumerate() {
            use crate::store::LogStore as _;
            if let Some(key) = &message.key
                && self.sent(&batch.mesh, &message.from_agent, &key.key, batch.now).await?.is_some()
            {
                places.push(place);
            }
        }
        Ok((!places.is_empty()).then_some(Appended::KeysTaken(places)))
    }
}

/// The head row and the server's clock.
macro_rules! look {
    ($lock:literal) => {
        concat!(
            "SELECT epoch, head, trimmed, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
             FROM mesh WHERE id = $1 AND deleted_at IS NULL",
            $lock
        )
    };
}
const LOOK_AND_LOCK: &str = look!(" FOR NO KEY UPDATE");
const LOOK: &str = look!("");

async fn append(
    tx: &mut Tx,
    batch: &Batch,
    after: &OnceLock<MessageId>,
    unsure: bool,
) -> sqlx::Result<Appended> {
    let lock = if planted::is("head-unlocked") { LOOK } else { LOOK_AND_LOCK };
    let row = sqlx::query(lock).bind(batch.mesh.as_str()).fetch_optional(tx.conn()).await?;
    if unsure
        && let Some(after) = after.get()
        && let Some(written) = find(tx, batch, *after).await?
    {
        return Ok(written);
    }
    let Some(row) = row else { return Ok(Appended::NoMesh) };
    let head = decode::head_row(&row)?;
    if head.epoch != batch.epoch && !planted::is("epoch-unchecked") {
        return Ok(Appended::EpochMoved);
    }
    let next = head.head.next().get();
    let clock: Micros = row.try_get(3)?;
    let is_ahead = batch.now > clock.saturating_add(CLOCK_TOLERANCE);
    let first = if planted::is("ids-from-the-clock") {
        batch.now
    } else if is_ahead {
        next
    } else {
        next.max(batch.now)
    };
    after.get_or_init(|| head.head);
    let taken = write(tx, batch, head.head, first).await?;
    if !taken.is_empty() {
        return Ok(Appended::KeysTaken(taken));
    }
    Ok(Appended::Written { follows: head.head, first: message_id(first)? })
}

/// What became of a batch that an earlier try may have written.
async fn find(tx: &mut Tx, batch: &Batch, after: MessageId) -> sqlx::Result<Option<Appended>> {
    let row = sqlx::query(
        "SELECT id, follows FROM message WHERE mesh_id = $1 AND batch = $2 AND id > $3
         ORDER BY id LIMIT 1",
    )
    .bind(batch.mesh.as_str())
    .bind(batch.id)
    .bind(after.get())
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| {
        Ok(Appended::Written { follows: decode::id(&row, 1)?, first: decode::id(&row, 0)? })
    })
    .transpose()
}

/// Writes all of a batch, or nothing when some of its keys are in use: the places of their messages.
///
/// The lock on the head is held, so that no key of this mesh comes or goes in the meantime.
async fn write(
    tx: &mut Tx,
    batch: &Batch,
    follows: MessageId,
    first: i64,
) -> sqlx::Result<Vec<usize>> {
    let messages = &batch.messages;
    let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    let column = |of: fn(&crate::store::NewMessage) -> String| -> Vec<String> {
        messages.iter().map(of).collect()
    };
    let keyed =
        || messages.iter().zip(0_i64..).filter_map(|(m, at)| Some((m, m.key.as_ref()?, at)));
    sqlx::query(
        "WITH keyed AS (
             SELECT * FROM unnest($14::bigint[], $15::text[], $16::text[], $17::bytea[], $18::bigint[])
                 AS k (place, agent_id, key, fingerprint, expires_at)
         ), taken AS (
             SELECT keyed.place FROM keyed JOIN sent_key USING (agent_id, key)
             WHERE sent_key.mesh_id = $1 AND sent_key.expires_at > $19
         ), moved AS (
             UPDATE mesh SET head = $3 + $4 - 1 WHERE id = $1 AND NOT EXISTS (SELECT FROM taken)
         ), keys AS (
             INSERT INTO sent_key (mesh_id, agent_id, key, fingerprint, message_id, expires_at)
             SELECT $1, agent_id, key, fingerprint, $3 + place, expires_at FROM keyed
             WHERE NOT EXISTS (SELECT FROM taken)
             ON CONFLICT (mesh_id, agent_id, key) DO UPDATE SET
                 fingerprint = excluded.fingerprint,
                 message_id = excluded.message_id,
                 expires_at = excluded.expires_at
         ), written AS (
             INSERT INTO message (mesh_id, id, batch, follows, stream, size, from_agent, from_name,
                                  from_user, from_kind, via, to_name, content, metadata, hops)
             SELECT $1, $3 + n - 1, $2, $20, stream, size, from_agent, from_name,
                    from_user, from_kind, via, to_name, content, metadata, hops
             FROM unnest($5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[],
                         $11::text[], $12::text[], $13::text[], $21::text[], $22::bigint[])
                 WITH ORDINALITY AS m (stream, size, from_agent, from_name, from_user, from_kind,
                                       via, to_name, content, metadata, hops, n)
             WHERE NOT EXISTS (SELECT FROM taken)
         )
         SELECT place FROM taken ORDER BY place",
    )
    .bind(batch.mesh.as_str())
    .bind(batch.id)
    .bind(first)
    .bind(count)
    .bind(column(|m| m.stream.to_string()))
    .bind(messages.iter().map(|m| i64::try_from(m.size()).unwrap_or(i64::MAX)).collect::<Vec<_>>())
    .bind(column(|m| m.from_agent.to_string()))
    .bind(column(|m| m.from.clone()))
    .bind(column(|m| m.from_user.clone()))
    .bind(column(|m| m.from_kind.as_str().to_owned()))
    .bind(column(|m| m.via.as_str().to_owned()))
    .bind(column(|m| m.to.clone()))
    .bind(column(|m| m.content.clone()))
    .bind(keyed().map(|(_, _, place)| place).collect::<Vec<_>>())
    .bind(keyed().map(|(m, _, _)| AgentId::as_str(&m.from_agent)).collect::<Vec<_>>())
    .bind(keyed().map(|(_, key, _)| key.key.as_str()).collect::<Vec<_>>())
    .bind(keyed().map(|(_, key, _)| key.fingerprint.as_slice()).collect::<Vec<_>>())
    .bind(keyed().map(|(_, key, _)| key.expires_at).collect::<Vec<_>>())
    // Without the bug, keys that have expired are free.
    .bind(if planted::is("keys-looked-up-before") { Micros::MAX } else { batch.now })
    .bind(follows.get())
    .bind(column(|m| Value::Object(m.metadata.clone()).to_string()))
    .bind(messages.iter().map(|m| i64::from(m.hops)).collect::<Vec<_>>())
    .fetch_all(tx.conn())
    .await?
    .iter()
    .map(place)
    .collect()
}

fn place(row: &PgRow) -> sqlx::Result<usize> {
    let place: i64 = row.try_get(0)?;
    usize::try_from(place).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn message_id(id: i64) -> sqlx::Result<MessageId> {
    MessageId::new(id)
        .ok_or_else(|| sqlx::Error::Protocol(format!("message id {id} is out of range")))
}
