//! Which agents are there. Kept in memory, written in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshwire_protocol::limits::ACTIVE_WINDOW;
use meshwire_protocol::{AgentId, MeshId, MessageId};

use super::nodes::answered;
use crate::clock::micros;
use crate::error::chain;
use crate::store::{AgentRow, Micros, NodeStore, Roster, Seen};

/// The least time between two looks at who was seen on other nodes.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The agents of a mesh that were seen.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// On this node.
    here: Here,
    /// On any node, as it was written when this one last looked around.
    anywhere: Mutex<Anywhere>,
    /// The agents with open polls that other nodes were last told of.
    told: Mutex<Vec<AgentId>>,
}

#[derive(Debug, Clone, Default)]
struct Here(Arc<Mutex<HashMap<AgentId, Entry>>>);

#[derive(Debug, Default)]
struct Anywhere {
    looked_at: Micros,
    seen: HashMap<AgentId, Micros>,
}

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

impl Here {
    fn with<R>(&self, change: impl FnOnce(&mut HashMap<AgentId, Entry>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reads(&self, agent: &AgentId, now: Micros) {
        self.with(|entries| {
            let entry = entries.entry(agent.clone()).or_default();
            entry.at = entry.at.max(now);
            entry.read_at = entry.read_at.max(Some(now));
            entry.dirty = true;
        });
    }
}

impl Presence {
    fn with<R>(&self, change: impl FnOnce(&mut HashMap<AgentId, Entry>) -> R) -> R {
        self.here.with(change)
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
        self.here.reads(agent, now);
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
        Parked { here: self.here.clone(), agent: agent.clone() }
    }

    /// When it was last seen, and whether it is active.
    pub(super) fn of(&self, agent: &AgentRow, now: Micros) -> (Option<Micros>, bool) {
        let entry = self.with(|entries| entries.get(&agent.id).copied()).unwrap_or_default();
        if entry.parked > 0 {
            return (Some(now), true);
        }
        let anywhere = self.lock_anywhere().seen.get(&agent.id).copied();
        let here = (entry.at > 0).then_some(entry.at);
        let last = agent.last_seen.into_iter().chain(here).chain(anywhere).max();
        (last, last.is_some_and(|at| now - at < micros(ACTIVE_WINDOW)))
    }

    fn lock_anywhere(&self) -> MutexGuard<'_, Anywhere> {
        self.anywhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out who was seen on other nodes, unless that was done a moment ago. Nobody waits for more than
    /// one of these at a time, and when it fails the last answer stands.
    pub(super) async fn look_around(&self, nodes: &dyn NodeStore, roster: &Roster, now: Micros) {
        {
            let mut anywhere = self.lock_anywhere();
            if now < anywhere.looked_at + micros(LOOK_EVERY) {
                return;
            }
            anywhere.looked_at = now;
        }
        let agents: Vec<AgentId> = roster.agents.iter().map(|agent| agent.id.clone()).collect();
        match answered(nodes, nodes.last_seen(&roster.mesh.id, &agents, now)).await {
            Ok(seen) => {
                let mut latest = HashMap::with_capacity(seen.len());
                for (agent, at) in seen {
                    let last = latest.entry(agent).or_insert(at);
                    *last = at.max(*last);
                }
                self.lock_anywhere().seen = latest;
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "who is on other nodes could not be read");
            }
        }
    }

    /// The agents that poll here, when they are others than those that were told before.
    pub(super) fn polling_news(&self) -> Option<Vec<AgentId>> {
        let mut polling: Vec<AgentId> = self.with(|entries| {
            let parked = entries.iter().filter(|(_, entry)| entry.parked > 0);
            parked.map(|(agent, _)| agent.clone()).collect()
        });
        polling.sort();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == polling {
            return None;
        }
        told.clone_from(&polling);
        Some(polling)
    }

    /// Notes that they were not told after all.
    pub(super) fn not_told(&self) {
        // The name of no agent, so that whoever polls is news.
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
    here: Here,
    agent: AgentId,
}

impl Parked {
    /// Keeps the time of the last sign of life up to date.
    pub(super) fn leave(self, now: Micros) {
        self.here.reads(&self.agent, now);
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.here.with(|entries| {
            if let Some(entry) = entries.get_mut(&self.agent) {
                entry.parked = entry.parked.saturating_sub(1);
            }
        });
    }
}
