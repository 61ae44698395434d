//! The listening part over real sockets: what is refused, what is served, what ends in time, and the stop.

#![expect(clippy::unwrap_used, reason = "a test may panic where it sees something unexpected")]

use std::future::pending;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use meshwire_server::client_address::Networks;
use meshwire_server::listen::{Admission, Limits, Peer, Stopped, serve};
use meshwire_server::metrics::ConnectionMetrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than anything here takes; only a fault waits so long.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Signals {
    entered: Notify,
    release: Notify,
    broken: Notify,
}

struct Server {
    address: SocketAddr,
    signals: Arc<Signals>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Stopped>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::admitting(limits, Admission::default()).await
    }

    async fn admitting(limits: Limits, admission: Admission) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let signals = Arc::new(Signals::default());
        let (stop, stopped) = oneshot::channel();
        let stop_signal = async move {
            let _ = stopped.await;
        };
        let task =
            tokio::spawn(serve(listener, router(signals.clone()), limits, admission, stop_signal));
        Self { address, signals, stop, task }
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    async fn send(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client
    }

    async fn stop(self) -> Stopped {
        self.stop.send(()).unwrap();
        within(self.task).await.unwrap()
    }
}

fn router(signals: Arc<Signals>) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }).options(|| async { "options" }))
        .route(
            "/peer",
            get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }),
        )
        .route("/big", get(|| async { Bytes::from(vec![b'x'; 32 << 20]) }))
        .route("/ignore", post(|| async { "ignored" }))
        .route(
            "/late",
            post(|body: Body| async {
                match timeout(Duration::from_millis(200), to_bytes(body, 1000)).await {
                    Ok(_) => StatusCode::OK,
                    Err(_) => StatusCode::REQUEST_TIMEOUT,
                }
            }),
        )
        .route(
            "/echo",
            post(|State(signals): State<Arc<Signals>>, body: Body| async move {
                to_bytes(body, 100_000).await.map_err(|_| {
                    signals.broken.notify_one();
                    StatusCode::BAD_REQUEST
                })
            }),
        )
        .route(
            "/wait",
            get(|State(signals): State<Arc<Signals>>| async move {
                signals.entered.notify_one();
                signals.release.notified().await;
                "released"
            }),
        )
        .with_state(signals)
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until `enough` says so. False when the server closes first.
    async fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> bool {
        while !enough(&self.read) {
            if within(self.stream.read_buf(&mut self.read)).await.unwrap() == 0 {
                return false;
            }
        }
        true
    }

    async fn head(&mut self) -> String {
        let end = |read: &[u8]| read.windows(4).position(|window| window == b"\r\n\r\n");
        assert!(self.read_until(|read| end(read).is_some()).await, "no answer: {:?}", self.read);
        let rest = self.read.split_off(end(&self.read).unwrap() + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        head.to_ascii_lowercase()
    }

    async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let length: usize = length.parse().unwrap();
        assert!(self.read_until(|read| read.len() >= length).await);
        let rest = self.read.split_off(length);
        let body = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        Answer { status: head[9..12].parse().unwrap(), head, body }
    }

    /// Waits for the server to close, and for nothing to come before that.
    async fn closed(&mut self) {
        self.read_until(|_| false).await;
        assert_eq!(String::from_utf8_lossy(&self.read), "");
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("this should have happened long ago")
}

fn short() -> Limits {
    Limits {
        header_deadline: Duration::from_millis(300),
        idle_deadline: Duration::from_millis(600),
        ..Limits::default()
    }
}

