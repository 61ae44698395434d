//! What MeshWire exists for: the log of a mesh, its delivery, and who is there.
//!
//! [`send`](Meshes::send) resolves a message and hands it to the mesh's appender, which writes all that
//! waits as one batch; the commit wakes the waiting [readers](Meshes::reader) and gives them the messages
//! from memory. The store is the truth: with every wake-up and every cached value lost, delivery is late,
//! never wrong.

mod appender;
mod inbox;
mod loop_guard;
mod members;
mod nodes;
mod open_polls;
mod presence;
mod rates;
mod receipts;
mod retention;
mod roster;
mod send;
mod tail;
mod watcher;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshwire_protocol::{AgentId, AgentKind, MeshId, MessageId, TokenId, UserId, Via};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::appender::Queue;
pub use self::inbox::{Poll, Reader, Step};
use self::loop_guard::LoopGuard;
pub use self::members::NewInvite;
pub(crate) use self::members::check_role;
use self::nodes::{CatchUp, News};
use self::open_polls::OpenPolls;
use self::presence::Presence;
pub use self::presence::Whereabouts;
pub use self::rates::Quota;
use self::rates::Rates;
use self::roster::CachedRoster;
pub use self::send::Delivered;
pub(crate) use self::send::{not_a_member, not_your_agent};
use self::tail::Tail;
pub use self::watcher::Watcher;
use crate::clock::Clock;
use crate::error::{ApiError, Result, chain};
use crate::metrics::MeshMetrics;
use crate::secret;
use crate::settings::{Limits, Retention};
use crate::store::{
    AgentChange, AgentRow, Change, Head, MeshChange, Micros, Move, NewAgent, NewMesh, Register,
    Roster, Seen, Store, UserRow,
};

/// How often something is tried anew because the mesh has changed under it.
const ATTEMPTS: usize = 32;
/// How often what was seen and used is written.
const FLUSH: Duration = Duration::from_secs(5);
/// How often idle meshes are dropped from memory and expired rows from the store.
const SWEEP: Duration = Duration::from_mins(1);

/// Who speaks or reads, as access has found it out.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The user.
    pub user: UserId,
    /// Their login.
    pub login: String,
    /// The token of the request.
    pub token: TokenId,
    /// What kind of credential it is.
    pub via: Via,
    /// The agent that the token is bound to.
    pub agent: Option<AgentId>,
    /// When the token runs out.
    pub expires_at: Option<Micros>,
    /// [`Meshes::revocations`] before the token was looked up.
    pub revocations: u64,
}

/// All meshes of this node.
pub struct Meshes {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<Clock>,
    limits: Limits,
    retention: Retention,
    rates: Rates,
    open_polls: OpenPolls,
    metrics: MeshMetrics,
    stopping: watch::Receiver<bool>,
    states: Mutex<HashMap<MeshId, Arc<MeshState>>>,
    used: Mutex<HashMap<TokenId, Micros>>,
    /// Something was deleted and waits to be purged.
    purge: Notify,
    /// Heads that other nodes are to be told of.
    news: News,
    /// Agents have come to be here, of which other nodes are to be told.
    arrivals: Arc<Notify>,
    /// How many tokens were revoked on this node.
    revocations: AtomicU64,
}

/// What this node remembers of one mesh. All of it can be lost without harm.
struct MeshState {
    id: MeshId,
    roster: CachedRoster,
    queue: Queue,
    tail: Tail,
    presence: Presence,
    loops: LoopGuard,
    catch_up: CatchUp,
}

