//! Browsers that are signed in.
//!
//! A cookie holds a secret of 256 bits, the store its SHA-256. A session ends two weeks after it was last
//! seen, thirty days after it began, at sign-out, or from another browser.

use std::time::Duration;

use axum::http::header::{COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue};
use cookie::{Cookie, SameSite};
use meshwire_protocol::UserId;

use crate::app::App;
use crate::clock::micros;
use crate::error::ApiError;
use crate::planted;
use crate::secret;
use crate::sign_in::clean;
use crate::sign_in::tickets::{AtGithub, Ticket as _};
use crate::store::{Digest, Micros, SessionRow, UserRow};

/// Ends a session that nobody uses.
const IDLE: Duration = Duration::from_hours(14 * 24);
/// Ends every session.
const LIFETIME: Duration = Duration::from_hours(30 * 24);
/// Longest name of a browser that is kept, in characters.
const MAX_CLIENT: usize = 120;
/// Length of the public id of a session.
const ID_LENGTH: usize = 12;

/// A cookie of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Says who is signed in.
    Session,
    /// Carries a person through GitHub and back.
    Login,
}

impl Kind {
    /// On https the browser itself makes sure that the cookie was set by this very host.
    const fn name(self, https: bool) -> &'static str {
        match (self, https) {
            (Self::Session, true) => "__Host-mw_session",
            (Self::Session, false) => "mw_session",
            (Self::Login, true) => "__Host-mw_login",
            (Self::Login, false) => "mw_login",
        }
    }
}

/// The session and the user that a request's cookie stands for; `None` when nobody is signed in.
///
/// # Errors
/// When the store does not answer: nobody is signed out by that.
pub async fn current_session(
    app: &App,
    headers: &HeaderMap,
) -> Result<Option<(SessionRow, UserRow)>, ApiError> {
    match cookie_value(app, headers, Kind::Session) {
        Some(secret) => session_of(app, &secret::digest(&secret)).await,
        None => Ok(None),
    }
}

/// The live session whose secret has this hash, and its user.
pub(crate) async fn session_of(
    app: &App,
    hash: &Digest,
) -> Result<Option<(SessionRow, UserRow)>, ApiError> {
    let now = app.clock.now();
    let Some((session, user)) = app.store.session(hash, now).await? else {
        return Ok(None);
    };
    if is_live(&session, now) {
        return Ok(Some((session, user)));
    }
    app.store.end_session(&user.id, &session.id).await?;
    Ok(None)
}

/// Whether a session was used lately enough.
pub(crate) fn is_live(session: &SessionRow, now: Micros) -> bool {
    session.last_seen + micros(IDLE) > now && session.expires_at > now
}

/// Begins a session, ends the one that this browser had, and gives the cookie to set.
pub(crate) async fn start(
    app: &App,
    headers: &HeaderMap,
    user: &UserId,
) -> Result<HeaderValue, ApiError> {
    begin(app, headers, user).await.map(|(_, cookie)| cookie)
}

/// The same for who has given the password of this row; `None` when it was reset meanwhile. A reset ends all
/// sessions, and one that was being made with the old password must not come after it.
pub(crate) async fn start_with_password(
    app: &App,
    headers: &HeaderMap,
    user: &UserRow,
) -> Result<Option<HeaderValue>, ApiError> {
    let (id, cookie) = begin(app, headers, &user.id).await?;
    let now = app.store.user_by_login(&user.login).await?;
    if now.is_some_and(|now| now.id == user.id && now.password == user.password) {
        return Ok(Some(cookie));
    }
    app.store.end_session(&user.id, &id).await?;
    Ok(None)
}

/// The public id of the new session, and its cookie.
async fn begin(
    app: &App,
    headers: &HeaderMap,
    user: &UserId,
) -> Result<(String, HeaderValue), ApiError> {
    if let Some((old, owner)) = current_session(app, headers).await? {
        app.store.end_session(&owner.id, &old.id).await?;
    }
    let secret = secret::one_time();
    let id = secret::base62(ID_LENGTH);
    let now = app.clock.now();
    let client = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    app.store
        .create_session(SessionRow {
            hash: secret::digest(&secret),
            id: id.clone(),
            user: user.clone(),
            client: clean(client, MAX_CLIENT),
            created_at: now,
            last_seen: now,
            expires_at: now + micros(LIFETIME),
        })
        .await?;
    Ok((id, cookie(app, Kind::Session, secret, LIFETIME)))
}

/// Ends a session of a user; `false` when there is none.
pub(crate) async fn end(app: &App, user: &UserId, id: &str) -> Result<bool, ApiError> {
    Ok(app.store.end_session(user, id).await?)
}

/// The cookie for a person on the way to GitHub.
pub(crate) fn login_cookie(app: &App, ticket: String) -> HeaderValue {
    cookie(app, Kind::Login, ticket, AtGithub::LIFETIME)
}

/// Takes a cookie away.
pub(crate) fn removal(app: &App, kind: Kind) -> HeaderValue {
    cookie(app, kind, String::new(), Duration::ZERO)
}

/// The value of a cookie of ours.
pub(crate) fn cookie_value(app: &App, headers: &HeaderMap, kind: Kind) -> Option<String> {
    let name = kind.name(app.is_https());
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
        .filter(|value| !value.is_empty())
}

fn cookie(app: &App, kind: Kind, value: String, lifetime: Duration) -> HeaderValue {
    let seconds = i64::try_from(lifetime.as_secs()).expect("cookies live for days");
    let cookie = Cookie::build((kind.name(app.is_https()), value))
        .http_only(true)
        .same_site(if planted::is("same-site-none") { SameSite::None } else { SameSite::Lax })
        .secure(app.is_https())
        .path("/")
        .max_age(cookie::time::Duration::seconds(seconds))
        .build();
    HeaderValue::try_from(cookie.to_string()).expect("base62 or base64url in ASCII")
}
