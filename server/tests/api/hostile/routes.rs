//! Every route, what can be put into it, and who asks.

use std::collections::BTreeMap;
use std::time::Duration;

use meshwire_protocol::MeshId;
use meshwire_server::secret;
use meshwire_server::store::SessionRow;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{Server, User};

/// Far more than any refusal takes; only a fault waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What kind of answers a route gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// JSON, with a token.
    Api,
    /// Pages, with a cookie.
    Page,
}

/// A route: `{mesh}` and `{agent}` stand for ones that are there, other variables for nothing that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) kind: Kind,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) fields: &'static [&'static str],
}

const fn api(method: &'static str, path: &'static str, fields: &'static [&'static str]) -> Route {
    Route { kind: Kind::Api, method, path, fields }
}

const fn page(method: &'static str, path: &'static str, fields: &'static [&'static str]) -> Route {
    Route { kind: Kind::Page, method, path, fields }
}

/// All of them. Those that end what others need come last.
pub(super) const ROUTES: &[Route] = &[
    api("GET", "/health", &[]),
    api("GET", "/ready", &[]),
    api("GET", "/me", &[]),
    api("GET", "/tokens", &[]),
    api("POST", "/tokens", &["name", "scopes", "mesh_id", "agent_id", "expires_in_days"]),
    api("DELETE", "/tokens/{nothing}", &[]),
    api("GET", "/mesh", &[]),
    api("POST", "/mesh", &["name"]),
    api("GET", "/mesh/{mesh}", &[]),
    api("PATCH", "/mesh/{mesh}", &["name", "paused"]),
    api("GET", "/mesh/{mesh}/integrate", &[]),
    api("GET", "/mesh/{mesh}/members", &[]),
    api("PATCH", "/mesh/{mesh}/members/{nothing}", &["role"]),
    api("DELETE", "/mesh/{mesh}/members/{nothing}", &[]),
    api("GET", "/mesh/{mesh}/invites", &[]),
    api("POST", "/mesh/{mesh}/invites", &["login", "expires_in_hours", "max_uses"]),
    api("DELETE", "/mesh/{mesh}/invites/{nothing}", &[]),
    api("POST", "/mesh/{mesh}/join", &["invite"]),
    api("GET", "/mesh/{mesh}/requests", &[]),
    api("POST", "/mesh/{mesh}/requests/{nothing}", &["accept"]),
    api("GET", "/mesh/{mesh}/agents", &[]),
    api(
        "POST",
        "/mesh/{mesh}/agents",
        &["name", "harness", "host", "description", "capabilities", "wake"],
    ),
    api("GET", "/mesh/{mesh}/agents/{agent}", &[]),
    api(
        "PATCH",
        "/mesh/{mesh}/agents/{agent}",
        &["name", "harness", "host", "description", "capabilities", "wake"],
    ),
    api("POST", "/mesh/{mesh}/agents/{agent}/heartbeat", &[]),
    api("GET", "/mesh/{mesh}/agents/{agent}/messages", &["after", "wait", "limit", "ack"]),
    api("PUT", "/mesh/{mesh}/agents/{agent}/cursor", &["cursor"]),
    api("GET", "/mesh/{mesh}/messages", &["before", "limit"]),
    api("POST", "/mesh/{mesh}/messages", &["content", "to", "from", "metadata", "reply_to"]),
    api("GET", "/mesh/{mesh}/messages/{nothing}", &[]),
    api("DELETE", "/mesh/{mesh}/agents/{nothing}", &[]),
    api("POST", "/auth/cli/token", &["code", "code_verifier"]),
    page("GET", "/", &[]),
    page("POST", "/sessions/{nothing}/end", &["ticket"]),
    page("GET", "/setup", &["code"]),
    page("POST", "/setup", &["login", "name", "password", "password_again", "ticket"]),
    page("GET", "/login", &["return_to"]),
    page("POST", "/login", &["login", "password", "ticket"]),
    page("GET", "/join/{mesh}", &["invite"]),
    page("GET", "/auth/github", &["return_to"]),
    page("GET", "/auth/github/callback", &["code", "state", "error"]),
    page("GET", "/auth/cli", &["port", "state", "code_challenge", "code_challenge_method", "host"]),
    page("POST", "/auth/cli", &["port", "state", "code_challenge", "host", "ticket"]),
    page("GET", "/static/{nothing}", &[]),
    page("GET", "/docs/{nothing}", &[]),
    page("POST", "/auth/logout", &["ticket"]),
    api("DELETE", "/mesh/{nothing}", &[]),
    api("DELETE", "/tokens/current", &[]),
];

/// A server with something in it, and somebody whose it is.
pub(super) struct Scene<'s> {
    pub(super) server: &'s Server,
    pub(super) ada: User<'s>,
    pub(super) mesh: MeshId,
    cookie: String,
}

