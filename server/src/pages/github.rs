//! Signing in with GitHub: there and back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::ErrorCode;
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::extract::Query;
use crate::pages::errors::{ErrorPage, error_page};
use crate::pages::see_other;
use crate::pages::visitor::Visitor;
use crate::request_id::RequestId;
use crate::sign_in::tickets::AtGithub;
use crate::sign_in::{self, Accounts, Callback, CookieKind, Github, GithubError, ReturnTo};

/// Where to go after signing in.
#[derive(Deserialize)]
pub(crate) struct Leave {
    return_to: Option<String>,
}

/// `GET /auth/github`: off to GitHub.
pub(crate) async fn leave(
    State(app): State<App>,
    _: Visitor,
    Query(query): Query<Leave>,
) -> Result<Response> {
    let github = github(&app)?;
    let return_to = ReturnTo::new(query.return_to.as_deref());
    let (url, ticket) = github.leave(return_to.as_str());
    let ticket = app.sign_in.tickets.issue(&ticket, app.clock.now());
    let cookie = sign_in::login_cookie(&app, ticket);
    Ok(([(SET_COOKIE, cookie)], see_other(url.as_str())).into_response())
}

/// `GET /auth/github/callback`: back from GitHub. Whatever comes of it, the ticket is gone.
pub(crate) async fn come_back(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query<Callback>,
) -> Response {
    let mut response = finish(&app, &visitor, query).await.into_response();
    response.headers_mut().append(SET_COOKIE, sign_in::removal(&app, CookieKind::Login));
    response
}

async fn finish(app: &App, visitor: &Visitor, query: Callback) -> Result<Response> {
    let github = github(app)?;
    let now = app.clock.now();
    let ticket = sign_in::cookie_value(app, &visitor.headers, CookieKind::Login)
        .and_then(|ticket| app.sign_in.tickets.read::<AtGithub>(&ticket, now))
        .ok_or_else(|| {
            again(
                "This sign-in was not begun in this browser, or it was more than ten minutes ago.",
            )
        })?;
    if !query.state.is_some_and(|state| ticket.state_is(&state)) {
        return Err(again(
            "This sign-in does not belong to the one that this browser has begun last.",
        ));
    }
    if !app.sign_in.tickets.spend::<AtGithub>(&ticket.state, now) {
        return Err(again("This sign-in has been finished already."));
    }
    match (query.error, query.code) {
        (Some(error), _) if error == "access_denied" => Err(ApiError::new(
            ErrorCode::Forbidden,
            "GitHub was told not to say who you are.",
        )
        .hint("Sign in again, and confirm at GitHub. MeshWire asks for your public profile only.")),
        (Some(error), _) => Err(again(&format!("GitHub ended it: {}.", shown(&error)))),
        (None, None) => Err(again("GitHub gave no code along.")),
        (None, Some(code)) => match github.who(code, ticket.verifier, now).await {
            Ok(user) => {
                let user = app.store.sign_in_github(user).await?;
                let cookie = sign_in::start(app, &visitor.headers, &user.id).await?;
                Ok(([(SET_COOKIE, cookie)], see_other(&ticket.return_to)).into_response())
            }
            Err(error) => {
                tracing::warn!(%error, "a sign-in with GitHub failed");
                match error {
                    GithubError::Refused(_) => {
                        Err(again("GitHub does not take the code that it gave."))
                    }
                    GithubError::Unusable(_) => Ok(unusable()),
                }
            }
        },
    }
}

fn github(app: &App) -> Result<&Github> {
    match &app.sign_in.accounts {
        Accounts::Github(github) => Ok(github),
        Accounts::Local(_) => Err(ApiError::new(
            ErrorCode::NotFound,
            "This server has accounts of its own and does not use GitHub.",
        )
        .hint("Sign in at `/login`.")),
    }
}

fn again(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidGrant, detail).hint("Go to the start page and sign in again.")
}

fn unusable() -> Response {
    error_page(&ErrorPage {
        status: StatusCode::SERVICE_UNAVAILABLE,
        title: "GitHub cannot be reached".to_owned(),
        detail:
            "GitHub does not answer as it should at the moment, so we cannot tell who you are. You \
                 are not signed in; nothing else has changed."
                .to_owned(),
        hint: Some(
            "Try again in a minute. Agents and command lines that are signed in are not affected."
                .to_owned(),
        ),
        code: None,
        request_id: RequestId::current(),
        typed: None,
    })
}
