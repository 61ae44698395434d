//! The tools of one caller. Each call asks access for itself, as the call of the API that does the same.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use meshwire_protocol::tools::{Backend, Here, Refusal, Unread, how_many_fit};
use meshwire_protocol::{
    Agent, AgentId, From, InboxPage, MessageId, SendMessage, Sent, check_agent_name,
};
use rmcp::model::RequestId;

use super::Session;
use super::handed::{Called, Handed};
use crate::access::{Action, InMesh, Principal};
use crate::app::App;
use crate::error::{ApiError, Result, chain};
use crate::mesh::{Poll, not_your_agent};
use crate::routes::{agents, meshes, messages};
use crate::store::{AgentChange, AgentRow};

/// A caller of `/mcp`.
pub(super) struct AgentTools {
    app: App,
    principal: Principal,
    session: Session,
    /// What the call has read: whose messages, how far, and which call it is.
    read: Mutex<Option<(AgentId, MessageId, Called)>>,
    /// How long a poll has waited.
    waited: Mutex<Option<Duration>>,
}

impl AgentTools {
    pub(super) fn new(app: App, principal: Principal, session: Session) -> Self {
        let (read, waited) = (Mutex::default(), Mutex::default());
        Self { app, principal, session, read, waited }
    }

    fn handed(&self, agent: &AgentId) -> Handed {
        let (store, clock) = (self.app.store.clone(), self.app.clock.clone());
        Handed::new(store, clock, &self.principal.token.id, agent)
    }

