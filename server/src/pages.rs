//! What people see in a browser: what this is, how to set it up, the docs, how the server is; signing in, letting
//! the command line in, their sessions and tokens.
//!
//! Pages are made of templates that escape what they show, need no script, and load nothing from
//! elsewhere. Errors are those of the API, shown on a page to whoever asks for one.

mod account;
pub(crate) mod assets;
pub(crate) mod cli;
pub(crate) mod device;
mod docs;
mod errors;
mod frame;
mod github;
mod guide;
mod home;
pub(crate) mod join;
mod local;
mod mesh;
mod prose;
mod sessions;
mod status;
mod tokens;
mod visitor;
mod when;

use std::sync::LazyLock;

use askama::Template;
use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::app::App;

pub use self::errors::{ErrorPage, error_page, html_errors, wants_html};

/// Every page, form and file for browsers.
pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(home::page))
        .route("/guide", get(guide::page))
        .route("/docs", get(docs::index))
        .route("/docs/api", get(docs::api::overview))
        .route("/docs/api/{part}", get(docs::api::part))
        .route("/docs/cli", get(docs::cli::page))
        .route("/docs/errors", get(docs::errors::page))
        .route("/docs/limits", get(docs::limits::page))
        .route("/docs/self-hosting", get(docs::self_hosting))
        .route("/docs/security", get(docs::security))
        .route("/status", get(status::page))
        .route("/meshes", post(home::create))
        .merge(mesh::router())
        .route("/account", get(sessions::page))
        .route("/sessions/{id}/end", post(sessions::end_session))
        .route("/account/tokens", get(tokens::page).post(tokens::create))
        .route("/account/tokens/{id}/revoke", post(tokens::revoke))
        .route("/setup", get(account::page).post(account::finish))
        .route("/login", get(local::login_page).post(local::log_in))
        .route("/join/{mesh}", get(join::page).post(join::join))
        .route("/device", get(device::page).post(device::look_up))
        .route("/device/decide", post(device::decide))
        .route("/auth/github", get(github::leave))
        .route("/auth/github/callback", get(github::come_back))
        .route("/auth/cli", get(cli::page).post(cli::allow))
        .route("/auth/device/code", post(device::code))
        .route("/auth/device/token", post(device::token))
        .route("/auth/logout", post(sessions::log_out))
        .route("/static/{name}", get(assets::file))
        .route("/guide/", get(without_slash))
        .route("/status/", get(without_slash))
        .route("/docs/", get(without_slash))
        .route("/docs/{page}/", get(without_slash))
        .route("/docs/api/{part}/", get(without_slash))
        .route_layer(from_fn(html_errors))
}

/// More header fields than an answer has.
pub(crate) const HEADERS: usize = 16;

/// Sets the headers that keep other sites, caches and curious browsers out, on every answer. What a handler
/// has set itself stays.
pub(crate) fn secure(app: &App, headers: &mut HeaderMap) {
    // With those that the answer has: growing step by step would move them all again and again.
    headers.reserve(HEADERS);
    for (name, value) in &*ALWAYS {
        headers.insert(name, value.clone());
    }
    if app.is_https() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| OWN_FORMS.clone());
    headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// What no handler has anything to say about.
static ALWAYS: LazyLock<[(HeaderName, HeaderValue); 4]> = LazyLock::new(|| {
    [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
});

/// The policy of a page whose forms lead to pages of ours.
static OWN_FORMS: LazyLock<HeaderValue> = LazyLock::new(|| content_security_policy("'self'"));

/// The policy of a page whose forms may lead to these places.
fn content_security_policy(form_action: &str) -> HeaderValue {
    HeaderValue::try_from(format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
         connect-src 'self'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
    ))
    .expect("ASCII")
}

/// A page of ours.
fn html(status: StatusCode, page: &impl Template) -> Response {
    let page = tidy(&page.render().expect("writing to a string does not fail"));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        // Under `no-referrer` browsers send our own forms with `Origin: null` (Fetch standard, "append a
        // request Origin header"), which we refuse. Other sites learn nothing from this either.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, page).into_response()
}

/// A page without the spaces that the tags of its template have left at the ends of lines.
fn tidy(page: &str) -> String {
    page.lines().fold(String::with_capacity(page.len()), |mut tidied, line| {
        tidied.push_str(line.trim_end_matches(' '));
        tidied.push('\n');
        tidied
    })
}

/// On to the address of a page that somebody has written with a slash at its end.
async fn without_slash(uri: Uri) -> Response {
    let path = uri.path().trim_end_matches('/');
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{path}{query}")).into_response()
}

/// On to another address, with GET.
fn see_other(to: &str) -> Response {
    let location = HeaderValue::try_from(to).expect("every address was made or checked here");
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}
