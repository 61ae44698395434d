//! One's own account: the browsers that are signed in, and how to sign them out.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::ErrorCode;
use serde::Deserialize;

use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::extract::PathVariable;
use crate::pages::frame::{Frame, Here};
use crate::pages::visitor::{Posted, Visitor, check_session_ticket, session_ticket};
use crate::pages::when::When;
use crate::pages::{html, see_other};
use crate::sign_in::{self, CookieKind};

const PATH: &str = "/account";

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    frame: Frame,
    login: String,
    name: String,
    ticket: String,
    sessions: Vec<Session>,
}

/// A browser that is signed in.
struct Session {
    id: String,
    browser: String,
    is_current: bool,
    began: When,
    seen: When,
}

/// `GET /account`
pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    let Some((current, user)) = &visitor.session else {
        return Ok(see_other(&format!("/login?return_to={PATH}")));
    };
    let now = app.clock.now();
    let sessions = app.store.sessions(&user.id, now).await?;
    let page = Account {
        frame: Frame::new(&app, &visitor, Here::Account),
        login: user.login.clone(),
        name: user.name.clone(),
        ticket: session_ticket(&app, current),
        sessions: sessions
            .into_iter()
            .filter(|session| sign_in::is_live(session, now))
            .map(|session| {
                let is_current = session.id == current.id;
                Session {
                    browser: browser(&session.client),
                    is_current,
                    began: When::new(session.created_at, now),
                    // Written at most once an hour; the one that asks is seen now.
                    seen: When::new(if is_current { now } else { session.last_seen }, now),
                    id: session.id,
                }
            })
            .collect(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// A form that ends a session.
#[derive(Deserialize)]
pub(crate) struct EndForm {
    ticket: Option<String>,
}

/// `POST /auth/logout`
pub(crate) async fn log_out(
    State(app): State<App>,
    visitor: Visitor,
    Posted(form): Posted<EndForm>,
) -> Result<Response> {
    if let Some((session, user)) = &visitor.session {
        // The contract knows no field here, so that a program may send none: its origin has been checked.
        if let Some(ticket) = &form.ticket {
            check_session_ticket(&app, session, ticket)?;
        }
        sign_in::end(&app, &user.id, &session.id).await?;
    }
    Ok(signed_out(&app))
}

/// `POST /sessions/{id}/end`
pub(crate) async fn end_session(
    State(app): State<App>,
    PathVariable(id): PathVariable,
    visitor: Visitor,
    Posted(form): Posted<EndForm>,
) -> Result<Response> {
    let (session, user) = visitor.signed_in()?;
    check_session_ticket(&app, session, form.ticket.as_deref().unwrap_or_default())?;
    if !sign_in::end(&app, &user.id, &id).await? {
        return Err(ApiError::new(
            ErrorCode::NotFound,
            format!("You have no session {}; it may have ended by itself.", shown(&id)),
        ));
    }
    Ok(if id == session.id { signed_out(&app) } else { see_other(PATH) })
}

fn signed_out(app: &App) -> Response {
    let removal = sign_in::removal(app, CookieKind::Session);
    ([(SET_COOKIE, removal)], see_other("/")).into_response()
}

/// A short name for a browser, from what it says of itself.
fn browser(client: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| client.contains(mark)).map(|(_, name)| *name)
    };
    // Most say that they are several; the most particular comes first.
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if client.is_empty() => "A browser without a name".to_owned(),
        (None, _) => client.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_called_by_their_names() {
        for (client, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on macOS",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", "A browser without a name"),
        ] {
            assert_eq!(browser(client), name);
        }
    }
}
