//! Reading the log, and the three numbers of an agent.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use meshwire_protocol::limits::MAX_PAGE_BYTES;
use meshwire_protocol::{AgentId, MeshId, MessageId, TokenId};
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::cache::Effect;
use super::cursors::CursorMove;
use super::decode::{self, message_columns};
use super::writer::Tx;
use super::{SqliteStore, retention, store_error};
use crate::store::page::{Part, merge};
use crate::store::{
    Appended, Batch, Head, HistoryPage, LogPage, LogStore, Micros, Move, Position, Result, Seen,
    SentRecord, Stored, Stream, Visibility,
};

/// How many messages one page of the history looks at: bounds what it costs to find none.
const HISTORY_SCAN: i64 = 2_000;

#[async_trait]
impl LogStore for SqliteStore {
    async fn head(&self, mesh: &MeshId) -> Result<Option<Head>> {
        let cached = self.cache.read().heads.get(mesh).copied();
        if let Some(head) = cached {
            return Ok(head);
        }
        let mut conn = self.readers.acquire().await.map_err(store_error)?;
        if decode::head(&mut conn, mesh).await.map_err(store_error)?.is_none() {
            // Not kept: anyone can ask for meshes that do not exist.
            return Ok(None);
        }
        drop(conn);
        let mesh = mesh.clone();
        self.look(move |tx| {
            Box::pin(async move {
                let head = decode::head(&mut tx.conn, &mesh).await?;
                tx.effects.push(Effect::Head(mesh, head));
                Ok(head)
            })
        })
        .await
    }

    async fn append(&self, batch: Arc<Batch>) -> Result<Appended> {
        self.writer.append(batch).await
    }

