//! Reading: what an agent has to read, now or as soon as it comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use meshwire_protocol::{AgentId, From, InboxPage, MeshId, MessageId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::open_polls::OpenPoll;
use super::presence::Parked;
use super::tail::{Found, Wake, is_for};
use super::{MeshState, Meshes, Shared, Speaker};
use crate::error::{ApiError, Result};
use crate::planted;
use crate::store::{Head, HistoryPage, Micros, Move, Stream, Visibility};

/// Pages that hold nothing for the agent before an empty one is handed out.
const EMPTY_PAGES: usize = 16;

/// What a poll asks for.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// The epoch for which access was checked.
    pub epoch: i64,
    /// Where to start; `None`: the kept cursor.
    pub after: Option<From>,
    /// Whether `after` acknowledges.
    pub ack: bool,
    /// Most messages to return.
    pub limit: u32,
    /// How long to wait for one.
    pub wait: Duration,
}

/// A poll of an agent's inbox that is under way.
pub struct Reader {
    shared: Arc<Shared>,
    state: Arc<MeshState>,
    agent: AgentId,
    token: meshwire_protocol::TokenId,
    epoch: i64,
    position: MessageId,
    limit: u32,
    gap: bool,
    deadline: Instant,
    /// How many tokens were revoked when this one was last looked up.
    revocations: u64,
    /// When the token runs out, and access has to be asked again.
    expiry: Option<Instant>,
    stopping: watch::Receiver<bool>,
    parked: Option<Parked>,
    /// How long it has slept so far.
    waited: Duration,
    /// Counts it among the open polls.
    _open: Option<OpenPoll>,
}

/// How far a poll has come.
pub enum Step {
    /// The answer.
    Page(InboxPage),
    /// The token, the agent or the mesh may have ended: ask access again, then go on.
    Ended,
}

impl Meshes {
    /// Starts a poll: acknowledges what it says, and finds where to read from.
    pub async fn reader(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        speaker: &Speaker,
        poll: Poll,
    ) -> Result<Reader> {
        let Poll { epoch, after, ack, limit, wait } = poll;
        let shared = &self.shared;
        // First, so that a poll that is refused acknowledges nothing.
        let open = (!wait.is_zero())
            .then(|| shared.open_polls.open(&speaker.token, &shared.limits))
            .transpose()?;
        let head = shared.head(mesh).await?;
        let no_agent = || ApiError::agent_not_found(agent.as_str());
        let position = match after {
            Some(From::Earliest) => head.trimmed,
            Some(From::Latest) => head.head,
            None => shared.store.position(mesh, agent).await?.ok_or_else(no_agent)?.cursor,
            Some(From::Id(id)) => {
                let id = id.min(head.head);
                let kept = shared.store.position(mesh, agent).await?.ok_or_else(no_agent)?.cursor;
                if ack && id > kept {
                    let moved =
                        shared.store.move_cursor(mesh, agent, id, Move::Acknowledge).await?;
                    moved.ok_or_else(no_agent)?;
                }
                id
            }
        };
        let state = shared.state(mesh);
        let now = shared.clock.now();
        state.presence.reads(agent, now);
        let parked = (!wait.is_zero()).then(|| state.presence.park(agent, now));
        Ok(Reader {
            shared: Arc::clone(shared),
            state,
            agent: agent.clone(),
            token: speaker.token.clone(),
            epoch,
            position,
            limit,
            gap: false,
            deadline: Instant::now() + wait,
            revocations: speaker.revocations,
            expiry: speaker.expires_at.map(|at| Instant::now() + until(at, now)),
            stopping: shared.stopping.clone(),
            parked,
            waited: Duration::ZERO,
            _open: open,
        })
    }

