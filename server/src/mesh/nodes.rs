//! Keeping in touch with other nodes on the same store.
//!
//! Hints tell of new heads, `ended` of what polls may not rest on any more, leases and lists of polls of who is
//! there. Requests are right without any of it, so what fails here is logged and tried again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshwire_protocol::{MeshId, MessageId};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{MeshState, Meshes, Shared};
use crate::clock::micros;
use crate::error::chain;
use crate::store::{Ended, NodeStore, StoreError};

/// How often the `ended` log is read: open polls end within a second of a revocation on another node.
const READ_ENDED: Duration = Duration::from_millis(400);
/// How long an entry of it is known, so that it is acted on once.
const REMEMBER_ENDED: Duration = Duration::from_mins(2);
/// How long other nodes believe what this one has said of its polls.
const LEASE: Duration = Duration::from_secs(30);
/// How often that is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often it is said which agents are here, when some have left. Of those that come it is said at once.
const TELL_PRESENT: Duration = Duration::from_secs(1);
/// The least time between two of the latter.
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(200);
/// How far a clock may be from the store's.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
/// How often that is looked at.
const SET_CLOCK: Duration = Duration::from_secs(10);
/// How long the store may take for any of this: a connection that was cut off may stay silent for ever.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause after something has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Messages that are read at a time after a hint.
const PAGE: u32 = 1_000;
/// Meshes whose heads are looked at in one call.
const HEADS_AT_ONCE: usize = 1_000;

/// Heads that appends on this node have moved since other nodes were last told.
#[derive(Debug, Default)]
pub(super) struct News {
    heads: Mutex<HashMap<MeshId, MessageId>>,
    some: Notify,
}

/// Lets one task at a time read what other nodes have written to a mesh.
#[derive(Debug, Default)]
pub(super) struct CatchUp(tokio::sync::Mutex<()>);

impl Shared {
    /// Notes that other nodes are to hear of a head.
    pub(super) fn tell_others(&self, mesh: &MeshId, head: MessageId) {
        if self.store.nodes().is_some() {
            let mut heads = self.news.heads.lock().unwrap_or_else(PoisonError::into_inner);
            heads.insert(mesh.clone(), head);
            self.news.some.notify_one();
        }
    }

    /// The states of meshes in which polls wait.
    fn waited_for(&self) -> Vec<(Arc<MeshState>, MessageId)> {
        let states: Vec<Arc<MeshState>> = self.lock_states().values().cloned().collect();
        let waited = states.into_iter().filter_map(|state| {
            let from = state.tail.waited_from()?;
            Some((state, from))
        });
        waited.collect()
    }

