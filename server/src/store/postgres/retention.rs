//! Trimming a log from its oldest end: first the trim point, then the rows.

use meshwire_protocol::{MeshId, MessageId};
use sqlx::postgres::PgPool;

use super::decode;
use super::purge::STEP;
use super::tx::Tx;
use crate::store::Micros;

pub(super) async fn held_from(
    pool: &PgPool,
    mesh: &MeshId,
    since: Micros,
) -> sqlx::Result<Option<MessageId>> {
    let row = sqlx::query(
        "SELECT cursor FROM agent
         WHERE mesh_id = $1 AND greatest(coalesce(last_read, 0), created_at) >= $2
         ORDER BY cursor LIMIT 1",
    )
    .bind(mesh.as_str())
    .bind(since)
    .fetch_optional(pool)
    .await?;
    row.map(|row| decode::id(&row, 0)).transpose()
}

pub(super) async fn trim(
    tx: &mut Tx,
    mesh: MeshId,
    to: MessageId,
) -> sqlx::Result<Option<MessageId>> {
    let Some(head) = tx.lock_head(&mesh).await? else { return Ok(None) };
    let row = sqlx::query(
        "UPDATE mesh SET trimmed = newest.id
         FROM (SELECT id FROM message WHERE mesh_id = $1 AND id <= $2 ORDER BY id DESC LIMIT 1) AS newest
         WHERE mesh.id = $1 AND newest.id > mesh.trimmed
         RETURNING mesh.trimmed",
    )
    .bind(mesh.as_str())
    .bind(to.get())
    .fetch_optional(tx.conn())
    .await?;
    Ok(Some(row.map(|row| decode::id(&row, 0)).transpose()?.unwrap_or(head.trimmed)))
}

/// Deletes a bounded number of rows. Another node may do the same at the same time.
pub(super) async fn delete_trimmed(tx: &mut Tx, mesh: MeshId) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "DELETE FROM message WHERE mesh_id = $1 AND id IN
             (SELECT id FROM message
              WHERE mesh_id = $1 AND id <= (SELECT trimmed FROM mesh WHERE id = $1)
              ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(mesh.as_str())
    .bind(STEP)
    .execute(tx.conn())
    .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX) >= STEP)
}
