//! NATS `JetStream` with file storage.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{Client, content};
use crate::http::{find, read_some};
use crate::process::{Process, free_address, installed, until_it_listens};

/// When it writes a file through to the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Synced {
    /// Every 2 minutes, as it comes. What it has answered may be lost until then.
    Usual,
    /// Before it answers.
    Always,
}

/// A server of the run.
pub(crate) struct Nats {
    address: SocketAddr,
    _process: Process,
}

impl Nats {
    /// Starts it with its data in this folder; `None` when this version cannot sync like that.
    pub(crate) async fn start(folder: &Path, synced: Synced) -> Option<Self> {
        let address = free_address();
        let home = folder.join(format!("nats-{synced:?}"));
        std::fs::create_dir_all(&home).expect("a folder of its own");
        let settings = home.join("settings");
        let interval = match synced {
            Synced::Usual => "",
            Synced::Always => "sync_interval: always",
        };
        let text = format!(
            "listen: \"{address}\"\njetstream {{ store_dir: \"{}\"\n {interval} }}\n",
            home.display()
        );
        std::fs::write(&settings, text).expect("a file of our own");
        let mut check = installed("nats-server");
        let checked = check.arg("-t").arg("-c").arg(&settings).output().expect("it runs");
        if !checked.status.success() {
            return None;
        }
        let mut command = installed("nats-server");
        command.arg("-c").arg(&settings);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command);
        until_it_listens(address).await;
        let nats = Self { address, _process: process };
        let mut connection = nats.connect().await;
        let stream = r#"{"name":"load","subjects":["load"],"storage":"file"}"#;
        let made = connection.ask("$JS.API.STREAM.CREATE.load", stream).await;
        assert!(find(made, br#""error""#).is_none(), "{}", String::from_utf8_lossy(made));
        Some(nats)
    }

    async fn connect(&self) -> NatsConnection {
        let stream = TcpStream::connect(self.address).await.expect("NATS listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let inbox = format!("_INBOX.{:016x}", rand::random::<u64>());
        let mut connection = NatsConnection { stream, inbox, read: Vec::new(), taken: 0 };
        let hello = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
        let subscription = format!("{hello}SUB {} 1\r\n", connection.inbox);
        connection.write(subscription.as_bytes()).await;
        connection
    }

    pub(crate) async fn sender(&self) -> NatsSender {
        let connection = self.connect().await;
        let request = connection.publication("load", &content(0));
        NatsSender { connection, request }
    }

    /// Someone who is pushed what comes from now on.
    pub(crate) async fn reader(&self) -> NatsConnection {
        let mut connection = self.connect().await;
        let inbox = format!("{}.pushed", connection.inbox);
        connection.write(format!("SUB {inbox} 2\r\n").as_bytes()).await;
        let consumer = format!(
            "{{\"stream_name\":\"load\",\"config\":{{\"deliver_subject\":\"{inbox}\",\"deliver_policy\":\"new\",\
             \"ack_policy\":\"none\"}}}}"
        );
        let made = connection.ask("$JS.API.CONSUMER.CREATE.load", &consumer).await;
        assert!(find(made, br#""error""#).is_none(), "{}", String::from_utf8_lossy(made));
        connection
    }
}

pub(crate) struct NatsSender {
    connection: NatsConnection,
    request: Vec<u8>,
}

impl NatsSender {
    pub(crate) async fn send_number(&mut self, number: usize) {
        self.request = self.connection.publication("load", &content(number));
        self.send().await;
    }
}

impl Client for NatsSender {
    async fn send(&mut self) {
        self.connection.write(&self.request).await;
        let answer = self.connection.message().await;
        assert!(find(answer, br#""error""#).is_none(), "{}", String::from_utf8_lossy(answer));
    }
}

/// A connection that speaks the text protocol of NATS.
pub(crate) struct NatsConnection {
    stream: TcpStream,
    inbox: String,
    read: Vec<u8>,
    /// How much of it was handed out.
    taken: usize,
}

impl NatsConnection {
    async fn write(&mut self, text: &[u8]) {
        self.stream.write_all(text).await.expect("NATS takes it");
    }

    fn publication(&self, subject: &str, body: &str) -> Vec<u8> {
        format!("PUB {subject} {} {}\r\n{body}\r\n", self.inbox, body.len()).into_bytes()
    }

    async fn ask(&mut self, subject: &str, body: &str) -> &[u8] {
        let request = self.publication(subject, body);
        self.write(&request).await;
        self.message().await
    }

    /// Waits for the next message; its body.
    pub(crate) async fn message(&mut self) -> &[u8] {
        let body = loop {
            self.read.drain(..self.taken);
            self.taken = 0;
            let Some(end) = find(&self.read, b"\r\n") else {
                read_some(&self.stream, &mut self.read).await;
                continue;
            };
            let line = String::from_utf8_lossy(&self.read[..end]).into_owned();
            self.taken = end + 2;
            if line == "PING" {
                self.write(b"PONG\r\n").await;
            } else if line.starts_with("MSG ") {
                let length = line.rsplit(' ').next().and_then(|length| length.parse().ok());
                let length: usize = length.expect("a length");
                let (start, end) = (self.taken, self.taken + length);
                while self.read.len() < end + 2 {
                    read_some(&self.stream, &mut self.read).await;
                }
                self.taken = end + 2;
                break start..end;
            } else {
                assert!(!line.starts_with("-ERR"), "{line}");
            }
        };
        &self.read[body]
    }
}
