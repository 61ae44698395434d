//! Which agents are there. Kept in memory, written in batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshwire_protocol::limits::ACTIVE_WINDOW;
use meshwire_protocol::{AgentId, MeshId, MessageId};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::nodes::answered;
use super::{MeshState, Meshes};
use crate::clock::micros;
use crate::error::chain;
use crate::store::{AgentRow, Micros, NodeStore, Present, Result, Roster, Seen};

/// The least time between two looks at who is on other nodes: what is said of them is at most a second old, with the
/// time in which they tell.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// How long anybody waits for a look: a message that is written is not to wait for who is there.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// The least time between two looks at when the others were seen, which tells of nobody who is there.
const LOOK_LONG_AGO: Duration = Duration::from_secs(3);
/// Between two polls an agent is still said to poll for so long: telling costs a write.
const BETWEEN_POLLS: Duration = Duration::from_secs(5);

/// The agents of a mesh that were seen.
#[derive(Debug)]
pub(super) struct Presence {
    /// On this node.
    here: Here,
    /// On others, as they had written it when this one last looked around.
    elsewhere: Mutex<Elsewhere>,
    /// Held by the one who looks.
    looking: tokio::sync::Mutex<()>,
    /// What other nodes were last told of those that are here; `None`: that is not known.
    told: Mutex<Option<HashMap<AgentId, Sign>>>,
}

#[derive(Debug, Clone)]
struct Here {
    entries: Arc<Mutex<HashMap<AgentId, Entry>>>,
    arrived: Arc<AtomicBool>,
    arrivals: Arc<Notify>,
}

/// How an agent is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Polls,
    WasSeen,
}

