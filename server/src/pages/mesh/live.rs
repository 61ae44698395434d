//! What happens in a mesh, for a page that is open: server-sent events (HTML standard, section 9.2).
//!
//! Each round asks anew whether the viewer may still look on, reads what is newer than what was sent, under that
//! very answer, and sends HTML that the templates of the page have made. A browser that comes back says by
//! `Last-Event-ID` what it has.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use meshwire_protocol::{ErrorCode, MessageId};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Visit;
use super::agents::{AgentsState, TRAFFIC, Traffic, first_agent};
use super::message::{self, DeliveryView, LARGEST};
use super::stream::{PAGE, look_back};
use crate::access::PersonInMesh;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::{Query, single_header};
use crate::mesh::Watcher;
use crate::store::{Stored, Visibility};

/// The least time between two rounds, however much happens.
const ROUND: Duration = Duration::from_millis(200);
/// The most time between two rounds: sessions end, and messages are read, without anyone telling.
const TICK: Duration = Duration::from_millis(800);
/// The least time between two looks at the agents.
const AGENTS: Duration = Duration::from_secs(2);
/// The least time between two looks at how far messages have come.
const DELIVERIES: Duration = Duration::from_millis(600);
/// How often is looked how far messages have come, when nothing has moved for a while.
const SLOW: Duration = Duration::from_secs(5);
/// How long after a change there may well be another one.
const LIVELY: Duration = Duration::from_secs(30);
/// So that whatever stands in between sees that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Most messages whose way is followed; `live.js` keeps as many on the page.
const FOLLOWED: usize = 100;
/// Most messages that are made up for; a page that has missed more is better loaded again.
const MISSED: usize = 100;
/// How often a round begins anew because the mesh has changed under it.
const ATTEMPTS: usize = 8;

const PAUSED: &str = "The mesh was paused just now: nothing can be sent.";
const RESUMED: &str = "The mesh goes on: messages can be sent again.";

/// What the address says.
#[derive(Deserialize)]
pub(crate) struct LiveQuery {
    /// The newest message that the page shows.
    after: Option<String>,
    /// How many agents the list on the page leaves out at its start.
    agents: Option<String>,
}

