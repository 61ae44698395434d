//! The JSON API: every path on one page, each with the action that access asks for.

mod agents;
mod guide;
mod layers;
mod members;
mod meshes;
mod messages;
mod request_log;
mod service;
mod tokens;

use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use axum::{Extension, Router, middleware};
use meshwire_protocol::ErrorCode;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::Action;
use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::pages;
use crate::store::StoreError;

/// Everything that the server answers.
pub fn router(app: App) -> Router {
    let api = Router::new()
        // Without a token.
        .route("/health", get(service::health).layer(middleware::from_fn(refuse_query)))
        .route("/ready", get(service::ready).layer(middleware::from_fn(refuse_query)))
        // The account and its tokens.
        .route("/me", api(Method::GET, Action::WhoAmI, tokens::me))
        .route(
            "/tokens",
            api(Method::GET, Action::ListTokens, tokens::list).merge(api(
                Method::POST,
                Action::CreateToken,
                tokens::create,
            )),
        )
        .route(
            "/tokens/current",
            api(Method::DELETE, Action::RevokeOwnToken, tokens::revoke_current),
        )
        .route("/tokens/{token}", api(Method::DELETE, Action::RevokeToken, tokens::revoke))
        // Meshes.
        .route(
            "/mesh",
            api(Method::GET, Action::ListMeshes, meshes::list).merge(api(
                Method::POST,
                Action::CreateMesh,
                meshes::create,
            )),
        )
        .route(
            "/mesh/{mesh}",
            api(Method::GET, Action::ShowMesh, meshes::show)
                .merge(api(Method::PATCH, Action::ChangeMesh, meshes::change))
                .merge(api(Method::DELETE, Action::DeleteMesh, meshes::delete)),
        )
        .route("/mesh/{mesh}/integrate", api(Method::GET, Action::Integrate, guide::integrate))
        .merge(member_routes())
        // Agents.
        .route(
            "/mesh/{mesh}/agents",
            api(Method::GET, Action::ListAgents, agents::list).merge(api(
                Method::POST,
                Action::RegisterAgent,
                agents::register,
            )),
        )
        .route(
            "/mesh/{mesh}/agents/{agent}",
            api(Method::GET, Action::ShowAgent, agents::show)
                .merge(api(Method::PATCH, Action::ChangeAgent, agents::change))
                .merge(api(Method::DELETE, Action::RemoveAgent, agents::remove)),
        )
        .route(
            "/mesh/{mesh}/agents/{agent}/heartbeat",
            api(Method::POST, Action::Heartbeat, agents::heartbeat),
        )
        // Messages.
        .route(
            "/mesh/{mesh}/messages",
            api_with_query(Method::GET, Action::ReadHistory, messages::history).merge(api(
                Method::POST,
                Action::Send,
                messages::send,
            )),
        )
        .route(
            "/mesh/{mesh}/messages/{message}",
            api(Method::GET, Action::ReadMessage, messages::show),
        )
        .route(
            "/mesh/{mesh}/agents/{agent}/messages",
            api_with_query(Method::GET, Action::ReadInbox, messages::inbox),
        )
        .route(
            "/mesh/{mesh}/agents/{agent}/cursor",
            api(Method::PUT, Action::MoveCursor, messages::set_cursor),
        );

    let pages = pages::router()
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), layers::limit_visits))
        .layer(middleware::from_fn(pages::html_errors));
    Router::new()
        .merge(api.method_not_allowed_fallback(method_not_allowed))
        .merge(pages)
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn_with_state(app.clone(), layers::close_when_stopping))
        .layer(middleware::from_fn(layers::drain_body))
        .layer(middleware::from_fn_with_state(app.clone(), request_log::log_request))
        .layer(middleware::from_fn_with_state(app.clone(), layers::client))
        .layer(middleware::from_fn_with_state(app.clone(), pages::security_headers))
        .with_state(app)
}

/// Who is in a mesh, and who may come in.
fn member_routes() -> Router<App> {
    Router::new()
        .route("/mesh/{mesh}/members", api(Method::GET, Action::ListMembers, members::list))
        .route(
            "/mesh/{mesh}/members/{login}",
            api(Method::PATCH, Action::ChangeMember, members::change).merge(api(
                Method::DELETE,
                Action::RemoveMember,
                members::remove,
            )),
        )
        .route(
            "/mesh/{mesh}/invites",
            api(Method::GET, Action::ListInvites, members::invites).merge(api(
                Method::POST,
                Action::CreateInvite,
                members::invite,
            )),
        )
        .route(
            "/mesh/{mesh}/invites/{invite}",
            api(Method::DELETE, Action::WithdrawInvite, members::withdraw),
        )
        .route("/mesh/{mesh}/join", api(Method::POST, Action::Join, members::join))
        .route("/mesh/{mesh}/requests", api(Method::GET, Action::ListRequests, members::requests))
        .route(
            "/mesh/{mesh}/requests/{login}",
            api(Method::POST, Action::DecideRequest, members::decide),
        )
}

/// A route of the API that takes no query: never without its action.
fn api<H, T>(method: Method, action: Action, handler: H) -> MethodRouter<App>
where
    H: Handler<T, App>,
    T: 'static,
{
    api_with_query(method, action, handler).layer(middleware::from_fn(refuse_query))
}

/// A route of the API whose handler reads the query.
fn api_with_query<H, T>(method: Method, action: Action, handler: H) -> MethodRouter<App>
where
    H: Handler<T, App>,
    T: 'static,
{
    let method = MethodFilter::try_from(method).expect("a method that axum routes");
    on(method, handler).layer(Extension(action))
}

/// A JSON answer.
fn answer(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => ApiError::from(StoreError::Fault(error.into())).into_response(),
    }
}

/// A query that nobody reads is a slip of the caller's.
async fn refuse_query(request: Request, next: Next) -> Result<Response> {
    let query = request.uri().query().unwrap_or_default();
    match url::form_urlencoded::parse(query.as_bytes()).next() {
        None => Ok(next.run(request).await),
        Some((name, _)) => Err(ApiError::field(&name, "is not known here; this takes no query")),
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
