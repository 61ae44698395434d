//! The newest messages of a mesh in memory, and the polls that wait for more.
//!
//! A poll registers as a waiter, looks, and only then sleeps; a commit publishes its messages and wakes
//! those that they are for. In the other order a wake-up between the look and the sleep would be lost.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwire_protocol::limits::MAX_PAGE_BYTES;
use meshwire_protocol::{AgentId, MessageId, TokenId};
use tokio::sync::oneshot;

use crate::store::{Stored, Stream};

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
    /// With their sizes.
    messages: VecDeque<(Arc<Stored>, usize)>,
    bytes: usize,
    waiters: HashMap<AgentId, Vec<Waiter>>,
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
        let number = inner.next_waiter;
        inner.next_waiter += 1;
        let waiter = Waiter { number, agent: agent.clone(), token: token.clone(), wake };
        inner.waiters.entry(agent.clone()).or_default().push(waiter);
        Waiting { tail: Self(Arc::clone(&self.0)), agent: agent.clone(), number, woken }
    }

    /// What an agent has to read after `position`, if all of it up to `head` is here.
    pub(super) fn collect(
        &self,
        agent: &AgentId,
        position: MessageId,
        head: MessageId,
        limit: usize,
    ) -> Option<Found> {
        let inner = self.lock();
        if position == head {
            return Some(Found { messages: Vec::new(), seen_to: head, more: false });
        }
        if inner.head != head || inner.from > position {
            return None;
        }
        let start = inner.messages.partition_point(|(stored, _)| stored.message.id <= position);
        let mut found = Found { messages: Vec::new(), seen_to: head, more: false };
        let unread = inner.messages.range(start..).filter(|(stored, _)| is_for(agent, stored));
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

    /// Takes in a batch that was committed after `follows`, and wakes the polls that it is for.
    pub(super) fn publish(&self, follows: MessageId, batch: &[Arc<Stored>]) {
        let Some(last) = batch.last() else { return };
        let mut inner = self.lock();
        if inner.head != follows {
            // Another node has written in between: what is here is not whole any more.
            inner.messages.clear();
            inner.bytes = 0;
            inner.from = follows;
        }
        inner.head = last.message.id;
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
        for stored in batch {
            inner.wake_for(stored);
        }
    }

    /// Wakes polls whose access may have ended.
    pub(super) fn end(&self, concerns: impl Fn(&Waiter) -> bool) {
        let mut inner = self.lock();
        for waiters in inner.waiters.values_mut() {
            for waiter in waiters.extract_if(.., |waiter| concerns(waiter)) {
                let _ = waiter.wake.send(Wake::Ended);
            }
        }
    }
}

impl Inner {
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
