//! What the log of a mesh should do, in as few lines as possible and without a line of the server's.

use std::collections::HashMap;

use anyhow::{Result, bail, ensure};
use meshwire_protocol::{AgentId, DeliveryState, ErrorCode, From, InboxPage, MessageId};
use meshwire_server::store::Micros;

use crate::steps::{Draft, To};

pub(crate) const DAY: Micros = 24 * 60 * 60 * 1_000_000;

/// A message of the log. Trimmed ones stay here: they are those up to the trim point.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) id: Micros,
    pub(crate) from: AgentId,
    pub(crate) to: Option<AgentId>,
    pub(crate) content: String,
}

impl Entry {
    fn is_for(&self, agent: &AgentId) -> bool {
        self.to.as_ref().map_or(self.from != *agent, |to| to == agent)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) start: Micros,
    pub(crate) cursor: Micros,
    /// In memory, and as far as written.
    pub(crate) handed: (Micros, Micros),
    /// When it last read its inbox or registered: in memory, and as far as written.
    pub(crate) read_at: (Micros, Micros),
}

#[derive(Debug)]
struct Sent {
    draft: Draft,
    id: Micros,
    expires_at: Micros,
}

/// What became of a send: the id and whether it was a repeat, or the error.
pub(crate) type Outcome = Result<(Micros, bool), ErrorCode>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) head: Micros,
    pub(crate) trimmed: Micros,
    pub(crate) paused: bool,
    pub(crate) log: Vec<Entry>,
    /// By name.
    pub(crate) agents: HashMap<usize, Agent>,
    keys: HashMap<(AgentId, u8), Sent>,
}

impl Model {
    /// The n-th message that there ever was, or nothing yet.
    pub(crate) fn id_of(&self, message: usize) -> Micros {
        self.log.get(message % self.log.len().max(1)).map_or(0, |entry| entry.id)
    }

    pub(crate) fn agent(&mut self, name: usize) -> Result<&mut Agent> {
        self.agents.get_mut(&name).ok_or_else(|| anyhow::anyhow!("the agent {name} is not there"))
    }

    /// Sends that ran between `began` and `ended`, all at once: those that were answered, in the order that
    /// the log gave them, then the others.
    pub(crate) fn sent(
        &mut self,
        mut all: Vec<(Draft, Outcome)>,
        began: Micros,
        ended: Micros,
    ) -> Result<()> {
        all.sort_by_key(|(_, outcome)| match outcome {
            Ok((id, repeated)) => (*id, *repeated),
            Err(_) => (Micros::MAX, true),
        });
        // What is refused may have been so before the others were written, or after.
        let before: Vec<_> = all.iter().map(|(draft, _)| self.expected(draft, began)).collect();
        for ((draft, outcome), before) in all.into_iter().zip(before) {
            let expected = self.expected(&draft, began);
            match (&expected, &outcome) {
                // I2 to I6: it is new, and above all that was answered before.
                (None, Ok((id, false))) => {
                    let next = self.head + 1;
                    ensure!(
                        (next.max(began)..=next.max(ended)).contains(id),
                        "{draft:?} got the id {id} after the head {} at {began}..{ended}",
                        self.head
                    );
                    self.append(draft, *id, ended)?;
                }
                (Some(expected), outcome) if expected == outcome => {}
                (_, Err(_)) if before.as_ref() == Some(&outcome) => {}
                _ => bail!("{draft:?}: {outcome:?} and not {expected:?}"),
            }
        }
        Ok(())
    }

    /// What a send leads to; `None`: a new message.
    fn expected(&self, draft: &Draft, now: Micros) -> Option<Outcome> {
        let Some(sender) = self.agents.get(&draft.from) else {
            return Some(Err(ErrorCode::AgentNotFound));
        };
        let key = draft.key.map(|key| (sender.id.clone(), key));
        if let Some(sent) = key.and_then(|key| self.keys.get(&key))
            && sent.expires_at > now
        {
            return Some(if sent.draft != *draft {
                Err(ErrorCode::IdempotencyKeyReused)
            } else if sent.id <= self.trimmed {
                Err(ErrorCode::MessageNotFound)
            } else {
                Ok((sent.id, true))
            });
        }
        match draft.to {
            _ if self.paused => Some(Err(ErrorCode::MeshPaused)),
            To::One(to) if !self.agents.contains_key(&to) => Some(Err(ErrorCode::AgentNotFound)),
            _ => None,
        }
    }

    fn append(&mut self, draft: Draft, id: Micros, now: Micros) -> Result<()> {
        let from = self.agent(draft.from)?.id.clone();
        let to = match draft.to {
            To::All => None,
            To::One(to) => Some(self.agent(to)?.id.clone()),
        };
        let content = draft.content();
        if let Some(key) = draft.key {
            let sent = Sent { draft, id, expires_at: now + DAY };
            self.keys.insert((from.clone(), key), sent);
        }
        self.log.push(Entry { id, from, to, content });
        self.head = id;
        Ok(())
    }

