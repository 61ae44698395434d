//! One message, with what it answers and what answers it.

use std::collections::HashSet;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::clean::{clean, clean_json};
use meshwire_protocol::{Delivery, MessageId, Role};

use super::message::{self, MessageView, reply_to};
use super::stream::look_back;
use super::{Head, Tab, Visit};
use crate::access::PersonInMesh;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::when::When;
use crate::store::Stored;

/// Most messages that are shown before it.
const BEFORE: usize = 10;
/// How many of the newest messages are looked through for answers.
const RECENT: usize = 300;
/// Most answers that are shown.
const ANSWERS: usize = 20;

#[derive(Template)]
#[template(path = "mesh/thread.html")]
struct View {
    frame: Frame,
    head: Head,
    /// What it answers, the first of the thread first.
    before: Vec<MessageView>,
    message: Whole,
    /// What answers it or an answer to it, oldest first.
    answers: Vec<MessageView>,
}

/// A message with all that is known of it.
struct Whole {
    id: MessageId,
    from: String,
    owner: String,
    to: Option<String>,
    when: When,
    via: &'static str,
    hops: u32,
    content: String,
    /// What its sender has added; empty when there is nothing.
    metadata: String,
    deliveries: Vec<Delivery>,
}

/// `GET /meshes/{mesh}/messages/{message}`
pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response> {
    let person = &visit.person;
    let wanted = visit.path.get("message");
    let not_found = || ApiError::message_not_found(wanted);
    let id = wanted.parse().map_err(|_| not_found())?;
    let stored = seen(&app, person, id).await?.ok_or_else(not_found)?;
    let before = before(&app, person, &stored).await?;
    let answers = answers(&app, person, &stored).await?;
    let mut deliveries =
        app.meshes.deliveries(&person.roster, std::slice::from_ref(&stored)).await?;
    let view = View {
        frame: Frame::new(&app, &visit.visitor, Here::Mesh),
        head: Head::new(&app, person, Tab::Message).await?,
        before: message::views(&app, person, &before, 0).await?,
        answers: message::views(&app, person, &answers, 0).await?,
        message: Whole::new(&app, &stored, deliveries.remove(&id).unwrap_or_default()),
    };
    Ok(html(StatusCode::OK, &view))
}

/// A message that they may see.
async fn seen(app: &App, person: &PersonInMesh, id: MessageId) -> Result<Option<Stored>> {
    let stored = app.store.message(person.mesh(), id).await?;
    Ok(stored.filter(|stored| person.visible().shows(stored)))
}

/// What a message answers, and what that answers, as far as they may see it: the first of the thread first.
async fn before(app: &App, person: &PersonInMesh, stored: &Stored) -> Result<Vec<Stored>> {
    let mut found = Vec::new();
    let mut next = reply_to(stored);
    // An answer is newer than what it answers, so this ends.
    while let Some(id) = next.filter(|_| found.len() < BEFORE) {
        let Some(stored) = seen(app, person, id).await? else { break };
        next = reply_to(&stored).filter(|answered| *answered < id);
        found.push(stored);
    }
    found.reverse();
    Ok(found)
}

/// What answers a message, or an answer to it, among the newest: oldest first.
async fn answers(app: &App, person: &PersonInMesh, stored: &Stored) -> Result<Vec<Stored>> {
    let first = stored.message.id;
    let (recent, _) = look_back(app, person, &person.visible(), None, RECENT).await?;
    let mut thread = HashSet::from([first]);
    let later = recent.into_iter().rev().skip_while(|stored| stored.message.id <= first);
    let answers = later.filter(|stored| {
        let answers = reply_to(stored).is_some_and(|id| thread.contains(&id));
        answers && thread.insert(stored.message.id)
    });
    Ok(answers.take(ANSWERS).collect())
}

impl Whole {
    fn new(app: &App, stored: &Stored, deliveries: Vec<Delivery>) -> Self {
        let message = &stored.message;
        let metadata = if message.metadata.is_empty() {
            String::new()
        } else {
            serde_json::to_string_pretty(&message.metadata).unwrap_or_default()
        };
        Self {
            id: message.id,
            from: message.from.clone(),
            owner: message.from_user.clone(),
            to: message.to_agent_id.is_some().then(|| message.to.clone()),
            when: When::new(message.id.get(), app.clock.now()),
            via: match message.via {
                meshwire_protocol::Via::Session => "this page, signed in",
                meshwire_protocol::Via::Account => "a token of the account",
                meshwire_protocol::Via::Mesh => "a token of the mesh",
                meshwire_protocol::Via::Agent => "a token of the agent",
            },
            hops: message.hops,
            content: clean(&message.content),
            metadata: clean_json(&metadata),
            deliveries,
        }
    }
}
