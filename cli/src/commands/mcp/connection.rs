//! From the tools to a mesh: finds out who we are as late as it can, and again when that has changed.

use std::sync::Arc;
use std::time::Duration;

use meshwire_protocol::tools::{Backend, Here, Refusal, Unread as Shown, how_many_fit};
use meshwire_protocol::{Agent, AgentId, ErrorCode, Harness, Message, SendMessage, Sent};
use rmcp::model::{RequestId, RequestMetaObject};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::Mcp;
use super::outbox::Outbox;
use crate::client::{self, Client, RawMessage};
use crate::credentials::Home;
use crate::delivery::{Inbox, Unread, Wired, codex};
use crate::failure::{Exit, Failure, Outcome};
use crate::mesh_file::{MeshFile, harness_name};
use crate::settings::{Flags, Settings};

/// How often the server hears that we are here; an agent is active for 30 s.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long a call waits while another program on this computer shows what is unread.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon it is looked again whether what was missing is there.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The way to the mesh.
pub(super) struct Connection {
    args: Mcp,
    flags: Flags,
    outbox: Arc<Outbox>,
    place: Mutex<Option<Arc<Place>>>,
    /// The inbox that is pushed into the session of Codex, where that is our work.
    pushed: watch::Sender<Option<(Home, Inbox)>>,
    /// The thread of Codex that calls.
    thread: watch::Sender<Option<String>>,
}

/// Who we are.
struct Place {
    settings: Settings,
    client: Client,
    inbox: Inbox,
}

impl Connection {
    pub(super) fn new(args: Mcp, flags: Flags, outbox: Arc<Outbox>) -> Self {
        let (pushed, thread) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { args, flags, outbox, place: Mutex::default(), pushed, thread }
    }

    /// Pushes into the session of Codex that has started us; other harnesses have a program of their own for
    /// that. Never ends.
    pub(super) async fn push(&self) {
        let mut pushed = self.pushed.subscribe();
        loop {
            let inbox = pushed.borrow_and_update().clone();
            let pushing = async {
                if let Some((home, inbox)) = inbox {
                    // A clear no of the server: the tools tell the model.
                    let _ = codex::push(home, inbox, self.thread.subscribe()).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = pushing => {}
                _ = pushed.changed() => {}
            }
        }
    }

    /// Registers the agent as soon as that can be done, and keeps it active. Never ends.
    pub(super) async fn keep(&self) {
        loop {
            let beat = async {
                let place = self.place().await?;
                let heartbeat =
                    place.client.heartbeat(place.inbox.mesh(), place.inbox.agent().as_str());
                self.checked(heartbeat.await).await
            };
            let pause = if beat.await.is_ok() { HEARTBEAT } else { LOOK_AGAIN };
            tokio::time::sleep(pause).await;
        }
    }

    /// Who we are, found out when it is not known yet.
    async fn place(&self) -> Outcome<Arc<Place>> {
        let mut known = self.place.lock().await;
        if let Some(place) = &*known {
            return Ok(Arc::clone(place));
        }
        let place = Arc::new(self.settle().await?);
        *known = Some(Arc::clone(&place));
        Ok(place)
    }

    async fn settle(&self) -> Outcome<Place> {
        let settings = Settings::load(&self.flags)?;
        let of_file = settings.mesh_file.as_ref().map(MeshFile::harness).transpose()?.flatten();
        let harness = self.args.harness.or(settings.env.harness).or(of_file);
        let harness = harness.unwrap_or(Harness::Generic);
        let mesh = self.args.mesh.as_deref();
        let mut wired = Wired::find(&settings, mesh, self.args.agent.as_deref(), harness)?;
        if wired.is_none() && mesh.is_some() {
            let name = format!("{}-agent", harness_name(harness));
            wired = Wired::find(&settings, mesh, Some(&name), harness)?;
        }
        let wired = wired.ok_or_else(|| not_wired(harness))?;
        let client = settings.client()?;
        let (agent, _) = wired.register(&settings, &client).await?;
        let inbox = wired.inbox(&settings, client.clone(), agent)?;
        if harness == Harness::Codex {
            self.pushed.send_replace(Some((settings.home.clone(), inbox.clone())));
        }
        Ok(Place { settings, client, inbox })
    }

    /// Forgets who we are when the server knows better, so that the next call finds out again.
    async fn checked<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        if let Err(failure) = &outcome
            && matches!(failure.exit(), Exit::Refused | Exit::NotFound)
        {
            *self.place.lock().await = None;
        }
        outcome
    }

    /// What is unread, waited for; `None` while another program on this computer shows it.
    async fn take(&self, place: &Place, wait: Duration, limit: u32) -> Outcome<Option<Unread>> {
        let until = Instant::now() + wait;
        loop {
            let unread = place.inbox.take_within(PATIENCE, limit).await?;
            let left = whole_seconds(until.saturating_duration_since(Instant::now()));
            let found = unread.as_ref().is_some_and(|unread| !unread.messages.is_empty());
            if found || left == 0 || self.outbox.is_closed() {
                return Ok(unread);
            }
            if unread.is_none() {
                continue;
            }
            // Others on this computer may read meanwhile.
            drop(unread);
            tokio::select! {
                seen = place.inbox.wait(None, left) => { seen?; }
                // Nobody is there to be shown what comes now.
                () = self.outbox.closed() => return Ok(None),
            }
        }
    }