    /// Reads what other nodes have written to a mesh up to `head`, for all polls that wait there.
    async fn catch_up(&self, state: &MeshState, head: MessageId) {
        let _alone = state.catch_up.0.lock().await;
        while let Some(after) = state.tail.waited_from()
            && after < head
        {
            match self.store.read_all(&state.id, after, PAGE).await {
                Ok(Some(page)) if page.trimmed <= after && page.seen_to > after => {
                    let messages: Vec<_> = page.messages.into_iter().map(Arc::new).collect();
                    state.tail.publish(after, page.seen_to, page.epoch, &messages);
                }
                // The mesh is gone, or trimmed beyond what was seen: each poll finds out what that means.
                Ok(_) => return state.tail.wake_everyone(),
                Err(error) => {
                    log(&error, "what other nodes have written could not be read");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn catch_up_in_the_background(self: &Arc<Self>, state: Arc<MeshState>, head: MessageId) {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.catch_up(&state, head).await });
    }

    /// Acts on hints: the heads that other nodes have moved.
    fn hear(self: &Arc<Self>, heads: Vec<(MeshId, MessageId)>) {
        for (mesh, head) in heads {
            let state = self.lock_states().get(&mesh).cloned();
            let Some(state) = state else { continue };
            if state.tail.waited_from().is_some_and(|from| from < head) {
                self.catch_up_in_the_background(state, head);
            }
        }
    }

    /// Looks at the heads of all meshes in which polls wait.
    async fn sweep(self: &Arc<Self>, nodes: &dyn NodeStore) -> Result<(), StoreError> {
        for waited in self.waited_for().chunks(HEADS_AT_ONCE) {
            let ids: Vec<MeshId> = waited.iter().map(|(state, _)| state.id.clone()).collect();
            let heads = answered(nodes, nodes.heads(&ids)).await?;
            for (state, from) in waited {
                match heads.get(&state.id) {
                    Some(head) if head.head > *from => {
                        self.catch_up_in_the_background(Arc::clone(state), head.head);
                    }
                    Some(_) => {}
                    None => state.tail.end(|_| true),
                }
            }
        }
        Ok(())
    }
}

impl Meshes {
    /// Tells other nodes and hears from them, for as long as it is polled; nothing when there can be none.
    pub(super) async fn keep_in_touch(&self) {
        let Some(nodes) = self.shared.store.nodes() else { return };
        tokio::join!(
            self.tell_heads(nodes),
            self.hear_heads(nodes),
            self.keep_sweeping(nodes),
            self.read_ended(nodes),
            self.keep_the_lease(nodes),
            self.tell_present(nodes),
        );
    }

    /// Goes by the store's clock where this computer's is far from it: what expires does so on all nodes at once.
    pub async fn set_clock(&self) {
        let Some(nodes) = self.shared.store.nodes() else { return };
        match answered(nodes, nodes.now()).await {
            Ok(None) => {}
            Ok(Some(now)) => {
                let behind = now - self.shared.clock.now();
                if behind.abs() > micros(CLOCK_TOLERANCE) {
                    self.shared.clock.shift(behind);
                    let seconds = behind / 1_000_000;
                    tracing::warn!(
                        seconds,
                        "the clock of this computer is not that of the store, which is used"
                    );
                }
            }
            Err(error) => log(&error, "the clock of the store could not be read"),
        }
    }

    /// The same, again and again, for as long as it is polled.
    pub async fn keep_clock(&self) {
        let mut ticks = every(SET_CLOCK);
        loop {
            ticks.tick().await;
            self.set_clock().await;
        }
    }

    async fn tell_heads(&self, nodes: &dyn NodeStore) {
        let news = &self.shared.news;
        loop {
            news.some.notified().await;
            let heads =
                std::mem::take(&mut *news.heads.lock().unwrap_or_else(PoisonError::into_inner));
            let heads: Vec<_> = heads.into_iter().collect();
            if let Err(error) = answered(nodes, nodes.hint(&heads)).await {
                // The others sweep.
                log(&error, "other nodes could not be told of new messages");
                sleep(PAUSE).await;
            }
        }
    }

    async fn hear_heads(&self, nodes: &dyn NodeStore) {
        loop {
            match nodes.hinted(&|| self.shared.open_polls.any()).await {
                Ok(Some(heads)) => self.shared.hear(heads),
                Ok(None) => {
                    if let Err(error) = self.shared.sweep(nodes).await {
                        log(&error, "the heads of meshes could not be read");
                        sleep(PAUSE).await;
                    }
                }
                Err(error) => {
                    log(&error, "hints of other nodes cannot be heard");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn keep_sweeping(&self, nodes: &dyn NodeStore) {
        let mut ticks = every(nodes.sweep());
        loop {
            ticks.tick().await;
            if let Err(error) = self.shared.sweep(nodes).await {
                log(&error, "the heads of meshes could not be read");
            }
        }
    }

    async fn read_ended(&self, nodes: &dyn NodeStore) {
        let mut ticks = every(READ_ENDED);
        let mut known: HashMap<i64, Instant> = HashMap::new();
        loop {
            ticks.tick().await;
            let rows = match answered(nodes, nodes.ended()).await {
                Ok(rows) => rows,
                Err(error) => {
                    log(&error, "what has ended on other nodes could not be read");
                    continue;
                }
            };
            let now = Instant::now();
            known.retain(|_, at| now - *at < REMEMBER_ENDED);
            let new: HashSet<Ended> = rows
                .into_iter()
                .filter(|row| known.insert(row.id, now).is_none())
                .map(|row| row.what)
                .collect();
            for ended in new {
                match ended {
                    Ended::Token(token) => self.end_token(&token),
                    Ended::Mesh(mesh) => {
                        let state = self.shared.lock_states().get(&mesh).cloned();
                        if let Some(state) = state {
                            state.tail.end(|_| true);
                        }
                    }
                }
            }
        }
    }

    async fn keep_the_lease(&self, nodes: &dyn NodeStore) {
        let mut ticks = every(RENEW);
        loop {
            ticks.tick().await;
            if let Err(error) = answered(nodes, nodes.renew(LEASE)).await {
                log(&error, "this node's lease could not be renewed");
            }
        }
    }

    /// Says which agents are here, for other nodes to show them as present.
    async fn tell_present(&self, nodes: &dyn NodeStore) {
        let shared = &self.shared;
        let mut ticks = every(TELL_PRESENT);
        loop {
            let all = tokio::select! {
                _ = ticks.tick() => true,
                () = shared.arrivals.notified() => false,
            };
            let states: Vec<Arc<MeshState>> = shared.lock_states().values().cloned().collect();
            for state in states {
                if !(state.presence.has_arrivals() || all) {
                    continue;
                }
                let Some(present) = state.presence.news(shared.clock.now()) else { continue };
                if let Err(error) = answered(nodes, nodes.note_present(&state.id, &present)).await {
                    log(&error, "who is here could not be written");
                    state.presence.not_told();
                    break;
                }
            }
            sleep(BETWEEN_ARRIVALS).await;
        }
    }
}

/// An answer of the store, unless it takes too long.
pub(super) async fn answered<T>(
    nodes: &dyn NodeStore,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|late| {
        nodes.gave_up();
        Err(StoreError::Unavailable(late.into()))
    })
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn log(error: &StoreError, what: &'static str) {
    tracing::warn!(error = %chain(error), "{what}");
}
