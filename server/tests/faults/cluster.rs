//! A Postgres of the test's own, which it may kill.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;

use crate::{signal, until};

pub(crate) struct Cluster {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

/// A port below those that the system gives to clients, so that nobody takes it while the cluster is down.
fn free_port() -> u16 {
    loop {
        let port = 20_000 + rand::random::<u16>() % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Self { folder, port: free_port(), server: None };
        cluster.start_again().await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://meshwire@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it on the data that are there, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        let url = self.url();
        until("Postgres answers", async || {
            // It gives up while processes of the one that was killed are still ending.
            if self.server.as_mut().is_none_or(|server| server.try_wait().unwrap().is_some()) {
                self.server = Some(self.spawn());
            }
            let connection = PgConnection::connect(&url).await.ok()?;
            connection.close().await.ok()
        })
        .await;
    }

    fn spawn(&self) -> Child {
        let log = || File::options().create(true).append(true).open(self.folder.path().join("log"));
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/postgres.sh"))
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(log().unwrap())
            .stderr(log().unwrap())
            .spawn()
            .unwrap()
    }

    /// Changes a setting that holds from its next start on.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let file = self.folder.path().join("data/postgresql.conf");
        let mut file = File::options().append(true).open(file).unwrap();
        writeln!(file, "{name} = {value}").unwrap();
    }

    /// Kills its first process; the others end when they see that.
    pub(crate) fn kill(&mut self) {
        self.end("-KILL");
    }

    /// Has it end without finishing anything; it recovers from its log when it starts again.
    pub(crate) fn stop_at_once(&mut self) {
        self.end("-QUIT");
    }

    fn end(&mut self, name: &str) {
        if let Some(mut server) = self.server.take() {
            signal(server.id(), name);
            server.wait().unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.as_mut().is_some_and(|server| matches!(server.try_wait(), Ok(None))) {
            self.stop_at_once();
        }
    }
}
