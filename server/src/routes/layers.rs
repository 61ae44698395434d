//! What happens to every request on its way in and out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Frame, SizeHint};
use meshwire_protocol::ErrorCode;

use super::calls::{Call, CallTable};
use super::request_log::Line;
use crate::app::App;
use crate::client_address::{ClientAddress, network};
use crate::error::ApiError;
use crate::extract::read_body;
use crate::listen::Peer;
use crate::pages::{self, device::too_often};

/// The answer of a handler that panicked; the hook for panics has written where.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::new(ErrorCode::InternalError, "Something went wrong on our side.")
        .hint("Tell the operator of the server the request id.")
        .into_response()
}

/// What [`around`] goes by.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) app: App,
    pub(super) calls: Arc<CallTable>,
}

/// What is done for every request, whoever answers it. One layer and no more: each further one has a box and a clone of
/// all that is within it for each request, and each poll that waits would hold them. For the same reason what comes
/// before the answer is done at once and not in the future, which then has no room for the request. ([`respond`] has: a
/// refusal needs the id of the request, which is there when the future runs.)
pub(super) fn around(
    State(Around { app, calls }): State<Around>,
    mut request: Request,
    next: Next,
) -> impl Future<Output = Response> {
    note_client(&app, &mut request);
    let call = calls.of(&request);
    if let Some(action) = call.and_then(|call| call.action) {
        request.extensions_mut().insert(action);
    }
    let line = Line::begin(&request);
    let answer = line.follow(Box::pin(respond(app.clone(), call, request, next)));
    async move {
        let mut response = answer.await;
        line.end(&app, &mut response);
        pages::secure(&app, response.headers_mut());
        response
    }
}

/// Answers a request, and says that the connection is of no further use when its body was not read to its end, for
/// what follows on it is the rest of that body (RFC 9112 section 9.6); or when this server is on its way out, so that
/// clients come back over another one.
async fn respond(app: App, call: Option<Call>, request: Request, next: Next) -> Response {
    let ended = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let mut response = answer(&app, call, watch(request, &ended), next).await;
    if !ended.load(Ordering::Acquire) || app.meshes.is_stopping() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// In a box, as small as the way of this request allows: what surrounds it would else have room for all ways, several
/// times.
fn answer<'a>(
    app: &'a App,
    call: Option<Call>,
    request: Request,
    next: Next,
) -> Pin<Box<dyn Future<Output = Response> + Send + 'a>> {
    if has_unused_body(&request) {
        return Box::pin(async move {
            match drain_body(request).await {
                Ok(request) => answer(app, call, request, next).await,
                Err(error) => error.into_response(),
            }
        });
    }
    match refusal(app, call, &request) {
        Some(refusal) => Box::pin(std::future::ready(refusal)),
        None => Box::pin(next.run(request)),
    }
}

/// What a request gets that does not come to its handler.
fn refusal(app: &App, call: Option<Call>, request: &Request) -> Option<Response> {
    limit_visits(app, request).or_else(|| Some(call?.check_query(request).err()?.into_response()))
}

fn has_unused_body(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE)
        && !request.body().is_end_stream()
}

/// Reads the body of a request that has no use for one, so that half of it does not hold a connection for as
/// long as the request is held.
async fn drain_body(request: Request) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let mut draining = Request::new(body);
    draining.extensions_mut().extend(parts.extensions.clone());
    read_body(draining).await?;
    Ok(Request::from_parts(parts, Body::empty()))
}

/// Has it known in the end whether the body of a request was read.
fn watch(request: Request, ended: &Arc<AtomicBool>) -> Request {
    if ended.load(Ordering::Acquire) {
        return request;
    }
    request.map(|body| Body::new(Watched { body, ended: Arc::clone(ended) }))
}

/// A body of which it is known whether it was read to its end.
struct Watched {
    body: Body,
    ended: Arc<AtomicBool>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.ended.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Notes who asks, for limits by address, and how much may be asked.
fn note_client(app: &App, request: &mut Request) {
    if let Some(Peer(peer)) = request.extensions().get().copied() {
        let client = app.settings.trusted_proxies.client(peer.ip(), request.headers());
        request.extensions_mut().insert(ClientAddress(client));
    }
    request.extensions_mut().insert(app.settings.limits.body());
}

/// Slows down whoever asks for the pages of sign-in again and again: they need no token, and some of them ask
/// the store, or GitHub.
fn limit_visits(app: &App, request: &Request) -> Option<Response> {
    let path = request.uri().path();
    let signs_in = ["/login", "/setup", "/device", "/auth/"].iter().any(|at| path.starts_with(at));
    let limit = app.settings.limits.sign_ins_per_minute;
    if let Some(ClientAddress(address)) = request.extensions().get().copied()
        && signs_in
        && limit > 0
    {
        let key = (network(address), limit);
        if let Err(seconds) = app.sign_in.visits.take(&[key], app.clock.now()) {
            if path.starts_with("/auth/device/") {
                return Some(too_often(seconds));
            }
            let error = ApiError::limit(
                ErrorCode::RateLimited,
                format!("Your address has asked for the sign-in more than {limit} times a minute."),
                "Wait a moment, then try again.",
                "MESHWIRE_LIMIT_SIGN_INS_PER_MINUTE",
            );
            return Some(error.retry_after(seconds).into_response());
        }
    }
    None
}
