//! A wire between a node and the engine that can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::LIMIT;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// They arrive. `reset`: connections that have lost some are reset; else they stay silent for ever, like those
    /// that a firewall has forgotten.
    Whole { reset: bool },
    /// What the node says is lost.
    NoRequests,
    /// What the engine says is lost: a commit is done, and nobody hears of it.
    NoReplies,
    /// That a commit was done is lost, and what follows it.
    NoCommits,
    /// All is lost.
    Nothing,
    /// Every connection is reset.
    Reset,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Request,
    Reply,
}

pub(crate) struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
    /// How often something was lost, and how many connections were reset.
    harm: Arc<watch::Sender<usize>>,
}

impl Proxy {
    /// To the engine at this port.
    pub(crate) async fn start(engine: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (wire, state) = watch::channel(Wire::Whole { reset: true });
        let harm = Arc::new(watch::Sender::new(0));
        let noted = Arc::clone(&harm);
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                tokio::spawn(connect(node, engine, state.clone(), Arc::clone(&noted)));
            }
        });
        Self { port, wire, harm }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does harm from now on; answers when it has done some.
    pub(crate) async fn cut(&self, wire: Wire) {
        let mut harm = self.harm.subscribe();
        let before = *harm.borrow_and_update();
        self.wire.send_replace(wire);
        let done = timeout(LIMIT, harm.wait_for(|harm| *harm > before)).await.is_ok();
        assert!(done, "nothing came over the wire while it was cut");
    }

    pub(crate) fn mend(&self, reset: bool) {
        self.wire.send_replace(Wire::Whole { reset });
    }
}

async fn connect(
    mut node: TcpStream,
    engine: u16,
    wire: watch::Receiver<Wire>,
    harm: Arc<watch::Sender<usize>>,
) {
    let engine = SocketAddr::from((Ipv4Addr::LOCALHOST, engine));
    let Ok(mut engine) = TcpStream::connect(engine).await else { return };
    for socket in [&node, &engine] {
        let _ = socket.set_nodelay(true);
    }
    let torn = AtomicBool::new(false);
    let commits = AtomicBool::new(false);
    let (from_node, to_node) = node.split();
    let (from_engine, to_engine) = engine.split();
    let pump = |from, to, way| pump(from, to, way, wire.clone(), &torn, &commits, &harm);
    // An end on one side ends the other.
    tokio::select! {
        () = pump(from_node, to_engine, Way::Request) => {}
        () = pump(from_engine, to_node, Way::Reply) => {}
    }
    if torn.load(Ordering::SeqCst) || *wire.borrow() == Wire::Reset {
        harm.send_modify(|harm| *harm += 1);
        for socket in [&node, &engine] {
            // Closing it resets it.
            let _ = socket.set_zero_linger();
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut wire: watch::Receiver<Wire>,
    torn: &AtomicBool,
    commits: &AtomicBool,
    harm: &watch::Sender<usize>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let now = *wire.borrow_and_update();
        let is_torn = torn.load(Ordering::SeqCst);
        if now == Wire::Reset || (is_torn && now == (Wire::Whole { reset: true })) {
            return;
        }
        let read = tokio::select! {
            changed = wire.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer) => read,
        };
        let bytes = match read {
            Ok(0) | Err(_) => return,
            Ok(read) => &buffer[..read],
        };
        if way == Way::Request && bytes.starts_with(b"POST ") {
            commits.store(contains(bytes, b"TransactWriteItems"), Ordering::SeqCst);
        }
        let is_commit = || {
            // What DynamoDB is asked for, or the tag of the command that Postgres has completed.
            commits.load(Ordering::SeqCst) || contains(bytes, b"COMMIT\0")
        };
        let is_lost = match *wire.borrow() {
            Wire::NoRequests => way == Way::Request,
            Wire::NoReplies => way == Way::Reply,
            Wire::NoCommits => is_torn || (way == Way::Reply && is_commit()),
            Wire::Nothing | Wire::Reset => true,
            // What comes after a gap is of no use to anyone.
            Wire::Whole { .. } => torn.load(Ordering::SeqCst),
        };
        if is_lost {
            torn.store(true, Ordering::SeqCst);
            harm.send_modify(|harm| *harm += 1);
        } else if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
