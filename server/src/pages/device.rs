//! Letting in a computer that has no browser of its own.

use askama::Template;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, PRAGMA, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshwire_protocol::{DeviceCodeRequest, DeviceTokenRequest, ErrorCode, OauthProblem};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::error::{ApiError, Result};
use crate::extract::Parameters;
use crate::pages::local::minutes;
use crate::pages::visitor::{Posted, Visitor, check_session_ticket, session_ticket, stale_form};
use crate::pages::when::When;
use crate::pages::{html, see_other};
use crate::sign_in::cli::too_many_tokens;
use crate::sign_in::device::shown_code;
use crate::sign_in::device::{self, DeviceError, OauthError};
use crate::sign_in::tickets::DeviceForm;
use crate::store::SessionRow;

/// Where a person types the code.
#[derive(Template)]
#[template(path = "device.html")]
struct Entry<'a> {
    login: &'a str,
    ticket: String,
    typed: &'a str,
    error: Option<String>,
}

/// Asks whether it was them.
#[derive(Template)]
#[template(path = "device_confirm.html")]
struct Confirm<'a> {
    login: &'a str,
    name: &'a str,
    server: &'a str,
    code: String,
    host: &'a str,
    address: Option<String>,
    /// The address of this browser, when the request comes from another network.
    elsewhere: Option<String>,
    at: When,
    ticket: String,
}

#[derive(Template)]
#[template(path = "device_done.html")]
struct Done<'a> {
    login: &'a str,
    approved: bool,
}

/// The form with the code.
#[derive(Deserialize)]
pub(crate) struct CodeForm {
    #[serde(default)]
    user_code: String,
    #[serde(default)]
    ticket: String,
}

/// The form with the decision.
#[derive(Deserialize)]
pub(crate) struct DecideForm {
    #[serde(default)]
    decision: String,
    #[serde(default)]
    ticket: String,
}

/// `POST /auth/device/code`: for the computer; no cookie counts here.
pub(crate) async fn code(
    State(app): State<App>,
    address: Option<axum::Extension<ClientAddress>>,
    request: Result<Parameters<DeviceCodeRequest>>,
) -> Response {
    let address = address.map(|axum::Extension(ClientAddress(address))| address);
    answer(match request {
        Ok(Parameters(request)) => device::begin(&app, request, address).await,
        Err(error) => Err(error.into()),
    })
}

/// `POST /auth/device/token`: for the computer; no cookie counts here.
pub(crate) async fn token(
    State(app): State<App>,
    request: Result<Parameters<DeviceTokenRequest>>,
) -> Response {
    answer(match request {
        Ok(Parameters(request)) => device::poll(&app, request).await,
        Err(error) => Err(error.into()),
    })
}

/// RFC 6749 sections 5.1 and 5.2.
fn answer<T: Serialize>(outcome: std::result::Result<T, DeviceError>) -> Response {
    let json = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (PRAGMA, HeaderValue::from_static("no-cache")),
    ];
    let error = match outcome {
        Ok(answer) => {
            let body = serde_json::to_vec(&answer).expect("strings serialise");
            return (json, body).into_response();
        }
        Err(DeviceError::Other(error)) => return error.into_response(),
        Err(DeviceError::Oauth(error)) => error,
    };
    let body = OauthProblem {
        error: error.error.to_owned(),
        error_description: ascii(&error.description),
    };
    let body = serde_json::to_vec(&body).expect("strings serialise");
    match error.retry_after {
        None => (StatusCode::BAD_REQUEST, json, body).into_response(),
        Some(seconds) => {
            let wait = [(RETRY_AFTER, HeaderValue::from(seconds))];
            (StatusCode::TOO_MANY_REQUESTS, json, wait, body).into_response()
        }
    }
}

