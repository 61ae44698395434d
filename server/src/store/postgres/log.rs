//! Reading the log, and the three numbers of an agent.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use meshwire_protocol::limits::MAX_PAGE_BYTES;
use meshwire_protocol::{AgentId, MeshId, MessageId, TokenId};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::decode::{self, message_columns};
use super::tx::Tx;
use super::{PostgresStore, retention, store_error};
use crate::store::page::{Part, merge};
use crate::store::{
    Appended, Batch, Head, HistoryPage, LogPage, LogStore, Micros, Move, Position, Result, Seen,
    SentRecord, Stored, Stream, Visibility,
};

/// How many messages one page of the history looks at: bounds what it costs to find none.
const HISTORY_SCAN: i64 = 2_000;

/// [`MAX_PAGE_BYTES`] as a column is compared with it.
#[expect(clippy::cast_possible_wrap, reason = "it is about a mebibyte")]
const PAGE_BYTES: i64 = MAX_PAGE_BYTES as i64;

#[async_trait]
impl LogStore for PostgresStore {
    async fn head(&self, mesh: &MeshId) -> Result<Option<Head>> {
        self.heads.find(mesh.clone()).await
    }

    async fn append(&self, batch: Arc<Batch>) -> Result<Appended> {
        self.append_batch(batch).await
    }

    async fn sent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        key: &str,
        now: Micros,
    ) -> Result<Option<SentRecord>> {
        sqlx::query(
            "SELECT fingerprint, message_id FROM sent_key
             WHERE mesh_id = $1 AND agent_id = $2 AND key = $3 AND expires_at > $4",
        )
        .bind(mesh.as_str())
        .bind(agent.as_str())
        .bind(key)
        .bind(now)
        .fetch_optional(&self.pool)
        .await
        .and_then(|row| {
            row.map(|row| {
                Ok(SentRecord { fingerprint: decode::digest(&row, 0)?, id: decode::id(&row, 1)? })
            })
            .transpose()
        })
        .map_err(store_error)
    }

    async fn read(
        &self,
        mesh: &MeshId,
        streams: &[Stream],
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        let rows = read_streams(&self.pool, mesh, streams, after, limit).await;
        rows.and_then(|rows| page(&rows, mesh, streams.len(), limit)).map_err(store_error)
    }

    async fn read_all(
        &self,
        mesh: &MeshId,
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        let rows = read_log(&self.pool, mesh, after, limit).await;
        rows.and_then(|rows| page(&rows, mesh, 1, limit)).map_err(store_error)
    }

    async fn message(&self, mesh: &MeshId, id: MessageId) -> Result<Option<Stored>> {
        sqlx::query(concat!(
            "SELECT ",
            message_columns!(),
            " FROM message WHERE mesh_id = $1 AND id = $2
                AND id > (SELECT trimmed FROM mesh WHERE id = $1)"
        ))
        .bind(mesh.as_str())
        .bind(id.get())
        .fetch_optional(&self.pool)
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
        let mut tx = self.snapshot().await?;
        let page = history_page(&mut tx, mesh, visible, before, limit).await;
        tx.rollback().await.map_err(store_error)?;
        page.map_err(store_error)
    }

    async fn position(&self, mesh: &MeshId, agent: &AgentId) -> Result<Option<Position>> {
        let mut conn = self.pool.acquire().await.map_err(store_error)?;
        position(&mut conn, mesh, agent).await.map_err(store_error)
    }

    async fn move_cursor(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        to: MessageId,
        how: Move,
    ) -> Result<Option<MessageId>> {
        sqlx::query(
            "UPDATE agent SET cursor = CASE WHEN $4 THEN greatest(cursor, to_id) ELSE to_id END
             FROM (SELECT least($3, head) AS to_id FROM mesh WHERE id = $1 AND deleted_at IS NULL) AS m
             WHERE mesh_id = $1 AND id = $2
             RETURNING cursor",
        )
        .bind(mesh.as_str())
        .bind(agent.as_str())
        .bind(to.get())
        .bind(how == Move::Acknowledge)
        .fetch_optional(&self.pool)
        .await
        .and_then(|row| row.map(|row| decode::id(&row, 0)).transpose())
        .map_err(store_error)
    }

    async fn note_seen(&self, seen: &[Seen]) -> Result<()> {
        let seen = seen.to_vec();
        self.write(move |tx| Box::pin(async move { note_seen(tx, &seen).await })).await
    }

    async fn held_from(&self, mesh: &MeshId, since: Micros) -> Result<Option<MessageId>> {
        retention::held_from(&self.pool, mesh, since).await.map_err(store_error)
    }

    async fn trim(&self, mesh: &MeshId, to: MessageId) -> Result<Option<MessageId>> {
        let mesh = mesh.clone();
        self.write(move |tx| Box::pin(retention::trim(tx, mesh, to))).await
    }

    async fn delete_trimmed(&self, mesh: &MeshId) -> Result<bool> {
        let mesh = mesh.clone();
        self.write(move |tx| Box::pin(retention::delete_trimmed(tx, mesh))).await
    }
}

