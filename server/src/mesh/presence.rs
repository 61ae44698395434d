//! Which agents are there. Kept in memory, written in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use meshwire_protocol::limits::ACTIVE_WINDOW;
use meshwire_protocol::{AgentId, MeshId, MessageId};

use crate::clock::micros;
use crate::store::{AgentRow, Micros, Seen};

/// The agents of a mesh that were seen on this node.
#[derive(Debug, Default)]
pub(super) struct Presence(Arc<Mutex<HashMap<AgentId, Entry>>>);

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Open polls.
    parked: u32,
    /// The last sign of life that was not an open poll.
    at: Micros,
    /// When it last read its inbox here, if it did.
    read_at: Option<Micros>,
    /// The highest id that was put into an answer.
    handed: MessageId,
    /// Whether there is something to write.
    dirty: bool,
}

impl Presence {
    fn with<R>(&self, change: impl FnOnce(&mut HashMap<AgentId, Entry>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a sign of life.
    pub(super) fn seen(&self, agent: &AgentId, now: Micros) {
        self.with(|entries| {
            let entry = entries.entry(agent.clone()).or_default();
            entry.at = entry.at.max(now);
            entry.dirty = true;
        });
    }

    /// Notes that it reads its inbox, which is a sign of life too.
    pub(super) fn reads(&self, agent: &AgentId, now: Micros) {
        self.with(|entries| {
            let entry = entries.entry(agent.clone()).or_default();
            entry.at = entry.at.max(now);
            entry.read_at = entry.read_at.max(Some(now));
            entry.dirty = true;
        });
    }

    /// Notes that messages up to this id were put into an answer.
    pub(super) fn handed(&self, agent: &AgentId, id: MessageId) {
        self.with(|entries| {
            let entry = entries.entry(agent.clone()).or_default();
            entry.handed = entry.handed.max(id);
            entry.dirty = true;
        });
    }

    /// The highest id that was put into an answer here, written or not.
    pub(super) fn handed_to(&self, agent: &AgentId) -> MessageId {
        self.with(|entries| entries.get(agent).map(|entry| entry.handed)).unwrap_or_default()
    }

    /// Counts the agent as present until the guard is dropped.
    pub(super) fn park(&self, agent: &AgentId, now: Micros) -> Parked {
        self.with(|entries| {
            let entry = entries.entry(agent.clone()).or_default();
            entry.parked += 1;
            entry.at = entry.at.max(now);
            entry.dirty = true;
        });
        Parked { presence: Self(Arc::clone(&self.0)), agent: agent.clone() }
    }

    /// When it was last seen, and whether it is active.
    pub(super) fn of(&self, agent: &AgentRow, now: Micros) -> (Option<Micros>, bool) {
        let entry = self.with(|entries| entries.get(&agent.id).copied()).unwrap_or_default();
        if entry.parked > 0 {
            return (Some(now), true);
        }
        let last = agent.last_seen.into_iter().chain((entry.at > 0).then_some(entry.at)).max();
        (last, last.is_some_and(|at| now - at < micros(ACTIVE_WINDOW)))
    }

    pub(super) fn forget(&self, agent: &AgentId) {
        self.with(|entries| entries.remove(agent));
    }

    /// What there is to write.
    pub(super) fn take(&self, mesh: &MeshId) -> Vec<Seen> {
        self.with(|entries| {
            entries
                .iter_mut()
                .filter_map(|(agent, entry)| {
                    std::mem::take(&mut entry.dirty).then(|| Seen {
                        mesh: mesh.clone(),
                        agent: agent.clone(),
                        at: entry.at,
                        read_at: entry.read_at,
                        handed: entry.handed,
                    })
                })
                .collect()
        })
    }

    /// Whether nobody is there and everything is written.
    pub(super) fn is_idle(&self, now: Micros) -> bool {
        self.with(|entries| {
            entries.values().all(|entry| {
                entry.parked == 0 && !entry.dirty && now - entry.at > micros(ACTIVE_WINDOW)
            })
        })
    }
}

/// An open poll.
#[derive(Debug)]
pub(super) struct Parked {
    presence: Presence,
    agent: AgentId,
}

impl Parked {
    /// Keeps the time of the last sign of life up to date.
    pub(super) fn leave(self, now: Micros) {
        self.presence.reads(&self.agent, now);
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.presence.with(|entries| {
            if let Some(entry) = entries.get_mut(&self.agent) {
                entry.parked = entry.parked.saturating_sub(1);
            }
        });
    }
}