impl Meshes {
    /// `stopping` turns true when open polls shall be answered.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<Clock>,
        limits: Limits,
        retention: Retention,
        metrics: MeshMetrics,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                clock,
                limits,
                retention,
                rates: Rates::new(&limits),
                open_polls: OpenPolls::new(metrics.open_polls.clone()),
                metrics,
                stopping,
                states: Mutex::default(),
                used: Mutex::default(),
                purge: Notify::new(),
                news: News::default(),
                arrivals: Arc::default(),
                revocations: AtomicU64::new(0),
            }),
        }
    }

    /// Writes what was seen, forgets what is idle, purges what was deleted, and trims the logs, for as long
    /// as it is polled.
    pub async fn background(&self) {
        tokio::join!(self.keep_house(), self.keep_trimming(), self.keep_in_touch());
    }

    async fn keep_house(&self) {
        let mut flush = tokio::time::interval(FLUSH);
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                _ = flush.tick() => self.flush().await,
                _ = sweep.tick() => {
                    self.forget_idle();
                    self.purge().await;
                }
                () = self.shared.purge.notified() => self.purge().await,
            }
        }
    }

    /// Writes when agents were seen, how far they were handed messages, and when tokens were used.
    pub async fn flush(&self) {
        let states: Vec<Arc<MeshState>> = self.shared.lock_states().values().cloned().collect();
        let seen: Vec<Seen> =
            states.iter().flat_map(|state| state.presence.take(&state.id)).collect();
        if !seen.is_empty()
            && let Err(error) = self.shared.store.note_seen(&seen).await
        {
            tracing::warn!(error = %chain(&error), "when agents were seen could not be written");
        }
        let used: Vec<(TokenId, Micros)> =
            std::mem::take(&mut *self.shared.used.lock().unwrap_or_else(PoisonError::into_inner))
                .into_iter()
                .collect();
        if !used.is_empty()
            && let Err(error) = self.shared.store.note_used(&used).await
        {
            tracing::warn!(error = %chain(&error), "when tokens were used could not be written");
        }
    }

    /// Whether open polls are being answered because the server stops.
    pub fn is_stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Notes that a token was used now; written with the next flush.
    pub fn note_used(&self, token: &TokenId) {
        let now = self.shared.clock.now();
        let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(token.clone(), now);
    }

    async fn purge(&self) {
        loop {
            let began = Instant::now();
            match self.shared.store.purge(self.shared.clock.now()).await {
                Ok(true) => retention::pause_after(began).await,
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "deleted data could not be purged");
                    return;
                }
            }
        }
    }

    fn forget_idle(&self) {
        let now = self.shared.clock.now();
        self.shared.lock_states().retain(|_, state| {
            Arc::strong_count(state) > 1
                || !state.queue.is_idle()
                || !state.presence.is_idle(now)
                || !state.loops.is_idle(now)
        });
    }

    // Meshes and rosters.

    /// The mesh with everyone in it, as of now; `None` when there is no such mesh.
    pub async fn roster(&self, mesh: &MeshId) -> Result<Option<Arc<Roster>>> {
        self.shared.roster(mesh).await
    }

    /// The same as [`Self::roster`], when the head is known.
    pub async fn roster_at(&self, mesh: &MeshId, head: &Head) -> Result<Option<Arc<Roster>>> {
        self.shared.roster_at(mesh, head).await
    }

    /// The meshes that a user is in, oldest first.
    pub async fn of_user(&self, user: &UserId) -> Result<Vec<Arc<Roster>>> {
        let mut rosters = Vec::new();
        for mesh in self.shared.store.meshes_of(user).await? {
            rosters.extend(self.roster(&mesh).await?);
        }
        Ok(rosters)
    }

    /// Makes a mesh.
    pub async fn create(&self, owner: &UserRow, name: String) -> Result<Arc<Roster>> {
        let id = secret::mesh_id();
        let mesh = NewMesh {
            id: id.clone(),
            name,
            owner: owner.id.clone(),
            created_at: self.shared.clock.now(),
        };
        let limit = self.shared.limits.meshes;
        if !self.shared.store.create_mesh(mesh, limit).await? {
            return Err(limit_reached("meshes of your own", limit, "MESHWIRE_LIMIT_MESHES"));
        }
        self.roster(&id).await?.ok_or_else(|| ApiError::mesh_not_found(id.as_str()))
    }

    /// Renames or pauses a mesh.
    pub async fn update(&self, mesh: &MeshId, change: MeshChange) -> Result<Arc<Roster>> {
        self.shared.store.update_mesh(mesh, change).await?;
        self.roster(mesh).await?.ok_or_else(|| ApiError::mesh_not_found(mesh.as_str()))
    }

    /// Ends a mesh for everyone.
    pub async fn delete(&self, mesh: &MeshId) -> Result<()> {
        if !self.shared.store.delete_mesh(mesh, self.shared.clock.now()).await? {
            return Err(ApiError::mesh_not_found(mesh.as_str()));
        }
        let state = self.shared.lock_states().remove(mesh);
        if let Some(state) = state {
            state.tail.end(|_| true);
        }
        self.shared.purge.notify_one();
        Ok(())
    }

    // Agents.

    /// Registers an agent of a program; the flag says whether it is new.
    pub async fn register(
        &self,
        mesh: &MeshId,
        user: &UserId,
        name: String,
        fields: AgentChange,
    ) -> Result<(AgentRow, bool)> {
        self.shared.register(mesh, user, name, AgentKind::Agent, fields).await
    }

    /// The agent of a person, made when it is first needed.
    pub async fn person(&self, mesh: &MeshId, user: &UserId, login: &str) -> Result<AgentRow> {
        self.shared.person(mesh, user, login).await
    }

    /// Replaces fields of an agent.
    pub async fn change_agent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        change: AgentChange,
    ) -> Result<AgentRow> {
        let name = change.name.clone().unwrap_or_default();
        match self.shared.store.update_agent(mesh, agent, change).await? {
            Change::Done(row) => Ok(row),
            Change::NameTaken => Err(roster::name_taken(&name)),
            Change::NoAgent => Err(ApiError::agent_not_found(agent.as_str())),
        }
    }

    /// Removes an agent and ends its polls.
    pub async fn remove_agent(&self, mesh: &MeshId, agent: &AgentId) -> Result<()> {
        let now = self.shared.clock.now();
        if !self.shared.store.remove_agent(mesh, agent, now).await? {
            return Err(ApiError::agent_not_found(agent.as_str()));
        }
        let state = self.shared.state(mesh);
        state.presence.forget(agent);
        state.tail.end(|waiter| waiter.agent == *agent);
        Ok(())
    }

    /// How many tokens were revoked on this node: read before a token is looked up, it tells later whether
    /// that look-up may be out of date.
    pub fn revocations(&self) -> u64 {
        self.shared.revocations.load(Ordering::SeqCst)
    }

    /// Makes the open polls of a token ask again whether they may go on, also those that do not wait yet.
    pub fn end_token(&self, token: &TokenId) {
        self.shared.revocations.fetch_add(1, Ordering::SeqCst);
        let states: Vec<Arc<MeshState>> = self.shared.lock_states().values().cloned().collect();
        for state in states {
            state.tail.end(|waiter| waiter.token == *token);
        }
    }

    /// Notes that an agent is there.
    pub fn heartbeat(&self, mesh: &MeshId, agent: &AgentId) {
        self.shared.state(mesh).presence.seen(agent, self.shared.clock.now());
    }

    /// Notes that messages up to this id were handed to an agent otherwise than by a poll.
    pub fn handed(&self, mesh: &MeshId, agent: &AgentId, id: MessageId) {
        let state = self.shared.state(mesh);
        state.presence.seen(agent, self.shared.clock.now());
        state.presence.handed(agent, id);
    }

    /// Acknowledges or rewinds, never beyond the head.
    pub async fn set_cursor(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        to: meshwire_protocol::CursorTarget,
    ) -> Result<MessageId> {
        use meshwire_protocol::CursorTarget;
        let to = match to {
            CursorTarget::Id(id) => id,
            CursorTarget::Latest => MessageId::MAX,
            CursorTarget::Earliest => {
                let head = self.shared.store.head(mesh).await?;
                head.ok_or_else(|| ApiError::mesh_not_found(mesh.as_str()))?.trimmed
            }
        };
        self.heartbeat(mesh, agent);
        let moved = self.shared.store.move_cursor(mesh, agent, to, Move::Set).await?;
        moved.ok_or_else(|| ApiError::agent_not_found(agent.as_str()))
    }
}

