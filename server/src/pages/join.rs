//! Where the link of an invite leads in a browser: it says what to run. Nothing is looked up, so that a
//! guess learns nothing, and opening the link uses nothing up.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{ErrorCode, MeshId};
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::{PathVariable, Query};
use crate::pages::home::login_command;
use crate::pages::html;

#[derive(Template)]
#[template(path = "join.html")]
struct Invitation {
    login_command: String,
    join_command: String,
    invited: bool,
}

/// The query of the link.
#[derive(Deserialize)]
pub(crate) struct JoinQuery {
    invite: Option<String>,
}

/// `GET /join/{mesh}`
pub(crate) async fn page(
    State(app): State<App>,
    PathVariable(mesh): PathVariable,
    Query(query): Query<JoinQuery>,
) -> Result<Response> {
    let broken =
        || ApiError::new(ErrorCode::NotFound, "This link is not whole.").hint("Ask for it again.");
    let mesh: MeshId = mesh.parse().map_err(|_| broken())?;
    let mut link = app.url(&format!("/join/{mesh}"));
    let invited = query.invite.is_some();
    if let Some(code) = query.invite {
        // What stands here is pasted into a shell.
        if code.is_empty() || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(broken());
        }
        link = format!("{link}?invite={code}");
    }
    let page = Invitation {
        login_command: login_command(&app),
        join_command: format!("meshwire mesh join '{link}'"),
        invited,
    };
    Ok(html(StatusCode::OK, &page))
}