    async fn read_as(&self, wait: Duration, limit: u32, id: &RequestId) -> Outcome<Shown> {
        let place = self.place().await?;
        let Some(mut unread) = self.checked(self.take(&place, wait, limit).await).await? else {
            return Ok(Shown { elsewhere: !self.outbox.is_closed(), ..Shown::default() });
        };
        let messages = readable(&mut unread)?;
        let (more, gap) = (unread.more, unread.gap);
        let shown = Shown { messages, more, gap, elsewhere: false };
        if !shown.messages.is_empty() || shown.gap {
            self.outbox.put(id, unread);
        }
        Ok(shown)
    }

    async fn send_as(&self, mut message: SendMessage) -> Outcome<Sent> {
        // One key for the call, so that no retry makes a second message.
        let key = format!("mcp-{:032x}", rand::random::<u128>());
        let mut again = false;
        loop {
            let place = self.place().await?;
            message.from = Some(place.inbox.agent().to_string());
            let answer = place.client.send(place.inbox.mesh(), &message, &key).await;
            match answer {
                Err(failure) if failure.is(ErrorCode::AgentNotFound) => {
                    // The receiver, or ourselves: then nobody has heard of it yet.
                    let own = format!("{:?}", place.inbox.agent().as_str());
                    if again || !failure.message().contains(&own) {
                        return Err(failure);
                    }
                    again = true;
                    *self.place.lock().await = None;
                }
                answer => return client::sent(&self.checked(answer).await?),
            }
        }
    }

    async fn agents_here(&self) -> Outcome<(Vec<Agent>, AgentId)> {
        let place = self.place().await?;
        let list = self.checked(place.client.agents(place.inbox.mesh()).await).await?;
        Ok((list.agents, place.inbox.agent().clone()))
    }

    async fn here_now(&self) -> Outcome<Here> {
        let place = self.place().await?;
        let (id, agent) = (place.inbox.mesh(), place.inbox.agent());
        let (mesh, me, agent) = tokio::join!(
            place.client.mesh(id),
            place.client.me(),
            // Its name may have changed since.
            place.client.agent(id, agent.as_str())
        );
        let (mesh, me) = (self.checked(mesh).await?, self.checked(me).await?);
        let agent = self.checked(agent).await?;
        Ok(Here {
            server: place.settings.url.to_string(),
            mesh_id: mesh.mesh_id.to_string(),
            mesh_name: mesh.name,
            paused: mesh.paused,
            agent: agent.name,
            agent_id: agent.agent_id.to_string(),
            user: me.user.login,
            agents: mesh.agents,
            active: mesh.active,
        })
    }
}

/// Rounded up, so that what is left of a second is waited for as well.
fn whole_seconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// As many messages as are shown at once; the rest stays unread.
fn readable(unread: &mut Unread) -> Outcome<Vec<Message>> {
    let messages = unread.messages.iter().map(RawMessage::read).collect::<Outcome<Vec<_>>>()?;
    let fit = how_many_fit(messages.iter().map(|message| message.content.as_str()));
    unread.truncate(fit)?;
    Ok(messages.into_iter().take(fit).collect())
}

fn not_wired(harness: Harness) -> Failure {
    Failure::usage("this folder belongs to no mesh: there is no .mesh.json in it or above it").hint(
        format!(
            "ask the user to run `meshwire init --harness {}` here; it works from then on, without a restart",
            harness_name(harness)
        ),
    )
}

fn refusal(failure: &Failure) -> Refusal {
    Refusal {
        message: failure.message().to_owned(),
        hint: failure.hint_text().map(str::to_owned),
        code: failure.code(),
    }
}

impl Backend for Connection {
    async fn send(&self, message: SendMessage) -> Result<Sent, Refusal> {
        self.send_as(message).await.map_err(|failure| refusal(&failure))
    }

    async fn read(&self, wait: Duration, limit: u32, id: &RequestId) -> Result<Shown, Refusal> {
        self.read_as(wait, limit, id).await.map_err(|failure| refusal(&failure))
    }

    async fn agents(&self) -> Result<(Vec<Agent>, AgentId), Refusal> {
        self.agents_here().await.map_err(|failure| refusal(&failure))
    }

    async fn here(&self) -> Result<Here, Refusal> {
        self.here_now().await.map_err(|failure| refusal(&failure))
    }

    fn note_call(&self, meta: &RequestMetaObject) {
        // Codex says which of its threads calls.
        if let Some(thread) = meta.get("threadId").and_then(serde_json::Value::as_str) {
            self.thread.send_if_modified(|known| {
                let new = known.as_deref() != Some(thread);
                if new {
                    *known = Some(thread.to_owned());
                }
                new
            });
        }
    }
}
