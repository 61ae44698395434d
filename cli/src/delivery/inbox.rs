//! The inbox of one agent, and the one way from it to a model.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use meshwire_protocol::limits::MAX_PAGE;
use meshwire_protocol::{AgentId, From, MeshId, MessageId};

use super::lock::{self, Part};
use crate::client::{Client, RawMessage, RawPage};
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
    /// How far was looked, and whether there is more behind that.
    end: MessageId,
    more_after_end: bool,
    inbox: Inbox,
    lock: File,
}

/// What a wait has seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Whether there is a message.
    pub(crate) message: bool,
    /// How far it has looked.
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
        self.read_locked(lock, limit).await
    }

    /// The same, if its turn comes within this time.
    pub(crate) async fn take_within(
        &self,
        patience: Duration,
        limit: u32,
    ) -> Outcome<Option<Unread>> {
        match lock::acquire_within(&self.lock, patience).await? {
            Some(lock) => self.read_locked(lock, limit).await.map(Some),
            None => Ok(None),
        }
    }

    async fn read_locked(&self, lock: File, limit: u32) -> Outcome<Unread> {
        if let Some(mark) = lock::mark(&lock) {
            // Handed over by a program that could not tell the server any more.
            self.acknowledge(mark).await?;
            lock::set_mark(&lock, None);
        }
        let mut page = self.read(None, 0, limit).await?;
        while page.messages.is_empty() && page.more {
            let gap = page.gap;
            page = self.read(Some(page.cursor), 0, limit).await?;
            page.gap |= gap;
        }
        Ok(Unread {
            messages: page.messages,
            gap: page.gap,
            more: page.more,
            cursor: page.cursor,
            end: page.cursor,
            more_after_end: page.more,
            inbox: self.clone(),
            lock,
        })
    }

    /// Waits up to so many seconds until there is something unread, or something after `after`. It is a hint
    /// only: another program may take it first. Acknowledges nothing.
    pub(crate) async fn wait(&self, after: Option<MessageId>, seconds: u64) -> Outcome<Seen> {
        let mut page = self.read(after, seconds, 1).await?;
        while page.messages.is_empty() && page.more {
            page = self.read(Some(page.cursor), seconds, 1).await?;
        }
        Ok(Seen { message: !page.messages.is_empty(), cursor: page.cursor })
    }

    /// What stands before this was handed over. It may be called late: it never takes back what was
    /// acknowledged meanwhile, which setting the cursor could.
    pub(crate) async fn acknowledge(&self, cursor: MessageId) -> Outcome<()> {
        let after = Some(From::Id(cursor));
        self.client.inbox(&self.mesh, self.agent.as_str(), after, 0, 1, true).await.map(|_| ())
    }

    async fn read(&self, after: Option<MessageId>, wait: u64, limit: u32) -> Outcome<RawPage> {
        let after = after.map(From::Id);
        self.client.inbox(&self.mesh, self.agent.as_str(), after, wait, limit, false).await
    }

    /// The mesh.
    pub(crate) fn mesh(&self) -> &MeshId {
        &self.mesh
    }

    /// Whose inbox it is.
    pub(crate) fn agent(&self) -> &AgentId {
        &self.agent
    }

    /// How the server is reached.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

impl Unread {
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

    /// Up to where there is something unread, with what was left for later.
    pub(crate) async fn end(&self) -> Outcome<MessageId> {
        let (mut end, mut more) = (self.end, self.more_after_end);
        while more {
            let page = self.inbox.read(Some(end), 0, MAX_PAGE).await?;
            (end, more) = (page.cursor, page.more);
        }
        Ok(end)
    }

    /// Up to where they are acknowledged.
    pub(crate) fn cursor(&self) -> MessageId {
        self.cursor
    }

    /// The messages have been handed over: the agent's cursor moves behind them. When the server cannot be
    /// told now, the next one who takes from the inbox on this computer tells it first.
    pub(crate) async fn acknowledge(self) -> Outcome<()> {
        lock::set_mark(&self.lock, Some(self.cursor));
        self.inbox.acknowledge(self.cursor).await?;
        lock::set_mark(&self.lock, None);
        Ok(())
    }
}
