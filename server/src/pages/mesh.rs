//! The pages of one mesh: its messages as they come, its agents and people, its settings.
//!
//! Each route stands here together with the action that access asks for, and a handler gets its visitor only
//! through [`Visit`], which asks.

mod agents;
mod compose;
mod invites;
mod live;
mod message;
mod people;
mod picture;
mod settings;
mod stream;
mod thread;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use meshwire_protocol::{ErrorCode, MeshId, Role};
use serde::Deserialize;

use crate::access::{Action, PersonInMesh};
use crate::app::App;
use crate::error::{Refusal, Result};
use crate::extract::PathVariables;
use crate::pages::errors::wants_html;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::join::login_path;
use crate::pages::see_other;
use crate::pages::visitor::{Visitor, check_session_ticket, session_ticket};

/// Most characters of a mesh's name in the title of a page.
const LONGEST_IN_TITLE: usize = 32;

/// Every page, form and stream of a mesh.
pub(super) fn router() -> Router<App> {
    use Action as A;
    let at = |path, action, methods: MethodRouter<App>| {
        Router::new().route(path, methods.route_layer(Extension::<Action>(action)))
    };
    Router::new()
        .merge(at("/meshes/{mesh}", A::ReadHistory, get(stream::page)))
        .merge(at("/meshes/{mesh}/live", A::ReadHistory, get(live::live)))
        .merge(at("/meshes/{mesh}/messages", A::Send, post(compose::send)))
        .merge(at("/meshes/{mesh}/messages/{message}", A::ReadMessage, get(thread::page)))
        .merge(at("/meshes/{mesh}/agents/remove", A::RemoveAgent, post(agents::remove)))
        .merge(at("/meshes/{mesh}/people", A::ListMembers, get(people::page)))
        .merge(at("/meshes/{mesh}/people/role", A::ChangeMember, post(people::change)))
        .merge(at("/meshes/{mesh}/people/remove", A::RemoveMember, post(people::remove)))
        .merge(at("/meshes/{mesh}/requests", A::DecideRequest, post(people::decide)))
        .merge(at("/meshes/{mesh}/invites", A::CreateInvite, post(invites::create)))
        .merge(at("/meshes/{mesh}/invites/withdraw", A::WithdrawInvite, post(invites::withdraw)))
        .merge(at("/meshes/{mesh}/settings", A::ShowMesh, get(settings::page)))
        .merge(at("/meshes/{mesh}/settings", A::ChangeMesh, post(settings::rename)))
        .merge(at("/meshes/{mesh}/settings/pause", A::ChangeMesh, post(settings::pause)))
        .merge(at("/meshes/{mesh}/settings/delete", A::DeleteMesh, post(settings::delete)))
}

/// A person in a mesh, whose right to what they ask for was checked.
pub(crate) struct Visit {
    visitor: Visitor,
    person: PersonInMesh,
    /// Whether the page is shown to somebody: the answer to a HEAD has none.
    is_shown: bool,
    /// The variables of the path.
    path: PathVariables,
}

impl FromRequestParts<App> for Visit {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &App,
    ) -> std::result::Result<Self, Response> {
        let action =
            *parts.extensions.get::<Action>().expect("every route of a mesh has an action");
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let for_people = wants_html(&parts.headers);
        let signed_in = match visitor.signed_in() {
            Ok(signed_in) => signed_in.clone(),
            Err(_) if parts.method == Method::GET && for_people => {
                let here = parts.uri.path_and_query().map_or("/", |here| here.as_str());
                return Err(see_other(&login_path(here)));
            }
            Err(error) => return Err(error.into_response()),
        };
        let path = PathVariables::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        let mesh = path.get("mesh");
        match PersonInMesh::enter(app, signed_in, mesh, action).await {
            Ok(person) => {
                Ok(Self { visitor, person, is_shown: parts.method != Method::HEAD, path })
            }
            Err(error) if error.code() == ErrorCode::NotAMember && for_people => {
                let frame = Frame::new(app, &visitor, Here::Home);
                let mut page = html(StatusCode::FORBIDDEN, &Stranger { frame, mesh });
                page.extensions_mut().insert(Refusal { code: error.code(), reason: None });
                Err(page)
            }
            Err(error) => Err(error.into_response()),
        }
    }
}

impl Visit {
    /// Refuses a form that was not made for this session.
    fn check_ticket(&self, app: &App, ticket: &str) -> Result<()> {
        check_session_ticket(app, &self.person.session, ticket)
    }

    /// The ticket for forms of a page.
    fn ticket(&self, app: &App) -> String {
        session_ticket(app, &self.person.session)
    }
}

/// A form that says which of the things on a page it is about.
#[derive(Deserialize)]
pub(crate) struct OneOf {
    #[serde(default)]
    ticket: String,
    /// Which one.
    #[serde(default)]
    which: String,
}

/// What someone sees who has the id of a mesh that they are not in.
#[derive(Template)]
#[template(path = "mesh/stranger.html")]
struct Stranger<'a> {
    frame: Frame,
    mesh: &'a str,
}

/// A page of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Messages,
    /// One message; its tab leads back to all of them.
    Message,
    People,
    Settings,
}

/// What every page of a mesh shows of it, as `mesh/base.html` does.
struct Head {
    id: MeshId,
    name: String,
    role: Role,
    paused: bool,
    /// How many people ask to join, for those who may decide that.
    requests: usize,
    tab: Tab,
}

impl Head {
    async fn new(app: &App, person: &PersonInMesh, tab: Tab) -> Result<Self> {
        let requests = if person.may(Action::ListRequests) {
            app.meshes.join_requests(person.mesh()).await?.len()
        } else {
            0
        };
        Ok(Self {
            id: person.mesh().clone(),
            name: person.roster.mesh.name.clone(),
            role: person.member.role,
            paused: person.roster.mesh.paused,
            requests,
            tab,
        })
    }

    /// The name as it fits into a title.
    fn short_name(&self) -> String {
        match self.name.char_indices().nth(LONGEST_IN_TITLE) {
            Some((end, _)) => format!("{}…", &self.name[..end]),
            None => self.name.clone(),
        }
    }

    /// `aria-current` of the link to a page.
    fn current(&self, tab: Tab) -> &'static str {
        match (self.tab, tab) {
            (here, there) if here == there => "page",
            (Tab::Message, Tab::Messages) => "true",
            _ => "false",
        }
    }
}
