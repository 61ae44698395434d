//! A listening server with a small application behind it, and clients that speak to its socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use meshwire_server::listen::{Admission, Limits, Peer, Stopped, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than anything here takes; only a fault waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) entered: Notify,
    pub(crate) release: Notify,
    pub(crate) broken: Notify,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) signals: Arc<Signals>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<Stopped>,
}

impl Server {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::admitting(limits, Admission::default()).await
    }

    pub(crate) async fn admitting(limits: Limits, admission: Admission) -> Self {
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

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client
    }

    pub(crate) async fn stop(self) -> Stopped {
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
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until `enough` says so. False when the server closes first.
    pub(crate) async fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> bool {
        while !enough(&self.read) {
            if within(self.stream.read_buf(&mut self.read)).await.unwrap() == 0 {
                return false;
            }
        }
        true
    }

    pub(crate) async fn head(&mut self) -> String {
        let end = |read: &[u8]| read.windows(4).position(|window| window == b"\r\n\r\n");
        assert!(self.read_until(|read| end(read).is_some()).await, "no answer: {:?}", self.read);
        let rest = self.read.split_off(end(&self.read).unwrap() + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        head.to_ascii_lowercase()
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let length: usize = length.parse().unwrap();
        assert!(self.read_until(|read| read.len() >= length).await);
        let rest = self.read.split_off(length);
        let body = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        Answer { status: head[9..12].parse().unwrap(), head, body }
    }

    /// Waits for the server to close, and for nothing to come before that.
    pub(crate) async fn closed(&mut self) {
        self.read_until(|_| false).await;
        assert_eq!(String::from_utf8_lossy(&self.read), "");
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("this should have happened long ago")
}

pub(crate) fn short() -> Limits {
    Limits {
        header_deadline: Duration::from_millis(300),
        idle_deadline: Duration::from_millis(600),
        ..Limits::default()
    }
}

pub(crate) const GOOD: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