const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Each of these is answered with 400 before the application hears of it.
const MALFORMED: &[&str] = &[
    // Lines.
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "GET / HTTP/1.1\rHost: a\r\r",
    "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[1m\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX Y: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX(Y): a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    // Request line.
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\nHost: a\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET / http/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\0\x01\0\x01",
    // Host.
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
    // Framing.
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\na",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\na",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

#[tokio::test]
async fn malformed_requests_are_refused() {
    let start = "GET / HTTP/1.1\r\nHost: a\r\n";
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let table: Vec<(String, u16)> = MALFORMED
        .iter()
        .map(|&request| (request.to_owned(), 400))
        .chain(
            [
                "x\r\n",
                "-1\r\n",
                "0x1\r\n",
                " 1\r\n",
                "\r\n",
                "1 \r\na\r\n",
                "1\r\nab\r\n0\r\n\r\n",
                "1\na\r\n",
            ]
            .into_iter()
            .chain([
                "1\r\na\n0\r\n\r\n",
                "1;\0\r\na\r\n0\r\n\r\n",
                "0\r\nX : a\r\n\r\n",
                "FFFFFFFFFFFFFFFFF\r\n",
            ])
            .map(|body| (format!("{chunked}{body}"), 400)),
        )
        .chain([
            (format!("{chunked}1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300)), 400),
            (format!("{start}X: {}\r\n\r\n", "x".repeat(33_000)), 431),
            (format!("GET /{} HTTP/1.1\r\n", "x".repeat(33_000)), 431),
            (format!("{start}{}\r\n", "X: 1\r\n".repeat(64)), 431),
            ("x".repeat(40_000), 431),
        ])
        .collect();
    assert!(table.len() >= 40);

    let server = Server::start(Limits::default()).await;
    for (request, status) in table {
        let shown: String = request.escape_debug().take(120).collect();
        let begun = Instant::now();
        let mut client = server.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{shown}");
        client.closed().await;
        if !request.starts_with(chunked) {
            for field in ["connection: close", "nosniff", "application/problem+json", "date: "] {
                assert!(answer.head.contains(field), "{shown}: {}", answer.head);
            }
            let code = if status == 431 { "headers_too_large" } else { "invalid_request" };
            assert!(answer.body.contains(&format!(r#""code":"{code}""#)), "{}", answer.body);
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{shown} took {:?}", begun.elapsed());
        assert_eq!(server.send(GOOD).await.answer().await.body, "hello", "after {shown}");
    }
}

/// A request, and the status and body that it is answered with.
fn well_formed() -> Vec<(String, u16, &'static str)> {
    vec![
        (GOOD.to_owned(), 200, "hello"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 200, "hello"),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200, "hello"),
        ("GET http://A/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200, "hello"),
        ("GET https://a:80?x=y HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), 200, "hello"),
        ("GET /?q={a}|[b] HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".to_owned(), 200, "hello"),
        ("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 200, "options"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 404, ""),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n".to_owned(),
            200,
            "hello",
        ),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(), 200, "abc"),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n\
             3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
                .to_owned(),
            200,
            "abcde",
        ),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(63)), 200, "hello"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(32_000)), 200, "hello"),
    ]
}

#[tokio::test]
async fn well_formed_requests_are_served() {
    let table = well_formed();
    let server = Server::start(Limits::default()).await;
    // On one connection after the other, all on one, all at once, and byte by byte.
    let mut one = server.connect().await;
    let mut pipelined = server.connect().await;
    let mut all = String::new();
    for (request, status, body) in &table {
        let shown: String = request.escape_debug().take(120).collect();
        let answer = server.send(request).await.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (*status, *body), "{shown}");
        if request.contains("HTTP/1.1") {
            one.send(request).await;
            let answer = one.answer().await;
            assert_eq!((answer.status, answer.body.as_str()), (*status, *body), "{shown}");
            all.push_str(request);
        }
        if request.len() < 1000 {
            let mut client = server.connect().await;
            client.stream.set_nodelay(true).unwrap();
            for byte in request.as_bytes() {
                client.send([*byte]).await;
                tokio::task::yield_now().await;
            }
            assert_eq!(client.answer().await.body, *body, "{shown} byte by byte");
        }
    }
    pipelined.send(&all).await;
    for (request, status, body) in table.iter().filter(|(request, ..)| request.contains("/1.1")) {
        let answer = pipelined.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (*status, *body), "{request}");
    }
}

#[tokio::test]
async fn the_peer_is_known_and_head_has_no_body() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.send("GET /peer HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let address = client.stream.local_addr().unwrap().to_string();
    assert_eq!(client.answer().await.body, address);
    client.send(format!("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n{GOOD}")).await;
    assert!(client.head().await.contains("content-length: 5"));
    assert_eq!(client.answer().await.body, "hello");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "hello");
    client.closed().await;
    let mut old = server.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.answer().await.body, "hello");
    old.closed().await;
}

#[tokio::test]
async fn a_refusal_comes_after_the_answers_that_are_owed() {
    let server = Server::start(Limits::default()).await;
    let wait = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = server.send(format!("{GOOD}{wait}GET / HTTP/1.1\n\n")).await;
    assert_eq!(client.answer().await.body, "hello");
    within(server.signals.entered.notified()).await;
    server.signals.release.notify_one();
    assert_eq!(client.answer().await.body, "released");
    assert_eq!(client.answer().await.status, 400);
    client.closed().await;
}

