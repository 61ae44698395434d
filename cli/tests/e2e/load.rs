//! Senders that go on whatever happens, and note what became of each message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use meshwire_protocol::MessageId;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::Stream;
use crate::checker::{Attempt, Tickets};
use crate::service::LIMIT;

/// So many messages to everyone come between two to a single reader.
const BROADCASTS: usize = 3;

/// One answer of so many is lost.
const ANSWERS: usize = 10;

/// A message that is to be sent, until it is answered.
pub(crate) struct Letter<'a> {
    pub(crate) sender: usize,
    pub(crate) counter: usize,
    pub(crate) to: &'a str,
    pub(crate) text: String,
}

pub(crate) fn sender_name(number: usize) -> String {
    format!("sender-{number}")
}

struct Shared<S> {
    send: S,
    readers: Vec<String>,
    tickets: Tickets,
    stop: Arc<AtomicBool>,
}

pub(crate) struct Load {
    senders: Vec<JoinHandle<Vec<Attempt>>>,
    stop: Arc<AtomicBool>,
    answers: Receiver<()>,
    /// Sends one more message, after all others.
    last: Box<dyn FnOnce() -> Attempt>,
}

impl Load {
    /// Starts so many senders, of which each sends so many messages, one after the other. `send` answers with the id.
    pub(crate) fn start(
        senders: usize,
        each: usize,
        readers: &[String],
        send: impl Fn(&Letter<'_>) -> MessageId + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (tickets, readers) = (Tickets::default(), readers.to_vec());
        let shared = Arc::new(Shared { send, readers, tickets, stop: Arc::clone(&stop) });
        let (answer, answers) = mpsc::channel();
        let threads = (0..senders).map(|sender| {
            let (shared, answer) = (Arc::clone(&shared), answer.clone());
            std::thread::spawn(move || {
                let mut attempts = Vec::new();
                while attempts.len() < each && !shared.stop.load(Ordering::SeqCst) {
                    attempts.push(shared.attempt(sender, attempts.len()));
                    let _ = answer.send(());
                }
                attempts
            })
        });
        let threads = threads.collect();
        let last = Box::new(move || shared.attempt(senders, 0));
        Self { senders: threads, stop, answers, last }
    }

    /// Waits for so many answers from now on.
    pub(crate) fn goes_on(&self, more: usize) {
        while self.answers.try_recv().is_ok() {}
        self.comes_to(more);
    }

    /// Waits for so many answers, with those that came since the last wait.
    pub(crate) fn comes_to(&self, more: usize) {
        for _ in 0..more {
            self.answers.recv_timeout(LIMIT).expect("sends are answered");
        }
    }

    /// Tells the senders to send nothing more.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Waits until all is sent, and sends one message more; all attempts.
    pub(crate) fn finish(self) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for sender in self.senders {
            attempts.extend(sender.join().unwrap());
        }
        attempts.push((self.last)());
        attempts
    }
}

impl<S: Fn(&Letter<'_>) -> MessageId> Shared<S> {
    fn attempt(&self, sender: usize, counter: usize) -> Attempt {
        let turn = counter % (BROADCASTS + 1) == BROADCASTS;
        let alone = turn.then(|| &self.readers[counter / (BROADCASTS + 1) % self.readers.len()]);
        let text = Attempt::text(sender, counter);
        let asked = self.tickets.draw();
        let to = alone.map_or("all", String::as_str);
        let id = (self.send)(&Letter { sender, counter, to, text });
        let answered = Some((self.tickets.draw(), id));
        let stream = alone.map_or(Stream::All, |reader| Stream::Agent(reader.clone()));
        Attempt { sender, counter, stream, asked, answered }
    }
}

/// Sends over HTTP as the command line does: what was not answered is repeated under its key, here on another
/// node when there is one. Now and then it acts as though an answer had been lost, whatever is done to the nodes.
pub(crate) struct Http {
    client: Client,
    nodes: Vec<String>,
    mesh: String,
    token: String,
}

impl Http {
    pub(crate) fn new(nodes: Vec<String>, mesh: &str, token: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self { client, nodes, mesh: mesh.to_owned(), token: token.to_owned() }
    }

    /// Makes an agent.
    pub(crate) fn register(&self, name: &str) {
        let url = format!("{}/mesh/{}/agents", self.nodes[0], self.mesh);
        let body = json!({"name": name}).to_string();
        let deadline = Instant::now() + LIMIT;
        loop {
            let request = self.client.post(&url).bearer_auth(&self.token).body(body.clone());
            let answer = request.send();
            // A store that was away for a moment, or an agent that is there although nobody was told.
            let status = answer.map(|answer| answer.status().as_u16());
            if matches!(status, Ok(200 | 201)) {
                return;
            }
            assert!(matches!(status, Err(_) | Ok(503)), "{status:?}");
            assert!(Instant::now() < deadline, "{name} cannot be made: {status:?}");
        }
    }

    pub(crate) fn send(&self, letter: &Letter<'_>) -> MessageId {
        let Letter { sender, counter, to, text } = letter;
        let body = json!({"from": sender_name(*sender), "to": to, "content": text}).to_string();
        let deadline = Instant::now() + LIMIT;
        let mut lost = counter % ANSWERS == ANSWERS - 1;
        let mut tries = 0;
        loop {
            let node = &self.nodes[(sender + tries) % self.nodes.len()];
            match self.try_once(node, text, &body) {
                Some(_) if lost => lost = false,
                Some(id) => return id,
                None => {}
            }
            assert!(Instant::now() < deadline, "{text} gets no answer any more");
            tries += 1;
            std::thread::yield_now();
        }
    }

    fn try_once(&self, node: &str, key: &str, body: &str) -> Option<MessageId> {
        let url = format!("{node}/mesh/{}/messages", self.mesh);
        let request = self.client.post(url).bearer_auth(&self.token).header("Idempotency-Key", key);
        let answer = request.body(body.to_owned()).send().ok()?;
        let status = answer.status();
        // The body may be cut off by a kill: then it was not answered.
        let text = answer.text().unwrap_or_default();
        if !status.is_success() {
            assert_eq!(status, 503, "{text}");
            return None;
        }
        let sent: Value = serde_json::from_str(&text).ok()?;
        Some(id_of(&sent))
    }
}

/// The id of a message.
pub(crate) fn id_of(message: &Value) -> MessageId {
    MessageId::new(message["id"].as_i64().unwrap()).unwrap()
}
