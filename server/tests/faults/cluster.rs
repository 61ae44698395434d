//! A Postgres of the test's own.

use std::fs::File;
use std::io::Write as _;
use std::process::Command;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::own::{Own, Process};
use crate::site::Site;
use crate::volume::Volume;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/postgres.sh");

pub(crate) struct Cluster {
    process: Process,
    small: Option<(Part, Volume)>,
}

/// What of a Postgres can lie on a disk of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Our tables and their indexes.
    Tables,
    /// The log from which it recovers.
    Log,
}

impl Own for Cluster {
    /// It recovers from its log when it starts again.
    const STOP: &str = "-QUIT";

    async fn new(process: Process) -> Self {
        Self { process, small: None }
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn command(&self) -> Command {
        let mut command = match &self.small {
            Some((_, volume)) => {
                let mut inside = volume.inside();
                inside.arg(PROGRAM);
                inside
            }
            None => Command::new(PROGRAM),
        };
        command.arg(self.process.path()).arg(self.process.port.to_string());
        if let Some((Part::Log, volume)) = &self.small {
            // In pieces of 1 MiB, so that it soon needs another one.
            command.arg("--wal-segsize=1").arg("--waldir").arg(volume.place());
        }
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
    /// Starts it with no data, and with a part of it on a small disk.
    pub(crate) async fn start_with_a_small_disk(part: Part) -> Self {
        let process = Process::new();
        let volume = Volume::new(&process.path().join("small"));
        let mut cluster = Self { process, small: Some((part, volume)) };
        cluster.start_again().await;
        if part == Part::Tables {
            let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
            let place = cluster.disk().place().display();
            let there = format!("CREATE TABLESPACE small LOCATION '{place}'");
            connection.execute(AssertSqlSafe(there)).await.unwrap();
            let ours = "ALTER ROLE meshwire SET default_tablespace = small";
            connection.execute(ours).await.unwrap();
        }
        cluster
    }

    /// The small disk.
    pub(crate) fn disk(&self) -> &Volume {
        let (_, volume) = self.small.as_ref().expect("it was started with a small disk");
        volume
    }

    /// Has it take the next piece of its log, if it still runs.
    pub(crate) async fn use_up_log(&self) {
        if let Ok(mut connection) = PgConnection::connect(&self.url()).await {
            let _ = connection.execute("SELECT pg_switch_wal()").await;
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://meshwire@127.0.0.1:{}/postgres", self.process.port)
    }

    /// Changes a setting that holds from its next start on.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let file = self.process.path().join("data/postgresql.conf");
        let mut file = File::options().append(true).open(file).unwrap();
        writeln!(file, "{name} = {value}").unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its other processes must not be left behind.
        self.process.end_if_it_runs(Self::STOP);
    }
}
