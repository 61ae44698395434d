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
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        // What makes no sense is cut short: sqlx takes the end of a connection that was asked for TLS for an answer.
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => true,
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
        error if is_lost(error) => true,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => true,
        // Classes of SQLSTATE: connection, rollback, resources, operator, system; then not available now (55),
        // and a primary that has become a standby (25006).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.get(..2)
                .is_some_and(|class| matches!(class, "08" | "40" | "53" | "55" | "57" | "58"))
                || &*code == "25006"
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener};

    use sqlx::Connection as _;

    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_a_connection_at_once_may_be_there_later() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let url = format!("postgres://ada@{}/ada", listener.local_addr().expect("it has one"));
        let ending = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("it comes");
            // All that it asks for, so that it is ended and not reset.
            socket.read_exact(&mut [0; 8]).expect("it asks for TLS");
        });
        let error = sqlx::PgConnection::connect(&url).await.expect_err("nobody answers");
        ending.join().expect("it ends");
        assert!(is_lost(&error), "{error:?}");
        assert!(matches!(store_error(error), StoreError::Unavailable(_)));
    }
}
