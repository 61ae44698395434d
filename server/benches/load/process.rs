//! Programs that the tool starts, and what the kernel says of them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

/// More descriptors than 20,000 polls take.
const FILES: u64 = 65_536;

/// Raises the limit on open files for this process and those that it starts, as far as it may.
pub(crate) fn allow_many_files() {
    let was = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: Some(FILES), maximum: was.maximum.map(|most| most.max(FILES)) };
    let all = Rlimit { current: was.maximum, maximum: was.maximum };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        setrlimit(Resource::Nofile, all).expect("as many as there may be");
    }
}

/// How many files this process may have open, and each that it starts.
pub(crate) fn most_files() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX))
}

/// A running program; killed when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// The time that all its threads have had on a processor, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu(&self.0.id().to_string())
    }

    /// The memory that is resident, in KiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = read(&format!("/proc/{}/status", self.0.id()));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = line.and_then(|line| line.trim().strip_suffix(" kB"));
        size.and_then(|size| size.parse().ok()).expect("the kernel says how much it holds")
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> f64 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).expect("it runs");
        crate::stats::real(open.count())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The time that all threads of a process have had on a processor, in seconds; `self` is this one.
pub(crate) fn cpu(process: &str) -> f64 {
    // In nanoseconds, but without the threads that have ended.
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let exact = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    // In ticks of 10 ms, with them.
    let stat = read(&format!("/proc/{process}/stat"));
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    // utime and stime: the 14th and 15th, and the state is the third.
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_nanos(exact).max(Duration::from_millis(ticks * 10)).as_secs_f64()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A port of loopback that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// Tells `infra/test.sh` that a process is of its run, should it be left behind.
pub(crate) fn mark() -> Option<(&'static str, String)> {
    const MARK: &str = "MESHWIRE_TEST_RUN";
    std::env::var(MARK).ok().map(|mark| (MARK, mark))
}

/// Waits until somebody takes connections there.
pub(crate) async fn until_it_listens(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).await.is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {address}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A program of the system, also one that is meant for root alone.
pub(crate) fn installed(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin"));
    command
}
