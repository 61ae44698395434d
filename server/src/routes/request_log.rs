//! The id of each request, its line in the log, and its place in the metrics.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::error::Refusal;
use crate::planted;
use crate::request_id::{RequestId, X_REQUEST_ID};

/// Left on the answer to a poll: how long it waited for messages, which says nothing about our speed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waited(pub(super) Duration);

/// One line a request: which route, how it ended, how long it took, who asked. Nothing that the client wrote:
/// a token may stand in a path or in place of a method by mistake. User, token and mesh are public ids, noted on
/// the span as soon as they are known to exist; what is logged meanwhile carries the same span.
pub(super) async fn log_request<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let method = known(request.method());
    let client = request.extensions().get::<ClientAddress>().map(|client| client.0);
    let id = RequestId::random();
    // Of the highest level, so that an error has its request whatever the log leaves out.
    let span = tracing::error_span!(
        "request",
        id = id.as_str(),
        user = Empty,
        token = Empty,
        mesh = Empty
    );
    if planted::is("authorization-logged") {
        let headers = request.headers();
        tracing::info!(authorization = ?headers.get("authorization"), "a request comes");
    }
    let mut response = id.scope(answer(request)).instrument(span.clone()).await;

    let waited = response.extensions().get::<Waited>().map(|waited| waited.0);
    let took = started.elapsed().saturating_sub(waited.unwrap_or_default());
    let status = response.status().as_u16();
    app.metrics.answered(method, route, status, took, waited);
    let refusal = response.extensions().get::<Refusal>().copied();
    if let Some(refusal) = refusal {
        app.metrics.refused(refusal);
    }
    span.in_scope(|| {
        tracing::info!(
            method,
            route,
            status,
            code = refusal.map(|refusal| refusal.code.as_str()),
            reason = refusal.and_then(|refusal| refusal.reason),
            ms = millis(took),
            waited_ms = waited.map(millis),
            client = client.map(tracing::field::display),
            "request"
        );
    });
    let id = HeaderValue::from_str(id.as_str()).expect("base62 makes a header");
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// A method as it may stand in the log.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
