//! Pushes what is unread into one live session, for as long as that lives.

use std::time::Duration;

use meshwire_protocol::{Harness, MessageId};
use tokio::time::Instant;

use super::{Inbox, Push, SessionLock, Unread, push_of};
use crate::credentials::Home;
use crate::failure::Outcome;
use crate::link::{Link, may_pass};

/// How long one poll waits, in seconds.
pub(crate) const WAIT_SECONDS: u64 = 60;
/// Messages that are read at once.
const PAGE: u32 = 100;
/// After the first message of a burst there is this much time for the others.
const GATHER: Duration = Duration::from_millis(200);
/// A server that answers empty pages at once is asked no more often than this.
const CALM: Duration = Duration::from_secs(1);
/// Pauses after a push that failed; the last one is kept. The messages are unread meanwhile, so that a hook, a
/// tool or another session may hand them over.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
];

/// What has become of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The session has it.
    Taken,
    /// The session knows that there is something, and reads it by a hook or a tool.
    Announced,
    /// The session does not take it.
    Failed,
}

/// A way into a session.
pub(crate) trait Deliver {
    /// Hands a push over.
    async fn deliver(&mut self, push: &Push) -> Outcome<Delivered>;

    /// Whether a push of which it was said that it failed has been taken after all.
    fn taken_late(&mut self) -> bool {
        false
    }

    /// This session is the one that is pushed into, or it was and no longer is.
    fn live(&mut self, _live: bool) {}
}

/// Pushes into a session.
#[derive(Debug)]
pub(crate) struct Pusher {
    inbox: Inbox,
    home: Home,
    harness: Harness,
    wait: u64,
}

impl Pusher {
    /// Of an agent that this harness runs.
    pub(crate) fn new(home: Home, inbox: Inbox, harness: Harness) -> Self {
        Self { inbox, home, harness, wait: WAIT_SECONDS }
    }

    /// With another length of a poll.
    #[must_use]
    pub(crate) fn with_wait(mut self, seconds: u64) -> Self {
        self.wait = seconds;
        self
    }

    /// Pushes until a clear no of the server. May be dropped at any await: what was not handed over is unread.
    pub(crate) async fn run(&self, link: &mut Link, way: &mut impl Deliver) -> Outcome<()> {
        let mut failures = 0;
        // A push that failed, and how far it went.
        let mut failed: Option<MessageId> = None;
        loop {
            let lock = SessionLock::acquire(
                &self.home,
                self.inbox.client().url(),
                self.inbox.mesh(),
                self.inbox.agent(),
            )
            .await?;
            way.live(true);
            if let Some(cursor) = failed.take()
                && way.taken_late()
            {
                link.keep_trying(may_pass, async || self.inbox.acknowledge(cursor).await).await?;
            }
            let ended = self.push_all(link, way, &mut failures).await?;
            way.live(false);
            drop(lock);
            failed = Some(ended);
            let pause = PAUSES[failures.min(PAUSES.len() - 1)];
            failures += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// Pushes until a push fails; how far that one went.
    async fn push_all(
        &self,
        link: &mut Link,
        way: &mut impl Deliver,
        failures: &mut usize,
    ) -> Outcome<MessageId> {
        let mut cursor = None;
        // Up to where the session was told that there is something to read.
        let mut announced = None;
        let mut empty_answers = 0;
        loop {
            let asked = Instant::now();
            let seen = link
                .keep_trying(may_pass, async || self.inbox.wait(announced, self.wait).await)
                .await?;
            if !seen.message {
                if announced.is_some() {
                    if self.take(link).await?.messages.is_empty() {
                        announced = None;
                    }
                } else if cursor.is_some_and(|cursor| cursor < seen.cursor) {
                    // Over what was not for this agent, lest it be kept for us.
                    link.keep_trying(may_pass, async || self.inbox.acknowledge(seen.cursor).await)
                        .await?;
                }
                cursor = Some(seen.cursor);
                empty_answers = if asked.elapsed() < CALM { empty_answers + 1 } else { 0 };
                if empty_answers > 1 {
                    tokio::time::sleep(CALM).await;
                }
                continue;
            }
            tokio::time::sleep(GATHER).await;
            announced = None;
            loop {
                let mut unread = self.take(link).await?;
                let Some(push) = push_of(&mut unread, self.harness)? else { break };
                match way.deliver(&push).await? {
                    Delivered::Taken => {
                        *failures = 0;
                        // If the server cannot be told now, the next one to take from the inbox tells it.
                        let _ = unread.acknowledge().await;
                    }
                    Delivered::Announced => {
                        *failures = 0;
                        let end = async || unread.end().await;
                        announced = Some(link.keep_trying(may_pass, end).await?);
                        break;
                    }
                    Delivered::Failed => return Ok(unread.cursor()),
                }
            }
        }
    }

    async fn take(&self, link: &mut Link) -> Outcome<Unread> {
        link.keep_trying(may_pass, async || self.inbox.take(PAGE).await).await
    }
}
