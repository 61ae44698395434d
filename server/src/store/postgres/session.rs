//! How every connection is set up.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::OpenError;
use crate::planted;

/// Most connections of one node. Postgres takes 100 by default, for all nodes.
const CONNECTIONS: u32 = 16;
/// How long a request waits for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// A connection that was unused for this long is tried before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// What a session must not do for ever: by default Postgres would let it. A node that is cut off in the
/// middle of a transaction holds the lock on a mesh until `idle_in_transaction_session_timeout`, in
/// milliseconds like the rest.
const SESSION: [(&str, &str); 8] = [
    ("statement_timeout", "8000"),
    ("lock_timeout", "3000"),
    ("idle_in_transaction_session_timeout", "2000"),
    ("tcp_user_timeout", "5000"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    // A commit is on disk before anyone is told (design: invariant 1).
    ("synchronous_commit", "on"),
];

pub(super) fn options(url: &str) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url).map_err(|cause| OpenError::url(&cause))?;
    Ok(options.application_name("meshwire-server").options(SESSION))
}

pub(super) async fn pool(options: PgConnectOptions) -> sqlx::Result<PgPool> {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        // A round trip for each request, but for a connection that may have died in the meantime.
        .test_before_acquire(false)
        .before_acquire(|conn, meta| {
            Box::pin(async move {
                if meta.idle_for < FRESH {
                    return Ok(true);
                }
                Ok(sqlx::Connection::ping(conn).await.is_ok())
            })
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
