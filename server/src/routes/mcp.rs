//! `/mcp`: the tools over Streamable HTTP (MCP 2025-03-26 and later), for agents that run where no program of
//! ours does. There are no sessions: every request says by its token and its URL who asks, and any node may
//! answer it.

mod agent;
mod calls;
mod handed;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use meshwire_protocol::tools::{PREFIX, Tools, Unreadable, read_message};
use meshwire_protocol::{ErrorCode, TokenId};
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, JsonRpcMessage,
    ProtocolVersion, RequestId,
};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Origin, Url};

use self::agent::AgentTools;
use self::calls::Calls;
use super::request_log::Waited;
use crate::access::{Account, Action};
use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::extract::{Query, read_body, single_header};

/// Longest refusal of the MCP library that is read, in bytes.
const LONGEST_REFUSAL: usize = 4_096;

/// Who the client wants to be. A token that is bound says so itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
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
        .route_layer(Extension(Arc::<Calls>::default()))
}

/// What of a client stays the same from call to call: its token, and its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    token: TokenId,
    place: Place,
}

/// `POST /mcp`: one message of JSON-RPC.
async fn call(
    State(app): State<App>,
    Extension(calls): Extension<Arc<Calls>>,
    Account { principal }: Account,
    Query(place): Query<Place>,
    request: Request,
) -> Result<Response> {
    check_origin(&app, request.headers(), request.uri())?;
    check_accept(request.headers())?;
    let (mut parts, body) = {
        let (parts, body) = request.into_parts();
        let mut reading = Request::new(body);
        reading.extensions_mut().extend(parts.extensions.clone());
        *reading.headers_mut() = parts.headers.clone();
        (parts, read_body(reading).await?)
    };
    let incoming = match read_message(&body) {
        Ok(incoming) => incoming,
        Err(wrong) => return unreadable(&wrong),
    };
    // The library takes these values only. We read JSON whatever the type, and answer with nothing else.
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let session = Session { token: principal.token.id.clone(), place };
    let tools = Arc::new(AgentTools::new(app, principal, session.clone()));
    hear(&calls, &session, &tools, &incoming.message).await?;
    let serving = Arc::clone(&tools);
    let service = StreamableHttpService::new(
        move || Ok(Tools::new(Arc::clone(&serving), ProtocolVersion::KNOWN_VERSIONS)),
        Arc::new(NeverSessionManager::default()),
        config(),
    );
    let answer = service.handle(Request::from_parts(parts, Body::from(incoming.json)));
    let mut response = match &incoming.message {
        JsonRpcMessage::Request(request) => {
            let mut call = calls.begin(&session, &request.id, reads(&request.request));
            tokio::select! {
                biased;
                // With that the service is dropped, which ends what it does.
                () = call.cancelled() => return Ok(cancelled(&request.id)),
                answer = answer => {
                    if call.end() {
                        return Ok(cancelled(&request.id));
                    }
                    told(answer.map(Body::new)).await?
                }
            }
        }
        _ => told(answer.await.map(Body::new)).await?,
    };
    // Had the client gone away, we would have been dropped.
    tools.answered().await;
    if let Some(waited) = tools.waited() {
        response.extensions_mut().insert(Waited(waited));
    }
    Ok(response)
}

/// Whether a request is a call of `get_messages`.
fn reads(request: &ClientRequest) -> bool {
    matches!(
        request,
        ClientRequest::CallToolRequest(call)
            if call.params.name.strip_prefix(PREFIX) == Some("get_messages")
    )
}

/// What a message says of those before it.
///
/// # Errors
/// When the store does not answer: a message is not to be lost because of a note that could not be written.
async fn hear(
    calls: &Calls,
    session: &Session,
    tools: &AgentTools,
    message: &ClientJsonRpcMessage,
) -> Result<()> {
    let heard = match message {
        JsonRpcMessage::Request(request)
            if matches!(
                request.request,
                ClientRequest::InitializeRequest(_) | ClientRequest::DiscoverRequest(_)
            ) =>
        {
            tools.begins().await
        }
        JsonRpcMessage::Notification(told) => match &told.notification {
            ClientNotification::CancelledNotification(cancelled) => {
                let Some(id) = &cancelled.params.request_id else { return Ok(()) };
                if calls.cancel(session, id) {
                    return Ok(());
                }
                // It may be under way on another node, or its answer on its way already; or several are.
                tools.cancelled(id).await
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    };
    match heard {
        Err(error) if error.code() == ErrorCode::StoreUnavailable => Err(error),
        // Who may not read has read nothing; its calls are told so.
        _ => Ok(()),
    }
}

/// A slip within a call is told to the model, anything else to the program that has written it.
fn unreadable(wrong: &Unreadable) -> Result<Response> {
    if wrong.id.is_some() && wrong.error.code == rmcp::model::ErrorCode::INVALID_PARAMS {
        return Ok(as_json(&wrong.answer()));
    }
    Err(ApiError::new(ErrorCode::InvalidRequest, format!("The body: {}.", wrong.error.message))
        .hint(
            "MCP's Streamable HTTP says what a client posts here; an SDK of MCP does it for you.",
        ))
}

fn cancelled(id: &RequestId) -> Response {
    let error = ErrorData::internal_error("the call was cancelled", None);
    as_json(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

fn as_json(answer: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}

/// What the library refuses in a plain text is one of our errors.
async fn told(answer: Response) -> Result<Response> {
    if !answer.status().is_client_error() || answer.headers().contains_key(CONTENT_TYPE) {
        return Ok(answer);
    }
    let text = to_bytes(answer.into_body(), LONGEST_REFUSAL).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.strip_prefix("Bad Request: ").unwrap_or(&text);
    let known: Vec<_> =
        ProtocolVersion::KNOWN_VERSIONS.iter().map(ProtocolVersion::as_str).collect();
    Err(ApiError::new(ErrorCode::InvalidRequest, format!("{}.", shown(text)))
        .hint(format!("The revisions of MCP that are spoken here are {}.", known.join(", "))))
}

fn config() -> StreamableHttpServerConfig {
    StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // We have checked the host and the origin, against the settings and with our own errors.
        .disable_allowed_hosts()
}

/// Refuses a client that would not take JSON, which is all that is answered here.
fn check_accept(headers: &HeaderMap) -> Result<()> {
    let mut accepted = headers.get_all(ACCEPT).iter().peekable();
    let takes_json = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        ["application/json", "application/*", "*/*"].iter().any(|kind| value.contains(kind))
    };
    if accepted.peek().is_none() || accepted.any(takes_json) {
        return Ok(());
    }
    Err(ApiError::field("accept", "the header leaves out application/json")
        .hint("Send Accept: application/json, text/event-stream."))
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
