//! What an error of the engine means for us.

use sqlx::error::ErrorKind;
use sqlx::postgres::PgConnectOptions;

use super::tx::Failed;
use crate::store::StoreError;

/// The store could not be opened. The text names the server and the database, never the password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

impl OpenError {
    pub(super) fn url(cause: &sqlx::Error) -> Self {
        Self(format!(
            "this is no URL of Postgres ({cause}); it looks like postgres://USER:PASSWORD@HOST/DATABASE"
        ))
    }

    pub(super) fn refused(options: &PgConnectOptions, cause: &sqlx::Error) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let cause = match cause {
            // What is wrong stands in the cause; sqlx puts its own words before it.
            sqlx::Error::Configuration(cause) => cause.to_string(),
            sqlx::Error::PoolTimedOut => "it does not answer".to_owned(),
            other => other.to_string(),
        };
        Self(format!(
            "cannot use the database {database} on {host}:{port}: {cause}{}",
            what_to_do(&cause)
        ))
    }
}

fn what_to_do(cause: &str) -> &'static str {
    if cause.contains("does not answer") || cause.contains("Connection refused") {
        "; see that the server runs, and that this computer reaches it"
    } else if cause.contains("password authentication") {
        "; see that user and password in MESHWIRE_STORE are those of the database"
    } else if cause.contains("does not exist") {
        "; make it with `createdb`, or correct its name in MESHWIRE_STORE"
    } else if cause.contains("previously applied but is missing") {
        "; a newer meshwire-server has changed it: start that version"
    } else {
        ""
    }
}

/// Whether an act that has failed like this can be run again.
pub(super) fn is_worth_another_try(failed: &Failed) -> bool {
    // Whoever loses a race for a unique name finds the winner's row when it looks again.
    let lost_a_race = matches!(&failed.error, sqlx::Error::Database(error)
        if matches!(error.kind(), ErrorKind::UniqueViolation)
            || matches!(error.code().as_deref(), Some("40001" | "40P01")));
    lost_a_race || (failed.nothing_written && is_lost(&failed.error))
}

/// The transaction did nothing for longer than the session allows.
const STOOD_STILL: &str = "25P03";

/// Whether the connection is gone.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // The server ends the session: it is stopping, has lost another one to a crash, or a transaction stood still
        // for too long, as it does when this process was stopped for a while.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| matches!(&*code, "57P01" | "57P02" | STOOD_STILL))
        }
        _ => false,
    }
}

/// Says whether trying again later may help.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    if is_transient(&error) {
        StoreError::Unavailable(error.into())
    } else {
        StoreError::Fault(error.into())
    }
}

pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_) => true,
        // Classes of SQLSTATE: connection, rollback, resources, operator, system; then not available now (55),
        // a primary that has become a standby (25006), and a session that was ended.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.get(..2)
                .is_some_and(|class| matches!(class, "08" | "40" | "53" | "55" | "57" | "58"))
                || matches!(&*code, "25006" | STOOD_STILL)
        }),
        _ => false,
    }
}
