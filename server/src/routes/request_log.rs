//! The id of each request, its line in the log, and its place in the metrics.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

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
pub(super) struct Line {
    started: Instant,
    route: Option<MatchedPath>,
    method: &'static str,
    client: Option<IpAddr>,
    id: RequestId,
    span: Span,
}

impl Line {
    /// Takes down what is known of a request when it comes.
    pub(super) fn begin(request: &Request) -> Self {
        if planted::is("authorization-logged") {
            let headers = request.headers();
            tracing::info!(authorization = ?headers.get("authorization"), "a request comes");
        }
        let id = RequestId::random();
        // Of the highest level, so that an error has its request whatever the log leaves out.
        let span = tracing::error_span!(
            "request",
            id = id.as_str(),
            user = Empty,
            token = Empty,
            mesh = Empty
        );
        Self {
            started: Instant::now(),
            route: request.extensions().get().cloned(),
            method: known(request.method()),
            client: request.extensions().get::<ClientAddress>().map(|client| client.0),
            id,
            span,
        }
    }

    /// Answers under the id of the request, and in its span.
    pub(super) fn follow<F: Future<Output = Response>>(
        &self,
        answer: F,
    ) -> impl Future<Output = Response> + use<F> {
        self.id.scope(answer).instrument(self.span.clone())
    }

    /// Writes the line, counts the request, and has its answer carry the id.
    pub(super) fn end(&self, app: &App, response: &mut Response) {
        let Self { method, client, id, .. } = self;
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        let waited = response.extensions().get::<Waited>().map(|waited| waited.0);
        let took = self.started.elapsed().saturating_sub(waited.unwrap_or_default());
        let status = response.status().as_u16();
        app.metrics.answered(method, route, status, took, waited);
        let refusal = response.extensions().get::<Refusal>().copied();
        if let Some(refusal) = refusal {
            app.metrics.refused(refusal);
        }
        self.span.in_scope(|| {
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
    }
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
