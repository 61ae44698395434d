//! A server as a process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use tempfile::TempDir;

use crate::{LIMIT, signal};

/// A running server; killed when it is dropped.
pub(crate) struct Node {
    pub(crate) url: String,
    store: String,
    home: TempDir,
    environment: Vec<(&'static str, String)>,
    child: Child,
}

impl Node {
    /// Starts it on a free port, with further settings in its environment.
    pub(crate) fn with(store: &str, environment: Vec<(&'static str, String)>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (child, url) = run(home.path(), "127.0.0.1:0", store, &environment);
        Self { url, store: store.to_owned(), home, environment, child }
    }

    /// Starts it again on the same address.
    pub(crate) fn start_again(&mut self) {
        let bind = self.url.trim_start_matches("http://").to_owned();
        (self.child, self.url) = run(self.home.path(), &bind, &self.store, &self.environment);
    }

    /// Ends it as a power cut would end it: nothing more is sent or written.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

fn run(
    home: &Path,
    bind: &str,
    store: &str,
    environment: &[(&'static str, String)],
) -> (Child, String) {
    let log_file = home.join("server.log");
    let log = std::fs::File::options().create(true).append(true).open(&log_file);
    // A bug that is planted is planted into this process.
    let planted = std::env::var("MESHWIRE_PLANTED_BUG").map(|bug| ("MESHWIRE_PLANTED_BUG", bug));
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshwire-server"))
        .env_clear()
        .env("HOME", home)
        .env("MESHWIRE_BIND", bind)
        .env("MESHWIRE_STORE", store)
        .env("MESHWIRE_SECRET_KEY", "the key of all nodes of these tests")
        .env("MESHWIRE_LOG", "info,meshwire_server=debug")
        // Tests send in loops.
        .env("MESHWIRE_LIMIT_SENDS_PER_SECOND", "0")
        .env("MESHWIRE_LIMIT_MESH_SENDS_PER_SECOND", "0")
        .envs(planted)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.unwrap())
        .spawn()
        .unwrap();
    let (line, lines) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for text in output.lines().map_while(Result::ok) {
            let _ = line.send(text);
        }
    });
    let deadline = Instant::now() + LIMIT;
    let url = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let text = lines.recv_timeout(left).unwrap_or_else(|_| {
            let log = std::fs::read_to_string(&log_file).unwrap_or_default();
            panic!("the server did not start: {log}")
        });
        if let Some((_, url)) = text.split_once("listening on ") {
            break url.to_owned();
        }
    };
    (child, url)
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = std::env::var_os("MESHWIRE_TEST_LOGS") {
            let name = format!("node-{}.log", self.child.id());
            let _ =
                std::fs::copy(self.home.path().join("server.log"), Path::new(&folder).join(name));
        }
    }
}
