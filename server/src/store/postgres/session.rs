//! How every connection is set up.

use std::io;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use super::OpenError;
use crate::planted;

/// How long a request waits for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a connection that is tried may take.
const ANSWER: Duration = Duration::from_secs(2);
/// How long all connections are tried after one was silent.
const SUSPECTED: Duration = Duration::from_mins(1);
/// A connection that was unused for this long is tried before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// What a session must not do for ever: by default Postgres would let it. A node that is cut off in the
/// middle of a transaction holds the lock on a mesh until `idle_in_transaction_session_timeout`, in
/// milliseconds like the rest.
const SESSION: [(&str, &str); 9] = [
    ("statement_timeout", "8000"),
    ("lock_timeout", "3000"),
    ("idle_in_transaction_session_timeout", "2000"),
    ("tcp_user_timeout", "5000"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // Every statement is short.
    ("jit", "off"),
    // A commit is on disk before anyone is told (design: invariant 1).
    ("synchronous_commit", "on"),
];

pub(super) fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|cause| OpenError::url(&cause))?;
    Ok(options.application_name("meshwire-server").options(SESSION))
}

/// When a connection was last found silent. Some loss in the network may have cut off all of them without a word, and
/// each would keep its place in the pool until the system gives it up, a quarter of an hour later.
#[derive(Clone, Default)]
pub(super) struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_suspected(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|at| at.elapsed() < SUSPECTED)
    }

    /// Whether a connection that answers is broken.
    async fn finds_broken(&self, conn: &mut PgConnection) -> sqlx::Result<bool> {
        match tokio::time::timeout(ANSWER, sqlx::Connection::ping(conn)).await {
            Ok(answer) => Ok(answer.is_err()),
            Err(late) => {
                self.note();
                // An error has it dropped without a farewell.
                Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
            }
        }
    }
}

pub(super) async fn pool(
    options: PgConnectOptions,
    connections: u32,
    silence: &Silence,
) -> sqlx::Result<PgPool> {
    let (before, after) = (silence.clone(), silence.clone());
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        // A round trip for each request, but for a connection that may have died in the meantime.
        .test_before_acquire(false)
        .before_acquire(move |conn, meta| {
            let silence = before.clone();
            Box::pin(async move {
                if meta.idle_for < FRESH && !silence.is_suspected() {
                    return Ok(true);
                }
                Ok(!silence.finds_broken(conn).await?)
            })
        })
        // sqlx tries each connection that comes back, but would wait for ever. An operation that was given up comes
        // back in the middle of an answer.
        .after_release(move |conn, _| {
            let silence = after.clone();
            Box::pin(
                async move { Ok(!silence.is_suspected() || !silence.finds_broken(conn).await?) },
            )
        })
        .connect_with(options)
        .await
}

/// Sees that what is confirmed is kept, and that this is the server that takes writes.
pub(super) async fn check(pool: &PgPool) -> sqlx::Result<()> {
    if planted::is("fsync-off-taken") {
        return Ok(());
    }
    let row = sqlx::query(
        "SELECT current_setting('synchronous_commit'), current_setting('fsync'),
                current_setting('full_page_writes'), pg_is_in_recovery(),
                current_setting('server_encoding')",
    )
    .fetch_one(pool)
    .await?;
    let refuse = |why: &str| Err(sqlx::Error::Configuration(why.into()));
    // `remote_write` and `remote_apply` confirm no less.
    if matches!(row.try_get(0)?, "off" | "local") {
        return refuse("synchronous_commit is off: set it to on for this database and user");
    }
    if row.try_get::<&str, _>(1)? != "on" || row.try_get::<&str, _>(2)? != "on" {
        return refuse(
            "fsync or full_page_writes is off, so that a crash of its computer would lose messages: set \
             both to on in postgresql.conf",
        );
    }
    if row.try_get(3)? {
        return refuse("it is a standby, which takes no writes: name the primary");
    }
    if row.try_get::<&str, _>(4)? != "UTF8" {
        return refuse("its encoding is not UTF8: make one with CREATE DATABASE … ENCODING 'UTF8'");
    }
    Ok(())
}
