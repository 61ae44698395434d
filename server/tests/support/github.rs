//! A stand-in for GitHub on a free port: the two pages of OAuth and the one call that we make.
//!
//! It is as strict as GitHub: client, redirect URI, PKCE and single use of a code are checked, and what is
//! wrong is said the way GitHub says it. It can also misbehave.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::{Url, form_urlencoded};

/// Client id of the OAuth app that it knows.
pub(crate) const CLIENT_ID: &str = "Iv1.stand-in";
/// Its secret.
pub(crate) const CLIENT_SECRET: &str = "stand-in-secret";

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500 instead of a token.
    TokenFails,
    /// A page instead of a token.
    TokenIsHtml,
    /// A token inside of far too much.
    TokenIsHuge,
    /// A redirect to a good answer.
    TokenRedirects,
    /// 500 instead of the user.
    UserFails,
    /// A page instead of the user.
    UserIsHtml,
    /// A user inside of far too much.
    UserIsHuge,
    /// A login that cannot be one.
    UserIsStrange,
    /// The connection ends in the middle.
    HangsUp,
}

/// GitHub, for a test. It ends when it is dropped.
pub(crate) struct StandIn {
    url: Url,
    github: Arc<Github>,
    server: JoinHandle<()>,
}

struct Github {
    redirect_uri: Mutex<Option<String>>,
    inner: Mutex<Inner>,
}

struct Inner {
    user: Value,
    fault: Option<Fault>,
    /// Code to PKCE challenge and user.
    codes: HashMap<String, (String, Value)>,
    /// Token to user.
    tokens: HashMap<String, Value>,
    spent: HashSet<String>,
    counter: u32,
}

impl StandIn {
    /// Starts it, with the user `octocat`, number 1.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let github = Arc::new(Github {
            redirect_uri: Mutex::default(),
            inner: Mutex::new(Inner {
                user: json!({"id": 1, "login": "octocat", "name": "Mona Octocat"}),
                fault: None,
                codes: HashMap::new(),
                tokens: HashMap::new(),
                spent: HashSet::new(),
                counter: 0,
            }),
        });
        let router = Router::new()
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(access_token))
            .route("/user", get(user))
            .with_state(Arc::clone(&github));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let url = Url::parse(&format!("http://{address}")).expect("an address makes a URL");
        Self { url, github, server }
    }

    /// Where it is, both as GitHub and as its API.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Who confirms the next sign-in.
    pub(crate) fn set_user(&self, id: u64, login: &str, name: Option<&str>) {
        self.github.lock().user = json!({"id": id, "login": login, "name": name});
    }

    /// Misbehaves from now on, or no longer.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.github.lock().fault = fault;
    }

    /// The only callback that is registered; by default the first one that is asked for.
    pub(crate) fn register_callback(&self, redirect_uri: &str) {
        *self.github.redirect_uri.lock().expect("no panic") = Some(redirect_uri.to_owned());
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Github {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next(&mut self, prefix: &str) -> String {
        self.counter += 1;
        format!("{prefix}{:036}", self.counter)
    }
}

type Fields = HashMap<String, String>;

fn fields(text: &[u8]) -> Fields {
    form_urlencoded::parse(text).into_owned().collect()
}

fn bad(reason: &str) -> Response {
    (StatusCode::BAD_REQUEST, reason.to_owned()).into_response()
}

/// The page on which a person confirms; here they always do.
async fn authorize(State(github): State<Arc<Github>>, request: Request) -> Response {
    let query = fields(request.uri().query().unwrap_or_default().as_bytes());
    let value = |name: &str| query.get(name).cloned().unwrap_or_default();
    if value("client_id") != CLIENT_ID || value("response_type") != "code" {
        return bad("client_id or response_type");
    }
    if query.contains_key("scope") {
        return bad("we need no scope");
    }
    if value("code_challenge").len() != 43 || value("code_challenge_method") != "S256" {
        return bad("PKCE");
    }
    if value("state").len() < 32 {
        return bad("state");
    }
    {
        let mut registered = github.redirect_uri.lock().expect("no panic");
        if *registered.get_or_insert_with(|| value("redirect_uri")) != value("redirect_uri") {
            return bad("redirect_uri");
        }
    }
    let Ok(mut back) = Url::parse(&value("redirect_uri")) else {
        return bad("redirect_uri");
    };
    let mut inner = github.lock();
    let code = inner.next("code");
    let user = inner.user.clone();
    inner.codes.insert(code.clone(), (value("code_challenge"), user));
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &value("state"));
    (StatusCode::FOUND, [(LOCATION, back.to_string())]).into_response()
}

