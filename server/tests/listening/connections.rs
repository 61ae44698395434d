//! How many connections there may be, in all and from one address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use meshwire_server::client_address::Networks;
use meshwire_server::listen::{Admission, Limits, bind};
use meshwire_server::metrics::ConnectionMetrics;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{GOOD, PATIENCE, Server, within};

/// Who finds the queue full comes in only when it tries again, and while nobody accepts never.
#[tokio::test]
async fn many_connections_that_come_at_once_are_queued() {
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let mut connections = Vec::new();
    for _ in 0..400 {
        connections.push(within(TcpStream::connect(address)).await.unwrap());
    }
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
