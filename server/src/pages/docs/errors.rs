//! Every code, at the place where the `type` of an error leads to.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::ErrorCode;

use super::frame;
use crate::app::App;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::visitor::Guest;

#[derive(Template)]
#[template(path = "docs/errors.html")]
struct Errors {
    frame: Frame,
    here: &'static str,
    codes: &'static [ErrorCode],
}

/// `GET /docs/errors`
pub(crate) async fn page(State(app): State<App>, Guest(visitor): Guest) -> Response {
    let page = Errors { frame: frame(&app, &visitor), here: "/docs/errors", codes: ErrorCode::ALL };
    html(StatusCode::OK, &page)
}