/// The head rows of some meshes; those that are gone are missing.
pub(super) async fn heads(
    conn: &mut PgConnection,
    meshes: &[MeshId],
) -> sqlx::Result<HashMap<MeshId, Head>> {
    let ids: Vec<&str> = meshes.iter().map(MeshId::as_str).collect();
    let rows = sqlx::query(
        "SELECT epoch, head, trimmed, id FROM mesh WHERE id = ANY($1) AND deleted_at IS NULL",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((decode::parsed(row, 3)?, decode::head_row(row)?))).collect()
}

/// The head row of a mesh with what follows in each stream: one statement, and so one moment. A mesh without
/// such messages is one row without a message.
///
/// Of each stream one more than `limit` is looked at, and what is beyond the bytes of a page is left out:
/// `looked` says how many there were.
async fn read_streams(
    pool: &sqlx::PgPool,
    mesh: &MeshId,
    streams: &[Stream],
    after: MessageId,
    limit: u32,
) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(concat!(
        "SELECT ",
        message_columns!(),
        ", size, place, looked, epoch, head, trimmed
         FROM (SELECT id AS mesh_id, epoch, head, trimmed FROM mesh
               WHERE id = $1 AND deleted_at IS NULL) AS m
         LEFT JOIN LATERAL (
             SELECT * FROM unnest($2::text[]) WITH ORDINALITY AS s (asked, place)
             CROSS JOIN LATERAL (
                 SELECT *, sum(size) OVER (ORDER BY id) - size AS before, count(*) OVER () AS looked
                 FROM (SELECT * FROM message
                       WHERE message.mesh_id = $1 AND stream = asked AND id > greatest($3, trimmed)
                       ORDER BY id LIMIT $4) AS next
             ) AS kept
             WHERE before < $5
         ) AS found ON true
         ORDER BY place, id"
    ))
    .bind(mesh.as_str())
    .bind(streams.iter().map(Stream::to_string).collect::<Vec<_>>())
    .bind(after.get())
    .bind(i64::from(limit) + 1)
    .bind(PAGE_BYTES)
    .fetch_all(pool)
    .await
}

/// The same for the whole log, whatever the stream.
async fn read_log(
    pool: &sqlx::PgPool,
    mesh: &MeshId,
    after: MessageId,
    limit: u32,
) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(concat!(
        "SELECT ",
        message_columns!(),
        ", size, 1::bigint AS place, looked, epoch, head, trimmed
         FROM (SELECT id AS mesh_id, epoch, head, trimmed FROM mesh
               WHERE id = $1 AND deleted_at IS NULL) AS m
         LEFT JOIN LATERAL (
             SELECT *, sum(size) OVER (ORDER BY id) - size AS before, count(*) OVER () AS looked
             FROM (SELECT * FROM message
                   WHERE message.mesh_id = $1 AND id > greatest($2, trimmed)
                   ORDER BY id LIMIT $3) AS next
         ) AS found ON before < $4
         ORDER BY id"
    ))
    .bind(mesh.as_str())
    .bind(after.get())
    .bind(i64::from(limit) + 1)
    .bind(PAGE_BYTES)
    .fetch_all(pool)
    .await
}

/// Columns after those of the message.
const SIZE: usize = 11;
const PLACE: usize = 12;
const LOOKED: usize = 13;
const EPOCH: usize = 14;

fn page(
    rows: &[PgRow],
    mesh: &MeshId,
    streams: usize,
    limit: u32,
) -> sqlx::Result<Option<LogPage>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let head = decode::head_at(first, EPOCH)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts: Vec<Part> = std::iter::repeat_with(Part::default).take(streams).collect();
    for row in rows {
        // A row without a message says that there is none.
        let Some(looked) = row.try_get::<Option<i64>, _>(LOOKED)? else { continue };
        let place: i64 = row.try_get(PLACE)?;
        let part = usize::try_from(place - 1).ok().and_then(|place| parts.get_mut(place));
        let Some(part) = part else { continue };
        part.looked = usize::try_from(looked).unwrap_or(usize::MAX);
        if part.messages.len() < limit {
            let size = usize::try_from(row.try_get::<i64, _>(SIZE)?).unwrap_or(usize::MAX);
            part.messages.push((decode::message(row, mesh)?, size));
        }
    }
    Ok(Some(merge(parts, limit, head)))
}

