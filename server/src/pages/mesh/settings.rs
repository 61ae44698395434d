//! The settings of a mesh: its name, whether it is paused, how to wire agents in, and its end.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::{ErrorCode, Role, check_mesh_name};
use serde::Deserialize;

use super::{Head, Tab, Visit};
use crate::access::Action;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::pages::frame::{Frame, Here};
use crate::pages::home::login_command;
use crate::pages::visitor::Posted;
use crate::pages::{html, see_other};
use crate::store::MeshChange;

#[derive(Template)]
#[template(path = "mesh/settings.html")]
struct View<'a> {
    frame: Frame,
    head: Head,
    ticket: String,
    may_change: bool,
    may_delete: bool,
    login_command: String,
    name: &'a str,
    errors: Errors,
}

/// What is wrong with a form.
#[derive(Default)]
struct Errors {
    name: Option<String>,
    confirmation: Option<&'static str>,
}

/// Any form of the page.
#[derive(Deserialize)]
pub(crate) struct SettingsForm {
    #[serde(default)]
    ticket: String,
    /// The new name, or the old one to confirm the end.
    #[serde(default)]
    name: String,
    /// `yes` or `no`.
    #[serde(default)]
    paused: String,
}

/// `GET /meshes/{mesh}/settings`
pub(super) async fn page(State(app): State<App>, visit: Visit) -> Result<Response> {
    view(&app, &visit, &visit.person.roster.mesh.name, Errors::default()).await
}

/// `POST /meshes/{mesh}/settings`
pub(super) async fn rename(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<SettingsForm>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let name = form.name.trim();
    if let Err(rule) = check_mesh_name(name) {
        let errors = Errors { name: Some(format!("It {rule}.")), ..Errors::default() };
        return view(&app, &visit, name, errors).await;
    }
    let change = MeshChange { name: Some(name.to_owned()), ..MeshChange::default() };
    app.meshes.update(visit.person.mesh(), change).await?;
    Ok(see_other(&path(&visit)))
}

/// `POST /meshes/{mesh}/settings/pause`
pub(super) async fn pause(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<SettingsForm>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let paused = match form.paused.as_str() {
        "yes" => true,
        "no" => false,
        _ => return Err(ApiError::field("paused", "must be yes or no")),
    };
    let change = MeshChange { paused: Some(paused), ..MeshChange::default() };
    app.meshes.update(visit.person.mesh(), change).await?;
    Ok(see_other(&path(&visit)))
}

/// `POST /meshes/{mesh}/settings/delete`: only with the name of the mesh, typed.
pub(super) async fn delete(
    State(app): State<App>,
    visit: Visit,
    Posted(form): Posted<SettingsForm>,
) -> Result<Response> {
    visit.check_ticket(&app, &form.ticket)?;
    let name = &visit.person.roster.mesh.name;
    if form.name.trim() != name.trim() {
        let confirmation = Some("This is not the name of the mesh; nothing was deleted.");
        let errors = Errors { confirmation, ..Errors::default() };
        return view(&app, &visit, name, errors).await;
    }
    match app.meshes.delete(visit.person.mesh()).await {
        Ok(()) => Ok(see_other("/")),
        // The same form, sent twice.
        Err(error) if error.code() == ErrorCode::MeshNotFound => Ok(see_other("/")),
        Err(error) => Err(error),
    }
}

async fn view(app: &App, visit: &Visit, name: &str, errors: Errors) -> Result<Response> {
    let person = &visit.person;
    let is_refused = errors.name.is_some() || errors.confirmation.is_some();
    let view = View {
        frame: Frame::new(app, &visit.visitor, Here::Mesh),
        head: Head::new(app, person, Tab::Settings).await?,
        ticket: visit.ticket(app),
        may_change: person.may(Action::ChangeMesh),
        may_delete: person.may(Action::DeleteMesh),
        login_command: login_command(app),
        name,
        errors,
    };
    Ok(html(if is_refused { StatusCode::BAD_REQUEST } else { StatusCode::OK }, &view))
}

fn path(visit: &Visit) -> String {
    format!("/meshes/{}/settings", visit.person.mesh())
}
