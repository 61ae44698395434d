//! The state of the server itself.

use axum::extract::State;
use axum::response::Response;
use meshwire_protocol::Health;
use serde_json::json;

use super::answer;
use crate::app::App;
use crate::error::Result;

/// Says that the process is there; never asks the store.
pub(super) async fn health(State(app): State<App>) -> Response {
    answer(&Health {
        status: "ok".to_owned(),
        uptime: app.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        region: app.settings.region.clone(),
    })
}

/// Says whether the store answers.
pub(super) async fn ready(State(app): State<App>) -> Result<Response> {
    app.store.ping().await?;
    Ok(answer(&json!({"status": "ready"})))
}