async fn history_page(
    conn: &mut PgConnection,
    mesh: &MeshId,
    visible: &Visibility,
    before: MessageId,
    limit: u32,
) -> sqlx::Result<HistoryPage> {
    // Where this page stops looking, whether it has found enough or not.
    let floor: Option<i64> = sqlx::query(
        "SELECT id FROM message
         WHERE mesh_id = $1 AND id < $2 AND id > (SELECT trimmed FROM mesh WHERE id = $1)
         ORDER BY id DESC LIMIT 1 OFFSET $3",
    )
    .bind(mesh.as_str())
    .bind(before.get())
    .bind(HISTORY_SCAN)
    .fetch_optional(&mut *conn)
    .await?
    .map(|row| row.try_get(0))
    .transpose()?;
    let rows = sqlx::query(concat!(
        "SELECT * FROM (
             SELECT *, sum(size) OVER (ORDER BY id DESC) - size AS newer, count(*) OVER () AS looked
             FROM (SELECT ",
        message_columns!(),
        ", size FROM message WHERE mesh_id = $1 AND id < $2
                AND id > greatest($3, (SELECT trimmed FROM mesh WHERE id = $1))
                AND (stream = 'all' OR from_agent = ANY($4) OR stream = ANY($5))
              ORDER BY id DESC LIMIT $6) AS next
         ) AS kept WHERE newer < $7 ORDER BY id DESC"
    ))
    .bind(mesh.as_str())
    .bind(before.get())
    .bind(floor.unwrap_or(-1))
    .bind(visible.agents.iter().map(AgentId::as_str).collect::<Vec<_>>())
    .bind(visible.agents.iter().map(|id| format!("agent:{id}")).collect::<Vec<_>>())
    .bind(i64::from(limit) + 1)
    .bind(PAGE_BYTES)
    .fetch_all(conn)
    .await?;
    let looked = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(LOOKED))?;
    let messages: Vec<Stored> = rows
        .iter()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|row| decode::message(row, mesh))
        .collect::<sqlx::Result<_>>()?;
    let before = if usize::try_from(looked).unwrap_or(usize::MAX) > messages.len() {
        messages.last().map(|last| last.message.id)
    } else {
        floor.and_then(MessageId::new).map(MessageId::next)
    };
    Ok(HistoryPage { messages, before })
}

pub(super) async fn position(
    conn: &mut PgConnection,
    mesh: &MeshId,
    agent: &AgentId,
) -> sqlx::Result<Option<Position>> {
    sqlx::query("SELECT start, handed, cursor FROM agent WHERE mesh_id = $1 AND id = $2")
        .bind(mesh.as_str())
        .bind(agent.as_str())
        .fetch_optional(conn)
        .await?
        .map(|row| decode::position(&row))
        .transpose()
}

async fn note_seen(tx: &mut Tx, seen: &[Seen]) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE agent SET
             last_seen = greatest(last_seen, j.at),
             last_read = greatest(last_read, j.read_at),
             handed = greatest(agent.handed, j.handed)
         FROM (SELECT mesh, agent, max(at) AS at, max(handed) AS handed, max(read_at) AS read_at
               FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                   AS s (mesh, agent, at, handed, read_at) GROUP BY 1, 2) AS j
         WHERE agent.mesh_id = j.mesh AND agent.id = j.agent",
    )
    .bind(seen.iter().map(|seen| seen.mesh.as_str()).collect::<Vec<_>>())
    .bind(seen.iter().map(|seen| seen.agent.as_str()).collect::<Vec<_>>())
    .bind(seen.iter().map(|seen| seen.at).collect::<Vec<_>>())
    .bind(seen.iter().map(|seen| seen.handed.get()).collect::<Vec<_>>())
    .bind(seen.iter().map(|seen| seen.read_at).collect::<Vec<_>>())
    .execute(tx.conn())
    .await
    .map(drop)
}

/// Writes when tokens were last used, the later time of each.
pub(super) async fn note_used(tx: &mut Tx, used: &[(TokenId, Micros)]) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE token SET last_used_at = greatest(last_used_at, j.at)
         FROM (SELECT id, max(at) AS at FROM unnest($1::text[], $2::bigint[]) AS u (id, at) GROUP BY 1)
             AS j
         WHERE token.id = j.id",
    )
    .bind(used.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>())
    .bind(used.iter().map(|(_, at)| *at).collect::<Vec<_>>())
    .execute(tx.conn())
    .await
    .map(drop)
}