#[derive(Debug, Default)]
struct Elsewhere {
    looked_at: Micros,
    /// When `present` was so: a look may fail.
    present_at: Micros,
    present: HashMap<AgentId, Sign>,
    looked_long_ago_at: Micros,
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

impl Entry {
    /// How it is there, for nodes that were `told` something of it; `None`: it is not.
    fn sign(&self, told: Option<Sign>, now: Micros) -> Option<Sign> {
        let ago = now - self.at;
        let polls = self.parked > 0 || (told == Some(Sign::Polls) && ago < micros(BETWEEN_POLLS));
        if polls {
            Some(Sign::Polls)
        } else {
            (ago < micros(ACTIVE_WINDOW)).then_some(Sign::WasSeen)
        }
    }
}

impl Here {
    fn with<R>(&self, change: impl FnOnce(&mut HashMap<AgentId, Entry>) -> R) -> R {
        change(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a sign of life, and what else there is.
    fn seen(&self, agent: &AgentId, now: Micros, change: impl FnOnce(&mut Entry)) {
        let arrives = self.with(|entries| {
            let entry = entries.entry(agent.clone()).or_default();
            let arrives = entry.parked == 0 && now - entry.at >= micros(ACTIVE_WINDOW);
            entry.at = entry.at.max(now);
            entry.dirty = true;
            change(entry);
            arrives
        });
        if arrives {
            self.arrived.store(true, Ordering::Release);
            self.arrivals.notify_one();
        }
    }

    fn reads(&self, agent: &AgentId, now: Micros) {
        self.seen(agent, now, |entry| entry.read_at = entry.read_at.max(Some(now)));
    }
}

impl Presence {
    /// `arrivals` hears when an agent comes to be there.
    pub(super) fn new(arrivals: Arc<Notify>) -> Self {
        let here = Here { entries: Arc::default(), arrived: Arc::default(), arrivals };
        Self {
            here,
            elsewhere: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            told: Mutex::new(Some(HashMap::new())),
        }
    }

    fn with<R>(&self, change: impl FnOnce(&mut HashMap<AgentId, Entry>) -> R) -> R {
        self.here.with(change)
    }

    /// Notes a sign of life.
    pub(super) fn seen(&self, agent: &AgentId, now: Micros) {
        self.here.seen(agent, now, |_| {});
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
        self.here.seen(agent, now, |entry| entry.parked += 1);
        Parked { here: self.here.clone(), agent: agent.clone() }
    }

    fn lock_elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_told(&self) -> MutexGuard<'_, Option<HashMap<AgentId, Sign>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out who is on other nodes, unless that was done a moment ago; whoever comes meanwhile waits for what is
    /// found. When it fails or takes too long the last answer stands.
    async fn look_around(&self, nodes: &dyn NodeStore, roster: &Roster, now: Micros) {
        let Ok(_alone) = self.looking.try_lock() else {
            drop(self.looking.lock().await);
            return;
        };
        let long_ago = {
            let elsewhere = self.lock_elsewhere();
            if now < elsewhere.looked_at + micros(LOOK_EVERY) {
                return;
            }
            now >= elsewhere.looked_long_ago_at + micros(LOOK_LONG_AGO)
        };
        let look = async {
            let present = nodes.present(&roster.mesh.id);
            if !long_ago {
                return Result::Ok((present.await?, None));
            }
            let agents: Vec<AgentId> = roster.agents.iter().map(|agent| agent.id.clone()).collect();
            let seen = nodes.last_seen(&roster.mesh.id, &agents);
            let (present, seen) = tokio::try_join!(present, seen)?;
            Ok((present, Some(seen)))
        };
        let Ok(found) = timeout(LOOK_PATIENCE, answered(nodes, look)).await else {
            self.lock_elsewhere().looked_at = now + micros(LOOK_PATIENCE);
            return;
        };
        let mut elsewhere = self.lock_elsewhere();
        elsewhere.looked_at = now;
        if long_ago {
            elsewhere.looked_long_ago_at = now;
        }
        match found {
            Ok((present, seen)) => {
                elsewhere.present_at = now;
                elsewhere.present = signs(present);
                if let Some(seen) = seen {
                    elsewhere.seen = seen.into_iter().collect();
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "who is on other nodes could not be read");
            }
        }
    }

    /// Whether an agent has come since this was last asked.
    pub(super) fn has_arrivals(&self) -> bool {
        self.here.arrived.swap(false, Ordering::AcqRel)
    }

    /// The agents that are here, when something else was told of them before.
    pub(super) fn news(&self, now: Micros) -> Option<Present> {
        let mut told = self.lock_told();
        let before = |agent: &AgentId| told.as_ref()?.get(agent).copied();
        let signs: HashMap<AgentId, Sign> = self.with(|entries| {
            let signs = || {
                let sign =
                    |(agent, entry): (_, &Entry)| Some((agent, entry.sign(before(agent), now)?));
                entries.iter().filter_map(sign)
            };
            let same = told.as_ref().is_some_and(|told| {
                signs().count() == told.len()
                    && signs().all(|(agent, sign)| before(agent) == Some(sign))
            });
            (!same).then(|| signs().map(|(agent, sign)| (agent.clone(), sign)).collect())
        })?;
        let of = |which| {
            let agents = signs.iter().filter(|(_, sign)| **sign == which);
            agents.map(|(agent, _)| agent.clone()).collect()
        };
        let present = Present { polling: of(Sign::Polls), recent: of(Sign::WasSeen) };
        *told = Some(signs);
        Some(present)
    }

    /// Notes that they were not told after all.
    pub(super) fn not_told(&self) {
        *self.lock_told() = None;
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

/// Who is there, as it was known a moment ago.
pub struct Whereabouts {
    state: Arc<MeshState>,
    now: Micros,
}

impl Meshes {
    /// Finds out who is there. For answers that tell of it, as the store may have to be asked.
    pub async fn whereabouts(&self, roster: &Roster) -> Whereabouts {
        let shared = &self.shared;
        let state = shared.state(&roster.mesh.id);
        if let Some(nodes) = shared.store.nodes() {
            // In a box, which only those need that have other nodes.
            Box::pin(state.presence.look_around(nodes, roster, shared.clock.now())).await;
        }
        Whereabouts { state, now: shared.clock.now() }
    }
}

impl Whereabouts {
    /// When an agent of the mesh was last seen, and whether it is active.
    pub fn of(&self, agent: &AgentRow) -> (Option<Micros>, bool) {
        let Self { state, now } = self;
        let presence = &state.presence;
        let entry = presence.with(|entries| entries.get(&agent.id).copied()).unwrap_or_default();
        if entry.parked > 0 {
            return (Some(*now), true);
        }
        let here = (entry.at > 0).then_some(entry.at);
        let elsewhere = presence.lock_elsewhere();
        let seen = elsewhere.seen.get(&agent.id).copied();
        let sign = elsewhere.present.get(&agent.id).copied();
        let polls = (sign == Some(Sign::Polls)).then_some(elsewhere.present_at);
        let last = agent.last_seen.into_iter().chain(here).chain(seen).chain(polls).max();
        let is_recent = |at: Micros| now - at < micros(ACTIVE_WINDOW);
        (last, last.is_some_and(is_recent) || (sign.is_some() && is_recent(elsewhere.present_at)))
    }
}

/// How the agents are there that are said to be.
fn signs(present: Present) -> HashMap<AgentId, Sign> {
    let recent = present.recent.into_iter().map(|agent| (agent, Sign::WasSeen));
    // Last, for an agent may poll on one node and have been seen on another.
    recent.chain(present.polling.into_iter().map(|agent| (agent, Sign::Polls))).collect()
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
