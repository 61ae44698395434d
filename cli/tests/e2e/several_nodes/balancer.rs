//! What operators put before several nodes: each connection goes to the next node that is there.

use std::io::{Read as _, Write as _, copy, sink};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::spawn;

use crate::service::LIMIT;

/// A balancer; it is there until the process ends.
pub(crate) struct Balancer {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    nodes: OnceLock<Vec<String>>,
    /// The node of which an answer is to be lost, and who is to hear of that.
    loses: Mutex<Option<(usize, Sender<()>)>>,
}

impl Balancer {
    /// Starts it before its nodes, which have its address as their public URL.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let known = Arc::clone(&shared);
        spawn(move || {
            for (turn, client) in listener.incoming().enumerate() {
                if let Some((number, node)) = known.next_node(turn) {
                    join(&known, client.unwrap(), number, node);
                }
            }
        });
        Self { url, shared }
    }

    pub(crate) fn leads_to(&self, urls: &[String]) {
        let address = |url: &String| url.trim_start_matches("http://").to_owned();
        self.shared.nodes.set(urls.iter().map(address).collect()).unwrap();
    }

    /// Waits until a message was written by this node, and loses the answer. Its sender learns that when the node
    /// ends, and cannot know whether the message was written.
    pub(crate) fn loses_an_answer(&self, node: usize) {
        let (lost, hear) = channel();
        *self.shared.loses.lock().unwrap() = Some((node, lost));
        hear.recv_timeout(LIMIT).expect("this node answers a sender");
    }
}

impl Shared {
    fn next_node(&self, turn: usize) -> Option<(usize, TcpStream)> {
        let nodes = self.nodes.wait();
        let numbers = (0..nodes.len()).map(|n| (turn + n) % nodes.len());
        numbers.into_iter().find_map(|n| Some((n, TcpStream::connect(&nodes[n]).ok()?)))
    }

    /// Whether this answer is lost.
    fn loses(&self, node: usize, answer: &[u8]) -> bool {
        let mut loses = self.loses.lock().unwrap();
        let wanted = |(at, _): &mut (usize, _)| *at == node && answer.starts_with(b"HTTP/1.1 201");
        loses.take_if(wanted).is_some_and(|(_, lost)| lost.send(()).is_ok())
    }
}

/// Carries bytes both ways. An end on one side ends the other.
fn join(shared: &Arc<Shared>, mut client: TcpStream, number: usize, mut node: TcpStream) {
    for socket in [&client, &node] {
        socket.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_node) = (client.try_clone().unwrap(), node.try_clone().unwrap());
    spawn(move || {
        let _ = copy(&mut from_client, &mut to_node);
        end(&from_client, &to_node);
    });
    let shared = Arc::clone(shared);
    spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = node.read(&mut buffer) {
            if shared.loses(number, &buffer[..length]) {
                let _ = copy(&mut node, &mut sink());
            } else if client.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        end(&client, &node);
    });
}

fn end(client: &TcpStream, node: &TcpStream) {
    for socket in [client, node] {
        // The other side may have done it.
        let _ = socket.shutdown(Shutdown::Both);
    }
}