async fn access_token(State(github): State<Arc<Github>>, request: Request) -> Response {
    let wants_json =
        request.headers().get(ACCEPT).is_some_and(|accept| accept == "application/json");
    let has_fault_gone = request.uri().query() == Some("redirected");
    let body = to_bytes(request.into_body(), 64 * 1024).await.expect("a small body");
    let form = fields(&body);
    let value = |name: &str| form.get(name).map_or("", String::as_str);
    let mut inner = github.lock();
    match inner.fault.filter(|_| !has_fault_gone) {
        Some(Fault::TokenFails) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::TokenIsHtml) => return a_page(),
        Some(Fault::TokenIsHuge) => {
            return huge(json!({"access_token": "x", "token_type": "bearer"}));
        }
        Some(Fault::HangsUp) => return hang_up(),
        Some(Fault::TokenRedirects) => {
            let to = [(LOCATION, "/login/oauth/access_token?redirected")];
            return (StatusCode::TEMPORARY_REDIRECT, to).into_response();
        }
        _ => {}
    }
    let error =
        |error: &str| answer(&json!({"error": error, "error_description": "See the manual."}));
    if !wants_json {
        return bad("Accept");
    }
    if value("client_id") != CLIENT_ID || value("client_secret") != CLIENT_SECRET {
        return error("incorrect_client_credentials");
    }
    if github.redirect_uri.lock().expect("no panic").as_deref() != Some(value("redirect_uri")) {
        return error("redirect_uri_mismatch");
    }
    let code = value("code").to_owned();
    let Some((challenge, user)) = inner.codes.remove(&code) else {
        return error("bad_verification_code");
    };
    inner.spent.insert(code);
    let verifier = value("code_verifier");
    if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != challenge {
        return error("bad_verification_code");
    }
    let token = inner.next("gho_");
    inner.tokens.insert(token.clone(), user);
    answer(&json!({"access_token": token, "scope": "", "token_type": "bearer"}))
}

async fn user(State(github): State<Arc<Github>>, headers: HeaderMap) -> Response {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let inner = github.lock();
    match inner.fault {
        Some(Fault::UserFails) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::UserIsHtml) => return a_page(),
        Some(Fault::UserIsHuge) => return huge(inner.user.clone()),
        Some(Fault::UserIsStrange) => {
            return answer(&json!({"id": 7, "login": "../<b>", "name": null}));
        }
        _ => {}
    }
    if header(USER_AGENT).is_empty() || header(ACCEPT) != "application/vnd.github+json" {
        return StatusCode::FORBIDDEN.into_response();
    }
    let token = header(AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
    match inner.tokens.get(token) {
        Some(user) => answer(user),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn answer(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json; charset=utf-8")], value.to_string()).into_response()
}

fn a_page() -> Response {
    ([(CONTENT_TYPE, "text/html")], "<html><h1>Unicorn!</h1></html>").into_response()
}

fn huge(mut value: Value) -> Response {
    value["padding"] = "x".repeat(200 * 1024).into();
    answer(&value)
}

/// Promises more than it gives.
fn hang_up() -> Response {
    let body = Body::from_stream(futures_util::stream::iter([
        Ok("{\"access_token\":"),
        Err(std::io::Error::other("gone")),
    ]));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
