//! What is a request and what is none: malformed ones are refused, odd ones that are sound are served.

use std::time::{Duration, Instant};

use meshwire_server::listen::Limits;

use crate::fixture::{GOOD, Server, within};

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
        // The connection ends by the refusal, not by the header deadline of 10 s.
        assert!(begun.elapsed() < Duration::from_secs(8), "{shown} took {:?}", begun.elapsed());
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
