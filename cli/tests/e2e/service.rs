//! The server as a process.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// The folder of the programs that were built together with these tests.
pub(crate) fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_meshwire")).parent().unwrap().to_owned()
}

/// An address that is free and stays it while a server restarts: it is below the ports that the system gives to
/// clients, below those of `infra/test.sh`, and no other test of this process gets the same.
fn own_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(131) + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = (Ipv4Addr::LOCALHOST, 10_000 + u16::try_from(number % 10_000).unwrap());
        if TcpListener::bind(address).is_ok() {
            return format!("{}:{}", address.0, address.1);
        }
    }
}

/// A running server; killed when it is dropped.
pub(crate) struct Service {
    pub(crate) url: String,
    /// Where metrics are served, if they are.
    pub(crate) metrics: Option<String>,
    /// The one-time link, when nobody has an account yet.
    pub(crate) set_up: Option<String>,
    child: Child,
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Service {
    /// Starts it on a free port, with its data below `home`.
    pub(crate) fn start(home: &Path) -> Self {
        Self::with(home, Vec::new())
    }

    /// The same with further settings in its environment.
    pub(crate) fn with(home: &Path, environment: Vec<(&'static str, String)>) -> Self {
        Self::start_on(home, &own_address(), environment)
    }

    fn start_on(home: &Path, bind: &str, environment: Vec<(&'static str, String)>) -> Self {
        let program = programs().join("meshwire-server");
        assert!(program.exists(), "build it first: cargo build --workspace");
        Self::run_on(Command::new(program), home, bind, environment)
    }

    /// The same with a program of one's own that becomes the server.
    pub(crate) fn run(
        program: Command,
        home: &Path,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        Self::run_on(program, home, &own_address(), environment)
    }

    fn run_on(
        mut program: Command,
        home: &Path,
        bind: &str,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(home.join("server.log"));
        let mut child = program
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", home)
            .env("MESHWIRE_BIND", bind)
            // All that it can say: `infra/test.sh` looks for secrets in it.
            .env("MESHWIRE_LOG", "debug,meshwire_server=trace")
            // Tests send in loops.
            .env("MESHWIRE_LIMIT_SENDS_PER_SECOND", "0")
            .env("MESHWIRE_LIMIT_MESH_SENDS_PER_SECOND", "0")
            .envs(environment.iter().map(|(name, value)| (name, value)))
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
        let (mut url, mut metrics, mut set_up) = (None, None, None);
        let deadline = Instant::now() + LIMIT;
        // The greeting ends with how to sign in.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let text = lines.recv_timeout(left).unwrap_or_else(|_| {
                let log = std::fs::read_to_string(home.join("server.log")).unwrap_or_default();
                panic!("the server did not start: {log}")
            });
            if let Some((_, address)) = text.split_once("listening on ") {
                url = Some(address.to_owned());
            } else if let Some(address) = text.strip_prefix("Metrics: ") {
                metrics = Some(address.to_owned());
            } else if text.contains("/setup?code=") {
                set_up = Some(text.trim().to_owned());
            } else if text.contains("meshwire login") {
                break;
            }
        }
        Self { url: url.unwrap(), metrics, set_up, child, home: home.to_owned(), environment }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs another command of the server's program, with the same data; it may run or not.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        Command::new(programs().join("meshwire-server"))
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("MESHWIRE_PUBLIC_URL", &self.url)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Ends it as a power cut would end it for the process: nothing more is written.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same address and data.
    pub(crate) fn start_again(&mut self) {
        let bind = self.url.trim_start_matches("http://").to_owned();
        let environment = std::mem::take(&mut self.environment);
        *self = Self::start_on(&self.home, &bind, environment);
    }

    /// Ends it as an operator does; how long it took.
    pub(crate) fn terminate(&mut self) -> Duration {
        let started = Instant::now();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = started + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return started.elapsed();
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::yield_now();
        }
    }

    /// How many log lines contain all of these words.
    pub(crate) fn logged(&self, words: &[&str]) -> usize {
        let log = std::fs::read_to_string(self.home.join("server.log")).unwrap();
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = std::env::var_os("MESHWIRE_TEST_LOGS") {
            let name = format!("server-{}.log", self.child.id());
            std::fs::copy(self.home.join("server.log"), Path::new(&folder).join(name)).unwrap();
        }
    }
}