    /// The answer goes out: the next call says that it has arrived.
    pub(super) async fn answered(&self) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((agent, up_to, call)) = read else { return };
        if let Err(error) = self.handed(&agent).note(up_to, &call).await {
            tracing::warn!(error = %chain(&error), "what was handed out over /mcp could not be noted, and comes again");
        }
    }

    /// A client begins anew.
    pub(super) async fn begins(&self) -> Result<()> {
        match self.known_agent().await? {
            Some(agent) => Ok(self.handed(&agent).forget().await?),
            None => Ok(()),
        }
    }

    /// The client does not want the answer to one of its calls.
    pub(super) async fn cancelled(&self, call: &RequestId) -> Result<()> {
        match self.known_agent().await? {
            Some(agent) => Ok(self.handed(&agent).cancel(call.into()).await?),
            None => Ok(()),
        }
    }

    /// The caller's agent, if there is one that it may read for.
    async fn known_agent(&self) -> Result<Option<AgentId>> {
        let principal = &self.principal;
        let roster = self.enter(Action::ReadInbox).await?.roster;
        let agent = match (&principal.token.agent, &self.session.place.agent) {
            (Some(bound), _) => roster.agent_by_id(bound),
            (None, Some(name)) => {
                roster.agent(name).filter(|agent| agent.user == principal.user.id)
            }
            (None, None) => roster.person(&principal.user.id),
        };
        Ok(agent.map(|agent| agent.id.clone()))
    }

    /// How long a poll has waited, if there was one.
    pub(super) fn waited(&self) -> Option<Duration> {
        *self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller in its mesh, when it may do this there.
    async fn enter(&self, action: Action) -> Result<InMesh> {
        let bound = self.principal.token.mesh.as_ref().map(ToString::to_string);
        let mesh = match (bound, &self.session.place.mesh) {
            (_, Some(asked)) => asked.clone(),
            (Some(bound), None) => bound,
            (None, None) => {
                return Err(ApiError::field("mesh", "is missing")
                    .hint("Add ?mesh=ID&agent=NAME to the URL of the MCP server, or use a token that is bound to an agent."));
            }
        };
        InMesh::enter(&self.app, self.principal.clone(), &mesh, action).await
    }

    /// The caller's agent: the one that the token is, else the one that the URL names, which is registered when
    /// it is new, else the person's.
    async fn agent(&self, caller: &InMesh) -> Result<AgentRow> {
        let (app, principal) = (&self.app, &self.principal);
        if let Some(bound) = &principal.token.agent {
            let agent = caller.roster.agent_by_id(bound);
            let agent = agent.ok_or_else(|| ApiError::agent_not_found(bound.as_str()))?;
            return match &self.session.place.agent {
                Some(asked)
                    if !asked.eq_ignore_ascii_case(&agent.name) && asked != agent.id.as_str() =>
                {
                    Err(not_your_agent(asked))
                }
                _ => Ok(agent.clone()),
            };
        }
        let Some(name) = &self.session.place.agent else {
            return app
                .meshes
                .person(caller.mesh(), &principal.user.id, &principal.user.login)
                .await;
        };
        if let Some(agent) = caller.roster.agent(name) {
            if agent.user != principal.user.id {
                return Err(not_your_agent(&agent.name));
            }
            return Ok(agent.clone());
        }
        check_agent_name(name).map_err(|error| ApiError::field("agent", error.to_string()))?;
        let caller = self.enter(Action::RegisterAgent).await?;
        let fields = AgentChange::default();
        let user = &principal.user.id;
        let (agent, _) = app.meshes.register(caller.mesh(), user, name.clone(), fields).await?;
        Ok(agent)
    }

    /// The caller and its agent. A call says that what the one before has answered has arrived.
    async fn arrive(&self, action: Action) -> Result<(InMesh, AgentRow)> {
        let caller = self.enter(action).await?;
        let agent = self.agent(&caller).await?;
        if let Some(up_to) = self.handed(&agent.id).take().await? {
            let reading = InMesh::enter(
                &self.app,
                self.principal.clone(),
                caller.mesh().as_str(),
                Action::ReadInbox,
            );
            if let Ok(reading) = reading.await {
                self.poll(&reading, &agent.id, Some(up_to), 1, Duration::ZERO).await?;
            }
        }
        self.app.meshes.heartbeat(caller.mesh(), &agent.id);
        Ok((caller, agent))
    }

    async fn poll(
        &self,
        caller: &InMesh,
        agent: &AgentId,
        acknowledge: Option<MessageId>,
        limit: u32,
        wait: Duration,
    ) -> Result<InboxPage> {
        let poll = Poll {
            epoch: caller.roster.epoch,
            after: acknowledge.map(From::Id),
            ack: acknowledge.is_some(),
            limit,
            wait,
        };
        let mut reader = messages::begin(&self.app, caller, agent, poll).await?;
        let page = messages::read(&self.app, caller, agent, &mut reader).await;
        if !wait.is_zero() {
            let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
            *waited = Some(reader.waited());
        }
        page
    }

    async fn send(&self, mut message: SendMessage) -> Result<Sent> {
        let (caller, agent) = self.arrive(Action::Send).await?;
        message.from = Some(agent.id.to_string());
        let speaker = self.principal.speaker();
        let delivered = self.app.meshes.send(&caller.roster, &speaker, message, None).await?;
        Ok(Sent { message: delivered.stored.message.clone(), recipients: delivered.recipients })
    }

    async fn read(&self, wait: Duration, limit: u32, id: &RequestId) -> Result<Unread> {
        let (caller, agent) = self.arrive(Action::ReadInbox).await?;
        let page = self.poll(&caller, &agent.id, None, limit, wait).await?;
        let (mut messages, mut cursor, mut more) = (page.messages, page.cursor, page.more);
        let fit = how_many_fit(messages.iter().map(|message| message.content.as_str()));
        if fit < messages.len() {
            messages.truncate(fit);
            more = true;
            cursor = messages.last().map_or(cursor, |last| last.id);
        }
        let read = (agent.id, cursor, id.into());
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        Ok(Unread { messages, more, gap: page.gap, elsewhere: false })
    }

    async fn agents(&self) -> Result<(Vec<Agent>, AgentId)> {
        let (_, agent) = self.arrive(Action::ListAgents).await?;
        // Again: the caller's agent may have been made just now.
        let caller = self.enter(Action::ListAgents).await?;
        let whereabouts = self.app.meshes.whereabouts(&caller.roster).await;
        let all = caller.roster.agents.iter();
        Ok((all.map(|it| agents::shown_agent(&caller, it, &whereabouts)).collect(), agent.id))
    }

    async fn here(&self) -> Result<Here> {
        let (_, agent) = self.arrive(Action::ShowMesh).await?;
        let caller = self.enter(Action::ShowMesh).await?;
        let mesh = meshes::shown_mesh(&self.app, &caller.roster, caller.member.role).await;
        Ok(Here {
            server: self.app.url(""),
            mesh_id: mesh.mesh_id.to_string(),
            mesh_name: mesh.name,
            paused: mesh.paused,
            agent: agent.name,
            agent_id: agent.id.to_string(),
            user: self.principal.user.login.clone(),
            agents: mesh.agents,
            active: mesh.active,
        })
    }
}

impl Backend for AgentTools {
    async fn send(&self, message: SendMessage) -> std::result::Result<Sent, Refusal> {
        AgentTools::send(self, message).await.map_err(refusal)
    }

    async fn read(
        &self,
        wait: Duration,
        limit: u32,
        id: &RequestId,
    ) -> std::result::Result<Unread, Refusal> {
        AgentTools::read(self, wait, limit, id).await.map_err(refusal)
    }

    async fn agents(&self) -> std::result::Result<(Vec<Agent>, AgentId), Refusal> {
        AgentTools::agents(self).await.map_err(refusal)
    }

    async fn here(&self) -> std::result::Result<Here, Refusal> {
        AgentTools::here(self).await.map_err(refusal)
    }
}

/// An error in words for a model.
fn refusal(error: ApiError) -> Refusal {
    let code = Some(error.code());
    let (message, hint) = error.into_words();
    Refusal { message, hint, code }
}
