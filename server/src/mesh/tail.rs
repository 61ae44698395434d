//! The newest messages of a mesh in memory, and the polls that wait for more.
//!
//! A poll registers as a waiter, looks, and only then sleeps; a commit publishes its messages and wakes
//! those that they are for. In the other order a wake-up between the look and the sleep would be lost.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwire_protocol::limits::MAX_PAGE_BYTES;
use meshwire_protocol::{AgentId, MessageId, TokenId};
use tokio::sync::{oneshot, watch};

use crate::store::{Head, Stored, Stream};

/// Most messages that are kept.
const MOST: usize = 1_024;
/// Most bytes of content and metadata that are kept.
const MOST_BYTES: usize = 512 * 1024;
// So that whatever is found in memory fits on a page.
const _: () = assert!(MOST_BYTES <= MAX_PAGE_BYTES);

#[derive(Debug, Default)]
pub(super) struct Tail(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Everything after `from` up to `head` is here. Both 0: nothing is known yet.
    from: MessageId,
    head: MessageId,
    /// The epoch under which the newest of them was written or read.
    epoch: i64,
    /// Other nodes may have written after `head` while no poll waited here.
    unwatched: bool,
    /// With their sizes.
    messages: VecDeque<(Arc<Stored>, usize)>,
    bytes: usize,
    waiters: HashMap<AgentId, Vec<Waiter>>,
    /// Tells those who look on, whomever a message is for.
    news: watch::Sender<()>,
    next_waiter: u64,
}

/// A poll that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    number: u64,
    pub(super) agent: AgentId,
    pub(super) token: TokenId,
    wake: oneshot::Sender<Wake>,
}

/// Why a poll was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// There is something to read.
    New,
    /// Something that its access rests on has ended.
    Ended,
}

/// Messages that were found in memory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) messages: Vec<Arc<Stored>>,
    pub(super) seen_to: MessageId,
    pub(super) more: bool,
}

impl Tail {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a poll of an agent.
    pub(super) fn wait(&self, agent: &AgentId, token: &TokenId) -> Waiting {
        let (wake, woken) = oneshot::channel();
        let mut inner = self.lock();
        inner.unwatched |= inner.is_alone();
        let number = inner.next_waiter;
        inner.next_waiter += 1;
        let waiter = Waiter { number, agent: agent.clone(), token: token.clone(), wake };
        inner.waiters.entry(agent.clone()).or_default().push(waiter);
        Waiting { tail: Self(Arc::clone(&self.0)), agent: agent.clone(), number, woken }
    }

    /// Tells of whatever happens from now on, for as long as the receiver is kept.
    pub(super) fn look_on(&self) -> watch::Receiver<()> {
        let mut inner = self.lock();
        inner.unwatched |= inner.is_alone();
        inner.news.subscribe()
    }

    /// What an agent has to read after `position`, if all of it up to `head` is here.
    pub(super) fn collect(
        &self,
        agent: &AgentId,
        position: MessageId,
        head: MessageId,
        limit: usize,
    ) -> Option<Found> {
        self.lock().collect(agent, position, head, limit)
    }

    /// What an agent that was woken has to read after `position`, if all of it is here and was written while
    /// the epoch stood for which access was checked: then nobody needs to be asked.
    pub(super) fn collect_woken(
        &self,
        agent: &AgentId,
        position: MessageId,
        epoch: i64,
        limit: usize,
    ) -> Option<Found> {
        let inner = self.lock();
        let is_news = inner.epoch == epoch && inner.head > position;
        is_news.then(|| inner.collect(agent, position, inner.head, limit)).flatten()
    }

    /// How far all polls that wait have seen the log, or were woken; `None` when none waits and nobody looks on.
    pub(super) fn waited_from(&self) -> Option<MessageId> {
        let inner = self.lock();
        (!inner.is_alone()).then_some(inner.head)
    }

    /// Notes the head that a registered poll has read from the store: what comes after it will be news. Nobody
    /// has kept watch on the mesh since the last poll here ended, so messages of other nodes may have been
    /// missed; then all polls that have registered by now look again.
    pub(super) fn begin_at(&self, head: &Head) {
        let mut inner = self.lock();
        if !std::mem::take(&mut inner.unwatched) || inner.head >= head.head {
            return;
        }
        inner.restart(head.head);
        inner.head = head.head;
        inner.epoch = head.epoch;
        if inner.waiters.values().map(Vec::len).sum::<usize>() > 1 {
            inner.wake_everyone();
        }
    }