/// `GET /meshes/{mesh}/live`
pub(super) async fn live(
    State(app): State<App>,
    visit: Visit,
    headers: HeaderMap,
    Query(query): Query<LiveQuery>,
) -> Result<Response> {
    let person = visit.person;
    // From before the first look, so that nothing falls in between.
    let watcher = app.meshes.watch(person.mesh(), &person.speaker()?).await?;
    let last = single_header(&headers, "last-event-id")?.or(query.after.as_deref());
    let after = if let Some(after) = last.and_then(|id| id.parse().ok()) {
        after
    } else {
        let newest = look_back(&app, &person, &person.visible(), None, 1).await?.0;
        newest.first().map_or(MessageId::ZERO, |newest| newest.message.id)
    };
    let first_agent = first_agent(query.agents.as_deref());
    let live = Live::new(app, person, watcher, after, first_agent).await?;
    let events = stream::unfold(Some(live), async |live| {
        let mut live = live?;
        let events = live.next().await;
        Some((stream::iter(events), (!live.is_over).then_some(live)))
    });
    let mut response = Sse::new(events.flatten().map(Ok::<_, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks nginx not to collect it.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// A page that is kept up to date.
struct Live {
    app: App,
    person: PersonInMesh,
    watcher: Watcher,
    /// The newest message that was sent.
    after: MessageId,
    /// The head of the log up to which was read.
    read_to: MessageId,
    /// The newest messages on the page, newest first.
    shown: VecDeque<Stored>,
    /// How far they had come when that was sent.
    reached: HashMap<MessageId, DeliveryView>,
    traffic: Traffic,
    agents: Option<AgentsState>,
    /// How many agents the list leaves out at its start.
    first_agent: usize,
    is_paused: bool,
    next_agents: Instant,
    next_deliveries: Instant,
    lively_until: Instant,
    next_round: Instant,
    last_event: Instant,
    is_over: bool,
}

impl Live {
    async fn new(
        app: App,
        person: PersonInMesh,
        watcher: Watcher,
        after: MessageId,
        first_agent: usize,
    ) -> Result<Self> {
        let before = Some(after.next()).filter(|_| after < MessageId::MAX);
        let (seen, _) = look_back(&app, &person, &person.visible(), before, TRAFFIC).await?;
        let now = Instant::now();
        let is_paused = person.roster.mesh.paused;
        Ok(Self {
            app,
            person,
            watcher,
            after,
            read_to: MessageId::ZERO,
            traffic: Traffic::new(&seen),
            shown: seen.into_iter().take(PAGE).collect(),
            reached: HashMap::new(),
            agents: None,
            first_agent,
            is_paused,
            next_agents: now,
            next_deliveries: now,
            lively_until: now + LIVELY,
            next_round: now,
            last_event: now,
            is_over: false,
        })
    }

    /// Waits for what is next: some events, and perhaps the end.
    async fn next(&mut self) -> Vec<Event> {
        loop {
            sleep_until(self.next_round).await;
            if self.app.meshes.is_stopping() {
                // The browser comes back, to this node or to another one.
                self.is_over = true;
                return Vec::new();
            }
            self.next_round = Instant::now() + ROUND;
            let events = match self.round().await {
                Ok(events) => events,
                Err(error) => {
                    self.is_over = true;
                    return farewell(error).into_iter().collect();
                }
            };
            let now = Instant::now();
            if !events.is_empty() {
                self.last_event = now;
                return events;
            }
            if now.duration_since(self.last_event) >= KEEP_ALIVE {
                self.last_event = now;
                return vec![Event::default().comment("")];
            }
            // Whether it was told or has waited long enough: it looks.
            let _ = timeout_at(now + TICK, self.watcher.changed()).await;
        }
    }

    async fn round(&mut self) -> Result<Vec<Event>> {
        let new = self.news().await?;
        let mut events = Vec::new();
        if let Some(new) = new {
            if new.len() > MISSED {
                events.push(Event::default().event("missed").data("more"));
            }
            self.tell(&new, &mut events).await?;
        }
        let is_paused = self.person.roster.mesh.paused;
        if std::mem::replace(&mut self.is_paused, is_paused) != is_paused {
            let what = if is_paused { PAUSED } else { RESUMED };
            events.push(Event::default().event("notice").data(what));
        }
        let now = Instant::now();
        if now >= self.next_deliveries {
            self.tell_deliveries(&mut events).await?;
            let lively = now < self.lively_until;
            self.next_deliveries = now + if lively { DELIVERIES } else { SLOW };
        }
        if now >= self.next_agents {
            self.next_agents = now + AGENTS;
            self.person.is_here(&self.app);
            let state =
                AgentsState::new(&self.app, &self.person, &self.traffic, self.first_agent).await;
            if self.agents.as_ref() != Some(&state) {
                self.agents = Some(state.clone());
                let view = state.view(&self.app, &self.person);
                events.push(Event::default().event("agents").data(html(&view)));
            }
        }
        Ok(events)
    }

    /// The messages that have come since, newest first, when the viewer may look on. They were read while that was
    /// true: whoever was removed in between is not shown them.
    async fn news(&mut self) -> Result<Option<Vec<Stored>>> {
        for _ in 0..ATTEMPTS {
            self.person = self.person.check_again(&self.app).await?;
            let mesh = self.person.mesh();
            let gone = || ApiError::mesh_not_found(mesh.as_str());
            let head = self.app.store.head(mesh).await?.ok_or_else(gone)?;
            if head.head == self.read_to {
                return Ok(None);
            }
            let visible = self.person.visible();
            let new = self.newer(&visible).await?;
            let now = self.app.store.head(mesh).await?.ok_or_else(gone)?;
            if now.epoch == self.person.roster.epoch {
                self.read_to = head.head;
                return Ok(Some(new));
            }
        }
        Ok(None)
    }

    /// What is newer than what was sent, newest first; one more than is made up for tells that there are more.
    async fn newer(&self, visible: &Visibility) -> Result<Vec<Stored>> {
        let (mut new, mut before) = (Vec::new(), None);
        loop {
            let (page, next) = look_back(&self.app, &self.person, visible, before, PAGE).await?;
            new.extend(page.into_iter().take_while(|stored| stored.message.id > self.after));
            let there_may_be_more = next.is_some_and(|next| next > self.after);
            if !there_may_be_more || new.len() > MISSED {
                return Ok(new);
            }
            before = next;
        }
    }

    /// Sends messages, which are given newest first, in the order in which they came.
    async fn tell(&mut self, new: &[Stored], events: &mut Vec<Event>) -> Result<()> {
        let new = &new[..new.len().min(MISSED)];
        let views = message::views(&self.app, &self.person, new, LARGEST).await?;
        for (stored, view) in new.iter().zip(&views).rev() {
            let id = stored.message.id;
            let event = Event::default().event("message").id(id.to_string());
            events.push(event.data(html(view)));
            self.after = id;
            self.traffic.add(stored);
            self.reached.insert(id, view.delivery().clone());
            self.shown.push_front(stored.clone());
        }
        if let Some(newest) = new.first() {
            self.person.was_shown(&self.app, newest.message.id);
            self.lively_until = Instant::now() + LIVELY;
        }
        for old in self.shown.drain(self.shown.len().min(FOLLOWED)..) {
            self.reached.remove(&old.message.id);
        }
        Ok(())
    }

    /// Sends how far messages have come that have moved.
    async fn tell_deliveries(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let moving = self.shown.iter().filter(|stored| {
            self.reached.get(&stored.message.id).is_none_or(|reached| !reached.is_final())
        });
        let moving: Vec<Stored> = moving.cloned().collect();
        let mut deliveries = self.app.meshes.deliveries(&self.person.roster, &moving).await?;
        for stored in &moving {
            let id = stored.message.id;
            let view = DeliveryView::new(stored, &deliveries.remove(&id).unwrap_or_default());
            if self.reached.get(&id) == Some(&view) {
                continue;
            }
            events.push(Event::default().event("delivery").data(html(&view)));
            // What it was when the page was made is not known; only what has moved since is news.
            if self.reached.insert(id, view).is_some() {
                self.lively_until = Instant::now() + LIVELY;
            }
        }
        Ok(())
    }
}

fn html(view: &impl askama::Template) -> String {
    view.render().expect("writing to a string does not fail").trim().to_owned()
}

/// What a page is told when it has to end. Without an event the browser comes back.
fn farewell(error: ApiError) -> Option<Event> {
    let why = match error.code() {
        ErrorCode::Unauthorized => "You are signed out in this browser.",
        ErrorCode::NotAMember => "You are not a member of this mesh any more.",
        ErrorCode::MeshNotFound => "This mesh was deleted.",
        _ => {
            // To the log, if it is a fault of ours.
            let _ = error.into_words();
            return None;
        }
    };
    Some(Event::default().event("ended").data(why))
}
