//! The inbox of one agent, and the one way from it to a model.

use std::fs::File;
use std::path::PathBuf;

use meshwire_protocol::{AgentId, From, MeshId, MessageId};

use super::lock::{self, Part};
use crate::client::{Client, RawMessage};
use crate::credentials::Home;
use crate::failure::Outcome;

/// The inbox of an agent, for all that hands its messages to a model on this computer.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    client: Client,
    mesh: MeshId,
    agent: AgentId,
    lock: PathBuf,
}

/// What is unread, and the lock of the inbox: as long as this lives, nobody else on this computer hands
/// anything over. Dropped without [`Unread::acknowledge`], the messages come again.
#[derive(Debug)]
#[must_use]
pub(crate) struct Unread {
    /// The messages, oldest first.
    pub(crate) messages: Vec<RawMessage>,
    /// Whether older messages were removed before they were read.
    pub(crate) gap: bool,
    /// Whether there is more than this.
    pub(crate) more: bool,
    /// What is acknowledged.
    cursor: MessageId,
    inbox: Inbox,
    _lock: File,
}

/// What a wait has seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Whether there is a message.
    pub(crate) message: bool,
    /// How far it has looked; where the next wait may start.
    pub(crate) cursor: MessageId,
}

impl Inbox {
    /// The inbox of a registered agent.
    pub(crate) fn new(home: &Home, client: Client, mesh: MeshId, agent: AgentId) -> Outcome<Self> {
        let lock = lock::path(home, Part::Inbox, client.url(), &mesh, &agent)?;
        Ok(Self { client, mesh, agent, lock })
    }

    /// Waits for its turn, then reads up to so many messages from where the agent has acknowledged them.
    pub(crate) async fn take(&self, limit: u32) -> Outcome<Unread> {
        let lock = lock::acquire(self.lock.clone()).await?;
        let page =
            self.client.inbox(&self.mesh, self.agent.as_str(), None, 0, limit, false).await?;
        Ok(Unread {
            messages: page.messages,
            gap: page.gap,
            more: page.more,
            cursor: page.cursor,
            inbox: self.clone(),
            _lock: lock,
        })
    }

    /// Waits up to so many seconds until there is a message after `after`, or after the kept cursor. It is a
    /// hint only: another program may take the message first. Acknowledges nothing.
    pub(crate) async fn wait(&self, after: Option<MessageId>, seconds: u64) -> Outcome<Seen> {
        let after = after.map(From::Id);
        let page =
            self.client.inbox(&self.mesh, self.agent.as_str(), after, seconds, 1, false).await?;
        Ok(Seen { message: !page.messages.is_empty(), cursor: page.cursor })
    }
}

impl Unread {
    /// Whether there is nothing to hand over.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Leaves all but the first messages for later: neither handed over now nor acknowledged.
    pub(crate) fn truncate(&mut self, length: usize) -> Outcome<()> {
        if length == 0 || length >= self.messages.len() {
            return Ok(());
        }
        self.messages.truncate(length);
        if let Some(last) = self.messages.last() {
            self.cursor = last.id()?;
            self.more = true;
        }
        Ok(())
    }

    /// The messages have been handed over: the agent's cursor moves behind them.
    pub(crate) async fn acknowledge(self) -> Outcome<()> {
        // A read that starts behind them acknowledges them, and unlike a cursor that is set it can never
        // take back what another computer has acknowledged meanwhile.
        let Inbox { client, mesh, agent, .. } = &self.inbox;
        client.inbox(mesh, agent.as_str(), Some(From::Id(self.cursor)), 0, 1, true).await?;
        Ok(())
    }
}
