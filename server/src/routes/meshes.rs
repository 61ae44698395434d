//! Meshes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwire_protocol::{
    AgentKind, CreateMesh, ErrorCode, Mesh, MeshList, Role, UpdateMesh, check_mesh_name,
};

use super::answer;
use super::paths::MeshPath;
use crate::access::{Account, InMesh};
use crate::app::App;
use crate::clock::timestamp;
use crate::error::{ApiError, Result};
use crate::extract::Json;
use crate::store::{MeshChange, Roster};

/// List your meshes
///
/// Oldest first. A token that is bound to a mesh sees that one only. People are not counted in `agents` and `active`.
#[utoipa::path(
    get,
    path = "/mesh",
    operation_id = "list_meshes",
    tag = "Meshes and members",
    responses(
        (status = 200, description = "The meshes that you are in.", body = MeshList),
    )
)]
pub(super) async fn list(State(app): State<App>, account: Account) -> Result<Response> {
    let principal = account.principal;
    let bound = principal.token.mesh.as_ref();
    let mut meshes = Vec::new();
    for roster in app.meshes.of_user(&principal.user.id).await? {
        if bound.is_none_or(|bound| roster.mesh.id == *bound)
            && let Some(member) = roster.member(&principal.user.id)
        {
            meshes.push(shown_mesh(&app, &roster, member.role).await);
        }
    }
    Ok(answer(&MeshList { meshes }))
}

/// Make a mesh
///
/// You become its owner.
#[utoipa::path(
    post,
    path = "/mesh",
    operation_id = "create_mesh",
    tag = "Meshes and members",
    request_body = CreateMesh,
    responses(
        (status = 201, description = "The mesh.", body = Mesh),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    account: Account,
    Json(request): Json<CreateMesh>,
) -> Result<Response> {
    check_name(&request.name)?;
    let roster = app.meshes.create(&account.principal.user, request.name).await?;
    let mesh = shown_mesh(&app, &roster, Role::Owner).await;
    Ok((StatusCode::CREATED, answer(&mesh)).into_response())
}

/// Show a mesh
#[utoipa::path(
    get,
    path = "/mesh/{mesh}",
    operation_id = "show_mesh",
    tag = "Meshes and members",
    params(MeshPath),
    responses(
        (status = 200, description = "The mesh.", body = Mesh),
    )
)]
pub(super) async fn show(State(app): State<App>, caller: InMesh) -> Response {
    answer(&shown_mesh(&app, &caller.roster, caller.member.role).await)
}

/// Rename, pause or resume a mesh
///
/// In a paused mesh sends are refused with `mesh_paused`, and reading goes on. At least one field must be given.
#[utoipa::path(
    patch,
    path = "/mesh/{mesh}",
    operation_id = "change_mesh",
    tag = "Meshes and members",
    params(MeshPath),
    request_body = UpdateMesh,
    responses(
        (status = 200, description = "The mesh as it is now.", body = Mesh),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<UpdateMesh>,
) -> Result<Response> {
    if let Some(name) = &request.name {
        check_name(name)?;
    }
    if request.name.is_none() && request.paused.is_none() {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "There is nothing to change: give `name`, `paused` or both.",
        )
        .with_field("name", "is missing, and so is paused"));
    }
    let change = MeshChange { name: request.name, paused: request.paused };
    let roster = app.meshes.update(caller.mesh(), change).await?;
    Ok(answer(&shown_mesh(&app, &roster, caller.member.role).await))
}

/// Delete a mesh
///
/// Removes everything in it, and revokes the tokens bound to it.
#[utoipa::path(
    delete,
    path = "/mesh/{mesh}",
    operation_id = "delete_mesh",
    tag = "Meshes and members",
    params(MeshPath),
    responses(
        (status = 204, description = "It is gone."),
    )
)]
pub(super) async fn delete(State(app): State<App>, caller: InMesh) -> Result<StatusCode> {
    app.meshes.delete(caller.mesh()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_name(name: &str) -> Result<()> {
    check_mesh_name(name).map_err(|error| ApiError::field("name", error.to_string()))
}

pub(super) async fn shown_mesh(app: &App, roster: &Roster, role: Role) -> Mesh {
    let whereabouts = app.meshes.whereabouts(roster).await;
    let (mut agents, mut active) = (0, 0);
    for agent in roster.agents.iter().filter(|agent| agent.kind == AgentKind::Agent) {
        agents += 1;
        active += u32::from(whereabouts.of(agent).1);
    }
    Mesh {
        mesh_id: roster.mesh.id.clone(),
        name: roster.mesh.name.clone(),
        role,
        agents,
        active,
        paused: roster.mesh.paused,
        created_at: timestamp(roster.mesh.created_at),
    }
}
