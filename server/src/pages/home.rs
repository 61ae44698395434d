//! The start page: for strangers what this is, for who is signed in their meshes.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{AgentKind, ErrorCode, Role, check_mesh_name};
use serde::Deserialize;

use crate::access::Action;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::pages::frame::{Frame, Here};
use crate::pages::visitor::{Posted, Visitor, check_session_ticket, session_ticket};
use crate::pages::{html, see_other};
use crate::sign_in::Accounts;
use crate::store::{MemberRow, Roster, SessionRow, UserRow};

/// The URL that the command line uses when nothing is said.
const DEFAULT_URL: &str = "http://127.0.0.1:4200";

#[derive(Template)]
#[template(path = "landing.html")]
struct Landing {
    frame: Frame,
    /// People sign in with GitHub.
    github: bool,
    /// Nobody has an account yet, and the first one is made by a link.
    nobody: bool,
    login_command: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    frame: Frame,
    name: String,
    login_command: String,
    ticket: String,
    meshes: Vec<Mesh>,
    /// The name of a new mesh, and what is wrong with it.
    new_name: &'a str,
    error: Option<String>,
}

/// A mesh that one is in.
struct Mesh {
    id: String,
    name: String,
    role: Role,
    /// Without people.
    agents: usize,
    active: usize,
    paused: bool,
    /// How many people ask to join, for those who may decide that.
    requests: usize,
}

/// The form that makes a mesh.
#[derive(Deserialize)]
pub(crate) struct NewMesh {
    #[serde(default)]
    ticket: String,
    #[serde(default)]
    name: String,
}

/// `GET /`
pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    let frame = Frame::new(&app, &visitor, Here::Home);
    match &visitor.session {
        Some(signed_in) => home(&app, frame, signed_in, "", None).await,
        None => landing(&app, frame).await,
    }
}

async fn landing(app: &App, frame: Frame) -> Result<Response> {
    let github = matches!(app.sign_in.accounts, Accounts::Github(_));
    let nobody = !github && !app.store.any_user().await?;
    let page = Landing { frame, github, nobody, login_command: login_command(app) };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /meshes`
pub(crate) async fn create(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<NewMesh>,
) -> Result<Response> {
    let signed_in = visitor.signed_in()?;
    let (session, user) = signed_in;
    check_session_ticket(&app, session, &form.ticket)?;
    let name = form.name.trim();
    let made = match check_mesh_name(name) {
        Ok(()) => app.meshes.create(user, name.to_owned()).await,
        Err(rule) => Err(ApiError::field("name", rule.to_string())),
    };
    let error = match made {
        Ok(roster) => return Ok(see_other(&format!("/meshes/{}", roster.mesh.id))),
        Err(error) => error,
    };
    let error = match (error.code(), error.field_reason("name")) {
        (_, Some(rule)) => format!("It {rule}."),
        (ErrorCode::LimitReached, _) => error.detail().to_owned(),
        _ => return Err(error),
    };
    let frame = Frame::new(&app, &visitor, Here::Home);
    home(&app, frame, signed_in, name, Some(error)).await
}

async fn home(
    app: &App,
    frame: Frame,
    (session, user): &(SessionRow, UserRow),
    new_name: &str,
    error: Option<String>,
) -> Result<Response> {
    let mut meshes = Vec::new();
    for roster in app.meshes.of_user(&user.id).await? {
        // Who was removed a moment ago is not in it any more.
        if let Some(member) = roster.member(&user.id) {
            meshes.push(Mesh::new(app, &roster, member).await?);
        }
    }
    let status = if error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = Home {
        frame,
        name: user.name.clone(),
        login_command: login_command(app),
        ticket: session_ticket(app, session),
        meshes,
        new_name,
        error,
    };
    Ok(html(status, &page))
}

impl Mesh {
    async fn new(app: &App, roster: &Roster, member: &MemberRow) -> Result<Self> {
        let id = &roster.mesh.id;
        let agents = roster.agents.iter().filter(|agent| agent.kind == AgentKind::Agent);
        let whereabouts = app.meshes.whereabouts(roster).await;
        let active = agents.clone().filter(|agent| whereabouts.of(agent).1);
        let decides = Action::ListRequests.rule().role.is_some_and(|least| member.role >= least);
        Ok(Self {
            name: roster.mesh.name.clone(),
            role: member.role,
            agents: agents.clone().count(),
            active: active.count(),
            paused: roster.mesh.paused,
            requests: if decides { app.meshes.join_requests(id).await?.len() } else { 0 },
            id: id.to_string(),
        })
    }
}

/// How to sign the command line in at this server.
pub(crate) fn login_command(app: &App) -> String {
    let url = app.url("");
    if url == DEFAULT_URL {
        "meshwire login".to_owned()
    } else {
        format!("meshwire login --url {url}")
    }
}
