//! The account and its tokens.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwire_protocol::limits::MAX_TOKEN_DAYS;
use meshwire_protocol::{
    AgentId, CreateToken, CreatedToken, ErrorCode, Me, MeToken, MeUser, MeshId, Scope, TokenId,
    TokenInfo, TokenList, check_mesh_name,
};

use super::answer;
use crate::access::{Account, Principal};
use crate::app::App;
use crate::clock::timestamp;
use crate::error::{ApiError, Result, shown};
use crate::extract::{Json, PathVariable};
use crate::mesh::{not_a_member, not_your_agent};
use crate::secret;
use crate::store::{Micros, TokenRow};

/// A day, in microseconds.
const DAY: Micros = 24 * 60 * 60 * 1_000_000;

pub(super) async fn me(Account { principal }: Account) -> Response {
    let Principal { user, token, .. } = principal;
    answer(&Me {
        user: MeUser { login: user.login, name: user.name },
        token: MeToken {
            id: token.id,
            name: token.name,
            scopes: token.scopes,
            mesh_id: token.mesh,
            agent_id: token.agent,
            expires_at: token.expires_at.map(timestamp),
        },
    })
}

pub(super) async fn list(State(app): State<App>, account: Account) -> Result<Response> {
    let tokens = app.store.tokens(&account.principal.user.id, app.clock.now()).await?;
    Ok(answer(&TokenList { tokens: tokens.into_iter().map(info).collect() }))
}

pub(super) async fn create(
    State(app): State<App>,
    account: Account,
    Json(request): Json<CreateToken>,
) -> Result<Response> {
    let principal = account.principal;
    check_mesh_name(&request.name).map_err(|error| ApiError::field("name", error.to_string()))?;
    let scopes = scopes(&principal, request.scopes)?;
    let (mesh, agent) = binding(&app, &principal, request.mesh_id, request.agent_id).await?;
    let now = app.clock.now();
    let expires_at = expiry(&principal, request.expires_in_days, now)?;

    let token = secret::token();
    let row = TokenRow {
        hash: secret::digest(&token),
        id: secret::token_id(),
        suffix: token[token.len() - 6..].to_owned(),
        user: principal.user.id,
        name: request.name,
        scopes,
        mesh,
        agent,
        created_at: now,
        last_used_at: None,
        expires_at,
        revoked_at: None,
    };
    let limit = app.settings.limits.tokens;
    if !app.store.create_token(row.clone(), limit).await? {
        return Err(ApiError::limit(
            ErrorCode::LimitReached,
            format!("You have {limit} live tokens, which is the limit of this server."),
            "Revoke one that is not needed: `meshwire token list`, `meshwire token revoke ID`.",
            "MESHWIRE_LIMIT_TOKENS",
        ));
    }
    Ok((StatusCode::CREATED, answer(&CreatedToken { info: info(row), token })).into_response())
}

/// No wider than the asking token; what is left out is taken from it.
fn scopes(principal: &Principal, wanted: Option<Vec<Scope>>) -> Result<Vec<Scope>> {
    let Some(mut scopes) = wanted else { return Ok(principal.token.scopes.clone()) };
    if scopes.is_empty() {
        return Err(ApiError::field("scopes", "must name at least one scope, or be left out"));
    }
    scopes.sort_unstable();
    scopes.dedup();
    match scopes.iter().find(|scope| !principal.token.scopes.contains(scope)) {
        None => Ok(scopes),
        Some(wider) => Err(ApiError::new(
            ErrorCode::InsufficientScope,
            format!("This token lacks the scope `{}`, so it cannot give it away.", wider.as_str()),
        )
        .with_field("scopes", "must be scopes of the asking token")),
    }
}

/// The mesh and the agent that a token is to be bound to: of the user's own.
async fn binding(
    app: &App,
    principal: &Principal,
    mesh: Option<String>,
    agent: Option<String>,
) -> Result<(Option<MeshId>, Option<AgentId>)> {
    let Some(mesh) = mesh else {
        return match agent {
            None => Ok((None, None)),
            Some(_) => Err(ApiError::field("agent_id", "needs mesh_id beside it")),
        };
    };
    let not_found = || ApiError::mesh_not_found(&mesh);
    let id: MeshId = mesh.parse().map_err(|_| not_found())?;
    let roster = app.meshes.roster(&id).await?.ok_or_else(not_found)?;
    if roster.member(&principal.user.id).is_none() {
        return Err(not_a_member(&id));
    }
    let Some(agent) = agent else { return Ok((Some(id), None)) };
    let row = agent.parse().ok().and_then(|agent| roster.agent_by_id(&agent));
    let row = row.ok_or_else(|| ApiError::agent_not_found(&agent))?;
    if row.user != principal.user.id {
        return Err(not_your_agent(&row.name));
    }
    Ok((Some(id), Some(row.id.clone())))
}

fn expiry(principal: &Principal, days: Option<u32>, now: Micros) -> Result<Option<Micros>> {
    let longest = principal.token.expires_at;
    let Some(days) = days else { return Ok(longest) };
    if !(1..=MAX_TOKEN_DAYS).contains(&days) {
        return Err(ApiError::field("expires_in_days", format!("must be 1 to {MAX_TOKEN_DAYS}")));
    }
    let wanted = now + Micros::from(days) * DAY;
    if longest.is_some_and(|longest| wanted > longest) {
        return Err(ApiError::new(
            ErrorCode::InsufficientScope,
            "A token cannot make one that lives longer than itself.",
        )
        .with_field("expires_in_days", "must end before the asking token does"));
    }
    Ok(Some(wanted))
}

pub(super) async fn revoke(
    State(app): State<App>,
    account: Account,
    PathVariable(wanted): PathVariable,
) -> Result<StatusCode> {
    let not_found = || {
        ApiError::new(ErrorCode::TokenNotFound, format!("You have no token {}.", shown(&wanted)))
            .hint("`meshwire token list` shows the ids of your tokens.")
    };
    let id: TokenId = wanted.parse().map_err(|_| not_found())?;
    if !revoke_id(&app, &account.principal, &id).await? {
        return Err(not_found());
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn revoke_current(State(app): State<App>, account: Account) -> Result<StatusCode> {
    revoke_id(&app, &account.principal, &account.principal.token.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke_id(app: &App, principal: &Principal, id: &TokenId) -> Result<bool> {
    let revoked = app.store.revoke_token(&principal.user.id, id, app.clock.now()).await?;
    app.meshes.end_token(id);
    Ok(revoked)
}

fn info(row: TokenRow) -> TokenInfo {
    TokenInfo {
        id: row.id,
        name: row.name,
        suffix: row.suffix,
        scopes: row.scopes,
        mesh_id: row.mesh,
        agent_id: row.agent,
        created_at: timestamp(row.created_at),
        last_used_at: row.last_used_at.map(timestamp),
        expires_at: row.expires_at.map(timestamp),
    }
}
