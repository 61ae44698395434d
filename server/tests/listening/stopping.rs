//! The stop: what is under way is finished, and nothing is waited for too long.

use std::future::pending;
use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use meshwire_server::listen::{Admission, Limits, Stopped, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Client, GOOD, Server, within};

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
