//! The JSON API: every call on one page, each with the action that access asks for. Methods and paths stand
//! with the handlers.

mod agents;
mod calls;
mod document;
mod guide;
mod layers;
mod mcp;
mod members;
mod meshes;
mod messages;
mod paths;
mod request_log;
mod service;
mod tokens;

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, middleware};
use meshwire_protocol::ErrorCode;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::routes;

use self::document::{Routes, optional_body};
pub(crate) use self::service::openapi_document;
use crate::access::Action;
use crate::app::App;
use crate::error::{ApiError, shown};
use crate::pages;
use crate::store::StoreError;

/// Everything that the server answers.
pub fn router(app: App) -> Router {
    let pages = pages::router()
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(pages::html_errors));
    let (api, calls) = api().into_parts();
    let around = layers::Around { app: app.clone(), calls: Arc::new(calls) };
    Router::new()
        .merge(api.method_not_allowed_fallback(method_not_allowed))
        .merge(mcp::router().method_not_allowed_fallback(method_not_allowed))
        .merge(pages)
        // Together: each layer of its own is a box more around every route, made anew for each request.
        .layer((
            middleware::from_fn_with_state(around, layers::around),
            CatchPanicLayer::custom(layers::panicked),
        ))
        .with_state(app)
}

/// The JSON API: each call with the action that access asks for, and the errors of its own.
fn api() -> Routes {
    use Action as A;
    use ErrorCode as E;
    let routes = Routes::new()
        .open(&[], routes!(service::health))
        .open(&[E::StoreUnavailable], routes!(service::ready))
        .open(&[], routes!(service::openapi))
        .open(
            &[E::InvalidGrant, E::LimitReached, E::StoreUnavailable, E::RateLimited],
            routes!(pages::cli::token),
        )
        // The account and its tokens.
        .api(A::WhoAmI, &[], routes!(tokens::me))
        .api(A::ListTokens, &[], routes!(tokens::list))
        .api(
            A::CreateToken,
            &[E::MeshNotFound, E::NotAMember, E::AgentNotFound, E::NotYourAgent, E::LimitReached],
            routes!(tokens::create),
        )
        .api(A::RevokeOwnToken, &[], routes!(tokens::revoke_current))
        .api(A::RevokeToken, &[E::TokenNotFound], routes!(tokens::revoke))
        // Meshes.
        .api(A::ListMeshes, &[], routes!(meshes::list))
        .api(A::CreateMesh, &[E::LimitReached], routes!(meshes::create))
        .api(A::ShowMesh, &[], routes!(meshes::show))
        .api(A::ChangeMesh, &[], routes!(meshes::change))
        .api(A::DeleteMesh, &[], routes!(meshes::delete))
        .api(A::Integrate, &[], routes!(guide::integrate));
    let routes = member_calls(routes);
    routes
        // Agents.
        .api(A::ListAgents, &[], routes!(agents::list))
        .api(
            A::RegisterAgent,
            &[E::AgentNameTaken, E::LimitReached, E::NotYourAgent],
            routes!(agents::register),
        )
        .api(A::ShowAgent, &[E::AgentNotFound], routes!(agents::show))
        .api(
            A::ChangeAgent,
            &[E::AgentNotFound, E::NotYourAgent, E::Forbidden, E::AgentNameTaken],
            routes!(agents::change),
        )
        .api(
            A::RemoveAgent,
            &[E::AgentNotFound, E::NotYourAgent, E::Forbidden],
            routes!(agents::remove),
        )
        .api(A::Heartbeat, &[E::AgentNotFound, E::NotYourAgent], routes!(agents::heartbeat))
        // Messages.
        .api(
            A::Send,
            &[
                E::MessageTooLarge,
                E::NotYourAgent,
                E::AgentNotFound,
                E::MessageNotFound,
                E::MeshPaused,
                E::IdempotencyKeyReused,
                E::RateLimited,
                E::LoopSuspected,
            ],
            routes!(messages::send),
        )
        .api(A::ReadHistory, &[], routes!(messages::history))
        .api(A::ReadMessage, &[E::MessageNotFound], routes!(messages::show))
        .api(
            A::ReadInbox,
            &[E::AgentNotFound, E::NotYourAgent, E::RateLimited],
            routes!(messages::inbox),
        )
        .api(A::MoveCursor, &[E::AgentNotFound, E::NotYourAgent], routes!(messages::set_cursor))
}

/// Who is in a mesh, and who may come in.
fn member_calls(routes: Routes) -> Routes {
    use Action as A;
    use ErrorCode as E;
    routes
        .api(A::ListMembers, &[], routes!(members::list))
        .api(
            A::ChangeMember,
            &[E::MemberNotFound, E::OwnerMustStay, E::LimitReached],
            routes!(members::change),
        )
        .api(
            A::RemoveMember,
            &[E::MemberNotFound, E::Forbidden, E::OwnerMustStay],
            routes!(members::remove),
        )
        .api(A::ListInvites, &[], routes!(members::invites))
        .api(A::CreateInvite, &[E::LimitReached], routes!(members::invite))
        .api(A::WithdrawInvite, &[E::InviteNotFound], routes!(members::withdraw))
        .api(
            A::Join,
            &[E::InviteNotFound, E::InviteExpired, E::RateLimited],
            optional_body(routes!(members::join)),
        )
        .api(A::ListRequests, &[], routes!(members::requests))
        .api(A::DecideRequest, &[E::RequestNotFound], routes!(members::decide))
}

/// A JSON answer.
fn answer(body: &impl Serialize) -> Response {
    // Enough for most answers: growing into it would copy them several times.
    let mut written = Vec::with_capacity(1_024);
    match serde_json::to_writer(&mut written, body) {
        Ok(()) => {
            let mut response = Response::new(Body::from(written));
            // At once for all that will be there: growing would move them.
            response.headers_mut().reserve(pages::HEADERS);
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => ApiError::from(StoreError::Fault(error.into())).into_response(),
    }
}

async fn not_found(uri: Uri) -> ApiError {
    let detail = format!("There is nothing at {}.", shown(uri.path()));
    ApiError::new(ErrorCode::NotFound, detail)
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let detail = format!("{} does not take {method}.", shown(uri.path()));
    ApiError::new(ErrorCode::MethodNotAllowed, detail)
}
