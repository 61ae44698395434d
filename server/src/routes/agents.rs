//! Agents.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwire_protocol::limits::{MAX_CAPABILITIES, MAX_DESCRIPTION, MAX_HOST};
use meshwire_protocol::{
    Agent, AgentKind, AgentList, ErrorCode, RegisterAgent, Registered, UpdateAgent,
    check_agent_name, check_capability, check_printable,
};

use super::answer;
use super::paths::{AgentPath, MeshPath};
use crate::access::InMesh;
use crate::app::App;
use crate::clock::timestamp;
use crate::error::{ApiError, Result};
use crate::extract::Json;
use crate::mesh::{Whereabouts, not_your_agent};
use crate::store::{AgentChange, AgentRow};

/// List the agents of a mesh
///
/// People have an agent of kind `human`, named `@login`, once they have sent or read.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/agents",
    operation_id = "list_agents",
    tag = "Agents",
    params(MeshPath),
    responses(
        (status = 200, description = "The agents, by name.", body = AgentList),
    )
)]
pub(super) async fn list(State(app): State<App>, caller: InMesh) -> Response {
    let whereabouts = app.meshes.whereabouts(&caller.roster).await;
    let all = caller.roster.agents.iter();
    let agents = all.map(|agent| shown_agent(&caller, agent, &whereabouts)).collect();
    answer(&AgentList { agents })
}

/// Show an agent
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/agents/{agent}",
    operation_id = "show_agent",
    tag = "Agents",
    params(AgentPath),
    responses(
        (status = 200, description = "The agent.", body = Agent),
    )
)]
pub(super) async fn show(State(app): State<App>, caller: InMesh) -> Result<Response> {
    let agent = caller.agent(&app).await?;
    let whereabouts = app.meshes.whereabouts(&caller.roster).await;
    Ok(answer(&shown_agent(&caller, &agent, &whereabouts)))
}

/// Register an agent
///
/// A new agent starts at the head of the log: it gets what is sent from then on. Registering a name of your own again
/// gives the same agent and cursor; given fields replace. A name of another member's is `agent_name_taken`.
#[utoipa::path(
    post,
    path = "/mesh/{mesh}/agents",
    operation_id = "register_agent",
    tag = "Agents",
    params(MeshPath),
    request_body = RegisterAgent,
    responses(
        (status = 200, description = "It was yours already.", body = Registered),
        (status = 201, description = "It is registered.", body = Registered),
    )
)]
pub(super) async fn register(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<RegisterAgent>,
) -> Result<Response> {
    check_agent_name(&request.name).map_err(|error| ApiError::field("name", error.to_string()))?;
    if let Some(bound) = &caller.principal.token.agent {
        // A token that is an agent can only be that one.
        let own = caller.roster.agent_by_id(bound);
        if !own.is_some_and(|own| own.name.eq_ignore_ascii_case(&request.name)) {
            return Err(not_your_agent(&request.name));
        }
    }
    let fields = AgentChange {
        name: None,
        harness: request.harness,
        host: request.host,
        description: request.description,
        capabilities: request.capabilities,
        wake: request.wake,
    };
    check_fields(&fields)?;
    let user = &caller.principal.user.id;
    let (agent, new) = app.meshes.register(caller.mesh(), user, request.name, fields).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let body = Registered { agent_id: agent.id, name: agent.name, cursor: agent.cursor };
    Ok((status, answer(&body)).into_response())
}