impl Shared {
    fn lock_states(&self) -> std::sync::MutexGuard<'_, HashMap<MeshId, Arc<MeshState>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, mesh: &MeshId) -> Arc<MeshState> {
        let mut states = self.lock_states();
        if let Some(state) = states.get(mesh) {
            return Arc::clone(state);
        }
        let state = Arc::new(MeshState {
            id: mesh.clone(),
            roster: CachedRoster::default(),
            queue: Queue::default(),
            tail: Tail::default(),
            presence: Presence::new(Arc::clone(&self.arrivals)),
            loops: LoopGuard::default(),
            catch_up: CatchUp::default(),
        });
        states.insert(mesh.clone(), Arc::clone(&state));
        state
    }

    async fn roster(&self, mesh: &MeshId) -> Result<Option<Arc<Roster>>> {
        match self.store.head(mesh).await? {
            Some(head) => self.roster_at(mesh, &head).await,
            None => Ok(None),
        }
    }

    async fn roster_at(&self, mesh: &MeshId, head: &Head) -> Result<Option<Arc<Roster>>> {
        let read = async || self.store.roster(mesh).await;
        Ok(self.state(mesh).roster.of_epoch(head.epoch, read).await?)
    }

    async fn register(
        &self,
        mesh: &MeshId,
        user: &UserId,
        name: String,
        kind: AgentKind,
        fields: AgentChange,
    ) -> Result<(AgentRow, bool)> {
        let agent = NewAgent {
            mesh: mesh.clone(),
            id: secret::agent_id(),
            name: name.clone(),
            kind,
            user: user.clone(),
            fields,
            now: self.clock.now(),
        };
        let limit = self.limits.agents;
        let (row, new) = match self.store.register_agent(agent, limit).await? {
            Register::Created(row) => (row, true),
            Register::Existing(row) => (row, false),
            Register::NameTaken => return Err(roster::name_taken(&name)),
            Register::LimitReached => {
                return Err(limit_reached("agents in this mesh", limit, "MESHWIRE_LIMIT_AGENTS"));
            }
            // The user may have been removed just now.
            Register::NoMesh if self.store.head(mesh).await?.is_some() => {
                return Err(not_a_member(mesh));
            }
            Register::NoMesh => return Err(ApiError::mesh_not_found(mesh.as_str())),
        };
        if kind == AgentKind::Agent {
            self.state(mesh).presence.seen(&row.id, self.clock.now());
        }
        Ok((row, new))
    }

    async fn person(&self, mesh: &MeshId, user: &UserId, login: &str) -> Result<AgentRow> {
        if let Some(roster) = self.roster(mesh).await?
            && let Some(person) = roster.person(user)
        {
            return Ok(person.clone());
        }
        let name = meshwire_protocol::person_name(login);
        let fields = AgentChange::default();
        self.register(mesh, user, name, AgentKind::Human, fields).await.map(|(row, _)| row)
    }
}

/// A mesh that never stands still for long enough.
fn changing() -> ApiError {
    ApiError::new(
        meshwire_protocol::ErrorCode::StoreUnavailable,
        "The mesh changed again and again meanwhile; nothing was done.",
    )
    .hint("Send the same request again.")
    .retry_after(1)
}

fn limit_reached(of_what: &str, limit: u32, setting: &'static str) -> ApiError {
    ApiError::new(
        meshwire_protocol::ErrorCode::LimitReached,
        format!("There are {limit} {of_what}, which is the limit of this server."),
    )
    .hint(format!("Remove one that is not needed, or ask the operator to raise {setting}."))
    .because(setting)
}
