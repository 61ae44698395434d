//! The start page, and the end of sessions.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse as _, Response};
use jiff::tz::TimeZone;
use meshwire_protocol::ErrorCode;
use serde::Deserialize;

use crate::app::App;
use crate::clock::timestamp;
use crate::error::{ApiError, Result, shown};
use crate::pages::visitor::{Posted, Visitor, check_session_ticket, session_ticket};
use crate::pages::{html, see_other};
use crate::sign_in::{self, Accounts, CookieKind};
use crate::store::{Micros, SessionRow, UserRow};

/// The URL that the command line uses when nothing is said.
const DEFAULT_URL: &str = "http://127.0.0.1:4200";

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome {
    /// People sign in with GitHub.
    github: bool,
    /// Nobody has an account yet, and the first one is made by a link.
    nobody: bool,
    login_command: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    login: String,
    name: String,
    ticket: String,
    login_command: String,
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

/// A time for machines and for people.
pub(crate) struct When {
    pub machine: String,
    pub text: String,
}

/// `GET /`
pub(crate) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response> {
    match &visitor.session {
        Some((session, user)) => home(&app, session, user).await,
        None => welcome(&app).await,
    }
}

async fn welcome(app: &App) -> Result<Response> {
    let github = matches!(app.sign_in.accounts, Accounts::Github(_));
    let nobody = !github && !app.store.any_user().await?;
    Ok(html(StatusCode::OK, &Welcome { github, nobody, login_command: login_command(app) }))
}

async fn home(app: &App, current: &SessionRow, user: &UserRow) -> Result<Response> {
    let now = app.clock.now();
    let sessions = app.store.sessions(&user.id, now).await?;
    let page = Home {
        login: user.login.clone(),
        name: user.name.clone(),
        ticket: session_ticket(app, current),
        login_command: login_command(app),
        sessions: sessions
            .into_iter()
            .filter(|session| sign_in::is_live(session, now))
            .map(|session| {
                let is_current = session.id == current.id;
                Session {
                    browser: browser(&session.client),
                    is_current,
                    began: When::new(session.created_at),
                    // Written at most once an hour; the one that asks is seen now.
                    seen: When::new(if is_current { now } else { session.last_seen }),
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
    Path(id): Path<String>,
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
    Ok(if id == session.id { signed_out(&app) } else { see_other("/") })
}

fn signed_out(app: &App) -> Response {
    let removal = sign_in::removal(app, CookieKind::Session);
    ([(SET_COOKIE, removal)], see_other("/")).into_response()
}

/// How to sign the command line in at this server.
pub(crate) fn login_command(app: &App) -> String {
    let url = app.url("");
    if url == DEFAULT_URL {
        "meshwire login".to_owned()
    } else {
        format!("meshwire login --url {url}")
    }
}

impl When {
    pub(crate) fn new(at: Micros) -> Self {
        let at = timestamp(at);
        let text = at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y, %H:%M UTC").to_string();
        Self { machine: format!("{at:.0}"), text }
    }
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

    #[test]
    fn times_are_shown_in_utc() {
        let when = When::new(1_748_123_456_789_000);
        assert_eq!(when.machine, "2025-05-24T21:50:56Z");
        assert_eq!(when.text, "24 May 2025, 21:50 UTC");
    }
}
