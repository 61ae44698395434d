//! Members, invites, and requests to join.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwire_protocol::{
    ChangeMember, CreateInvite, CreatedInvite, Decide, Decided, Invite, InviteList, Join,
    JoinRequest, JoinRequestList, JoinStatus, Joined, Member, MemberList,
};

use super::answer;
use super::paths::{InvitePath, LoginPath, MeshPath};
use crate::access::{AtMesh, InMesh};
use crate::app::App;
use crate::clock::timestamp;
use crate::error::Result;
use crate::extract::{Json, OptionalJson};
use crate::mesh::NewInvite;
use crate::pages::join::invite_url;
use crate::store::{InviteRow, MemberRow};

/// List the members of a mesh
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/members",
    operation_id = "list_members",
    tag = "Meshes and members",
    params(MeshPath),
    responses(
        (status = 200, description = "The members, by login.", body = MemberList),
    )
)]
pub(super) async fn list(caller: InMesh) -> Response {
    answer(&MemberList { members: caller.roster.members.iter().map(shown_member).collect() })
}

/// Give a member another role
///
/// Giving `owner` hands the mesh over: the owner until then becomes an admin. The owner cannot lower the own role
/// otherwise.
#[utoipa::path(
    patch,
    path = "/mesh/{mesh}/members/{login}",
    operation_id = "change_member",
    tag = "Meshes and members",
    params(LoginPath),
    request_body = ChangeMember,
    responses(
        (status = 200, description = "The member with the new role.", body = Member),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<ChangeMember>,
) -> Result<Response> {
    let by = &caller.principal.user.id;
    let member =
        app.meshes.set_role(caller.mesh(), by, caller.variable("login"), request.role).await?;
    Ok(answer(&shown_member(&member)))
}

/// Remove a member, or leave
///
/// Ends that user's access, tokens and agents in the mesh at once. Anyone may leave; an admin removes members, the
/// owner anybody. The owner must hand the mesh over first.
#[utoipa::path(
    delete,
    path = "/mesh/{mesh}/members/{login}",
    operation_id = "remove_member",
    tag = "Meshes and members",
    params(LoginPath),
    responses(
        (status = 204, description = "They are out."),
    )
)]
pub(super) async fn remove(State(app): State<App>, caller: InMesh) -> Result<StatusCode> {
    let by = &caller.principal.user.id;
    app.meshes.remove_member(caller.mesh(), by, caller.variable("login")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Invite someone
///
/// With `login`: that user is let in as soon as they join. Without: a link for whoever has it. `code` and `url` are
/// shown this once.
#[utoipa::path(
    post,
    path = "/mesh/{mesh}/invites",
    operation_id = "create_invite",
    tag = "Meshes and members",
    params(MeshPath),
    request_body = CreateInvite,
    responses(
        (status = 201, description = "The invite with its code.", body = CreatedInvite),
    )
)]
pub(super) async fn invite(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<CreateInvite>,
) -> Result<Response> {
    let new = NewInvite::try_from(request)?;
    let by = &caller.principal.user.id;
    let (invite, code) = app.meshes.invite(caller.mesh(), by, &new).await?;
    let url = invite_url(&app, caller.mesh(), &code);
    let body = CreatedInvite { invite: shown_invite(invite), code, url };
    Ok((StatusCode::CREATED, answer(&body)).into_response())
}

/// List the invites of a mesh
///
/// Newest first, without their codes; those that have run out or are used up are among them.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/invites",
    operation_id = "list_invites",
    tag = "Meshes and members",
    params(MeshPath),
    responses(
        (status = 200, description = "The invites.", body = InviteList),
    )
)]
pub(super) async fn invites(State(app): State<App>, caller: InMesh) -> Result<Response> {
    let invites = app.meshes.invites(caller.mesh()).await?;
    Ok(answer(&InviteList { invites: invites.into_iter().map(shown_invite).collect() }))
}

/// Withdraw an invite
#[utoipa::path(
    delete,
    path = "/mesh/{mesh}/invites/{invite}",
    operation_id = "withdraw_invite",
    tag = "Meshes and members",
    params(InvitePath),
    responses(
        (status = 204, description = "It is withdrawn."),
    )
)]
pub(super) async fn withdraw(State(app): State<App>, caller: InMesh) -> Result<StatusCode> {
    let by = &caller.principal.user.id;
    app.meshes.withdraw_invite(caller.mesh(), by, caller.variable("invite")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Join a mesh, or ask to
///
/// With the code of an invite, or as an invited login, you are in at once. Otherwise an admin sees your request and
/// decides; within 24 h of a refusal asking again is `rate_limited`. The body may be left out.
#[utoipa::path(
    post,
    path = "/mesh/{mesh}/join",
    operation_id = "join_mesh",
    tag = "Meshes and members",
    params(MeshPath),
    request_body = Join,
    responses(
        (status = 200, description = "You are a member.", body = Joined),
        (status = 202, description = "You have asked; an admin decides.", body = Joined),
    )
)]
pub(super) async fn join(
    State(app): State<App>,
    caller: AtMesh,
    OptionalJson(request): OptionalJson<Join>,
) -> Result<Response> {
    let code = request.invite.as_deref().map(str::trim);
    let member = app.meshes.join(&caller.mesh, &caller.principal.user, code).await?;
    let (http, status) = if member {
        (StatusCode::OK, JoinStatus::Member)
    } else {
        (StatusCode::ACCEPTED, JoinStatus::Requested)
    };
    Ok((http, answer(&Joined { status, mesh_id: caller.mesh })).into_response())
}

/// List who asks to join
///
/// Oldest first.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/requests",
    operation_id = "list_requests",
    tag = "Meshes and members",
    params(MeshPath),
    responses(
        (status = 200, description = "The open requests.", body = JoinRequestList),
    )
)]
pub(super) async fn requests(State(app): State<App>, caller: InMesh) -> Result<Response> {
    let requests = app
        .meshes
        .join_requests(caller.mesh())
        .await?
        .into_iter()
        .map(|request| JoinRequest {
            login: request.login,
            name: request.name,
            requested_at: timestamp(request.requested_at),
        })
        .collect();
    Ok(answer(&JoinRequestList { requests }))
}

/// Decide a request to join
///
/// A request is decided once.
#[utoipa::path(
    post,
    path = "/mesh/{mesh}/requests/{login}",
    operation_id = "decide_request",
    tag = "Meshes and members",
    params(LoginPath),
    request_body = Decide,
    responses(
        (status = 200, description = "What was decided.", body = Decided),
    )
)]
pub(super) async fn decide(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<Decide>,
) -> Result<Response> {
    let by = &caller.principal.user.id;
    let accept = request.accept;
    let login = app.meshes.decide(caller.mesh(), by, caller.variable("login"), accept).await?;
    Ok(answer(&Decided { login, accept }))
}

fn shown_member(member: &MemberRow) -> Member {
    Member {
        login: member.login.clone(),
        name: member.name.clone(),
        role: member.role,
        joined_at: timestamp(member.joined_at),
    }
}

fn shown_invite(invite: InviteRow) -> Invite {
    Invite {
        id: invite.id,
        login: invite.login,
        expires_at: timestamp(invite.expires_at),
        max_uses: invite.max_uses,
        uses: invite.uses,
    }
}
