//! The agents of a mesh: who is there now, and who has written to whom.

use std::cmp::Reverse;
use std::collections::VecDeque;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use meshwire_protocol::{AgentId, AgentKind, Harness};

use super::message::start_of;
use super::picture::Picture;
use super::{OneOf, Visit};
use crate::access::PersonInMesh;
use crate::app::App;
use crate::error::Result;
use crate::mesh::Whereabouts;
use crate::pages::see_other;
use crate::pages::visitor::{Posted, session_ticket};
use crate::pages::when::When;
use crate::store::{Micros, Stored};

/// Most agents in the list beside the messages, and in one that goes on after it.
const LISTED: usize = 16;
const LISTED_FURTHER: usize = 32;
/// How many messages the picture is made of.
pub(super) const TRAFFIC: usize = 100;

/// The newest messages that somebody may see: from whom, to whom. Without a receiver: to everyone.
#[derive(Default)]
pub(super) struct Traffic(VecDeque<(AgentId, Option<AgentId>)>);

impl Traffic {
    /// Of messages, newest first.
    pub(super) fn new(newest_first: &[Stored]) -> Self {
        let mut traffic = Self::default();
        newest_first.iter().take(TRAFFIC).rev().for_each(|stored| traffic.add(stored));
        traffic
    }

    /// Notes a message that has come.
    pub(super) fn add(&mut self, stored: &Stored) {
        let message = &stored.message;
        self.0.push_back((message.from_agent_id.clone(), message.to_agent_id.clone()));
        if self.0.len() > TRAFFIC {
            self.0.pop_front();
        }
    }

    /// Each message, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgentId, Option<&AgentId>)> {
        self.0.iter().map(|(from, to)| (from, to.as_ref()))
    }
}

/// The agents, and the picture of them. Its HTML is the same on a page and in the live stream.
#[derive(Template)]
#[template(path = "mesh/agents.html")]
pub(super) struct AgentsView {
    now: Micros,
    /// For the form that removes an agent.
    ticket: String,
    state: AgentsState,
}

impl askama::filters::HtmlSafe for AgentsView {}

/// What is shown of the agents, but for how long ago things were: when that is the same, the page need not change.
#[derive(Clone, PartialEq)]
pub(super) struct AgentsState {
    mesh: String,
    /// Those that are listed.
    agents: Vec<AgentView>,
    /// How many are left out before those.
    first: usize,
    all: usize,
    active: usize,
    picture: Option<Picture>,
}

/// An agent in the list.
#[derive(Clone, PartialEq)]
pub(super) struct AgentView {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) is_person: bool,
    pub(super) is_active: bool,
    harness: Option<String>,
    owner: String,
    description: Option<String>,
    /// `None`: it is active now, or it was never seen.
    seen: Option<Micros>,
    is_removable: bool,
}

impl AgentsState {
    /// As of now. The list begins after the `first` agents.
    pub(super) async fn new(
        app: &App,
        person: &PersonInMesh,
        traffic: &Traffic,
        first: usize,
    ) -> Self {
        let mut agents = agents(person, &app.meshes.whereabouts(&person.roster).await);
        let active = agents.iter().filter(|agent| agent.is_active).count();
        let picture = Picture::new(&agents, traffic);
        let count = agents.len();
        let first = first.min(count);
        agents.drain(..first);
        agents.truncate(if first == 0 { LISTED } else { LISTED_FURTHER });
        Self { mesh: person.mesh().to_string(), agents, first, all: count, active, picture }
    }

    /// To be shown.
    pub(super) fn view(self, app: &App, person: &PersonInMesh) -> AgentsView {
        let ticket = session_ticket(app, &person.session);
        AgentsView { now: app.clock.now(), ticket, state: self }
    }

    /// Whether the viewer may remove one of those that are listed.
    fn any_removable(&self) -> bool {
        self.agents.iter().any(|agent| agent.is_removable)
    }

    /// Where the list goes on.
    fn next(&self) -> usize {
        self.first + self.agents.len()
    }

    /// How many agents come after those in the list.
    fn more(&self) -> usize {
        self.all - self.next()
    }
}

/// How many agents an address says to leave out at the start of the list.
pub(super) fn first_agent(wanted: Option<&str>) -> usize {
    wanted.and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// Everyone; who was there last comes first.
fn agents(person: &PersonInMesh, whereabouts: &Whereabouts) -> Vec<AgentView> {
    let roster = &person.roster;
    let mut agents: Vec<_> = roster
        .agents
        .iter()
        .map(|agent| {
            let (seen, is_active) = whereabouts.of(agent);
            let owner = roster.member(&agent.user);
            AgentView {
                id: agent.id.clone(),
                name: agent.name.clone(),
                is_person: agent.kind == AgentKind::Human,
                is_active,
                harness: agent.harness.map(name_of),
                owner: owner.map_or_else(String::new, |owner| owner.login.clone()),
                description: agent.description.as_deref().map(start_of),
                seen: seen.filter(|_| !is_active),
                is_removable: person.may_remove(agent),
            }
        })
        .collect();
    // The roster has them by name, and the sort is stable.
    agents.sort_by_key(|agent| Reverse((agent.is_active, agent.seen)));
    agents
}

/// A harness as the command line names it.
fn name_of(harness: Harness) -> String {
    serde_json::to_value(harness)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

impl AgentView {
    /// When it was last seen.
    fn last_seen(&self, now: Micros) -> Option<When> {
        self.seen.map(|seen| When::new(seen, now))
    }
}

/// `POST /meshes/{mesh}/agents/remove`
pub(super) async fn remove(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<OneOf>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let agent = visit.person.removable_agent(&form.which)?;
    app.meshes.remove_agent(visit.person.mesh(), &agent.id).await?;
    Ok(see_other(&format!("/meshes/{}", visit.person.mesh())))
}
