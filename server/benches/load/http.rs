//! The least HTTP/1.1 client there can be: one connection, one request at a time, answers with a Content-Length.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What the server said.
pub(crate) struct Answer<'c> {
    pub(crate) status: u16,
    pub(crate) body: &'c [u8],
}

impl Answer<'_> {
    /// The body, of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> &[u8] {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(self.body));
        self.body
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("the server listens"))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("it is a TCP socket");
        Self { stream, read: Vec::new() }
    }

    /// Sends a whole request and waits for the whole answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Answer<'_> {
        self.stream.write_all(request).await.expect("the server takes it");
        self.read.clear();
        let (status, body, end) = loop {
            if let Some(head) = find(&self.read, b"\r\n\r\n") {
                let (status, length) = read_head(&self.read[..head]);
                let end = head + 4 + length;
                if self.read.len() >= end {
                    break (status, head + 4, end);
                }
            }
            read_some(&self.stream, &mut self.read).await;
        };
        Answer { status, body: &self.read[body..end] }
    }
}

/// Waits for bytes, and takes room for them only when they are there.
pub(crate) async fn read_some(stream: &TcpStream, into: &mut Vec<u8>) {
    loop {
        stream.readable().await.expect("the connection stands");
        into.reserve(4_096);
        match stream.try_read_buf(into) {
            Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(into)),
            Ok(_) => return,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("the connection broke: {error}"),
        }
    }
}

/// Status and Content-Length.
fn read_head(head: &[u8]) -> (u16, usize) {
    let text = std::str::from_utf8(head).expect("a head is ASCII");
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().expect("a length"));
    (status.expect("a status"), length)
}

/// Where `what` begins.
pub(crate) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The number that stands after `what`.
pub(crate) fn number_after(text: &[u8], what: &[u8]) -> Option<u64> {
    let text = &text[find(text, what)? + what.len()..];
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: load\r\nauthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// With further header lines, each ended by CRLF.
pub(crate) fn post(path: &str, token: &str, lines: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: load\r\nauthorization: Bearer {token}\r\n{lines}content-length: \
         {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
