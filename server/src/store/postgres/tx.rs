//! A transaction that writes.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use meshwire_protocol::{AgentId, MeshId, TokenId, UserId};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};

use super::decode;
use crate::store::{Ended, Head, Position};

/// How long a transaction, or a question, may take. The engine's own limits are shorter; this one is for when its answers do
/// not come.
pub(super) const LIMIT: Duration = Duration::from_secs(9);

/// A connection inside a transaction.
pub(super) struct Tx {
    conn: PoolConnection<Postgres>,
    open: bool,
}

/// A transaction that was not confirmed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: sqlx::Error,
    /// It cannot have been committed.
    pub(super) nothing_written: bool,
}

impl Tx {
    /// Runs an act and commits it.
    pub(super) async fn run<T>(
        pool: &PgPool,
        act: impl for<'t> FnOnce(&'t mut Self) -> BoxFuture<'t, sqlx::Result<T>>,
    ) -> Result<T, Failed> {
        let nothing_written = |error| Failed { error, nothing_written: true };
        let mut tx = Self { conn: pool.acquire().await.map_err(nothing_written)?, open: false };
        let run = async {
            tx.open = true;
            tx.statement("BEGIN").await.map_err(nothing_written)?;
            match act(&mut tx).await {
                Ok(done) => {
                    let committed = tx.statement("COMMIT").await;
                    committed.map_err(|error| Failed { error, nothing_written: false })?;
                    tx.open = false;
                    Ok(done)
                }
                Err(error) => {
                    tx.open = tx.statement("ROLLBACK").await.is_err();
                    Err(nothing_written(error))
                }
            }
        };
        let ended = tokio::time::timeout(LIMIT, run).await;
        ended.unwrap_or_else(|_| {
            let error = io::Error::new(io::ErrorKind::TimedOut, "the database does not answer");
            Err(Failed { error: error.into(), nothing_written: false })
        })
    }
}

impl Tx {
    async fn statement(&mut self, sql: &'static str) -> sqlx::Result<()> {
        sqlx::query(sql).execute(&mut *self.conn).await.map(drop)
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Whoever waited has gone, or nothing came back: the server undoes what the connection has begun.
        if self.open {
            self.conn.close_on_drop();
        }
    }
}

// What acts on any engine say of their doing.
impl Tx {
    pub(super) fn conn(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// The head row, which stays as it is until the transaction ends.
    pub(super) async fn lock_head(&mut self, mesh: &MeshId) -> sqlx::Result<Option<Head>> {
        sqlx::query(
            "SELECT epoch, head, trimmed FROM mesh WHERE id = $1 AND deleted_at IS NULL
             FOR NO KEY UPDATE",
        )
        .bind(mesh.as_str())
        .fetch_optional(self.conn())
        .await?
        .map(|row| decode::head_row(&row))
        .transpose()
    }

    /// Keeps others from counting what this account has, until the transaction ends.
    pub(super) async fn lock_account(&mut self, user: &UserId) -> sqlx::Result<()> {
        sqlx::query("SELECT 1 FROM account WHERE id = $1 FOR NO KEY UPDATE")
            .bind(user.as_str())
            .execute(self.conn())
            .await
            .map(drop)
    }

    /// Writes down for other nodes what has ended.
    pub(super) async fn ended(&mut self, what: Ended) -> sqlx::Result<()> {
        let (token, mesh) = match what {
            Ended::Token(token) => (Some(token), None),
            Ended::Mesh(mesh) => (None, Some(mesh)),
        };
        sqlx::query("INSERT INTO ended (id, token_id, mesh_id) VALUES ($1, $2, $3)")
            .bind(rand::random::<i64>())
            .bind(token.as_ref().map(TokenId::as_str))
            .bind(mesh.as_ref().map(MeshId::as_str))
            .execute(self.conn())
            .await
            .map(drop)
    }
}

#[expect(
    clippy::unused_self,
    reason = "engines with a memory note it; here every request asks the database"
)]
impl Tx {
    pub(super) fn head_is(&mut self, _: &MeshId, _: Option<Head>) {}
    pub(super) fn position_is(&mut self, _: &MeshId, _: &AgentId, _: Position) {}
    pub(super) fn users_changed(&mut self) {}
}
