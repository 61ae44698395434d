//! An engine of the test's own, which it may kill.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::site::Site;
use crate::{signal, until};

/// Its data, its port, and its process when it runs.
pub(crate) struct Process {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

pub(crate) trait Own: Sized {
    /// Has it end without finishing anything.
    const STOP: &str;

    async fn new(process: Process) -> Self;
    fn process(&mut self) -> &mut Process;
    /// What runs it in the foreground.
    fn command(&self) -> Command;
    async fn answers(&self) -> bool;
    /// Where nodes find it.
    fn site(&self) -> Site;

    /// Starts it with no data.
    async fn start() -> Self {
        let mut own = Self::new(Process::new()).await;
        own.start_again().await;
        own
    }

    /// Starts it on the data that are there, and waits until it answers.
    async fn start_again(&mut self) {
        until("the engine answers", async || {
            // It gives up while processes of the one that was killed are still ending.
            if !self.process().runs() {
                let command = self.command();
                self.process().run(command);
            }
            self.answers().await.then_some(())
        })
        .await;
        self.is_back();
    }

    /// What is to be done before it ends, and once it answers again.
    async fn before_it_ends(&self) {}
    fn is_back(&self) {}

    /// Kills its first process; others that it has end when they see that.
    async fn kill(&mut self) {
        self.before_it_ends().await;
        self.process().end("-KILL");
    }

    async fn stop_at_once(&mut self) {
        self.before_it_ends().await;
        self.process().end(Self::STOP);
    }
}

/// A port below those that the system gives to clients, so that nobody takes it while the engine is down.
fn free_port() -> u16 {
    loop {
        let port = 20_000 + rand::random::<u16>() % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

impl Process {
    /// None yet, with no data.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: free_port(), child: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    fn run(&mut self, mut command: Command) {
        let log = || File::options().create(true).append(true).open(self.path().join("log"));
        command.stdin(Stdio::null()).stdout(log().unwrap()).stderr(log().unwrap());
        self.child = Some(command.spawn().unwrap());
    }

    fn end(&mut self, name: &str) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), name);
            child.wait().unwrap();
        }
    }

    /// The same, if it still runs.
    pub(crate) fn end_if_it_runs(&mut self, name: &str) {
        if self.runs() {
            self.end(name);
        }
    }
}
