//! Who asks for a page, and forms that are known to come from one of ours.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::ErrorCode;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::{Host, Url};

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::error::{ApiError, Result};
use crate::extract::Form;
use crate::pages::see_other;
use crate::sign_in::tickets::SessionForm;
use crate::sign_in::{check_origin, current_session};
use crate::store::{SessionRow, UserRow};

/// A person with a browser. A token on such a request counts for nothing.
pub(crate) struct Visitor {
    /// Who is signed in.
    pub session: Option<(SessionRow, UserRow)>,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Visitor {
    fn new(parts: &Parts, session: Option<(SessionRow, UserRow)>) -> Self {
        Self {
            session,
            headers: parts.headers.clone(),
            address: parts.extensions.get::<ClientAddress>().map(|ClientAddress(address)| *address),
        }
    }

    /// The session, or an error that says to sign in.
    pub(crate) fn signed_in(&self) -> Result<&(SessionRow, UserRow)> {
        self.session.as_ref().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Unauthorized,
                "You are not signed in in this browser, or not any more.",
            )
            .hint("Sign in and try again.")
        })
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &App,
    ) -> std::result::Result<Self, Response> {
        if let Some(address) = canonical(app, parts) {
            return Err(see_other(&address));
        }
        let session =
            current_session(app, &parts.headers).await.map_err(ApiError::into_response)?;
        Ok(Self::new(parts, session))
    }
}

/// How long a page that is for everyone waits to hear who is signed in.
const PATIENCE: Duration = Duration::from_secs(2);

/// A person on a page that is for everyone. While the store does not say who they are, they are shown it as a
/// stranger is: that is when people look at the docs and at the state of the service.
pub(crate) struct Guest(pub Visitor);

impl FromRequestParts<App> for Guest {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &App,
    ) -> std::result::Result<Self, Response> {
        if let Some(address) = canonical(app, parts) {
            return Err(see_other(&address));
        }
        let session = match timeout(PATIENCE, current_session(app, &parts.headers)).await {
            Ok(Ok(session)) => session,
            Ok(Err(_)) | Err(_) => None,
        };
        Ok(Self(Visitor::new(parts, session)))
    }
}

/// On one's own computer the server answers to several names, but cookies and `Origin` go by the one in the
/// public URL: the address of the same page under that name, when another was used.
fn canonical(app: &App, parts: &Parts) -> Option<String> {
    if parts.method != Method::GET || !is_loopback(&app.public_url) {
        return None;
    }
    let asked = parts.headers.get(HOST)?.to_str().ok()?;
    let asked = Url::parse(&format!("{}://{asked}/", app.public_url.scheme())).ok()?;
    let same_server = is_loopback(&asked)
        && asked.port_or_known_default() == app.public_url.port_or_known_default();
    (same_server && asked.host() != app.public_url.host())
        .then(|| app.url(parts.uri.path_and_query().map_or("/", |path| path.as_str())))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A form that one of our own pages sent.
pub(crate) struct Posted<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        check_origin(app, request.headers())?;
        Form::from_request(request, app).await.map(|Form(form)| Self(form))
    }
}

/// The ticket for the forms that end sessions, to be put into a page.
pub(crate) fn session_ticket(app: &App, session: &SessionRow) -> String {
    app.sign_in.tickets.issue(&SessionForm { session: session.id.clone() }, app.clock.now())
}

/// Refuses a form that was not made for this session.
pub(crate) fn check_session_ticket(app: &App, session: &SessionRow, ticket: &str) -> Result<()> {
    match app.sign_in.tickets.read::<SessionForm>(ticket, app.clock.now()) {
        Some(form) if form.session == session.id => Ok(()),
        _ => Err(stale_form()),
    }
}

/// A form whose ticket does not hold.
pub(crate) fn stale_form() -> ApiError {
    ApiError::new(
        ErrorCode::OriginRefused,
        "This form was made for another sign-in, or too long ago.",
    )
    .hint("Go back, reload the page and try again.")
}
