//! The state of the server itself.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use meshwire_protocol::Health;
use meshwire_protocol::schemas::AnyObject;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::answer;
use crate::app::App;
use crate::error::Result;

/// Whether the process is there
///
/// Never asks the store.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "Service",
    responses(
        (status = 200, description = "The process is there.", body = Health),
    )
)]
pub(super) async fn health(State(app): State<App>) -> Response {
    answer(&Health {
        status: "ok".to_owned(),
        uptime: app.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        region: app.settings.region.clone(),
    })
}

/// Answer of `GET /ready`.
#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ready`.
    status: &'static str,
}

/// Whether the server can serve
///
/// Asks the store whether it answers and takes writes; the cost does not grow with the data.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "ready",
    tag = "Service",
    responses(
        (status = 200, description = "The store answers and takes writes.", body = Ready),
    )
)]
pub(super) async fn ready(State(app): State<App>) -> Result<Response> {
    app.store.ping().await?;
    Ok(answer(&Ready { status: "ready" }))
}

/// The document as it is sent, and its entity tag.
static DOCUMENT: LazyLock<(Bytes, HeaderValue)> = LazyLock::new(|| {
    let document = super::api().into_document();
    let body = serde_json::to_vec(&document).expect("strings, numbers and maps with text keys");
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..12]));
    (body.into(), HeaderValue::try_from(tag).expect("base64url in quotes"))
});

/// The OpenAPI document as it is sent.
pub(crate) fn openapi_document() -> &'static [u8] {
    &DOCUMENT.0
}

/// This document
///
/// OpenAPI 3.1, made from the handlers. The answer has an `ETag`, and is 304 when the caller has it.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "Service",
    responses(
        (status = 200, description = "The document.", body = AnyObject),
    )
)]
pub(super) async fn openapi(headers: HeaderMap) -> Response {
    let (body, tag) = &*DOCUMENT;
    let kept = [(CACHE_CONTROL, HeaderValue::from_static("public, no-cache")), (ETAG, tag.clone())];
    if headers.get(IF_NONE_MATCH) == Some(tag) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (kept, json, body.clone()).into_response()
}
