//! Senders and readers that go on whatever happens, and note what they saw.
//!
//! A sender repeats a message under its key until it is answered, as the command line does, on another node when
//! there is one. Every third sender has no keys, and so it never repeats anything. A reader follows its inbox, and forgets
//! from time to time where it was: then it is told from its kept cursor on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meshwire_protocol::MessageId;
use meshwire_server::store::Stream;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::checker::{Attempt, Cursor, Sight, Tickets, check};
use crate::ground::{Ground, reader_name, sender_name};
use crate::{LIMIT, times};

/// What a client does between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// After how many pages a reader forgets where it was.
const PAGES: usize = 7;
/// So many sends to everyone come between two to a single reader.
const BROADCASTS: usize = 3;

/// How sends went, by node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) answered: Vec<usize>,
    /// Refused with 503.
    pub(crate) unavailable: Vec<usize>,
    /// Sends and polls that got no answer at all in the time that a client gives them.
    pub(crate) hung: usize,
    /// The most tries that one message took.
    pub(crate) tries: usize,
}

impl Counts {
    pub(crate) fn all(&self) -> usize {
        self.answered.iter().sum()
    }
}

struct Shared {
    ground: Arc<Ground>,
    nodes: Vec<String>,
    tickets: Tickets,
    stop: AtomicBool,
    /// Of a sender, after each message.
    rest: Duration,
    counts: watch::Sender<Counts>,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<Vec<Attempt>>>,
    readers: Vec<JoinHandle<Sight>>,
}

/// All that was sent and read.
pub(crate) struct Story {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) sights: Vec<Sight>,
    log: Sight,
    pub(crate) counts: Counts,
}

impl Story {
    pub(crate) fn check(&self) {
        println!("{} sends; {:?}", self.attempts.len(), self.counts);
        // What the log itself has lost is lost to everyone.
        assert_eq!(check(&self.attempts, &[], &self.log), Ok(()));
        assert_eq!(check(&self.attempts, &self.sights, &self.log), Ok(()));
    }
}

impl Load {
    pub(crate) fn start(ground: &Arc<Ground>, nodes: &[&str], senders: usize) -> Self {
        Self::paced(ground, nodes, senders, Duration::ZERO)
    }

    /// The same with senders that rest after each message.
    pub(crate) fn paced(
        ground: &Arc<Ground>,
        nodes: &[&str],
        senders: usize,
        rest: Duration,
    ) -> Self {
        let none = vec![0; nodes.len()];
        let counts = Counts { answered: none.clone(), unavailable: none, hung: 0, tries: 0 };
        let shared = Arc::new(Shared {
            ground: Arc::clone(ground),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            tickets: Tickets::default(),
            stop: AtomicBool::new(false),
            rest,
            counts: watch::Sender::new(counts),
        });
        let readers = (0..ground.readers.len())
            .map(|number| tokio::spawn(read(Arc::clone(&shared), number, senders)))
            .collect();
        let senders =
            (0..senders).map(|number| tokio::spawn(send(Arc::clone(&shared), number))).collect();
        Self { shared, senders, readers }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// Waits until sends have gone like this.
    pub(crate) async fn until(&self, what: &str, like: impl FnMut(&Counts) -> bool) {
        let mut counts = self.shared.counts.subscribe();
        let reached = timeout(LIMIT, counts.wait_for(like)).await.is_ok();
        assert!(reached, "never: {what}: {:?}", self.counts());
    }

    /// Waits for so many more answers, of any node.
    pub(crate) async fn goes_on(&self, more: usize) {
        let wanted = self.counts().all() + more;
        self.until("sends are answered again", |counts| counts.all() >= wanted).await;
    }

    /// Waits for so many more answers of this node.
    pub(crate) async fn goes_on_at(&self, node: usize, more: usize) {
        let wanted = self.counts().answered[node] + more;
        self.until("this node answers sends", |counts| counts.answered[node] >= wanted).await;
    }

    /// Ends the sending, and waits until everyone has read all of it.
    pub(crate) async fn finish(self) -> Story {
        self.finish_with(|| ()).await
    }

    /// The same; all is looked at after `end` has let go of the data.
    pub(crate) async fn finish_with(self, end: impl FnOnce()) -> Story {
        let Self { shared, senders, readers } = self;
        shared.stop.store(true, Ordering::SeqCst);
        let number = senders.len();
        let mut attempts = Vec::new();
        for sender in senders {
            attempts.extend(sender.await.unwrap());
        }
        attempts.push(attempt(&shared, number, 0).await);
        let mut sights = Vec::new();
        for (number, reader) in readers.into_iter().enumerate() {
            let sight = timeout(LIMIT, reader)
                .await
                .unwrap_or_else(|_| panic!("reader {number} does not come to the end"))
                .unwrap();
            sights.push(sight);
        }
        end();
        let ground = &shared.ground;
        let store = ground.store().await;
        for (sight, reader) in sights.iter_mut().zip(&ground.readers) {
            let kept = store.position(&ground.mesh, reader).await.unwrap();
            sight.cursors.push(Cursor::Kept(kept.unwrap().cursor));
        }
        let mut everything = vec![Stream::All];
        everything.extend(shared.ground.readers.iter().cloned().map(Stream::Agent));
        let mut log = Sight::of(everything);
        for stored in shared.ground.log().await {
            log.saw(stored.message.id, &stored.message.content);
        }
        let counts = shared.counts.borrow().clone();
        Story { attempts, sights, log, counts }
    }
}

/// Sends one message after the other.
async fn send(shared: Arc<Shared>, number: usize) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    while !shared.stop.load(Ordering::SeqCst) {
        attempts.push(attempt(&shared, number, attempts.len()).await);
        if !shared.rest.is_zero() {
            sleep(shared.rest).await;
        }
    }
    attempts
}

