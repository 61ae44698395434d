//! The program as an operator has it: a command that ends, or a server that runs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn program(store: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwire-server"));
    command.env_clear().env("MESHWIRE_STORE", store).stdin(Stdio::null());
    if store.starts_with("dynamodb:") {
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("AWS_")));
    }
    command
}

/// The name of a file as a store.
pub(crate) fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// Runs a command to its end.
pub(crate) fn run(store: &str, arguments: &[&str]) -> Output {
    program(store).args(arguments).output().expect("the program starts")
}

/// Runs a command that must succeed; its standard output.
#[track_caller]
pub(crate) fn succeed(store: &str, arguments: &[&str]) -> Vec<u8> {
    let done = run(store, arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// Runs a command that must fail; what it says.
#[track_caller]
pub(crate) fn fail(store: &str, arguments: &[&str]) -> String {
    let done = run(store, arguments);
    let told = String::from_utf8(done.stderr).expect("an error is text");
    assert_eq!(done.status.code(), Some(1), "{told}");
    told
}

/// Exports to a file.
#[track_caller]
pub(crate) fn export(store: &str, to: &Path) -> String {
    succeed(store, &["export", to.to_str().unwrap()]);
    std::fs::read_to_string(to).expect("there is a file")
}

/// Imports a file.
#[track_caller]
pub(crate) fn import(store: &str, from: &Path) -> String {
    let told = succeed(store, &["import", from.to_str().unwrap()]);
    String::from_utf8(told).expect("a table is text")
}

/// A server on a store, with a token.
pub(crate) struct Running {
    child: Child,
    url: String,
    token: String,
}

impl Running {
    pub(crate) fn start(store: &str, token: &str) -> Self {
        let mut child = program(store)
            .args(["--bind", "127.0.0.1:0", "--secret-key"])
            .arg("k".repeat(40))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a first line");
        let (_, url) = line.trim().split_once(" is listening on ").expect("it says where");
        let url = url.to_owned();
        // Nobody reads the rest, which is short.
        std::mem::forget(out);
        Self { child, url, token: token.to_owned() }
    }

    /// The same server for the holder of another token.
    pub(crate) async fn ask_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Value,
    ) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("it answers");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask_as(&self.token, Method::GET, path, None, Value::Null).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Sends under an idempotency key; the status and the id.
    pub(crate) async fn send(&self, mesh: &str, key: &str, content: &str) -> (u16, i64) {
        let body =
            json!({"from": "a", "to": "b", "content": content, "metadata": {"ü": [1, "x\n"]}});
        let path = format!("/mesh/{mesh}/messages");
        let (status, body) = self.ask_as(&self.token, Method::POST, &path, Some(key), body).await;
        (status.as_u16(), body["id"].as_i64().unwrap_or_else(|| panic!("{body}")))
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("there is kill");
        assert!(told.success());
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