/// A server that lets a test ask as often as it likes.
pub(super) async fn patient_server() -> Server {
    Server::with(&[
        "--limit-sends-per-second=0",
        "--limit-mesh-sends-per-second=0",
        "--limit-sign-ins-per-minute=0",
        "--limit-agents=0",
        "--limit-meshes=0",
        "--limit-tokens=0",
        "--limit-invites=0",
    ])
    .await
}

impl<'s> Scene<'s> {
    pub(super) async fn new(server: &'s Server) -> Self {
        let (ada, mesh) = server.mesh_of_two().await;
        let cookie = secret::one_time();
        let now = server.clock.now();
        let session = SessionRow {
            hash: secret::digest(&cookie),
            id: secret::base62(12),
            user: ada.row.id.clone(),
            client: String::new(),
            created_at: now,
            last_seen: now,
            expires_at: now + 3_600_000_000,
        };
        server.app.store.create_session(session).await.unwrap();
        Self { server, ada, mesh, cookie }
    }

    /// The path of a route, with what is there for its variables.
    pub(super) fn path(&self, route: &Route) -> String {
        let path = route.path.replace("{mesh}", self.mesh.as_str());
        path.replace("{agent}", "a").replace("{nothing}", "000000000000")
    }

    /// The header fields that say who asks.
    pub(super) fn who(&self, kind: Kind, known: bool) -> String {
        let origin = &self.server.url;
        match kind {
            Kind::Api if known => format!("Authorization: Bearer {}\r\n", self.ada.token),
            Kind::Api => String::new(),
            // As a browser asks for one of our own pages, so that it is not the origin which is refused.
            Kind::Page => {
                let cookie = if known {
                    format!("Cookie: mw_session={}\r\n", self.cookie)
                } else {
                    String::new()
                };
                format!("Accept: text/html\r\nOrigin: {origin}\r\n{cookie}")
            }
        }
    }

    /// Sends bytes as they are; the answer, if it is one that may be given.
    pub(super) async fn ask(&self, about: &str, bytes: &[u8]) -> Answer {
        let asking = ask(self.server.url.trim_start_matches("http://"), bytes);
        let answer = tokio::time::timeout(PATIENCE, asking)
            .await
            .unwrap_or_else(|_| panic!("no answer in time to {about}"));
        answer.check(about);
        answer
    }
}

async fn ask(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A refusal may come, and the connection end, before all of it is written.
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    Answer::parse(&read)
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) body: String,
}

/// What no answer may show: words of our own code, of what it is made of, and of where it runs.
const INTERNALS: &[&str] = &[
    "sqlx",
    "sqlite",
    "serde",
    "axum",
    "hyper",
    "tokio",
    "panicked",
    "RUST_BACKTRACE",
    ".rs:",
    "src/",
    "/home/",
    "/root",
    "/tmp/",
    "meshwire_server::",
    "core::",
    "std::",
    "struct ",
    "enum ",
    "u8",
    "u16",
    "u32",
    "u64",
    "i32",
    "i64",
    "f64",
    "usize",
    "SendMessage",
    "visitor",
];

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let fields = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.unwrap_or(0),
            fields: fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// What holds for every answer, whatever was asked.
    fn check(&self, about: &str) {
        let Self { status, body, .. } = self;
        assert!((200..500).contains(status), "{about}: {status} {body}");
        assert_eq!(self.field("x-request-id").len(), 20, "{about}");
        assert_eq!(self.field("x-content-type-options"), "nosniff", "{about}");
        if *status < 400 {
            return;
        }
        // Without the tickets in forms: any word may stand in random letters.
        let said: String = body
            .split("value=\"")
            .enumerate()
            .map(
                |(n, piece)| {
                    if n == 0 { piece } else { piece.split_once('"').map_or("", |it| it.1) }
                },
            )
            .collect();
        let said = said.to_lowercase();
        for word in INTERNALS {
            assert!(!said.contains(&word.to_lowercase()), "{about}: {word:?} in {body}");
        }
    }

    /// An error, in the form that this kind of route gives.
    pub(super) fn check_error(&self, kind: Kind, about: &str) {
        if self.status < 400 || self.body.is_empty() {
            return;
        }
        let content_type = self.field("content-type");
        if content_type.starts_with("text/html") {
            assert_eq!(kind, Kind::Page, "{about}");
            return;
        }
        assert_eq!(content_type, "application/problem+json", "{about}: {}", self.body);
        let problem: serde_json::Value = serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{about}: {error} in {}", self.body));
        assert_eq!(problem["status"], self.status, "{about}");
        assert!(problem["code"].is_string() && problem["detail"].is_string(), "{about}");
    }
}
