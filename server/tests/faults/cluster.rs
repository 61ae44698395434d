//! A Postgres of the test's own.

use std::fs::File;
use std::io::Write as _;
use std::process::Command;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::own::{Own, Process};
use crate::site::Site;

pub(crate) struct Cluster(Process);

impl Own for Cluster {
    /// It recovers from its log when it starts again.
    const STOP: &str = "-QUIT";

    async fn new(process: Process) -> Self {
        Self(process)
    }

    fn process(&mut self) -> &mut Process {
        &mut self.0
    }

    fn command(&self) -> Command {
        let mut command =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/postgres.sh"));
        command.arg(self.0.path()).arg(self.0.port.to_string());
        command
    }

    async fn answers(&self) -> bool {
        let Ok(connection) = PgConnection::connect(&self.url()).await else { return false };
        connection.close().await.is_ok()
    }

    fn site(&self) -> Site {
        Site::database(self.url())
    }
}

impl Cluster {
    pub(crate) fn url(&self) -> String {
        format!("postgres://meshwire@127.0.0.1:{}/postgres", self.0.port)
    }

    /// Changes a setting that holds from its next start on.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let file = self.0.path().join("data/postgresql.conf");
        let mut file = File::options().append(true).open(file).unwrap();
        writeln!(file, "{name} = {value}").unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its other processes must not be left behind.
        self.0.end_if_it_runs(Self::STOP);
    }
}
