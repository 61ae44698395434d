//! A server in this process, and browsers with cookies of their own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT,
};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;
use meshwire_server::app::App;
use meshwire_server::client_address::{ClientAddress, Networks};
use meshwire_server::clock::Clock;
use meshwire_server::settings::{GithubSettings, Limits, LogFormat, Retention, Settings};
use meshwire_server::{routes, store};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt as _;
use url::{Url, form_urlencoded};

use crate::github::{CLIENT_ID, CLIENT_SECRET, StandIn};
use crate::{log, place};

pub(crate) const HTTP: &str = "http://127.0.0.1:4200";
pub(crate) const HTTPS: &str = "https://mesh.example.com";
pub(crate) const PASSWORD: &str = "a battery of CaNaRy5f1e";

/// The server, without its socket.
pub(crate) struct Server {
    pub app: App,
    /// Turns true when the server stops.
    pub stop: watch::Sender<bool>,
    router: Router,
    _folder: TempDir,
}

impl Server {
    /// With accounts of its own.
    pub(crate) async fn local() -> Self {
        Self::start(HTTP, None, 0).await
    }

    /// With GitHub.
    pub(crate) async fn with_github(public_url: &str, github: &StandIn) -> Self {
        Self::start(public_url, Some(github), 0).await
    }

    pub(crate) async fn start(public_url: &str, github: Option<&StandIn>, tokens: u32) -> Self {
        log::start();
        assert!(PASSWORD.contains(log::CANARY), "so that it is found in a log");
        let folder = tempfile::tempdir().expect("a folder");
        let place = place::fresh(&folder).await;
        let store = store::open(&place).await.expect("a new database");
        let public_url = Url::parse(public_url).expect("a URL");
        let settings = Settings {
            bind: "127.0.0.1:4200".parse().expect("an address"),
            public_url: Some(public_url.clone()),
            store: place,
            github: github.map(|github| GithubSettings {
                client_id: CLIENT_ID.to_owned(),
                client_secret: CLIENT_SECRET.to_owned(),
                url: github.url().clone(),
                api_url: github.url().clone(),
            }),
            secret_key: "0123456789abcdef0123456789abcdef".to_owned(),
            secret_key_previous: None,
            region: "test".to_owned(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            metrics_bind: None,
            trusted_proxies: Networks::default(),
            limits: Limits { tokens, ..Limits::NONE },
            retention: Retention::FOR_EVER,
        };
        let clock = Arc::new(Clock::default());
        let (stop, stopping) = watch::channel(false);
        let app = App::new(settings, public_url, store, clock, stopping);
        let router = routes::router(app.clone());
        Self { app, stop, router, _folder: folder }
    }

    /// A browser that has never been here.
    pub(crate) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            origin: self.app.url(""),
            cookies: BTreeMap::new(),
            address: Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// A browser in which somebody has made the first account, `ann`.
    pub(crate) async fn ann(&self) -> Browser {
        let link = meshwire_server::sign_in::first_start(&self.app)
            .await
            .expect("the store answers")
            .expect("nobody is there yet");
        let mut browser = self.browser();
        let page = browser.get(path_of(&link)).await;
        let form = [
            ("ticket", page.ticket()),
            ("login", "ann"),
            ("name", "Ann"),
            ("password", PASSWORD),
            ("password_again", PASSWORD),
        ];
        let answer = browser.post("/setup", &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        browser
    }
}

/// What a browser remembers.
#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    origin: String,
    pub cookies: BTreeMap<String, String>,
    pub address: IpAddr,
}

/// What it got.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Body::empty()).expect("a request")).await
    }

    /// Asks what a page would be, without having it.
    pub(crate) async fn head(&mut self, path: &str) -> Answer {
        self.send(self.request("HEAD", path).body(Body::empty()).expect("a request")).await
    }

    /// Sends a form as one of our pages would.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = self.origin.clone();
        self.post_from(path, form, &[(ORIGIN.as_str(), &origin)]).await
    }

    /// Sends a form with these headers instead of our own `Origin`.
    pub(crate) async fn post_from(
        &mut self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request =
            self.request("POST", path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).expect("a request")).await
    }

    /// Sends a body as a program on this computer would: no cookies, no wish for pages.
    pub(crate) async fn json(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path).extension(ClientAddress(self.address));
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        Answer::from(self.router.clone().oneshot(request).await.expect("it always answers")).await
    }

    /// A call of the API with a token: no cookies either.
    pub(crate) async fn api(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.extension(ClientAddress(self.address));
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        Answer::from(self.router.clone().oneshot(request).await.expect("it always answers")).await
    }

    /// Asks for what does not end by itself, as a script on a page does.
    pub(crate) async fn listen(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.request("GET", path);
        request
            .headers_mut()
            .expect("a request")
            .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        self.router.clone().oneshot(request).await.expect("it always answers")
    }

    /// Opens a page under another name of the server.
    pub(crate) async fn get_at(&mut self, host: &str, path: &str) -> Answer {
        let mut request = self.request("GET", path).body(Body::empty()).expect("a request");
        request.headers_mut().insert(HOST, host.parse().expect("a host"));
        self.send(request).await
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let host = self.origin.split_once("://").expect("an origin").1;
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header(USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0");
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        request
    }

    async fn send(&mut self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ClientAddress(self.address));
        let response = self.router.clone().oneshot(request).await.expect("it always answers");
        let answer = Answer::from(response).await;
        for cookie in answer.headers.get_all(SET_COOKIE) {
            let cookie = cookie::Cookie::parse(cookie.to_str().expect("ASCII")).expect("a cookie");
            if cookie.max_age() == Some(cookie::time::Duration::ZERO) {
                self.cookies.remove(cookie.name());
            } else {
                self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
        answer
    }
}

impl Answer {
    pub(crate) async fn from(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a small body");
        let body = String::from_utf8(body.into()).expect("text");
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// In how many seconds to try again.
    #[track_caller]
    pub(crate) fn retry_after(&self) -> u64 {
        self.header("retry-after").parse().expect("a number of seconds")
    }

    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.header(LOCATION.as_str())
    }

    /// The ticket in the first form of the page.
    pub(crate) fn ticket(&self) -> &str {
        let (_, rest) = self.body.split_once("name=\"ticket\" value=\"").expect("a form");
        rest.split('"').next().expect("an end")
    }

    /// The ticket in the form of the page that leads to `action`.
    #[track_caller]
    pub(crate) fn ticket_for(&self, action: &str) -> &str {
        let form = format!("action=\"{action}\"");
        let (_, form) = self.body.split_once(&form).expect("a form that leads there");
        let (_, rest) = form.split_once("name=\"ticket\" value=\"").expect("a ticket");
        rest.split('"').next().expect("an end")
    }

    /// The cookie of this name as it was set.
    pub(crate) fn set_cookie(&self, name: &str) -> &str {
        self.headers
            .get_all(SET_COOKIE)
            .iter()
            .filter_map(|cookie| cookie.to_str().ok())
            .find(|cookie| cookie.starts_with(&format!("{name}=")))
            .expect("the cookie is set")
    }

    /// Asserts an error page (or document) with this status and code.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert!(self.body.contains(code), "no {code} in {}", self.body);
    }
}

/// The path and query of a URL of ours.
pub(crate) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").expect("a URL").1;
    &rest[rest.find('/').expect("a path")..]
}
