//! The server as a process, and requests of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use meshwire_protocol::MeshId;

use crate::Load;
use crate::client::{Client, content};
use crate::http::{Connection, get, post};
use crate::process::{Process, mark};
use crate::settings::Engine;
use crate::world::{Site, World, agent_name};

/// Limits that people can meet, and a tool that sends in loops would.
const LIMITS: [&str; 10] = [
    "AGENTS",
    "MESHES",
    "TOKENS",
    "SENDS_PER_SECOND",
    "MESH_SENDS_PER_SECOND",
    "OPEN_POLLS",
    "OPEN_POLLS_TOTAL",
    "REPLIES_PER_MINUTE",
    "CONNECTIONS",
    "CONNECTIONS_PER_ADDRESS",
];

/// A server of the run.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
    pub(crate) process: Process,
    /// Kept, so that it can write there.
    _output: BufReader<ChildStdout>,
}

/// How it is started: with an environment of its own.
pub(crate) fn command(load: &Load, site: &Site, bind: SocketAddr) -> Command {
    let log = log_file(load.folder.path(), bind);
    let log = File::options().create(true).append(true).open(log).expect("a file of our own");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwire-server"));
    command
        .env_clear()
        .envs(mark())
        .env("HOME", load.folder.path())
        .env("MESHWIRE_BIND", bind.to_string())
        .env("MESHWIRE_METRICS_BIND", "127.0.0.1:0")
        .env("MESHWIRE_STORE", &site.setting)
        .env("MESHWIRE_SECRET_KEY", "the key of all nodes of this run")
        .envs(LIMITS.map(|limit| (format!("MESHWIRE_LIMIT_{limit}"), "0")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    if let Some(filter) = &load.args.log {
        command.env("MESHWIRE_LOG", filter);
    }
    if site.engine == Engine::Dynamodb {
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("AWS_")));
    }
    command
}

fn log_file(folder: &Path, bind: SocketAddr) -> PathBuf {
    folder.join(format!("server-{}.log", bind.port()))
}

impl Server {
    /// Starts it on a free port.
    pub(crate) fn start(load: &Load, site: &Site) -> Self {
        let bind = crate::process::free_address();
        let mut process = Process::start(&mut command(load, site, bind));
        let output = process.child().stdout.take().expect("it is piped");
        let mut output = BufReader::new(output);
        let (mut address, mut metrics) = (None, None);
        while address.is_none() || metrics.is_none() {
            let mut line = String::new();
            if output.read_line(&mut line).is_ok_and(|length| length == 0) {
                let log = std::fs::read_to_string(log_file(load.folder.path(), bind));
                panic!("the server did not start: {}", log.unwrap_or_default());
            }
            if let Some((_, url)) = line.trim_end().split_once("listening on http://") {
                address = url.parse().ok();
            } else if let Some((_, url)) = line.trim_end().split_once("Metrics: http://") {
                metrics = url.trim_end_matches("/metrics").parse().ok();
            }
        }
        let (address, metrics) = address.zip(metrics).expect("it says both");
        Self { address, metrics, process, _output: output }
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// Someone who sends to one agent of a mesh as another.
    pub(crate) async fn sender(&self, load: &Load, world: &World, number: usize) -> Sender {
        let request = send(world, &world.meshes[0], number, "agent-0", 0, "");
        let keys = load.args.keys;
        Sender { connection: self.connect().await, request, keys }
    }

    /// What stands in the metrics under this name.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let mut connection = Connection::open(self.metrics).await;
        let answer = connection.call(b"GET /metrics HTTP/1.1\r\nhost: load\r\n\r\n").await;
        let text = str::from_utf8(answer.expect(200)).expect("it is text");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}: {text}"))
    }

    /// Waits until so many polls are open.
    #[expect(clippy::float_cmp, reason = "small whole numbers")]
    pub(crate) async fn until_open(&self, polls: f64) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.metric("meshwire_open_polls").await != polls {
            assert!(Instant::now() < deadline, "the polls do not come to wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Sends to an agent as one that has a number, with further header lines.
pub(crate) fn send(
    world: &World,
    mesh: &MeshId,
    from: usize,
    to: &str,
    number: usize,
    lines: &str,
) -> Vec<u8> {
    let (from, content) = (agent_name(from), content(number));
    let body = format!(r#"{{"from":"{from}","to":"{to}","content":"{content}"}}"#);
    post(&format!("/mesh/{mesh}/messages"), &world.token, lines, &body)
}

/// Waits for messages of the agent with this number; `after` acknowledges.
pub(crate) fn poll(world: &World, mesh: &MeshId, agent: usize, after: Option<u64>) -> Vec<u8> {
    let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
    let path = format!("/mesh/{mesh}/agents/{}/messages?wait=60{after}", agent_name(agent));
    get(&path, &world.token)
}

pub(crate) struct Sender {
    connection: Connection,
    request: Vec<u8>,
    keys: bool,
}

impl Client for Sender {
    async fn send(&mut self) {
        if self.keys {
            let key = format!("Idempotency-Key: {:032x}\r\n", rand::random::<u128>());
            let place = crate::http::find(&self.request, b"content-length").expect("it is there");
            let mut request = self.request.clone();
            request.splice(place..place, key.bytes());
            self.connection.call(&request).await.expect(201);
        } else {
            self.connection.call(&self.request).await.expect(201);
        }
    }
}
