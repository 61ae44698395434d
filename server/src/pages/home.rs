//! The start page: for strangers what this is, for who is signed in their meshes.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::Role;

use crate::app::App;
use crate::error::Result;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::visitor::Visitor;
use crate::sign_in::Accounts;
use crate::store::{Roster, UserRow};

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
struct Home {
    frame: Frame,
    name: String,
    login_command: String,
    meshes: Vec<Mesh>,
}

/// A mesh that one is in.
struct Mesh {
    id: String,
    name: String,
    role: Role,
}

/// `GET /`
pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    let frame = Frame::new(&app, &visitor, Here::Home);
    match &visitor.session {
        Some((_, user)) => home(&app, frame, user).await,
        None => landing(&app, frame).await,
    }
}

async fn landing(app: &App, frame: Frame) -> Result<Response> {
    let github = matches!(app.sign_in.accounts, Accounts::Github(_));
    let nobody = !github && !app.store.any_user().await?;
    let page = Landing { frame, github, nobody, login_command: login_command(app) };
    Ok(html(StatusCode::OK, &page))
}

async fn home(app: &App, frame: Frame, user: &UserRow) -> Result<Response> {
    let meshes = app.meshes.of_user(&user.id).await?;
    let page = Home {
        frame,
        name: user.name.clone(),
        login_command: login_command(app),
        meshes: meshes.iter().filter_map(|roster| Mesh::of(roster, user)).collect(),
    };
    Ok(html(StatusCode::OK, &page))
}

impl Mesh {
    fn of(roster: &Arc<Roster>, user: &UserRow) -> Option<Self> {
        Some(Self {
            id: roster.mesh.id.to_string(),
            name: roster.mesh.name.clone(),
            role: roster.member(&user.id)?.role,
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
