//! The setup guide. For who is signed in its commands name a mesh of theirs.

mod harnesses;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::limits::{IDEMPOTENCY_WINDOW, MAX_CONTENT_BYTES};
use serde::Deserialize;

use self::harnesses::{Tab, tabs};
use crate::app::App;
use crate::error::Result;
use crate::extract::Query;
use crate::pages::frame::{Frame, Here};
use crate::pages::home::login_command;
use crate::pages::html;
use crate::pages::visitor::Guest;
use crate::settings::Retention;
use crate::sign_in::Accounts;

/// What stands for the id of a mesh where none is known.
const PLACEHOLDER: &str = "MESH_ID";

#[derive(Template)]
#[template(path = "guide.html")]
struct Guide {
    frame: Frame,
    /// Of who is signed in.
    meshes: Vec<Mesh>,
    /// The id that commands name.
    mesh_id: String,
    /// The query names a mesh in which they are not.
    not_theirs: bool,
    tabs: [Tab; 13],
    login_command: String,
    github: bool,
    url: String,
    repository: &'static str,
    max_content: usize,
    key_hours: u64,
    retention: Retention,
}

/// A mesh to choose.
struct Mesh {
    id: String,
    name: String,
    chosen: bool,
}

/// The query of the page.
#[derive(Deserialize)]
pub(crate) struct GuideQuery {
    /// Which mesh the commands shall name.
    mesh: Option<String>,
}

/// `GET /guide`
pub(crate) async fn page(
    State(app): State<App>,
    Guest(visitor): Guest,
    Query(query): Query<GuideQuery>,
) -> Result<Response> {
    let mut meshes = Vec::new();
    if let Some((_, user)) = &visitor.session {
        for roster in app.meshes.of_user(&user.id).await? {
            let id = roster.mesh.id.to_string();
            meshes.push(Mesh { id, name: roster.mesh.name.clone(), chosen: false });
        }
    }
    let wanted = query.mesh.as_deref().filter(|_| visitor.session.is_some());
    let chosen = match wanted {
        Some(wanted) => meshes.iter_mut().find(|mesh| mesh.id == wanted),
        None => meshes.first_mut(),
    };
    let not_theirs = wanted.is_some() && chosen.is_none();
    let mesh_id = chosen.map_or_else(
        || PLACEHOLDER.to_owned(),
        |mesh| {
            mesh.chosen = true;
            mesh.id.clone()
        },
    );
    let page = Guide {
        frame: Frame::new(&app, &visitor, Here::Guide),
        meshes,
        mesh_id,
        not_theirs,
        tabs: tabs(),
        login_command: login_command(&app),
        github: matches!(app.sign_in.accounts, Accounts::Github(_)),
        url: app.url(""),
        repository: env!("CARGO_PKG_REPOSITORY"),
        max_content: MAX_CONTENT_BYTES,
        key_hours: IDEMPOTENCY_WINDOW.as_secs() / 3_600,
        retention: app.settings.retention,
    };
    Ok(html(StatusCode::OK, &page))
}