/// Change an agent of yours
///
/// Given fields replace; older messages keep the old name. A person's agent follows the login and is `forbidden`.
#[utoipa::path(
    patch,
    path = "/mesh/{mesh}/agents/{agent}",
    operation_id = "change_agent",
    tag = "Agents",
    params(AgentPath),
    request_body = UpdateAgent,
    responses(
        (status = 200, description = "The agent as it is now.", body = Agent),
    )
)]
pub(super) async fn change(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<UpdateAgent>,
) -> Result<Response> {
    let agent = caller.own_agent(&app).await?;
    refuse_person(&agent)?;
    if let Some(name) = &request.name {
        check_agent_name(name).map_err(|error| ApiError::field("name", error.to_string()))?;
    }
    let fields = AgentChange {
        name: request.name,
        harness: request.harness,
        host: request.host,
        description: request.description,
        capabilities: request.capabilities,
        wake: request.wake,
    };
    check_fields(&fields)?;
    let agent = if fields == AgentChange::default() {
        agent
    } else {
        app.meshes.change_agent(caller.mesh(), &agent.id, fields).await?
    };
    let whereabouts = app.meshes.whereabouts(&caller.roster).await;
    Ok(answer(&shown_agent(&caller, &agent, &whereabouts)))
}

/// Remove an agent
///
/// One of your own, or any as an admin. Revokes the tokens bound to it. A person's agent is not removed alone.
#[utoipa::path(
    delete,
    path = "/mesh/{mesh}/agents/{agent}",
    operation_id = "remove_agent",
    tag = "Agents",
    params(AgentPath),
    responses(
        (status = 204, description = "It is gone."),
    )
)]
pub(super) async fn remove(State(app): State<App>, caller: InMesh) -> Result<StatusCode> {
    let agent = caller.removable_agent(&app).await?;
    refuse_person(&agent)?;
    app.meshes.remove_agent(caller.mesh(), &agent.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say that an agent of yours is there
///
/// It counts as active for 30 s. A poll, a send and moving the cursor count as one.
#[utoipa::path(
    post,
    path = "/mesh/{mesh}/agents/{agent}/heartbeat",
    operation_id = "heartbeat",
    tag = "Agents",
    params(AgentPath),
    responses(
        (status = 204, description = "It is noted."),
    )
)]
pub(super) async fn heartbeat(State(app): State<App>, caller: InMesh) -> Result<StatusCode> {
    let agent = caller.own_agent(&app).await?;
    app.meshes.heartbeat(caller.mesh(), &agent.id);
    Ok(StatusCode::NO_CONTENT)
}

fn refuse_person(agent: &AgentRow) -> Result<()> {
    if agent.kind == AgentKind::Human {
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            "A person's agent follows the login; it is not changed or removed alone.",
        ));
    }
    Ok(())
}

fn check_fields(fields: &AgentChange) -> Result<()> {
    let printable = |field: &str, text: &Option<String>, longest: usize| match text {
        Some(text) => check_printable(text, longest).map_err(|error| {
            ApiError::field(field, format!("{error}; at most {longest} printable characters"))
        }),
        None => Ok(()),
    };
    printable("host", &fields.host, MAX_HOST)?;
    printable("description", &fields.description, MAX_DESCRIPTION)?;
    if let Some(capabilities) = &fields.capabilities {
        if capabilities.len() > MAX_CAPABILITIES {
            return Err(ApiError::field(
                "capabilities",
                format!("must be at most {MAX_CAPABILITIES}, not {}", capabilities.len()),
            ));
        }
        for capability in capabilities {
            check_capability(capability)
                .map_err(|error| ApiError::field("capabilities", error.to_string()))?;
        }
    }
    Ok(())
}

pub(super) fn shown_agent(caller: &InMesh, agent: &AgentRow, whereabouts: &Whereabouts) -> Agent {
    let (last_seen, active) = whereabouts.of(agent);
    let own = agent.user == caller.principal.user.id;
    Agent {
        agent_id: agent.id.clone(),
        name: agent.name.clone(),
        kind: agent.kind,
        owner: caller
            .roster
            .member(&agent.user)
            .map_or_else(String::new, |member| member.login.clone()),
        harness: agent.harness,
        host: agent.host.clone().filter(|_| own),
        active,
        last_seen: last_seen.map(timestamp),
        wake: agent.wake,
        description: agent.description.clone(),
        capabilities: agent.capabilities.clone(),
    }
}
