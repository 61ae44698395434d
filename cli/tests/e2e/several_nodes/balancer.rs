//! What operators put before several nodes: each connection goes to the next node that is there.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::thread::spawn;

/// A balancer; it is there until the process ends.
pub(crate) struct Balancer {
    pub(crate) url: String,
    nodes: Arc<OnceLock<Vec<String>>>,
}

impl Balancer {
    /// Starts it before its nodes, which have its address as their public URL.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let nodes: Arc<OnceLock<Vec<String>>> = Arc::default();
        let known = Arc::clone(&nodes);
        spawn(move || {
            for (turn, client) in listener.incoming().enumerate() {
                if let Some(node) = next_node(known.wait(), turn) {
                    join(client.unwrap(), node);
                }
            }
        });
        Self { url, nodes }
    }

    pub(crate) fn leads_to(&self, urls: &[String]) {
        let address = |url: &String| url.trim_start_matches("http://").to_owned();
        self.nodes.set(urls.iter().map(address).collect()).unwrap();
    }
}

fn next_node(nodes: &[String], turn: usize) -> Option<TcpStream> {
    (0..nodes.len()).find_map(|n| TcpStream::connect(&nodes[(turn + n) % nodes.len()]).ok())
}

/// Carries bytes both ways. An end on one side ends the other.
fn join(client: TcpStream, node: TcpStream) {
    for socket in [&client, &node] {
        socket.set_nodelay(true).unwrap();
    }
    let ways = [(client.try_clone().unwrap(), node.try_clone().unwrap()), (node, client)];
    for (mut from, mut to) in ways {
        spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            for socket in [from, to] {
                if let Err(error) = socket.shutdown(Shutdown::Both) {
                    assert_eq!(error.kind(), ErrorKind::NotConnected);
                }
            }
        });
    }
}
