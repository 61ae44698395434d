//! Notes of clients between their calls.

use async_trait::async_trait;
use sqlx::Row as _;

use super::{SqlStore, store_error};
use crate::store::{ClientStore, Digest, Micros, Result};

#[async_trait]
impl ClientStore for SqlStore {
    async fn client_note(&self, client: &Digest, now: Micros) -> Result<Option<String>> {
        sqlx::query("SELECT note FROM client_note WHERE client = $1 AND expires_at > $2")
            .bind(client.as_slice())
            .bind(now)
            .fetch_optional(self.pool())
            .await
            .and_then(|row| row.map(|row| row.try_get(0)).transpose())
            .map_err(store_error)
    }

    async fn swap_client_note(
        &self,
        client: &Digest,
        was: Option<&str>,
        note: &str,
        now: Micros,
        expires_at: Micros,
    ) -> Result<bool> {
        let (client, was, note) = (*client, was.map(str::to_owned), note.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let sql = match was {
                    // What is over is as if it were not there.
                    None => {
                        "INSERT INTO client_note (client, note, expires_at) VALUES ($1, $2, $3)
                         ON CONFLICT (client)
                         DO UPDATE SET note = excluded.note, expires_at = excluded.expires_at
                         WHERE client_note.expires_at <= $4 OR client_note.note = excluded.note"
                    }
                    Some(_) => {
                        "UPDATE client_note SET note = $2, expires_at = $3
                         WHERE client = $1 AND expires_at > $4 AND note IN ($2, $5)"
                    }
                };
                let query =
                    sqlx::query(sql).bind(client.as_slice()).bind(note).bind(expires_at).bind(now);
                let query = match was {
                    Some(was) => query.bind(was),
                    None => query,
                };
                query.execute(tx.conn()).await.map(|done| done.rows_affected() > 0)
            })
        })
        .await
    }
}
