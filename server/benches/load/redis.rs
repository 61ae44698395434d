//! Redis Streams, each write on the disk before it is answered.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{Client, content};
use crate::http::{number_after, read_some};
use crate::process::{Process, free_address, installed, until_it_listens};

/// A server of the run.
pub(crate) struct Redis {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

impl Redis {
    /// Starts it with its data in this folder.
    pub(crate) async fn start(folder: &Path) -> Self {
        let address = free_address();
        let home = folder.join("redis");
        std::fs::create_dir_all(&home).expect("a folder of its own");
        let process = Process::start(
            installed("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
                .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
                .arg("--dir")
                .arg(&home)
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
        );
        until_it_listens(address).await;
        Self { address, process }
    }

    /// Someone who adds messages to this stream.
    pub(crate) async fn sender(&self, stream: &str) -> RedisSender {
        let connection = RedisConnection::open(self.address).await;
        RedisSender { connection, request: add(stream, 0) }
    }

    /// How many clients wait for messages.
    async fn waiting(&self) -> u64 {
        let mut connection = RedisConnection::open(self.address).await;
        let answer = connection.call(&command(&["INFO", "clients"])).await;
        number_after(answer, b"blocked_clients:").expect("it counts them")
    }

    /// Waits until so many clients do.
    pub(crate) async fn until_waiting(&self, clients: usize) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while usize::try_from(self.waiting().await) != Ok(clients) {
            assert!(Instant::now() < deadline, "the clients do not come to wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) struct RedisSender {
    connection: RedisConnection,
    request: Vec<u8>,
}

impl Client for RedisSender {
    async fn send(&mut self) {
        self.connection.call(&self.request).await;
    }
}

/// Adds a message with this number to a stream.
pub(crate) fn add(stream: &str, number: usize) -> Vec<u8> {
    command(&["XADD", stream, "*", "body", &content(number)])
}

/// Waits for messages after an id.
pub(crate) fn read_after(stream: &str, id: &str) -> Vec<u8> {
    command(&["XREAD", "BLOCK", "0", "STREAMS", stream, id])
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(text, "${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}

/// A connection that speaks RESP, one command at a time.
pub(crate) struct RedisConnection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl RedisConnection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("Redis listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self { stream, read: Vec::new() }
    }

    /// Sends a command and waits for the whole answer, which is no error.
    pub(crate) async fn call(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.expect("Redis takes it");
        self.read.clear();
        while end_of(&self.read, 0).is_none() {
            read_some(&self.stream, &mut self.read).await;
        }
        assert_ne!(self.read[0], b'-', "{}", String::from_utf8_lossy(&self.read));
        &self.read
    }
}

/// Where the value that begins at `at` ends; `None` while it is not all there.
fn end_of(text: &[u8], at: usize) -> Option<usize> {
    let line = text.get(at..)?.iter().position(|byte| *byte == b'\n')?;
    let mut end = at + line + 1;
    let number = str::from_utf8(&text[at + 1..end - 2]).ok().and_then(|n| n.parse::<i64>().ok());
    match text[at] {
        b'$' => {
            // -1 says that there is none.
            if let Ok(length) = usize::try_from(number?) {
                end += length + 2;
            }
            (text.len() >= end).then_some(end)
        }
        b'*' => {
            for _ in 0..number?.max(0) {
                end = end_of(text, end)?;
            }
            Some(end)
        }
        _ => Some(end),
    }
}

/// The id of the last entry in an answer to [`read_after`], as Redis writes it.
pub(crate) fn last_id(answer: &[u8]) -> &str {
    let lines: Vec<&[u8]> = answer.split(|byte| *byte == b'\n').collect();
    let entry = lines.iter().rposition(|line| line.starts_with(b"*2\r"));
    let id = entry.map(|entry| lines[entry - 1]);
    id.and_then(|line| str::from_utf8(line).ok()).expect("an id").trim_end()
}
