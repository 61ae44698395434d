//! Removing what nobody can reach any more, in bounded steps. Another node may do the same at the same time:
//! each takes what the other has not.

use sqlx::Row as _;

use super::tx::Tx;
use crate::store::Micros;

/// Rows of a kind that one step removes at the most, so that nobody waits long behind it.
pub(super) const STEP: i64 = 500;

/// Removes a bounded number of rows that nobody can reach any more.
pub(super) async fn purge(tx: &mut Tx, now: Micros) -> sqlx::Result<bool> {
    let deleted: Option<String> = sqlx::query(
        "SELECT id FROM mesh WHERE deleted_at IS NOT NULL LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .fetch_optional(tx.conn())
    .await?
    .map(|row| row.try_get(0))
    .transpose()?;
    if let Some(mesh) = deleted {
        for sql in [
            "DELETE FROM message WHERE mesh_id = $1 AND id IN
                 (SELECT id FROM message WHERE mesh_id = $1 ORDER BY id LIMIT $2)",
            "DELETE FROM sent_key WHERE (mesh_id, agent_id, key) IN
                 (SELECT mesh_id, agent_id, key FROM sent_key WHERE mesh_id = $1 LIMIT $2)",
        ] {
            let done = sqlx::query(sql).bind(&mesh).bind(STEP).execute(tx.conn()).await?;
            if done.rows_affected() > 0 {
                return Ok(true);
            }
        }
        sqlx::query("DELETE FROM mesh WHERE id = $1").bind(mesh).execute(tx.conn()).await?;
        return Ok(true);
    }
    let mut removed = 0;
    for sql in [
        "DELETE FROM sent_key WHERE (mesh_id, agent_id, key) IN
             (SELECT mesh_id, agent_id, key FROM sent_key WHERE expires_at <= $1
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
        // A spent code is known for a day more, so that its second use is recognised.
        "DELETE FROM code WHERE hash IN
             (SELECT hash FROM code WHERE expires_at <= $1 - 86400000000 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        // A device code for an hour, so that its computer is told that it has run out.
        "DELETE FROM device_code WHERE hash IN
             (SELECT hash FROM device_code WHERE expires_at <= $1 - 3600000000
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM account_link WHERE hash IN
             (SELECT hash FROM account_link WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM client_note WHERE client IN
             (SELECT client FROM client_note WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM session WHERE hash IN
             (SELECT hash FROM session WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        // One that has run out is known for 30 days more, so that its holder is told what is wrong.
        "DELETE FROM invite WHERE id IN
             (SELECT id FROM invite WHERE expires_at <= $1 - 2592000000000
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM join_request WHERE (mesh_id, user_id) IN
             (SELECT mesh_id, user_id FROM join_request WHERE refused_at <= $1 - 86400000000
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
        // The same for tokens. Two statements, so that each walks along its own index.
        "DELETE FROM token WHERE hash IN
             (SELECT hash FROM token WHERE revoked_at <= $1 - 2592000000000
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM token WHERE hash IN
             (SELECT hash FROM token WHERE expires_at <= $1 - 2592000000000
              LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ] {
        let done = sqlx::query(sql).bind(now).bind(STEP).execute(tx.conn()).await?;
        removed += done.rows_affected();
    }
    // These go by the database's own clock.
    for sql in [
        "DELETE FROM ended WHERE id IN
             (SELECT id FROM ended WHERE at <= now() - interval '1 hour' LIMIT $1 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM polling WHERE (mesh_id, node_id) IN
             (SELECT mesh_id, node_id FROM polling
              WHERE NOT EXISTS (SELECT FROM node WHERE node.id = node_id
                                    AND node.until > now() - interval '1 hour')
              LIMIT $1 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM node WHERE id IN
             (SELECT id FROM node WHERE until <= now() - interval '2 hours'
              LIMIT $1 FOR UPDATE SKIP LOCKED)",
    ] {
        let done = sqlx::query(sql).bind(STEP).execute(tx.conn()).await?;
        removed += done.rows_affected();
    }
    Ok(removed > 0)
}