/// What may stand in a description (RFC 6749 section 5.2): printable ASCII without `"` and `\`.
fn ascii(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

/// `GET /device`. A code in the query counts for nothing: it must be typed.
pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Response {
    let Some((session, user)) = &visitor.session else {
        return see_other("/login?return_to=%2Fdevice");
    };
    let entry = entry(&app, session, &user.login, "", None);
    html(StatusCode::OK, &entry)
}

/// `POST /device`: who has typed a code sees what it stands for.
pub(crate) async fn look_up(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<CodeForm>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    check_session_ticket(&app, session, &form.ticket)?;
    let now = app.clock.now();
    let guess = match app.sign_in.guesses.device_code(&user.id, visitor.address, now) {
        Ok(guess) => guess,
        Err(seconds) => {
            let error = format!("Too many wrong codes. Try again in {}.", minutes(seconds));
            let view = entry(&app, session, &user.login, "", Some(error));
            let wait = [(RETRY_AFTER, HeaderValue::from(seconds))];
            return Ok((wait, html(StatusCode::TOO_MANY_REQUESTS, &view)).into_response());
        }
    };
    let Some((code, request)) = device::find(&app, &form.user_code).await? else {
        let error = "No computer waits with this code. Look at its screen again: a code is good for 10 \
                     minutes, and once.";
        let typed = form.user_code.get(..16).unwrap_or(&form.user_code);
        let view = entry(&app, session, &user.login, typed, Some(error.to_owned()));
        return Ok(html(StatusCode::BAD_REQUEST, &view));
    };
    guess.right();
    let elsewhere = match (request.address, visitor.address) {
        (Some(theirs), Some(ours)) if device::is_elsewhere(theirs, ours) => Some(ours.to_string()),
        _ => None,
    };
    let page = Confirm {
        login: &user.login,
        name: &user.name,
        server: &app.sign_in.origin,
        code: shown_code(&code),
        host: &request.host,
        address: request.address.map(|address| address.to_string()),
        elsewhere,
        at: When::new(request.requested_at, app.clock.now()),
        ticket: app.sign_in.tickets.issue(&DeviceForm { session: session.id.clone(), code }, now),
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /device/decide`: the person says yes or no.
pub(crate) async fn decide(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<DecideForm>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    let asked = app
        .sign_in
        .tickets
        .read::<DeviceForm>(&form.ticket, app.clock.now())
        .filter(|asked| asked.session == session.id)
        .ok_or_else(stale_form)?;
    let approved = match form.decision.as_str() {
        "approve" => true,
        "deny" => false,
        _ => return Err(ApiError::field("decision", "must be approve or deny")),
    };
    let limit = app.settings.limits.tokens;
    if approved && limit > 0 {
        // Told to the person, who can do something about it; the computer goes on waiting meanwhile.
        let live = app.store.tokens(&user.id, app.clock.now()).await?.len();
        if live >= usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(too_many_tokens(limit).hint(
                "Revoke one that you do not need on the page of your tokens, then type the code again.",
            ));
        }
    }
    if !device::decide(&app, &asked.code, approved.then_some(&user.id)).await? {
        return Err(ApiError::new(
            ErrorCode::InvalidGrant,
            "This request has been decided already, or it has run out: a code is good for 10 minutes.",
        )
        .hint("Run `meshwire login --device` again on that computer."));
    }
    tracing::info!(
        user.login = user.login,
        approved,
        "a computer without a browser was decided on"
    );
    Ok(html(StatusCode::OK, &Done { login: &user.login, approved }))
}

/// A computer asks too often, in the words that it understands (RFC 8628 section 3.5).
pub(crate) fn too_often(seconds: u64) -> Response {
    answer::<()>(Err(DeviceError::Oauth(OauthError {
        error: "slow_down",
        description: format!("Too many requests came from your address; try again in {seconds} s."),
        retry_after: Some(seconds),
    })))
}

fn entry<'a>(
    app: &App,
    session: &SessionRow,
    login: &'a str,
    typed: &'a str,
    error: Option<String>,
) -> Entry<'a> {
    Entry { login, ticket: session_ticket(app, session), typed, error }
}