#[tokio::test]
async fn expect_100_continue() {
    let server = Server::start(Limits::default()).await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
    };
    let mut client = server.send(head("/echo")).await;
    assert!(client.head().await.starts_with("http/1.1 100 "));
    client.send("abc").await;
    assert_eq!(client.answer().await.body, "abc");
    // The same connection, and a handler that does not want the body.
    client.send(head("/ignore")).await;
    assert_eq!(client.answer().await.body, "ignored");
    client.closed().await;
}

#[tokio::test]
async fn slow_clients_are_closed_in_time() {
    let server = Server::start(short()).await;
    let begun = Instant::now();
    server.connect().await.closed().await;
    for part in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\nGET"] {
        let mut client = server.send(part).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 408, "{part:?}");
        assert!(answer.body.contains(r#""code":"request_timeout""#), "{}", answer.body);
        for header in [
            "connection: close",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{header}: {}", answer.head);
        }
        client.closed().await;
    }
    // Idle after an answer.
    let mut idle = server.send(GOOD).await;
    assert_eq!(idle.answer().await.body, "hello");
    let answered = Instant::now();
    idle.closed().await;
    assert!(answered.elapsed() > short().header_deadline, "an idle connection may be used again");
    // Half of the next head after an answer.
    let mut half = server.send(format!("{GOOD}GET /")).await;
    assert_eq!(half.answer().await.body, "hello");
    assert_eq!(half.answer().await.status, 408);
    half.closed().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_trickle_does_not_extend_the_deadline() {
    let server = Server::start(short()).await;
    let begun = Instant::now();
    let Client { stream, .. } = server.connect().await;
    let (mut reading, mut writing) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        for byte in GOOD.as_bytes().iter().cycle().take(25).chain([b'x'; 1000].iter()) {
            pace.tick().await;
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let mut answer = String::new();
    // The peer goes on writing, so the end may come as a reset; the answer must have come before.
    let _ = within(reading.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") || answer.is_empty(), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    trickle.abort();
}

#[tokio::test]
async fn a_crowd_that_trickles_its_heads_hinders_nobody() {
    let limits = Limits { header_deadline: Duration::from_secs(2), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(server.send("GET / HTTP/1.1\r\nHost: a\r\n").await);
    }
    let begun = Instant::now();
    for byte in b"X-Slow: yes" {
        for slow in &mut crowd {
            slow.send([*byte]).await;
        }
        // A connection of its own each time: it is accepted, read and answered among them.
        assert_eq!(server.send(GOOD).await.answer().await.body, "hello");
    }
    // The crowd was there all the time: it is cut off only now.
    for slow in &mut crowd {
        assert_eq!(slow.answer().await.status, 408);
        slow.closed().await;
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_deadline_does_not_count_while_an_answer_is_owed() {
    let server = Server::start(short()).await;
    for goes_on in [true, false] {
        let mut client = server.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
        within(server.signals.entered.notified()).await;
        // Another connection lives through a whole deadline meanwhile.
        server.connect().await.closed().await;
        server.signals.release.notify_one();
        assert_eq!(client.answer().await.body, "released");
        if goes_on {
            client.send(GOOD).await;
            assert_eq!(client.answer().await.body, "hello");
        }
        // And from its end on it counts again.
        client.closed().await;
    }
}

#[tokio::test]
async fn a_refused_client_is_read_out_but_not_for_ever() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.send("GET / HTTP/1.1\n").await;
    assert_eq!(client.answer().await.status, 400);
    client.closed().await;
    let mut taken = 0;
    let sending = async {
        while client.stream.write_all(&[b'x'; 1024]).await.is_ok() {
            taken += 1024;
        }
    };
    within(sending).await;
    assert!(taken >= 32 * 1024, "reset after {taken} bytes");
}

#[tokio::test]
async fn half_a_body_holds_no_connection() {
    let server = Server::start(Limits::default()).await;
    for (path, status) in [("/ignore", 200), ("/late", 408)] {
        for framing in
            ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"]
        {
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}");
            let mut client = server.send(request).await;
            assert_eq!(client.answer().await.status, status, "{path} {framing}");
            client.closed().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_in_mid_body_is_noticed() {
    let server = Server::start(Limits::default()).await;
    for framing in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"] {
        drop(server.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}")).await);
        within(server.signals.broken.notified()).await;
    }
    assert_eq!(server.stop().await, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_is_noticed() {
    let server = Server::start(Limits::default()).await;
    let client = server.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    drop(client);
    // Never released: `serve` returns because the handler was dropped.
    assert_eq!(server.stop().await, Stopped { cut_off: 0 });
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped() {
    let limits = Limits { write_stall: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(client.stream.readable()).await.unwrap();
    // The answer is under way and would hold the stop for longer than `within` waits.
    assert_eq!(server.stop().await, Stopped { cut_off: 0 });
    let mut rest = Vec::new();
    let end = within(client.stream.read_to_end(&mut rest)).await;
    assert!(end.is_err() && rest.len() < 32 << 20, "{end:?} after {} bytes", rest.len());
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let server = Server::start(Limits::default()).await;
    let mut idle = server.send(GOOD).await;
    idle.answer().await;
    let mut silent = server.connect().await;
    let mut half = server.send("GET / HT").await;
    let mut busy = server.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    let Server { address, signals, stop, task } = server;
    stop.send(()).unwrap();
    idle.closed().await;
    silent.closed().await;
    half.closed().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!task.is_finished());
    signals.release.notify_one();
    let answer = busy.answer().await;
    assert_eq!(answer.body, "released");
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    busy.closed().await;
    drop((idle, silent, half, busy));
    assert_eq!(within(task).await.unwrap(), Stopped { cut_off: 0 });
}

#[tokio::test]
async fn a_stop_serves_who_has_just_connected() {
    let server = Server::start(Limits::default()).await;
    let mut new = server.connect().await;
    let mut idle = server.send(GOOD).await;
    // Whoever came before it is accepted by then.
    idle.answer().await;
    // Nothing else runs before the server is told to stop: this one is in the queue of the system.
    let mut queued = std::net::TcpStream::connect(server.address).unwrap();
    queued.write_all(GOOD.as_bytes()).unwrap();
    let Server { address, stop, task, .. } = server;
    stop.send(()).unwrap();
    idle.closed().await;
    assert!(TcpStream::connect(address).await.is_err());
    new.send(GOOD).await;
    assert_eq!(new.answer().await.body, "hello");
    new.closed().await;
    queued.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(queued).unwrap();
    let mut queued = Client { stream, read: Vec::new() };
    assert_eq!(queued.answer().await.body, "hello");
    queued.closed().await;
    drop((new, idle, queued));
    assert_eq!(within(task).await.unwrap(), Stopped { cut_off: 0 });
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let limits = Limits { drain_deadline: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = server.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    assert_eq!(server.stop().await, Stopped { cut_off: 1 });
    client.closed().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let server = Server::start(Limits { max_connections: 1, ..Limits::default() }).await;
    let mut first = server.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(server.signals.entered.notified()).await;
    let mut second = server.send(GOOD).await;
    let early = timeout(Duration::from_millis(100), second.stream.readable()).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    server.signals.release.notify_one();
    assert_eq!(first.answer().await.body, "released");
    drop(first);
    assert_eq!(second.answer().await.body, "hello");
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let admission = Admission::new(2, Networks::default(), ConnectionMetrics::default());
    let server = Server::admitting(Limits::default(), admission).await;
    let mut first = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(second.answer().await.status, 200);

    let mut third = server.connect().await;
    let refused = third.answer().await;
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: 5\r\n"), "{}", refused.head);
    assert!(refused.head.contains("x-request-id: "), "{}", refused.head);
    assert!(refused.body.contains("MESHWIRE_LIMIT_CONNECTIONS_PER_ADDRESS"), "{}", refused.body);
    assert!(!third.read_until(|_| false).await, "it is closed");

    // Those that were there before are not touched, and when one ends there is room.
    first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    drop((first, third));
    let started = Instant::now();
    loop {
        let mut again = server.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        if again.answer().await.status == 200 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "there is no room again");
    }
}

#[tokio::test]
async fn serving_ends_with_its_future() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving =
        serve(listener, Router::new(), Limits::default(), Admission::default(), pending());
    let task = tokio::spawn(serving);
    let mut stream = within(TcpStream::connect(address)).await.unwrap();
    within(stream.write_all(GOOD.as_bytes())).await.unwrap();
    within(stream.readable()).await.unwrap();
    task.abort();
    let mut rest = Vec::new();
    within(stream.read_to_end(&mut rest)).await.unwrap();
}
