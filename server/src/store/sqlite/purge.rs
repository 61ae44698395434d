//! Removing what nobody can reach any more, in bounded steps.

use sqlx::Row as _;

use super::cache::Effect;
use super::writer::Tx;
use crate::store::Micros;

/// Rows of a kind that one step removes at the most, so that nobody waits long behind it.
pub(super) const STEP: i64 = 500;

/// Removes a bounded number of rows that nobody can reach any more.
pub(super) async fn purge(tx: &mut Tx, now: Micros) -> sqlx::Result<bool> {
    let deleted: Option<String> =
        sqlx::query("SELECT id FROM mesh WHERE deleted_at IS NOT NULL LIMIT 1")
            .fetch_optional(&mut tx.conn)
            .await?
            .map(|row| row.try_get(0))
            .transpose()?;
    if let Some(mesh) = deleted {
        for sql in [
            "DELETE FROM message WHERE rowid IN (SELECT rowid FROM message WHERE mesh_id = ?1 LIMIT ?2)",
            "DELETE FROM sent_key WHERE (mesh_id, agent_id, key) IN
                 (SELECT mesh_id, agent_id, key FROM sent_key WHERE mesh_id = ?1 LIMIT ?2)",
        ] {
            let done = sqlx::query(sql).bind(&mesh).bind(STEP).execute(&mut tx.conn).await?;
            if done.rows_affected() > 0 {
                return Ok(true);
            }
        }
        sqlx::query("DELETE FROM mesh WHERE id = ?1").bind(mesh).execute(&mut tx.conn).await?;
        return Ok(true);
    }
    let mut removed = 0;
    for sql in [
        "DELETE FROM sent_key WHERE (mesh_id, agent_id, key) IN
             (SELECT mesh_id, agent_id, key FROM sent_key WHERE expires_at <= ?1 LIMIT ?2)",
        // A spent code is known for a day more, so that its second use is recognised.
        "DELETE FROM code WHERE hash IN
             (SELECT hash FROM code WHERE expires_at <= ?1 - 86400000000 LIMIT ?2)",
        // A device code for an hour, so that its computer is told that it has run out.
        "DELETE FROM device_code WHERE hash IN
             (SELECT hash FROM device_code WHERE expires_at <= ?1 - 3600000000 LIMIT ?2)",
        "DELETE FROM account_link WHERE hash IN
             (SELECT hash FROM account_link WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM client_note WHERE client IN
             (SELECT client FROM client_note WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM session WHERE hash IN (SELECT hash FROM session WHERE expires_at <= ?1 LIMIT ?2)",
        // One that has run out is known for 30 days more, so that its holder is told what is wrong.
        "DELETE FROM invite WHERE id IN
             (SELECT id FROM invite WHERE expires_at <= ?1 - 2592000000000 LIMIT ?2)",
        "DELETE FROM join_request WHERE (mesh_id, user_id) IN
             (SELECT mesh_id, user_id FROM join_request
              WHERE refused_at <= ?1 - 86400000000 LIMIT ?2)",
        // The same for tokens. Two statements, so that each walks along its own index.
        "DELETE FROM token WHERE hash IN
             (SELECT hash FROM token WHERE revoked_at <= ?1 - 2592000000000 LIMIT ?2)",
        "DELETE FROM token WHERE hash IN
             (SELECT hash FROM token WHERE expires_at <= ?1 - 2592000000000 LIMIT ?2)",
    ] {
        let done = sqlx::query(sql).bind(now).bind(STEP).execute(&mut tx.conn).await?;
        removed += done.rows_affected();
    }
    if removed > 0 {
        tx.effects.push(Effect::TokensChanged);
    }
    Ok(removed > 0)
}
