//! The account and its tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwire_protocol::{
    CreateToken, CreatedToken, ErrorCode, Me, MeToken, MeUser, TokenInfo, TokenList,
};

use super::answer;
use super::paths::TokenPath;
use crate::access::{Account, Principal};
use crate::app::App;
use crate::clock::timestamp;
use crate::error::Result;
use crate::extract::{Json, PathVariable};
use crate::secret;
use crate::store::TokenRow;
use crate::tokens::{self, Grantor};

/// Who is signed in, with which token
///
/// Works with any token, also one that is bound to a mesh or an agent.
#[utoipa::path(
    get,
    path = "/me",
    operation_id = "who_am_i",
    tag = "Account and tokens",
    responses(
        (status = 200, description = "The user and the token of this request.", body = Me),
    )
)]
pub(super) async fn me(Account { principal }: Account) -> Response {
    let user = Arc::unwrap_or_clone(principal.user);
    let token = Arc::unwrap_or_clone(principal.token);
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

/// List your live tokens
///
/// Newest first, without their secrets.
#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "list_tokens",
    tag = "Account and tokens",
    responses(
        (status = 200, description = "Your live tokens.", body = TokenList),
    )
)]
pub(super) async fn list(State(app): State<App>, account: Account) -> Result<Response> {
    let tokens = app.store.tokens(&account.principal.user.id, app.clock.now()).await?;
    Ok(answer(&TokenList { tokens: tokens.into_iter().map(info).collect() }))
}

/// Make a token
///
/// Of the whole account, or bound to a mesh of yours (`mesh_id`), or to one agent of yours in it (`agent_id`). It is
/// never wider than the asking token: what is left out is taken from that one, and what would be wider in scopes or
/// expiry is `insufficient_scope`.
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "create_token",
    tag = "Account and tokens",
    request_body = CreateToken,
    responses(
        (status = 201, description = "The token; its secret is shown this once.", body = CreatedToken),
    )
)]
pub(super) async fn create(
    State(app): State<App>,
    account: Account,
    Json(request): Json<CreateToken>,
) -> Result<Response> {
    let grantor = Grantor::token(&account.principal);
    let (row, token) = tokens::create(&app, grantor, secret::token_id(), request).await?;
    Ok((StatusCode::CREATED, answer(&CreatedToken { info: info(row), token })).into_response())
}

/// Revoke a token of yours
///
/// The next request with it is refused on every node, and open polls made with it end within a second.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    operation_id = "revoke_token",
    tag = "Account and tokens",
    params(TokenPath),
    responses(
        (status = 204, description = "It is revoked."),
    )
)]
pub(super) async fn revoke(
    State(app): State<App>,
    account: Account,
    PathVariable(wanted): PathVariable,
) -> Result<StatusCode> {
    tokens::revoke(&app, &account.principal.user.id, &wanted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revoke the token of this request
///
/// Works with any token: it is how a program signs out.
#[utoipa::path(
    delete,
    path = "/tokens/current",
    operation_id = "revoke_current_token",
    tag = "Account and tokens",
    responses(
        (status = 204, description = "It is revoked."),
    )
)]
pub(super) async fn revoke_current(State(app): State<App>, account: Account) -> Result<StatusCode> {
    let Principal { user, token, .. } = &account.principal;
    // Revoked by another request a moment ago: the caller has what they want.
    match tokens::revoke(&app, &user.id, token.id.as_str()).await {
        Err(error) if error.code() != ErrorCode::TokenNotFound => Err(error),
        _ => Ok(StatusCode::NO_CONTENT),
    }
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
