//! A real listening server inside the test process, on a scratch folder and a free port.

#[path = "log.rs"]
pub(crate) mod log;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Parser as _;
use meshwire_protocol::{AgentId, MeshId, Scope};
use meshwire_server::app::App;
use meshwire_server::clock::Clock;
use meshwire_server::settings::{Args, Place, Settings};
use meshwire_server::store::{self, NewUser, TokenMade, TokenRow, UserRow};
use meshwire_server::{listen, routes, secret};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use url::Url;

/// A server; stopped when it is dropped.
pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) url: String,
    pub(crate) clock: Arc<Clock>,
    client: reqwest::Client,
    stop: watch::Sender<bool>,
    _data: TempDir,
}

impl Server {
    /// On a place that may be another server's as well.
    pub(crate) async fn on(place: Place, data: TempDir, arguments: &[&str]) -> Self {
        log::start();
        let file = format!("sqlite:{}", data.path().join("test.db").display());
        let arguments =
            ["meshwire-server", "--store", &file].into_iter().chain(arguments.iter().copied());
        let mut settings = Settings::check(Args::try_parse_from(arguments).unwrap()).unwrap();
        settings.store = place;
        let store = store::open(&settings.store).await.unwrap();
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let clock = Arc::new(Clock::default());
        let (stop, stopping) = watch::channel(false);
        let public_url = Url::parse(&url).unwrap();
        let app = App::new(settings, public_url, store, Arc::clone(&clock), stopping.clone());
        let mut told = stopping;
        let router = routes::router(app.clone());
        let limits = listen::Limits::from(&app.settings.limits);
        tokio::spawn(async move {
            let stopped = async move {
                let _ = told.wait_for(|stop| *stop).await;
            };
            let admission = listen::Admission::default();
            let _ = listen::serve(listener, router, limits, admission, stopped).await;
        });
        let background = app.clone();
        tokio::spawn(async move { background.meshes.background().await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { app, url, clock, client, stop, _data: data }
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// A new user with a token of the whole account.
    pub(crate) async fn user(&self, login: &str) -> User<'_> {
        let user = NewUser {
            id: secret::user_id(),
            identity: format!("github:{login}"),
            login: login.to_owned(),
            name: login.to_owned(),
            password: None,
            now: self.clock.now(),
        };
        let row = self.app.store.sign_in_github(user).await.unwrap();
        let token = self.token(&row, |_| {}).await;
        User { server: self, row, token }
    }

    /// The user `ada` with a mesh in which the agents `a` and `b` are.
    pub(crate) async fn mesh_of_two(&self) -> (User<'_>, MeshId) {
        let ada = self.user("ada").await;
        let mesh = ada.mesh().await;
        ada.agent(&mesh, "a").await;
        ada.agent(&mesh, "b").await;
        (ada, mesh)
    }

    /// A token, changed as wanted before it is kept.
    pub(crate) async fn token(&self, user: &UserRow, change: impl FnOnce(&mut TokenRow)) -> String {
        let token = secret::token();
        let mut row = TokenRow {
            hash: secret::digest(&token),
            id: secret::token_id(),
            suffix: token[33..].to_owned(),
            user: user.id.clone(),
            name: "test".to_owned(),
            scopes: Scope::ALL.to_vec(),
            mesh: None,
            agent: None,
            created_at: self.clock.now(),
            last_used_at: None,
            expires_at: None,
            revoked_at: None,
        };
        change(&mut row);
        assert_eq!(self.app.store.create_token(row, 0).await.unwrap(), TokenMade::Created);
        token
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Someone with a token.
pub(crate) struct User<'s> {
    pub(crate) server: &'s Server,
    pub(crate) row: UserRow,
    pub(crate) token: String,
}

impl<'s> User<'s> {
    /// The same user with another token.
    pub(crate) fn with_token(&self, token: String) -> User<'s> {
        User { server: self.server, row: self.row.clone(), token }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).body(body.to_string())).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).body(body.to_string())).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).body(body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// A new mesh of this user.
    pub(crate) async fn mesh(&self) -> MeshId {
        let answer = self.post("/mesh", json!({"name": "test mesh"})).await.expect(201);
        answer["mesh_id"].as_str().unwrap().parse().unwrap()
    }

    /// A new agent of this user.
    pub(crate) async fn agent(&self, mesh: &MeshId, name: &str) -> AgentId {
        let path = format!("/mesh/{mesh}/agents");
        let answer = self.post(&path, json!({"name": name})).await.expect(201);
        answer["agent_id"].as_str().unwrap().parse().unwrap()
    }

    /// Sends as one of the user's agents; the id.
    pub(crate) async fn send(&self, mesh: &MeshId, from: &str, to: &str, content: &str) -> i64 {
        let path = format!("/mesh/{mesh}/messages");
        let metadata = json!({"canary": log::CANARY});
        let body = json!({"from": from, "to": to, "content": content, "metadata": metadata});
        self.post(&path, body).await.expect(201)["id"].as_i64().unwrap()
    }

    /// The inbox of an agent.
    pub(crate) async fn inbox(&self, mesh: &MeshId, agent: &str, query: &str) -> Value {
        self.get(&format!("/mesh/{mesh}/agents/{agent}/messages?{query}")).await.expect(200)
    }
}

/// An answer with its JSON body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// The body, of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Asserts a problem of this status and code; the body.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        for field in ["type", "title", "detail"] {
            assert!(
                self.body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{}",
                self.body
            );
        }
        if status == 401 {
            assert_eq!(self.headers["www-authenticate"], "Bearer");
        }
        self.body
    }
}

/// The contents of a page of messages, in order.
pub(crate) fn contents(page: &Value) -> Vec<&str> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
}
