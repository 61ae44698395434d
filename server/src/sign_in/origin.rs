//! Forms are taken from our own pages only.

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;
use meshwire_protocol::ErrorCode;

use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::extract::single_header;
use crate::planted;

/// Refuses a form that another site has sent. Browsers say where a form comes from; one that gives no
/// `Origin` must at least say that it is the same site. `null` is what a sandboxed frame says, and no page
/// of ours.
pub(crate) fn check_origin(app: &App, headers: &HeaderMap) -> Result<()> {
    let ours = &app.sign_in.origin;
    if planted::is("origin-unchecked") {
        return Ok(());
    }
    let came_from = match single_header(headers, ORIGIN.as_str())? {
        Some(origin) if origin == ours => return Ok(()),
        Some(origin) => shown(origin),
        None => match single_header(headers, "sec-fetch-site")? {
            Some("same-origin") => return Ok(()),
            Some(site) => format!("a {} page", shown(site)),
            None => "an unknown place".to_owned(),
        },
    };
    Err(ApiError::new(
        ErrorCode::OriginRefused,
        format!("This form was sent from {came_from}; it is only taken from {ours}."),
    )
    .hint(format!("Open {ours} in your browser and do it there.")))
}
