//! Making and revoking tokens: the same rules whether a program asks with a token or a person on a page.

use meshwire_protocol::limits::MAX_TOKEN_DAYS;
use meshwire_protocol::{
    AgentId, CreateToken, ErrorCode, MeshId, Scope, TokenId, UserId, check_mesh_name,
};

use crate::access::Principal;
use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::mesh::{not_a_member, not_your_agent};
use crate::secret;
use crate::store::{Micros, TokenMade, TokenRow};

/// A day, in microseconds.
const DAY: Micros = 24 * 60 * 60 * 1_000_000;

/// Who makes a token, and how wide it may be.
#[derive(Debug, Clone, Copy)]
pub struct Grantor<'a> {
    user: &'a UserId,
    scopes: &'a [Scope],
    expires_at: Option<Micros>,
}

impl<'a> Grantor<'a> {
    /// The holder of a token, which makes none wider than itself.
    pub fn token(principal: &'a Principal) -> Self {
        Self {
            user: &principal.user.id,
            scopes: &principal.token.scopes,
            expires_at: principal.token.expires_at,
        }
    }

    /// A person who is signed in with a browser. That the sign-in be fresh is not asked for: the same
    /// session lets the command line in, which then makes tokens without end.
    pub fn person(user: &'a UserId) -> Self {
        Self { user, scopes: &Scope::ALL, expires_at: None }
    }
}

/// Makes a token under this public id; its row and the secret, which is kept nowhere.
pub async fn create(
    app: &App,
    grantor: Grantor<'_>,
    id: TokenId,
    request: CreateToken,
) -> Result<(TokenRow, String)> {
    check_mesh_name(&request.name).map_err(|error| ApiError::field("name", error.to_string()))?;
    let scopes = scopes(grantor, request.scopes)?;
    let (mesh, agent) = binding(app, grantor, request.mesh_id, request.agent_id).await?;
    let now = app.clock.now();
    let expires_at = expiry(grantor, request.expires_in_days, now)?;

    let token = secret::token();
    let row = TokenRow {
        hash: secret::digest(&token),
        id,
        suffix: token[token.len() - 6..].to_owned(),
        user: grantor.user.clone(),
        name: request.name,
        scopes,
        mesh: mesh.clone(),
        agent: agent.clone(),
        created_at: now,
        last_used_at: None,
        expires_at,
        revoked_at: None,
    };
    let limit = app.settings.limits.tokens;
    let refusal = match app.store.create_token(row.clone(), limit).await? {
        TokenMade::Created => return Ok((row, token)),
        TokenMade::Exists => ApiError::new(
            ErrorCode::InvalidRequest,
            "This form has made its token already, and a token is shown only once.",
        )
        .hint("If you have not kept it, revoke it and make another one."),
        TokenMade::LimitReached => ApiError::limit(
            ErrorCode::LimitReached,
            format!("You have {limit} live tokens, which is the limit of this server."),
            "Revoke one that is not needed: `meshwire token list`, `meshwire token revoke ID`.",
            "MESHWIRE_LIMIT_TOKENS",
        ),
        // Removed since it was looked at.
        TokenMade::NoMesh => ApiError::mesh_not_found(mesh.as_ref().map_or("", MeshId::as_str)),
        TokenMade::NotMember => not_a_member(mesh.as_ref().map_or("", MeshId::as_str)),
        TokenMade::NoAgent => ApiError::agent_not_found(agent.as_ref().map_or("", AgentId::as_str)),
    };
    Err(refusal)
}

/// No wider than the grantor; what is left out is taken from there.
fn scopes(grantor: Grantor<'_>, wanted: Option<Vec<Scope>>) -> Result<Vec<Scope>> {
    let Some(mut scopes) = wanted else { return Ok(grantor.scopes.to_vec()) };
    if scopes.is_empty() {
        return Err(ApiError::field("scopes", "must name at least one scope, or be left out"));
    }
    scopes.sort_unstable();
    scopes.dedup();
    match scopes.iter().find(|scope| !grantor.scopes.contains(scope)) {
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
    grantor: Grantor<'_>,
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
    if roster.member(grantor.user).is_none() {
        return Err(not_a_member(&id));
    }
    let Some(agent) = agent else { return Ok((Some(id), None)) };
    let row = agent.parse().ok().and_then(|agent| roster.agent_by_id(&agent));
    let row = row.ok_or_else(|| ApiError::agent_not_found(&agent))?;
    if row.user != *grantor.user {
        return Err(not_your_agent(&row.name));
    }
    Ok((Some(id), Some(row.id.clone())))
}

fn expiry(grantor: Grantor<'_>, days: Option<u32>, now: Micros) -> Result<Option<Micros>> {
    let longest = grantor.expires_at;
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

/// Revokes a token of a user at once: the next request with it is refused, and its open polls end.
pub async fn revoke(app: &App, user: &UserId, wanted: &str) -> Result<()> {
    let not_found = || {
        ApiError::new(ErrorCode::TokenNotFound, format!("You have no token {}.", shown(wanted)))
            .hint("`meshwire token list` shows the ids of your tokens.")
    };
    let id: TokenId = wanted.parse().map_err(|_| not_found())?;
    let revoked = app.store.revoke_token(user, &id, app.clock.now()).await?;
    app.meshes.end_token(&id);
    if revoked { Ok(()) } else { Err(not_found()) }
}