    async fn sent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        key: &str,
        now: Micros,
    ) -> Result<Option<SentRecord>> {
        let row = sqlx::query(
            "SELECT fingerprint, message_id FROM sent_key
             WHERE mesh_id = ?1 AND agent_id = ?2 AND key = ?3 AND expires_at > ?4",
        )
        .bind(mesh.as_str())
        .bind(agent.as_str())
        .bind(key)
        .bind(now)
        .fetch_optional(&self.readers)
        .await
        .map_err(store_error)?;
        row.map(|row| {
            let fingerprint = row
                .try_get::<&[u8], _>(0)?
                .try_into()
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(SentRecord { fingerprint, id: decode::id(&row, 1)? })
        })
        .transpose()
        .map_err(store_error)
    }

    async fn read(
        &self,
        mesh: &MeshId,
        streams: &[Stream],
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut tx = self.snapshot().await?;
        // One transaction is one snapshot: the head and the trim point belong to the messages.
        let Some(head) = decode::head(&mut tx, mesh).await.map_err(store_error)? else {
            return Ok(None);
        };
        let page = read_page(&mut tx, mesh, streams, after, limit, head).await;
        tx.rollback().await.map_err(store_error)?;
        self.catch_up(mesh, head).await?;
        page.map(Some).map_err(store_error)
    }

    async fn read_all(
        &self,
        mesh: &MeshId,
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut tx = self.snapshot().await?;
        let Some(head) = decode::head(&mut tx, mesh).await.map_err(store_error)? else {
            return Ok(None);
        };
        let page = whole_page(&mut tx, mesh, after, limit, head).await;
        tx.rollback().await.map_err(store_error)?;
        self.catch_up(mesh, head).await?;
        page.map(Some).map_err(store_error)
    }

    async fn message(&self, mesh: &MeshId, id: MessageId) -> Result<Option<Stored>> {
        sqlx::query(concat!(
            "SELECT ",
            message_columns!(),
            " FROM message WHERE mesh_id = ?1 AND id = ?2
                AND id > (SELECT trimmed FROM mesh WHERE id = ?1)"
        ))
        .bind(mesh.as_str())
        .bind(id.get())
        .fetch_optional(&self.readers)
        .await
        .and_then(|row| row.map(|row| decode::message(&row, mesh)).transpose())
        .map_err(store_error)
    }

    async fn history(
        &self,
        mesh: &MeshId,
        visible: &Visibility,
        before: MessageId,
        limit: u32,
    ) -> Result<HistoryPage> {
        let mut tx = self.readers.begin().await.map_err(store_error)?;
        let page = history_page(&mut tx, mesh, visible, before, limit).await;
        tx.rollback().await.map_err(store_error)?;
        page.map_err(store_error)
    }

    async fn position(&self, mesh: &MeshId, agent: &AgentId) -> Result<Option<Position>> {
        let key = (mesh.clone(), agent.clone());
        let cached = self.cache.read().positions.get(&key).copied();
        if cached.is_some() {
            return Ok(cached);
        }
        let (mesh, agent) = key;
        self.look(move |tx| {
            Box::pin(async move {
                let position = position(&mut tx.conn, &mesh, &agent).await?;
                tx.effects.extend(position.map(|at| Effect::Position(mesh, agent, at)));
                Ok(position)
            })
        })
        .await
    }

    async fn move_cursor(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        to: MessageId,
        how: Move,
    ) -> Result<Option<MessageId>> {
        let (mesh, agent) = (mesh.clone(), agent.clone());
        self.writer.move_cursor(CursorMove { mesh, agent, to, how }).await
    }

    async fn note_seen(&self, seen: &[Seen]) -> Result<()> {
        let rows = seen
            .iter()
            .map(|seen| json!([seen.mesh, seen.agent, seen.at, seen.handed, seen.read_at]));
        let rows = serde_json::Value::Array(rows.collect()).to_string();
        self.write(move |tx| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "UPDATE agent SET
                         last_seen = max(coalesce(last_seen, 0), j.at),
                         last_read = max(coalesce(last_read, j.read_at), coalesce(j.read_at, last_read)),
                         handed = max(agent.handed, j.handed)
                     FROM (SELECT value ->> 0 AS mesh, value ->> 1 AS agent, max(value ->> 2) AS at,
                                  max(value ->> 3) AS handed, max(value ->> 4) AS read_at
                           FROM json_each(?1) GROUP BY 1, 2) AS j
                     WHERE agent.mesh_id = j.mesh AND agent.id = j.agent
                     RETURNING start, agent.handed, cursor, agent.mesh_id, agent.id",
                )
                .bind(rows)
                .fetch_all(&mut tx.conn)
                .await?;
                for row in rows {
                    let (mesh, agent) = (decode::parsed(&row, 3)?, decode::parsed(&row, 4)?);
                    tx.effects.push(Effect::Position(mesh, agent, decode::position(&row)?));
                }
                Ok(())
            })
        })
        .await
    }

    async fn held_from(&self, mesh: &MeshId, since: Micros) -> Result<Option<MessageId>> {
        retention::held_from(&self.readers, mesh, since).await.map_err(store_error)
    }

    async fn trim(&self, mesh: &MeshId, to: MessageId) -> Result<Option<MessageId>> {
        let (head, moves) = retention::look(&self.readers, mesh, to).await.map_err(store_error)?;
        if !moves {
            return Ok(head.map(|head| head.trimmed));
        }
        let mesh = mesh.clone();
        self.write(move |tx| Box::pin(retention::trim(tx, mesh, to))).await
    }

    async fn delete_trimmed(&self, mesh: &MeshId) -> Result<bool> {
        if !retention::any_trimmed(&self.readers, mesh).await.map_err(store_error)? {
            return Ok(false);
        }
        let mesh = mesh.clone();
        self.write(move |tx| Box::pin(retention::delete_trimmed(tx, mesh))).await
    }
}

impl SqliteStore {
    /// Waits until the cache knows of a head that was read from the file. Between a commit and its note in the
    /// cache we may read what the cache does not know yet: whoever asks for the head after this page must not
    /// be told an older one. What is handed in to the writer now comes after the note.
    async fn catch_up(&self, mesh: &MeshId, read: Head) -> Result<()> {
        let noted = self.cache.read().heads.get(mesh).copied().flatten();
        if noted.is_some_and(|noted| noted.head < read.head) {
            self.look(|_| Box::pin(async { Ok(()) })).await?;
        }
        Ok(())
    }
}

async fn read_page(
    conn: &mut SqliteConnection,
    mesh: &MeshId,
    streams: &[Stream],
    after: MessageId,
    limit: usize,
    head: Head,
) -> sqlx::Result<LogPage> {
    let from = after.max(head.trimmed);
    let mut parts = Vec::with_capacity(streams.len());
    for stream in streams {
        // One bounded walk along the index for each stream.
        let name = stream.to_string();
        let rows = sqlx::query(concat!(
            "SELECT ",
            message_columns!(),
            " FROM message WHERE mesh_id = ?1 AND stream = ?2 AND id > ?3 ORDER BY id LIMIT ?4"
        ))
        .bind(mesh.as_str())
        .bind(name)
        .bind(from.get())
        .bind(one_more(limit))
        .fetch(&mut *conn);
        parts.push(part(rows, mesh, limit).await?);
    }
    Ok(merge(parts, limit, head))
}

