//! `/mcp`: the tools over Streamable HTTP (MCP 2025-03-26 and later), for agents that run where no program of
//! ours does. There are no sessions: every request says by its token and its URL who asks, and any node may
//! answer it.

mod agent;
mod handed;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use meshwire_protocol::ErrorCode;
use meshwire_protocol::tools::Tools;
use rmcp::model::ProtocolVersion;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use url::{Origin, Url};

use self::agent::AgentTools;
use self::handed::Handed;
use super::request_log::Waited;
use crate::access::{Account, Action};
use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::extract::{Query, read_body, single_header};

/// Who the client wants to be. A token that is bound says so itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    mesh: Option<String>,
    agent: Option<String>,
}

/// The one route. There is nothing to get: nobody is told anything but in answer to a call.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/mcp", post(call))
        .route_layer(Extension(Action::UseTools))
        .route_layer(Extension(Arc::<Handed>::default()))
}

/// `POST /mcp`: one message of JSON-RPC.
async fn call(
    State(app): State<App>,
    Extension(handed): Extension<Arc<Handed>>,
    Account { principal }: Account,
    Query(place): Query<Place>,
    request: Request,
) -> Result<Response> {
    check_origin(&app, request.headers(), request.uri())?;
    let (parts, body) = {
        let (parts, body) = request.into_parts();
        let mut reading = Request::new(body);
        reading.extensions_mut().extend(parts.extensions.clone());
        *reading.headers_mut() = parts.headers.clone();
        (parts, read_body(reading).await?)
    };
    let tools = Arc::new(AgentTools::new(app, principal, place, handed));
    let serving = Arc::clone(&tools);
    let service = StreamableHttpService::new(
        move || Ok(Tools::new(Arc::clone(&serving), ProtocolVersion::KNOWN_VERSIONS)),
        Arc::new(NeverSessionManager::default()),
        config(),
    );
    let response = service.handle(Request::from_parts(parts, Body::from(body))).await;
    let mut response = response.map(Body::new).into_response();
    if let Some(waited) = tools.waited() {
        response.extensions_mut().insert(Waited(waited));
    }
    Ok(response)
}

fn config() -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // We have checked the host and the origin, against the settings and with our own errors.
        .disable_allowed_hosts()
}

/// Refuses what a page of another site makes a browser send, also one whose name leads to this computer (DNS
/// rebinding). Programs send no `Origin`.
fn check_origin(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<()> {
    let host = single_header(headers, HOST.as_str())?;
    let host = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    if let Some(host) = host
        && !is_ours(app, host)
    {
        return Err(refused(format!("{} is not a name of this server.", shown(host))));
    }
    if let Some(origin) = single_header(headers, ORIGIN.as_str())?
        && *origin != app.sign_in.origin
        && !is_loopback_origin(app, origin)
    {
        return Err(refused(format!("Requests of {} are not taken.", shown(origin))));
    }
    Ok(())
}

fn refused(detail: String) -> ApiError {
    ApiError::new(ErrorCode::OriginRefused, detail)
        .hint("Use the public URL of the server (MESHWIRE_PUBLIC_URL), from a program or from its own pages.")
}

/// The public name, or one of this computer itself.
fn is_ours(app: &App, host: &str) -> bool {
    let Ok(asked) = Url::parse(&format!("{}://{host}/", app.public_url.scheme())) else {
        return false;
    };
    is_loopback(&asked) || asked.host() == app.public_url.host()
}

/// A page of this computer may ask a server that is on it.
fn is_loopback_origin(app: &App, origin: &str) -> bool {
    is_loopback(&app.public_url)
        && Url::parse(origin)
            .is_ok_and(|url| matches!(url.origin(), Origin::Tuple(..)) && is_loopback(&url))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
