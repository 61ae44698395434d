//! The integration guide, filled in for one mesh.

use askama::Template;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use meshwire_protocol::limits::{MAX_CONTENT_BYTES, MAX_METADATA_BYTES, MAX_WAIT_SECONDS};
use meshwire_protocol::tools::definitions;
use serde_json::json;

use super::paths::MeshPath;
use crate::access::InMesh;
use crate::app::App;
use crate::error::Result;

#[derive(Template)]
#[template(path = "integrate.md", escape = "none", whitespace = "preserve")]
struct Guide<'a> {
    url: &'a str,
    mesh_id: &'a str,
    name: String,
    login: &'a str,
    max_content: usize,
    max_metadata: usize,
    max_wait: u64,
    tools: String,
}

/// The integration guide of a mesh
///
/// Markdown: the API in short, tool definitions and examples, filled in for this mesh.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/integrate",
    operation_id = "integrate",
    tag = "Meshes and members",
    params(MeshPath),
    responses(
        (status = 200, description = "The guide.", body = String, content_type = "text/markdown"),
    )
)]
pub(super) async fn integrate(State(app): State<App>, caller: InMesh) -> Result<Response> {
    let url = app.url("");
    let guide = Guide {
        url: &url,
        mesh_id: caller.mesh().as_str(),
        name: plain(&caller.roster.mesh.name),
        login: &caller.principal.user.login,
        max_content: MAX_CONTENT_BYTES,
        max_metadata: MAX_METADATA_BYTES,
        max_wait: MAX_WAIT_SECONDS,
        tools: tools(),
    };
    let text = guide.render().map_err(|error| crate::store::StoreError::Fault(error.into()))?;
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response())
}

/// The tools as definitions for function calling.
fn tools() -> String {
    let tools: Vec<_> = definitions()
        .into_iter()
        .map(|tool| {
            json!({
                "name": tool.full_name(),
                "description": tool.description,
                "parameters": tool.input,
            })
        })
        .collect();
    format!("{:#}", serde_json::Value::from(tools))
}

/// A name as it may stand in Markdown that a model reads: what has a meaning there is escaped.
fn plain(name: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation() && !matches!(c, '-' | '.' | ',' | '\'');
    name.chars().fold(String::with_capacity(name.len()), |mut text, c| {
        if special(c) {
            text.push('\\');
        }
        text.push(c);
        text
    })
}
