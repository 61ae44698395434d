//! The embedded store: SQLite in one file, used by one process.
//!
//! One task writes, a small pool reads. The writer takes everything that waits, runs it in one transaction
//! and answers when that is on disk: under load the cost of an fsync is shared by all, alone a write waits
//! for nobody.

#[path = "sql/accounts.rs"]
mod accounts;
mod append;
mod cache;
#[path = "sql/clients.rs"]
mod clients;
mod cursors;
#[path = "sql/decode.rs"]
mod decode;
#[path = "sql/devices.rs"]
mod devices;
#[path = "sql/export.rs"]
mod export;
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
mod outside;
mod purge;
mod retention;
mod tokens;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode,
    SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Transaction};

use self::cache::Cache;
pub use self::outside::put_account_link;
use self::writer::{Tx, Writer};
use super::{Micros, NodeStore, Result, Store, StoreError};
use crate::settings;

// What the acts in `sql/`, which are compiled for each engine, call their own engine's.
type Conn = SqliteConnection;
type Db = Sqlite;
type Row = SqliteRow;
type SqlStore = SqliteStore;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Connections for reading. Reads are short; two cores keep two of them busy.
const READERS: u32 = 4;

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{} is in use by another meshwire-server: stop that one, or give this one its own file with \
         MESHWIRE_STORE=sqlite:PATH",
        .0.display()
    )]
    InUse(PathBuf),
    /// The folder or the file cannot be used.
    #[error(
        "cannot use {}: {cause}; the server must be able to read and write there, or be given another place \
         with MESHWIRE_STORE=sqlite:PATH",
        .path.display()
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why; part of the text, and so no source.
        cause: std::io::Error,
    },
    /// SQLite refuses it, or its schema is not ours.
    #[error(
        "cannot open the database {}: {cause}{}",
        .path.display(),
        what_to_do(cause.as_ref())
    )]
    Database {
        /// Which.
        path: PathBuf,
        /// Why; part of the text, and so no source.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// SQLite in one file.
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    cache: Arc<Cache>,
}

impl SqliteStore {
    /// Opens the database, makes it when it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file is in use by another process, cannot be written, or is no database of ours.
    pub async fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        let file_error = |cause| OpenError::File { path: path.to_owned(), cause };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            settings::create_private_folder(folder).map_err(file_error)?;
        }
        let lock = lock(path)?;
        create_private_file(path).map_err(file_error)?;

        let options = options(path);
        let database_error = |cause: Box<dyn std::error::Error + Send + Sync>| {
            OpenError::Database { path: path.to_owned(), cause }
        };

        if is_of_others(path).await {
            return Err(database_error("it holds the tables of another program".into()));
        }
        let cache = Arc::new(Cache::default());
        let writer = Writer::start(options.clone(), Arc::clone(&cache), &MIGRATOR, lock)
            .await
            .map_err(database_error)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(|error| database_error(error.into()))?;
        Ok(Self { writer, readers, cache })
    }

    fn pool(&self) -> &SqlitePool {
        &self.readers
    }

    /// A transaction in which everything is read as of one moment.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>> {
        self.readers.begin().await.map_err(store_error)
    }

    /// Runs a piece of a write transaction; answered when the whole is on disk.
    async fn write<T: Send + 'static>(
        &self,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, sqlx::Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(act).await
    }

    /// Reads by the writer, which alone may add to the cache.
    async fn look<T: Send + 'static>(
        &self,
        act: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, sqlx::Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.writer.look(act).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.readers).await.map_err(store_error)?;
        self.write(|_| Box::pin(async { Ok(()) })).await
    }

    async fn purge(&self, now: Micros) -> Result<bool> {
        self.write(move |tx| Box::pin(purge::purge(tx, now))).await
    }

    async fn close(&self) {
        // The last connection to go writes the log back into the file, and a reader cannot.
        self.readers.close().await;
        self.writer.stop().await;
    }

    fn nodes(&self) -> Option<&dyn NodeStore> {
        None
    }
}

/// How every connection to the file is set up.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .locking_mode(SqliteLockingMode::Normal)
        // A commit is on disk before anyone is told (design: invariant 1).
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "on")
        .pragma("checkpoint_fullfsync", "on")
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(64)
}

/// Takes the lock that says that this process has the database.
fn lock(path: &Path) -> std::result::Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let error = |cause| OpenError::File { path: lock_path.clone(), cause };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => Err(error(cause)),
    }
}

/// Makes the database file readable for its owner alone, when it is not there yet; SQLite gives the files
/// beside it the same rights. Fails when the file cannot be written, which SQLite would only say later.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// What helps against an error at start, to follow its text.
/// Whether a database has tables and none of ours: it is looked at without changing it. What cannot be read is told
/// by whoever opens it next.
async fn is_of_others(path: &Path) -> bool {
    let look = async {
        let mut conn = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
        let (all, ours): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations')
             FROM sqlite_schema WHERE type = 'table'",
        )
        .fetch_one(&mut conn)
        .await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>(all > 0 && ours == 0)
    };
    look.await.unwrap_or(false)
}

fn what_to_do(error: &(dyn std::error::Error + Send + Sync + 'static)) -> &'static str {
    let text = error.to_string();
    // SQLite's own words, however deep they are wrapped.
    if text.contains("malformed") || text.contains("not a database") {
        "; it is damaged, or no database of MeshWire: put back a copy from your backup, or move the file \
         away to begin with an empty one"
    } else if text.contains("disk is full") || text.contains("disk I/O error") {
        "; that disk is full or failing: make room on it, or give the server another place with \
         MESHWIRE_STORE=sqlite:PATH"
    } else if text.contains("another program") {
        "; it is left as it is: name another file with MESHWIRE_STORE=sqlite:PATH"
    } else {
        ""
    }
}

/// Says whether trying again may help.
fn store_error(error: sqlx::Error) -> StoreError {
    if is_transient(&error) {
        StoreError::Unavailable(error.into())
    } else {
        StoreError::Fault(error.into())
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
            // The low byte is the primary result code: BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN.
            matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14)
        }
        _ => false,
    }
}