async fn attempt(shared: &Shared, sender: usize, counter: usize) -> Attempt {
    let (ground, text) = (&shared.ground, Attempt::text(sender, counter));
    let mut body = json!({"from": sender_name(sender), "content": text});
    let mut stream = Stream::All;
    if counter % (BROADCASTS + 1) == BROADCASTS {
        let reader = counter / (BROADCASTS + 1) % ground.readers.len();
        body["to"] = json!(reader_name(reader));
        stream = Stream::Agent(ground.readers[reader].clone());
    }
    let asked = shared.tickets.draw();
    let body = body.to_string();
    let id = if sender % 3 == 2 && !shared.stop.load(Ordering::SeqCst) {
        shared.try_once(sender % shared.nodes.len(), None, body, 1).await
    } else {
        let trying = timeout(LIMIT, shared.try_until_answered(sender, &text, &body)).await;
        Some(trying.unwrap_or_else(|_| panic!("{text} is never answered")))
    };
    let answered = id.map(|id| (shared.tickets.draw(), id));
    Attempt { sender, counter, stream, asked, answered }
}

impl Shared {
    async fn try_until_answered(&self, sender: usize, key: &str, body: &str) -> MessageId {
        let mut tries = 1;
        loop {
            let node = (sender + tries - 1) % self.nodes.len();
            if let Some(id) = self.try_once(node, Some(key), body.to_owned(), tries).await {
                return id;
            }
            tries += 1;
        }
    }

    async fn try_once(
        &self,
        node: usize,
        key: Option<&str>,
        body: String,
        tries: usize,
    ) -> Option<MessageId> {
        let path = format!("/mesh/{}/messages", self.ground.mesh);
        let mut request = self.ground.request(Method::POST, &self.nodes[node], &path).body(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => {
                // What is cut off was not answered.
                let text = answer.text().await.unwrap_or_default();
                if let Ok(sent) = serde_json::from_str::<Value>(&text) {
                    self.counts.send_modify(|counts| {
                        counts.answered[node] += 1;
                        counts.tries = counts.tries.max(tries);
                    });
                    return Some(id(&sent["id"]));
                }
            }
            Ok(answer) => {
                try_again_later(&answer);
                self.counts.send_modify(|counts| counts.unavailable[node] += 1);
            }
            Err(error) => self.lost(&error),
        }
        sleep(PAUSE).await;
        None
    }

    fn lost(&self, error: &reqwest::Error) {
        if error.is_timeout() {
            self.counts.send_modify(|counts| counts.hung += 1);
        }
    }
}

/// Nothing else is refused, and who is refused is told when to come again.
fn try_again_later(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{}", answer.url().path());
    assert!(answer.headers().contains_key(RETRY_AFTER), "503 says when to try again");
}

fn id(value: &Value) -> MessageId {
    MessageId::new(value.as_i64().unwrap()).unwrap()
}

/// Reads until it has read the last message.
async fn read(shared: Arc<Shared>, number: usize, senders: usize) -> Sight {
    let ground = &shared.ground;
    let mut sight = Sight::of(ground.streams_of(number));
    let (mut after, mut node, mut pages) = (None, number % shared.nodes.len(), 0);
    let last = Attempt::text(senders, 0);
    // Readers of another pace; the slow one is not to need an hour for a long log.
    let limit = [1_000, times(3, 30), 50][number % 3];
    loop {
        let asked = shared.tickets.draw();
        let Some(page) = page(&shared, number, node, after, limit).await else {
            node = (node + 1) % shared.nodes.len();
            sleep(PAUSE).await;
            continue;
        };
        sight.cursors.extend(after.map(Cursor::Acknowledged));
        let messages = page["messages"].as_array().unwrap();
        for message in messages {
            sight.saw(id(&message["id"]), message["content"].as_str().unwrap());
        }
        if !messages.is_empty() {
            sight.asked_at(asked);
        }
        if sight.read.last().is_some_and(|(_, text)| *text == last) {
            return sight;
        }
        pages += 1;
        match after {
            Some(kept) if pages % PAGES == 0 => {
                sight.begin_anew(kept);
                after = None;
                node = (node + 1) % shared.nodes.len();
            }
            _ => after = Some(id(&page["cursor"])),
        }
    }
}

/// A page of the inbox; `None` when the node does not answer.
async fn page(
    shared: &Shared,
    reader: usize,
    node: usize,
    after: Option<MessageId>,
    limit: usize,
) -> Option<Value> {
    let Ground { mesh, .. } = &*shared.ground;
    let name = reader_name(reader);
    let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
    let path = format!("/mesh/{mesh}/agents/{name}/messages?wait=15&limit={limit}{after}");
    let answer = shared.ground.request(Method::GET, &shared.nodes[node], &path).send().await;
    let answer = answer.inspect_err(|error| shared.lost(error)).ok()?;
    if answer.status() != StatusCode::OK {
        try_again_later(&answer);
        return None;
    }
    serde_json::from_str(&answer.text().await.ok()?).ok()
}