    /// What a caller may see of the log before an id, newest first.
    pub async fn history(
        &self,
        mesh: &MeshId,
        visible: &Visibility,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<HistoryPage> {
        let before = before.unwrap_or(MessageId::MAX);
        Ok(self.shared.store.history(mesh, visible, before, limit).await?)
    }
}

impl Shared {
    pub(super) async fn head(&self, mesh: &MeshId) -> Result<Head> {
        let head = self.store.head(mesh).await?;
        head.ok_or_else(|| ApiError::mesh_not_found(mesh.as_str()))
    }
}

impl Reader {
    /// Reads until there is something for the agent, or until the time is over.
    pub async fn next(&mut self) -> Result<Step> {
        let (mut empty, mut woken) = (0, false);
        loop {
            let now = Instant::now();
            if self.expiry.take_if(|expiry| *expiry <= now).is_some() {
                return Ok(Step::Ended);
            }
            let over = now >= self.deadline || *self.stopping.borrow();
            // Register, look, then sleep: a message that comes in between wakes us.
            let mut waiting = (!over).then(|| self.state.tail.wait(&self.agent, &self.token));
            // A revocation from before we were registered has woken nobody here.
            let revocations = self.shared.revocations.load(Ordering::SeqCst);
            if std::mem::replace(&mut self.revocations, revocations) != revocations {
                return Ok(Step::Ended);
            }
            let page = match self.look_in_memory(woken) {
                Some(page) => page,
                None => match self.look().await? {
                    Some(page) => page,
                    None => return Ok(Step::Ended),
                },
            };
            if planted::is("look-before-register") {
                drop(waiting.take());
                tokio::time::sleep(Duration::from_millis(5)).await;
                waiting = (!over).then(|| self.state.tail.wait(&self.agent, &self.token));
            }
            self.position = page.cursor;
            if page.messages.is_empty() && page.more && empty < EMPTY_PAGES {
                empty += 1;
                continue;
            }
            let Some(mut waiting) = waiting.filter(|_| page.messages.is_empty() && !page.more)
            else {
                if planted::is("cursor-at-delivery") {
                    let (store, mesh) = (&self.shared.store, &self.state.id);
                    store.move_cursor(mesh, &self.agent, page.cursor, Move::Acknowledge).await?;
                }
                return Ok(Step::Page(self.hand_out(page)));
            };
            let wake_at = self.expiry.map_or(self.deadline, |expiry| expiry.min(self.deadline));
            let ended = tokio::select! {
                wake = waiting.woken() => wake == Wake::Ended,
                () = tokio::time::sleep_until(wake_at) => false,
                _ = self.stopping.wait_for(|stopping| *stopping) => false,
            };
            self.waited += now.elapsed();
            if ended {
                return Ok(Step::Ended);
            }
            woken = true;
        }
    }

    /// How long it has waited for messages so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Goes on under an epoch for which access was checked again.
    pub fn admitted(&mut self, epoch: i64) {
        self.epoch = epoch;
    }

    /// What has come for a poll that has slept: from memory, without asking the store for each that was woken.
    fn look_in_memory(&self, woken: bool) -> Option<InboxPage> {
        if !woken {
            return None;
        }
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let tail = &self.state.tail;
        let found = tail.collect_woken(&self.agent, self.position, self.epoch, limit)?;
        Some(self.page_of(&found))
    }

    fn page_of(&self, found: &Found) -> InboxPage {
        InboxPage {
            messages: found.messages.iter().map(|stored| stored.message.clone()).collect(),
            cursor: found.seen_to,
            more: found.more,
            gap: self.gap,
        }
    }

    /// What there is to read after the position now: from memory when all of it is there. `None` when the
    /// mesh has changed since access was checked: who was removed just then shall not read on, even when
    /// their poll was not yet registered as a waiter.
    async fn look(&mut self) -> Result<Option<InboxPage>> {
        let head = self.shared.head(&self.state.id).await?;
        if head.epoch != self.epoch {
            return Ok(None);
        }
        self.state.tail.begin_at(&head);
        // Below the trim point there may have been messages that this reader never saw.
        self.gap |= self.position < head.trimmed;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        // Memory may still hold what was trimmed.
        let from = self.position.max(head.trimmed);
        if let Some(found) = self.state.tail.collect(&self.agent, from, head.head, limit) {
            return Ok(Some(self.page_of(&found)));
        }
        let streams = [Stream::All, Stream::Agent(self.agent.clone())];
        let page = self
            .shared
            .store
            .read(&self.state.id, &streams, self.position, self.limit)
            .await?
            .ok_or_else(|| ApiError::mesh_not_found(self.state.id.as_str()))?;
        self.gap |= self.position < page.trimmed;
        Ok(Some(InboxPage {
            messages: page
                .messages
                .into_iter()
                .filter(|stored| is_for(&self.agent, stored))
                .map(|stored| stored.message)
                .collect(),
            cursor: page.seen_to.max(self.position),
            more: page.more,
            gap: self.gap,
        }))
    }

    fn hand_out(&mut self, page: InboxPage) -> InboxPage {
        if let Some(last) = page.messages.last() {
            self.state.presence.handed(&self.agent, last.id);
        }
        if !self.waited.is_zero() {
            let now = self.shared.clock.now();
            for message in &page.messages {
                // The time at which the message was written, in microseconds.
                let late = u64::try_from(now - message.id.get()).unwrap_or(0);
                let late = Duration::from_micros(late).as_secs_f64();
                self.shared.metrics.delivery.observe(late);
            }
        }
        if let Some(parked) = self.parked.take() {
            parked.leave(self.shared.clock.now());
        }
        page
    }
}

/// How long it is from `now` to `at`, at least; nothing when that is over.
fn until(at: Micros, now: Micros) -> Duration {
    // Rounded up, so that the clock agrees when the time has come.
    u64::try_from(at - now).map_or(Duration::ZERO, |left| Duration::from_micros(left + 1_000))
}