    /// A poll that did not wait.
    pub(crate) fn polled(
        &mut self,
        name: usize,
        after: Option<From>,
        ack: bool,
        limit: usize,
        now: Micros,
        page: &InboxPage,
    ) -> Result<()> {
        let (head, trimmed) = (self.head, self.trimmed);
        let agent = self.agent(name)?;
        agent.read_at.0 = agent.read_at.0.max(now);
        let position = match after {
            None => agent.cursor,
            Some(From::Earliest) => trimmed,
            Some(From::Latest) => head,
            Some(From::Id(id)) => id.get().min(head),
        };
        if ack && matches!(after, Some(From::Id(_))) {
            agent.cursor = agent.cursor.max(position);
        }
        if let Some(last) = page.messages.last() {
            agent.handed.0 = agent.handed.0.max(last.id.get());
        }
        let agent = agent.clone();
        ensure!(page.gap == (position < trimmed), "gap: {} at {position}", page.gap);

        // I1, I3, I7, I9: it gets the next ones that are for it, all of them, in order.
        let from = position.max(trimmed);
        let unread: Vec<&Entry> =
            self.log.iter().filter(|entry| entry.id > from && entry.is_for(&agent.id)).collect();
        ensure!(page.messages.len() <= limit, "{} messages", page.messages.len());
        ensure!(page.messages.len() <= unread.len(), "{:?} and not {unread:?}", page.messages);
        let (found, rest) = unread.split_at(page.messages.len());
        for (message, entry) in page.messages.iter().zip(found) {
            ensure!(
                (message.id.get(), &message.content, &message.from_agent_id, &message.to_agent_id)
                    == (entry.id, &entry.content, &entry.from, &entry.to),
                "{message:?} and not {entry:?}"
            );
        }
        let cursor = page.cursor.get();
        if page.more {
            let seen = found.last().map_or(from, |last| last.id);
            let next = rest.first().map_or(head, |next| next.id - 1);
            ensure!(cursor > from && (seen..=next).contains(&cursor), "{cursor} leads on");
        } else {
            ensure!(rest.is_empty(), "there is more: {rest:?}");
            ensure!(cursor == head, "{cursor} and not the head {head}");
        }
        Ok(())
    }

    /// How the receipts of a message read to its sender; `None`: it is not shown.
    pub(crate) fn receipts(&self, id: Micros) -> Option<Vec<(AgentId, DeliveryState)>> {
        let entry = self.shown().find(|entry| entry.id == id)?;
        let receivers = self.agents.values().filter(|agent| entry.is_for(&agent.id));
        let mut states: Vec<_> = receivers
            .filter(|agent| agent.start < id)
            .map(|agent| {
                let state = if id <= agent.cursor {
                    DeliveryState::Acknowledged
                } else if id <= agent.handed.0 {
                    DeliveryState::Delivered
                } else {
                    DeliveryState::Queued
                };
                (agent.id.clone(), state)
            })
            .collect();
        states.sort_by(|(a, _), (b, _)| a.cmp(b));
        Some(states)
    }

    /// What the user, to whom all agents belong, may see.
    pub(crate) fn shown(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let own = |id: &AgentId| self.agents.values().any(|agent| agent.id == *id);
        self.log.iter().filter(move |entry| {
            entry.id > self.trimmed
                && entry.to.as_ref().is_none_or(|to| own(to) || own(&entry.from))
        })
    }

    /// Where the trim point is after a pass at this time.
    pub(crate) fn trim_point(&self, now: Micros) -> Micros {
        let holding = self.agents.values().filter(|agent| agent.read_at.0 > now - 7 * DAY);
        let held = holding.map(|agent| agent.cursor).min().unwrap_or(Micros::MAX);
        let to = (now - 7 * DAY - 1).min(held).max(now - 30 * DAY - 1);
        let newest = self.log.iter().rev().find(|entry| entry.id <= to).map_or(0, |entry| entry.id);
        self.trimmed.max(newest)
    }

    /// What is in memory is written.
    pub(crate) fn flushed(&mut self) {
        for agent in self.agents.values_mut() {
            agent.handed.1 = agent.handed.0;
            agent.read_at.1 = agent.read_at.0;
        }
    }

    /// What is in memory is lost.
    pub(crate) fn crashed(&mut self) {
        for agent in self.agents.values_mut() {
            agent.handed.0 = agent.handed.1;
            agent.read_at.0 = agent.read_at.1;
        }
    }
}

/// The message id of a number that is one.
pub(crate) fn id(micros: Micros) -> MessageId {
    MessageId::new(micros).unwrap_or(MessageId::ZERO)
}
