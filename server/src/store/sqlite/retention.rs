//! Trimming a log from its oldest end: first the trim point, then the rows. What is not there to be trimmed
//! is found out by a reader, so that the writer is not asked for nothing.

use meshwire_protocol::{MeshId, MessageId};
use sqlx::Row as _;
use sqlx::sqlite::SqlitePool;

use super::cache::Effect;
use super::decode;
use super::purge::STEP;
use super::writer::Tx;
use crate::store::{Head, Micros};

pub(super) async fn held_from(
    readers: &SqlitePool,
    mesh: &MeshId,
    since: Micros,
) -> sqlx::Result<Option<MessageId>> {
    let row = sqlx::query(
        "SELECT cursor FROM agent
         WHERE mesh_id = ?1 AND max(coalesce(last_read, 0), created_at) >= ?2
         ORDER BY cursor LIMIT 1",
    )
    .bind(mesh.as_str())
    .bind(since)
    .fetch_optional(readers)
    .await?;
    row.map(|row| decode::id(&row, 0)).transpose()
}

/// The head, and whether there is a message between the trim point and `to`.
pub(super) async fn look(
    readers: &SqlitePool,
    mesh: &MeshId,
    to: MessageId,
) -> sqlx::Result<(Option<Head>, bool)> {
    let row = sqlx::query(
        "SELECT epoch, head, trimmed,
                EXISTS (SELECT 1 FROM message
                        WHERE mesh_id = ?1 AND message.id > mesh.trimmed AND message.id <= ?2)
         FROM mesh WHERE id = ?1 AND deleted_at IS NULL",
    )
    .bind(mesh.as_str())
    .bind(to.get())
    .fetch_optional(readers)
    .await?;
    let Some(row) = row else { return Ok((None, false)) };
    Ok((Some(decode::head_row(&row)?), row.try_get(3)?))
}

pub(super) async fn trim(
    tx: &mut Tx,
    mesh: MeshId,
    to: MessageId,
) -> sqlx::Result<Option<MessageId>> {
    let row = sqlx::query(
        "UPDATE mesh SET trimmed = max(trimmed, coalesce(
             (SELECT max(message.id) FROM message WHERE mesh_id = ?1 AND message.id <= ?2), 0))
         WHERE id = ?1 AND deleted_at IS NULL
         RETURNING epoch, head, trimmed",
    )
    .bind(mesh.as_str())
    .bind(to.get())
    .fetch_optional(&mut tx.conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let head = decode::head_row(&row)?;
    tx.effects.push(Effect::Head(mesh, Some(head)));
    Ok(Some(head.trimmed))
}

pub(super) async fn any_trimmed(readers: &SqlitePool, mesh: &MeshId) -> sqlx::Result<bool> {
    sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM message
                        WHERE mesh_id = ?1 AND id <= (SELECT trimmed FROM mesh WHERE id = ?1))",
    )
    .bind(mesh.as_str())
    .fetch_one(readers)
    .await?
    .try_get(0)
}

pub(super) async fn delete_trimmed(tx: &mut Tx, mesh: MeshId) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "DELETE FROM message WHERE rowid IN
             (SELECT rowid FROM message
              WHERE mesh_id = ?1 AND id <= (SELECT trimmed FROM mesh WHERE id = ?1)
              ORDER BY id LIMIT ?2)",
    )
    .bind(mesh.as_str())
    .bind(STEP)
    .execute(&mut tx.conn)
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX) >= STEP)
}
