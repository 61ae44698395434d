//! Listening: the accept loop, the limits of a connection, and the orderly stop.
//!
//! `axum::serve` waits for ever for a silent peer and takes requests that a proxy may read in another way, so the
//! server has its own loop over hyper. Each connection is a `guard::Guard` over the socket, hyper's HTTP/1 over
//! the guard, and the router over hyper.

mod admission;
mod answers;
mod framing;
mod guard;
mod head;
mod refusal;

use std::convert::Infallible;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tower::Service;

pub use admission::Admission;
use admission::Entry;
use answers::Answers;
use guard::Guard;
use refusal::Refusal;

use crate::settings;

/// How long the loop rests when the system refuses a new connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection that has asked for nothing yet may still do so when the server stops: its client has just
/// connected, and would take the end of it for a failure.
const LAST_CALL: Duration = Duration::from_secs(1);
/// Most connections that the system queues for us; it may have a lower limit of its own.
const QUEUE: u32 = 4_096;

/// What one connection, and all of them together, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the head of a request may take, counted from the start of the connection, or from the first byte
    /// of a later request. A silent connection ends with it too. Default: 10 s.
    pub header_deadline: Duration,
    /// How long a connection may be idle after an answer. Default: 75 s, longer than proxies keep theirs, so that it is
    /// not us who close a connection that a proxy is about to use again.
    pub idle_deadline: Duration,
    /// How long a peer may read nothing of an answer that waits for it. Default: 30 s.
    pub write_stall: Duration,
    /// Most bytes in a request line and its header fields together. Default: 32 KiB.
    pub max_header_bytes: usize,
    /// Most header fields in a request. Default: 64.
    pub max_header_fields: usize,
    /// Most connections at once; more of them wait in the system's queue until one ends. Default: 24,000, more than
    /// there may be open polls, so that sends still get through.
    pub max_connections: usize,
    /// How long the answers under way may take when the server stops. Default: 8 s.
    pub drain_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_deadline: Duration::from_secs(10),
            idle_deadline: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            max_header_bytes: 32 * 1024,
            max_header_fields: 64,
            max_connections: 24_000,
            drain_deadline: Duration::from_secs(8),
        }
    }
}

impl From<&settings::Limits> for Limits {
    fn from(limits: &settings::Limits) -> Self {
        let number = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            header_deadline: Duration::from_secs(limits.header_seconds.into()),
            max_header_bytes: number(limits.header_bytes),
            max_header_fields: number(limits.header_fields),
            max_connections: match limits.connections {
                0 => usize::MAX,
                limit => number(limit),
            },
            ..Self::default()
        }
    }
}

/// The address of the peer, in the extensions of every request. Behind a proxy it is the proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// How the serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Stopped {
    /// Connections that were dropped because their answers took longer than [`Limits::drain_deadline`].
    pub cut_off: usize,
}

/// Listens at an address, with room for all the agents that come back at once when a server restarts: a client that finds
/// the queue full tries again only after a second. What tokio asks for by itself is room for 128.
///
/// # Errors
///
/// The address is in use, or not one of this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that the next server can have the port of one whose connections linger.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Serves every connection until `stop` resolves, then takes no more of them but those that the system has queued, lets
/// the answers under way finish with `Connection: close`, and closes the idle ones.
pub async fn serve(
    listener: TcpListener,
    service: Router,
    limits: Limits,
    admission: Admission,
    stop: impl Future<Output = ()> + Send,
) -> Stopped {
    let mut stop = pin!(stop);
    let mut connections = JoinSet::new();
    let (stopping, watch) = watch::channel(false);
    let connection = |stream, peer: SocketAddr| {
        let entry = admission.enter(peer.ip())?;
        Some(serve_connection(stream, peer, entry, service.clone(), limits, watch.clone()))
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(end) = connections.join_next() => {
                log_end(end);
                continue;
            }
            accepted = listener.accept(), if connections.len() < limits.max_connections => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(connection) = connection(stream, peer) else { continue };
                connections.spawn(connection);
                if connections.len() == limits.max_connections {
                    tracing::warn!(
                        limit = "MESHWIRE_LIMIT_CONNECTIONS",
                        "there are as many connections as there may be; further ones wait"
                    );
                }
            }
            Err(error) if concerns_one_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::select! {
                    () = &mut stop => break,
                    () = sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
    let room = limits.max_connections.saturating_sub(connections.len());
    for (stream, peer) in queued(listener).take(room) {
        if let Some(connection) = connection(stream, peer) {
            connections.spawn(connection);
        }
    }
    stopping.send_replace(true);
    let drain = async {
        while let Some(end) = connections.join_next().await {
            log_end(end);
        }
    };
    let _ = timeout(limits.drain_deadline, drain).await;
    let cut_off = connections.len();
    connections.shutdown().await;
    Stopped { cut_off }
}

/// Those who have connected and were not accepted yet: closing the listener resets their connections.
///
/// The system is asked: tokio hears of some of them only later.
fn queued(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std().ok();
    let accept = move || match listener.as_ref()?.accept() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        accepted => Some(accepted),
    };
    iter::from_fn(accept).take(QUEUE as usize).filter_map(|accepted| {
        let (stream, peer) = accepted.ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    })
}

/// Errors of accept(2) that are about a peer that has gone already, not about us.
fn concerns_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

fn log_end(end: Result<(), JoinError>) {
    if let Err(error) = end {
        tracing::error!(%error, "a connection ended in a panic");
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    entry: Entry,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
    }
    let answers = Answers::default();
    let mut guard = Guard::new(stream, answers.clone(), &limits);
    if entry.is_one_too_many() {
        guard = guard.refusing(Refusal::too_many_connections());
    }
    let asked = Notify::new();
    let service = service_fn(|request: Request<Incoming>| {
        asked.notify_one();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answer = router.clone().call(request);
        let answers = answers.clone();
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| answers.count(body)))
        }
    });
    let mut http = http1::Builder::new();
    // The guard keeps the deadline: it holds a head back until it is complete, so hyper sees only silence.
    http.header_read_timeout(None)
        // A peer that closes its side has gone: whatever waits on its behalf ends.
        .half_close(false)
        .keep_alive(true)
        .max_buf_size(limits.max_header_bytes.max(8 * 1024) + 8 * 1024);
    if limits.max_header_fields > 100 {
        // hyper's own limit; up to there it parses without an allocation.
        http.max_headers(limits.max_header_fields);
    }
    let mut connection = pin!(http.serve_connection(guard, service));
    let stop = async {
        // An error means that `serve` itself was dropped, and this task with it.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        // At once when there was a request before.
        let _ = timeout(LAST_CALL, asked.notified()).await;
    };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %peer, "a connection broke off");
    }
}
