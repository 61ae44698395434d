//! The messages of a mesh, with a form to send one and the agents beside them.
//!
//! The newest stands on top, under the form: without a script the page opens where things happen, a reader that
//! starts at the top hears the newest first, and what is older follows below, page by page.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{ErrorCode, MessageId, Role};
use serde::Deserialize;

use super::agents::{AgentsState, AgentsView, TRAFFIC, Traffic, first_agent};
use super::compose::{ComposeView, Errors, Fields};
use super::message::{self, LARGEST, MessageView, escaped_size};
use super::{Head, Tab, Visit};
use crate::access::PersonInMesh;
use crate::app::App;
use crate::error::Result;
use crate::extract::Query;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::store::{Stored, Visibility};

/// Most messages on a page.
pub(super) const PAGE: usize = 20;
/// Most bytes of their contents, as they stand in HTML: the whole page shall stay below 100 KB.
const PAGE_BYTES: usize = 16 * 1024;
/// How often the store is asked for more when its pages are short.
const LOOKS: usize = 8;

#[derive(Template)]
#[template(path = "mesh/stream.html")]
struct View<'a> {
    frame: Frame,
    head: Head,
    compose: ComposeView<'a>,
    messages: Vec<MessageView>,
    agents: AgentsView,
    /// How many agents the list leaves out at its start.
    first_agent: usize,
    /// Where older messages begin.
    older: Option<MessageId>,
    /// These are older ones, and do not change.
    is_past: bool,
    /// The newest message that is here.
    newest: MessageId,
    login_command: String,
}

/// What the address of the page says.
#[derive(Deserialize, Default)]
pub(crate) struct StreamQuery {
    before: Option<String>,
    reply_to: Option<String>,
    agents: Option<String>,
}

/// `GET /meshes/{mesh}`
pub(super) async fn page(
    State(app): State<App>,
    visit: Visit,
    Query(query): Query<StreamQuery>,
) -> Result<Response> {
    let fields = Fields::answering(query.reply_to.as_deref());
    view(&app, &visit, &query, &fields, Errors::default()).await
}

/// The page; also for a message that was not sent, which it still holds.
pub(super) async fn view(
    app: &App,
    visit: &Visit,
    query: &StreamQuery,
    fields: &Fields,
    errors: Errors,
) -> Result<Response> {
    let person = &visit.person;
    let before = query.before.as_deref().and_then(|id| id.parse().ok());
    let visible = person.visible();
    let (newest, mut older) = look_back(app, person, &visible, None, TRAFFIC).await?;
    let traffic = Traffic::new(&newest);
    let mut messages = newest;
    if before.is_some() {
        (messages, older) = look_back(app, person, &visible, before, PAGE).await?;
    }
    let fit = fitting(&messages);
    if fit < messages.len() {
        messages.truncate(fit);
        older = messages.last().map(|last| last.message.id);
    }
    let first = first_agent(query.agents.as_deref());
    if before.is_none()
        && visit.is_shown
        && let Some(newest) = messages.first()
    {
        person.was_shown(app, newest.message.id);
    }
    let status = errors.status();
    let view = View {
        frame: Frame::new(app, &visit.visitor, Here::Mesh),
        head: Head::new(app, person, Tab::Messages).await?,
        compose: ComposeView::new(app, person, fields, errors).await?,
        newest: messages.first().map_or(MessageId::ZERO, |newest| newest.message.id),
        messages: message::views(app, person, &messages, LARGEST).await?,
        agents: AgentsState::new(app, person, &traffic, first).await.view(app, person),
        first_agent: first,
        older,
        is_past: before.is_some(),
        login_command: crate::pages::home::login_command(app),
    };
    Ok(html(status, &view))
}

/// Messages that somebody may see before an id, newest first, and where to go on.
pub(super) async fn look_back(
    app: &App,
    person: &PersonInMesh,
    visible: &Visibility,
    mut before: Option<MessageId>,
    most: usize,
) -> Result<(Vec<Stored>, Option<MessageId>)> {
    let mut found: Vec<Stored> = Vec::new();
    for _ in 0..LOOKS {
        let missing = u32::try_from(most - found.len()).unwrap_or(u32::MAX);
        let page = app.meshes.history(person.mesh(), visible, before, missing).await?;
        found.extend(page.messages);
        before = page.before;
        if before.is_none() || found.len() >= most {
            break;
        }
    }
    Ok((found, before))
}

/// How many of these messages go onto one page: at least one.
fn fitting(messages: &[Stored]) -> usize {
    let mut bytes = 0;
    let fits = messages.iter().take(PAGE).take_while(|stored| {
        let fits = bytes < PAGE_BYTES;
        let size = escaped_size(&stored.message.content);
        bytes += if size > LARGEST { 0 } else { size };
        fits
    });
    fits.count()
}

impl Errors {
    /// The status of a page that shows them.
    fn status(&self) -> StatusCode {
        let code = self.code().map_or(200, ErrorCode::status);
        StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
    }
}