    /// Takes in messages that follow `follows`, up to `to`, as they were written or read under an epoch, and
    /// wakes the polls that they are for. When some before them are not known here, all polls are woken.
    pub(super) fn publish(
        &self,
        follows: MessageId,
        to: MessageId,
        epoch: i64,
        batch: &[Arc<Stored>],
    ) {
        let mut inner = self.lock();
        if to <= inner.head {
            // From another node, and heard of by another way before.
            return;
        }
        let whole = inner.head == follows;
        if !whole {
            inner.restart(follows);
        }
        inner.head = to;
        inner.epoch = epoch;
        for stored in batch {
            let size = stored.size();
            inner.bytes += size;
            inner.messages.push_back((Arc::clone(stored), size));
        }
        while inner.messages.len() > MOST || inner.bytes > MOST_BYTES {
            let Some((oldest, size)) = inner.messages.pop_front() else { break };
            inner.bytes -= size;
            inner.from = oldest.message.id;
        }
        if whole {
            for stored in batch {
                inner.wake_for(stored);
            }
            inner.news.send_replace(());
        } else {
            inner.wake_everyone();
        }
    }

    /// Wakes all polls, to look for themselves.
    pub(super) fn wake_everyone(&self) {
        self.lock().wake_everyone();
    }

    /// Wakes polls whose access may have ended.
    pub(super) fn end(&self, concerns: impl Fn(&Waiter) -> bool) {
        let mut inner = self.lock();
        for waiters in inner.waiters.values_mut() {
            for waiter in waiters.extract_if(.., |waiter| concerns(waiter)) {
                let _ = waiter.wake.send(Wake::Ended);
            }
        }
        inner.news.send_replace(());
    }
}

impl Inner {
    /// Whether no poll waits and nobody looks on.
    fn is_alone(&self) -> bool {
        self.waiters.is_empty() && self.news.receiver_count() == 0
    }

    /// Forgets the messages: those after `from` are yet to come.
    fn restart(&mut self, from: MessageId) {
        self.messages.clear();
        self.bytes = 0;
        self.from = from;
    }

    fn collect(
        &self,
        agent: &AgentId,
        position: MessageId,
        head: MessageId,
        limit: usize,
    ) -> Option<Found> {
        if position == head {
            return Some(Found { messages: Vec::new(), seen_to: head, more: false });
        }
        if self.head != head || self.from > position {
            return None;
        }
        let start = self.messages.partition_point(|(stored, _)| stored.message.id <= position);
        let mut found = Found { messages: Vec::new(), seen_to: head, more: false };
        let unread = self.messages.range(start..).filter(|(stored, _)| is_for(agent, stored));
        for (stored, _) in unread {
            if found.messages.len() == limit {
                found.more = true;
                found.seen_to = found.messages.last().map_or(position, |last| last.message.id);
                break;
            }
            found.messages.push(Arc::clone(stored));
        }
        Some(found)
    }

    fn wake_everyone(&mut self) {
        for (_, waiters) in self.waiters.drain() {
            wake_all(waiters);
        }
        self.news.send_replace(());
    }

    fn wake_for(&mut self, stored: &Stored) {
        match &stored.stream {
            Stream::Agent(agent) => {
                if let Some(waiters) = self.waiters.remove(agent) {
                    wake_all(waiters);
                }
            }
            Stream::All => {
                let sender = &stored.message.from_agent_id;
                for (_, waiters) in self.waiters.extract_if(|agent, _| agent != sender) {
                    wake_all(waiters);
                }
            }
        }
    }
}

fn wake_all(waiters: Vec<Waiter>) {
    for waiter in waiters {
        // A poll that has gone in the meantime needs no waking.
        let _ = waiter.wake.send(Wake::New);
    }
}

/// Whether a message of the log belongs into the inbox of an agent.
pub(super) fn is_for(agent: &AgentId, stored: &Stored) -> bool {
    match &stored.stream {
        Stream::All => stored.message.from_agent_id != *agent,
        Stream::Agent(receiver) => receiver == agent,
    }
}

/// A registered poll; unregistered when it is dropped.
pub(super) struct Waiting {
    tail: Tail,
    agent: AgentId,
    number: u64,
    woken: oneshot::Receiver<Wake>,
}

impl Waiting {
    /// Sleeps until it is woken.
    pub(super) async fn woken(&mut self) -> Wake {
        (&mut self.woken).await.unwrap_or(Wake::New)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.tail.lock();
        if let Some(waiters) = inner.waiters.get_mut(&self.agent) {
            waiters.retain(|waiter| waiter.number != self.number);
            if waiters.is_empty() {
                inner.waiters.remove(&self.agent);
            }
        }
    }
}
