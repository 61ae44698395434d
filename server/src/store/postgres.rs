//! Postgres: one or several nodes on one database.
//!
//! The lock on a mesh's row is its sequencer: whoever appends, or changes who is in the mesh, holds it until
//! the commit, so that ids become visible in order. Nothing is kept in memory: another node may have changed
//! it.

#[path = "sql/accounts.rs"]
mod accounts;
mod append;
mod ask;
#[path = "sql/clients.rs"]
mod clients;
#[path = "sql/decode.rs"]
mod decode;
#[path = "sql/devices.rs"]
mod devices;
#[path = "sql/export.rs"]
mod export;
mod failure;
mod gather;
#[path = "sql/import.rs"]
mod import;
#[path = "sql/links.rs"]
mod links;
mod log;
#[path = "sql/members.rs"]
mod members;
#[path = "sql/meshes.rs"]
mod meshes;
mod moving;
mod nodes;
mod purge;
mod retention;
mod session;
mod tokens;
mod tx;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use meshwire_protocol::MeshId;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Postgres, Transaction};

pub use self::failure::OpenError;
use self::failure::{is_worth_another_try, store_error};
use self::gather::Gather;
use self::nodes::Listener;
use self::session::Silence;
use self::tx::Tx;
use super::{Bearer, Digest, Head, Micros, NodeStore, Result, Store, StoreError};

// What the acts in `sql/`, which are compiled for each engine, call their own engine's.
type Conn = PgConnection;
type Db = Postgres;
type Row = PgRow;
type SqlStore = PostgresStore;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations/postgres");

/// How often an act is tried that another one has stood in the way of.
const ATTEMPTS: usize = 8;

/// A database on a Postgres server.
pub struct PostgresStore {
    pool: PgPool,
    silence: Silence,
    tokens: Gather<Digest, Bearer>,
    heads: Gather<MeshId, Head>,
    /// Random: tells this node's hints from those of others.
    node: i64,
    listener: Listener,
}

impl PostgresStore {
    /// Connects to the database, by no more connections at a time than are given, and brings its schema up to date while
    /// other nodes wait. One of them is for the listener, so there must be two at least.
    ///
    /// # Errors
    /// When the URL is none of Postgres, when the server does not answer or refuses, when what is there is no
    /// database of ours, or when it would not keep what it has confirmed.
    pub async fn open(url: &str, connections: u32) -> std::result::Result<Self, OpenError> {
        let options = session::options(url)?;
        let failed = |cause: sqlx::Error| OpenError::refused(&options, &cause);
        let silence = Silence::default();
        let pool = session::pool(options.clone(), connections, &silence).await.map_err(failed)?;
        session::check(&pool).await.map_err(failed)?;
        // Takes an advisory lock, so that of several nodes that start together one does it.
        MIGRATOR.run(&pool).await.map_err(|cause| failed(cause.into()))?;
        let listener = Listener::new(pool.clone());
        let tokens =
            ask::together(&pool, &silence, |conn, hashes| Box::pin(tokens::by_hash(conn, hashes)));
        let heads =
            ask::together(&pool, &silence, |conn, meshes| Box::pin(log::heads(conn, meshes)));
        Ok(Self { pool, silence, tokens, heads, node: rand::random(), listener })
    }

    fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A transaction in which everything is read as of one moment.
    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        // In a task of its own: when whoever asked has gone while BEGIN was under way, sqlx would hand the connection
        // back inside the transaction, and the next one who gets it would read what was true then.
        let pool = self.pool.clone();
        let task = tokio::spawn(async move {
            pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
        });
        let begun = task.await.map_err(|lost| StoreError::Fault(lost.into()))?;
        begun.map_err(store_error)
    }

    /// Runs an act in a transaction of its own; answered when it is committed. An act that the engine has
    /// undone for the sake of another one, or that has found the connection dead, runs again.
    async fn write<T: Send + 'static>(
        &self,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, sqlx::Result<T>> + Clone + Send + 'static,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            match Tx::run(&self.pool, act.clone()).await {
                Ok(done) => return Ok(done),
                Err(failed) if attempt < ATTEMPTS && is_worth_another_try(&failed) => attempt += 1,
                Err(failed) => return Err(store_error(failed.error)),
            }
        }
    }

    async fn find_token(&self, hash: &Digest) -> Result<Option<Bearer>> {
        self.tokens.find(*hash).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<()> {
        // `on` for a standby, and for a database, a role or a server that was set so.
        let read_only: String =
            sqlx::query_scalar("SELECT current_setting('transaction_read_only')")
                .fetch_one(&self.pool)
                .await
                .map_err(store_error)?;
        if read_only == "on" {
            let why = "the database takes no writes: it is a standby, or default_transaction_read_only is on";
            return Err(StoreError::Unavailable(why.into()));
        }
        Ok(())
    }

    async fn purge(&self, now: Micros) -> Result<bool> {
        self.write(move |tx| Box::pin(purge::purge(tx, now))).await
    }

    async fn close(&self) {
        self.listener.close();
        self.pool.close().await;
    }

    fn nodes(&self) -> Option<&dyn NodeStore> {
        Some(self)
    }
}
