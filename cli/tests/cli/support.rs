//! A scratch computer and a stand-in for the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub(crate) const MESH: &str = "kR9xQpLmW3aZ";
pub(crate) const AGENT: &str = "abc123xyz";

/// A token made of 30 random characters.
pub(crate) fn token() -> String {
    meshwire_protocol::finish_token("abcdefghijklmnopqrstuvwxyz0123").unwrap()
}

/// A home folder, a project folder in it, and an environment with nothing else.
pub(crate) struct Computer {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (code, out, err) = (output.status.code(), text(output.stdout), text(output.stderr));
        assert!(!err.contains("panicked"), "{err}");
        assert!(!err.contains(&token()), "a token on standard error: {err}");
        Self { code, out, err }
    }
}

impl Computer {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("project")).unwrap();
        Self { folder, env: Vec::new() }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signed in as ada, with the mesh chosen.
    pub(crate) fn signed_in(self, url: &str) -> Self {
        let all = json!({"profiles": {"default":
            {"url": url, "token": token(), "login": "ada", "mesh_id": MESH}}});
        std::fs::create_dir(self.home(".meshwire")).unwrap();
        std::fs::write(self.home(".meshwire/credentials.json"), all.to_string()).unwrap();
        self
    }

    pub(crate) fn mesh_file(self, text: &str) -> Self {
        std::fs::write(self.project(".mesh.json"), text).unwrap();
        self
    }

    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn project(&self, path: &str) -> PathBuf {
        self.folder.path().join("project").join(path)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshwire"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path().join("project"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.command(args).output().unwrap().into()
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Done {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A command may refuse without reading.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(child: &Child) {
    let done = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and target.
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Request {
    /// A field of the header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// An answer, or none at all: the connection just ends.
pub(crate) enum Reply {
    Json(u16, Value),
    With(u16, &'static str, Value),
    Hang,
    Silence,
}

impl Reply {
    pub(crate) fn problem(status: u16, code: &str) -> Self {
        Self::Json(
            status,
            json!({"type": "about:blank", "title": "t", "status": status, "code": code,
                "detail": format!("detail of {code}")}),
        )
    }
}

/// The stand-in: one thread for each connection, one request on each.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || serve(&stream.unwrap(), answer.as_ref(), &log));
            }
        });
        Self { url, seen }
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The same, as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.line).collect()
    }
}

fn serve(
    mut stream: &TcpStream,
    answer: &(dyn Fn(&Request) -> Reply + Send + Sync),
    log: &Mutex<Vec<Request>>,
) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Request { line, head, body: Value::Null };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request.body = serde_json::from_slice(&body).unwrap_or_default();
    log.lock().unwrap().push(request.clone());
    let (status, header, body) = match answer(&request) {
        Reply::Json(status, body) => (status, "X-None: none", body),
        Reply::With(status, header, body) => (status, header, body),
        Reply::Hang => return,
        Reply::Silence => {
            // Until the client goes.
            let _ = reader.read(&mut [0]);
            return;
        }
    };
    let body = if status == 204 { String::new() } else { body.to_string() };
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{header}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

/// A message.
pub(crate) fn message(id: i64, content: &str) -> Value {
    json!({"id": id, "mesh_id": MESH, "from": "bob", "from_agent_id": "bbbbbbbbb",
        "from_user": "bob", "from_kind": "agent", "via": "account", "to": "all",
        "to_agent_id": null, "content": content, "metadata": {}, "hops": 0,
        "sent_at": "2026-01-02T09:41:23Z", "of_the_future": {"b": 1, "a": 2}})
}

/// Who is signed in.
pub(crate) fn me() -> Value {
    json!({"user": {"login": "ada", "name": "Ada"}, "token": {"id": "tttttttttttt", "name": "cli",
        "scopes": ["read", "send", "agents", "admin"], "mesh_id": null, "agent_id": null,
        "expires_at": null}})
}

/// The mesh.
pub(crate) fn mesh() -> Value {
    json!({"mesh_id": MESH, "name": "my-fleet", "role": "owner", "agents": 1, "active": 1,
        "paused": false, "created_at": "2026-01-02T09:41:23Z"})
}

/// An agent of ada's.
pub(crate) fn agent(name: &str) -> Value {
    json!({"agent_id": AGENT, "name": name, "kind": "agent", "owner": "ada", "harness": null,
        "active": true, "last_seen": null, "wake": "poll", "description": null, "capabilities": []})
}
