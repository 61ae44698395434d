//! What ends in time: slow heads and bodies, clients that go, and clients that never read.

use std::time::{Duration, Instant};

use meshwire_server::listen::{Limits, Stopped};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Client, GOOD, PATIENCE, Server, short, within};

#[tokio::test]
async fn slow_clients_are_closed_in_time() {
    let server = Server::start(short()).await;
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
    // Idle after an answer: longer than the header deadline, for it may be used again.
    let begun = Instant::now();
    let mut idle = server.send(GOOD).await;
    assert_eq!(idle.answer().await.body, "hello");
    idle.closed().await;
    assert!(begun.elapsed() >= short().idle_deadline, "{:?}", begun.elapsed());
    // Half of the next head after an answer.
    let mut half = server.send(format!("{GOOD}GET /")).await;
    assert_eq!(half.answer().await.body, "hello");
    assert_eq!(half.answer().await.status, 408);
    half.closed().await;
}

#[tokio::test]
async fn a_trickle_does_not_extend_the_deadline() {
    let server = Server::start(short()).await;
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
    // The trickle takes four times as long as `within` waits.
    let _ = within(reading.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") || answer.is_empty(), "{answer}");
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
    assert!(begun.elapsed() < 4 * PATIENCE, "{:?}", begun.elapsed());
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
    let mut most = 0;
    // It is read out for a second. A client that stands still for so long sends less, but not each time.
    for _ in 0..3 {
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
        most = most.max(taken);
        if most >= 32 * 1024 {
            return;
        }
    }
    panic!("reset after {most} bytes");
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