async fn whole_page(
    conn: &mut SqliteConnection,
    mesh: &MeshId,
    after: MessageId,
    limit: usize,
    head: Head,
) -> sqlx::Result<LogPage> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message WHERE mesh_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
    ))
    .bind(mesh.as_str())
    .bind(after.max(head.trimmed).get())
    .bind(one_more(limit))
    .fetch(conn);
    let part = part(rows, mesh, limit).await?;
    Ok(merge(vec![part], limit, head))
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// Takes what a page may hold of one stream.
async fn part(
    mut rows: BoxStream<'_, sqlx::Result<SqliteRow>>,
    mesh: &MeshId,
    limit: usize,
) -> sqlx::Result<Part> {
    let (mut part, mut bytes) = (Part::default(), 0);
    while let Some(row) = rows.try_next().await? {
        part.looked += 1;
        if part.messages.len() == limit || bytes >= MAX_PAGE_BYTES {
            break;
        }
        let size = message_bytes(&row)?;
        bytes += size;
        part.messages.push((decode::message(&row, mesh)?, size));
    }
    Ok(part)
}

async fn history_page(
    conn: &mut SqliteConnection,
    mesh: &MeshId,
    visible: &Visibility,
    before: MessageId,
    limit: u32,
) -> sqlx::Result<HistoryPage> {
    // Where this page stops looking, whether it has found enough or not.
    let floor: Option<i64> = sqlx::query(
        "SELECT id FROM message
         WHERE mesh_id = ?1 AND id < ?2 AND id > (SELECT trimmed FROM mesh WHERE id = ?1)
         ORDER BY id DESC LIMIT 1 OFFSET ?3",
    )
    .bind(mesh.as_str())
    .bind(before.get())
    .bind(HISTORY_SCAN)
    .fetch_optional(&mut *conn)
    .await?
    .map(|row| row.try_get(0))
    .transpose()?;
    let agents = json!(visible.agents).to_string();
    let mut rows = sqlx::query(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message WHERE mesh_id = ?1 AND id < ?2
            AND id > max(?3, (SELECT trimmed FROM mesh WHERE id = ?1))
            AND (stream = 'all'
                 OR from_agent IN (SELECT value FROM json_each(?4))
                 OR stream IN (SELECT 'agent:' || value FROM json_each(?4)))
          ORDER BY id DESC LIMIT ?5"
    ))
    .bind(mesh.as_str())
    .bind(before.get())
    .bind(floor.unwrap_or(-1))
    .bind(agents)
    .bind(i64::from(limit) + 1)
    .fetch(conn);
    let (mut messages, mut bytes, mut cut) = (Vec::new(), 0, false);
    while let Some(row) = rows.try_next().await? {
        if messages.len() == usize::try_from(limit).unwrap_or(usize::MAX) || bytes >= MAX_PAGE_BYTES
        {
            cut = true;
            break;
        }
        bytes += message_bytes(&row)?;
        messages.push(decode::message(&row, mesh)?);
    }
    let before = if cut {
        messages.last().map(|last: &Stored| last.message.id)
    } else {
        floor.and_then(MessageId::new).map(MessageId::next)
    };
    Ok(HistoryPage { messages, before })
}

pub(super) async fn position(
    conn: &mut SqliteConnection,
    mesh: &MeshId,
    agent: &AgentId,
) -> sqlx::Result<Option<Position>> {
    sqlx::query("SELECT start, handed, cursor FROM agent WHERE mesh_id = ?1 AND id = ?2")
        .bind(mesh.as_str())
        .bind(agent.as_str())
        .fetch_optional(conn)
        .await?
        .map(|row| decode::position(&row))
        .transpose()
}

/// Writes when tokens were last used, the later time of each.
pub(super) async fn note_used(tx: &mut Tx, used: &[(TokenId, Micros)]) -> sqlx::Result<()> {
    // The cache keeps the older time: only lists show it, and they read the file.
    sqlx::query(
        "UPDATE token SET last_used_at = max(coalesce(last_used_at, 0), j.at)
         FROM (SELECT value ->> 0 AS id, max(value ->> 1) AS at
               FROM json_each(?1) GROUP BY 1) AS j
         WHERE token.id = j.id",
    )
    .bind(json!(used).to_string())
    .execute(&mut tx.conn)
    .await
    .map(drop)
}

/// The bytes of content and metadata, as a page counts them.
fn message_bytes(row: &SqliteRow) -> sqlx::Result<usize> {
    Ok(row.try_get::<&str, _>(8)?.len() + row.try_get::<&str, _>(9)?.len())
}
