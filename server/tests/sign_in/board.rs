//! A mesh of ann's, with bob in it, as the pages and the API make it.

use std::time::Duration;

use axum::http::StatusCode;
use meshwire_protocol::{MeshId, Message, MessageId, Registered, Role, Scope, UserId};
use meshwire_server::secret;
use meshwire_server::store::{TokenMade, TokenRow};

use crate::browser::{Answer, Browser, PASSWORD, Server};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The server, and who is there.
pub(crate) struct Board {
    pub server: Server,
    /// The owner.
    pub ann: Browser,
    /// A member.
    pub bob: Browser,
    pub mesh: MeshId,
    /// A token of ann's whole account.
    pub ann_token: String,
    /// The same of bob's.
    pub bob_token: String,
}

impl Board {
    pub(crate) async fn new() -> Self {
        let server = Server::local().await;
        let mut ann = server.ann().await;
        let mesh = make(&mut ann, "shop").await;
        let bob = join(&server, &mut ann, &mesh, "bob").await;
        let ann_token = token(&server, "ann").await;
        let bob_token = token(&server, "bob").await;
        Self { server, ann, bob, mesh, ann_token, bob_token }
    }

    /// The address of the mesh, or of something in it.
    pub(crate) fn at(&self, rest: &str) -> String {
        format!("/meshes/{}{rest}", self.mesh)
    }

    /// Registers an agent over the API; its id.
    pub(crate) async fn agent(&self, token: &str, name: &str) -> String {
        let path = format!("/mesh/{}/agents", self.mesh);
        let body = format!(r#"{{"name":"{name}","harness":"claude"}}"#);
        let answer = self.server.browser().api("POST", &path, token, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let registered: Registered = serde_json::from_str(&answer.body).expect("JSON");
        registered.agent_id.to_string()
    }

    /// Sends over the API.
    pub(crate) async fn send(&self, token: &str, message: &serde_json::Value) -> MessageId {
        let path = format!("/mesh/{}/messages", self.mesh);
        let answer = self.server.browser().api("POST", &path, token, &message.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let message: Message = serde_json::from_str(&answer.body).expect("JSON");
        message.id
    }

    /// What everyone may read, newest first.
    pub(crate) async fn history(&self) -> Vec<Message> {
        let path = format!("/mesh/{}/messages", self.mesh);
        let answer = self.server.browser().api("GET", &path, &self.ann_token, "").await;
        let history: meshwire_protocol::History = serde_json::from_str(&answer.body).expect("JSON");
        history.messages
    }

    /// Gives a member another role.
    pub(crate) async fn set_role(&self, login: &str, role: Role) {
        let by = user(&self.server, "ann").await;
        self.server.app.meshes.set_role(&self.mesh, &by, login, role).await.expect("ann may");
    }

    /// Ends a membership.
    pub(crate) async fn remove(&self, login: &str) {
        let by = user(&self.server, "ann").await;
        self.server.app.meshes.remove_member(&self.mesh, &by, login).await.expect("ann may");
    }

    /// Somebody with an account here who is not in the mesh.
    pub(crate) async fn stranger(&mut self) -> Browser {
        let other = make(&mut self.ann, "other").await;
        join(&self.server, &mut self.ann, &other, "eve").await
    }

    pub(crate) async fn role(&self, login: &str) -> Option<Role> {
        let roster = self.server.app.meshes.roster(&self.mesh).await.expect("the store answers");
        Some(roster?.member_by_login(login)?.role)
    }
}

/// Makes a mesh on the start page.
pub(crate) async fn make(browser: &mut Browser, name: &str) -> MeshId {
    let home = browser.get("/").await;
    let form = [("ticket", home.ticket_for("/meshes")), ("name", name)];
    let made = browser.post("/meshes", &form).await;
    let id = made.location().strip_prefix("/meshes/").expect("to its page");
    id.parse().expect("a mesh id")
}

/// Invites somebody on the page of the people; the path of the link.
pub(crate) async fn invite(
    browser: &mut Browser,
    mesh: &MeshId,
    fields: &[(&str, &str)],
) -> Answer {
    let page = browser.get(&format!("/meshes/{mesh}/people")).await;
    let path = format!("/meshes/{mesh}/invites");
    let form = [&[("ticket", page.ticket_for(&path))], fields].concat();
    browser.post(&path, &form).await
}

/// The path of the link that a page shows.
#[track_caller]
pub(crate) fn link(made: &Answer) -> String {
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let (_, rest) = made.body.split_once("class=\"secret\">").expect("a link");
    let url = rest.split('<').next().expect("an end");
    crate::browser::path_of(url).to_owned()
}

/// Makes an account by an invite.
pub(crate) async fn join(server: &Server, by: &mut Browser, mesh: &MeshId, login: &str) -> Browser {
    let made = invite(by, mesh, &[("login", ""), ("hours", "24"), ("uses", "1")]).await;
    let link = link(&made);
    let mut browser = server.browser();
    let page = browser.get(&link).await;
    let form = [
        ("ticket", page.ticket()),
        ("login", login),
        ("name", ""),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    let joined = browser.post(&format!("/join/{mesh}"), &form).await;
    assert!(joined.body.contains("You are in."), "{}", joined.body);
    browser
}

/// The id of a user.
pub(crate) async fn user(server: &Server, login: &str) -> UserId {
    let user = server.app.store.user_by_login(login).await.expect("the store answers");
    user.expect("they are there").id
}

/// A new token of somebody's whole account.
async fn token(server: &Server, login: &str) -> String {
    let token = secret::token();
    let row = TokenRow {
        hash: secret::digest(&token),
        id: secret::token_id(),
        suffix: token[token.len() - 6..].to_owned(),
        user: user(server, login).await,
        name: "test".to_owned(),
        scopes: Scope::ALL.to_vec(),
        mesh: None,
        agent: None,
        created_at: server.app.clock.now(),
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    let made = server.app.store.create_token(row, 0).await.expect("the store answers");
    assert_eq!(made, TokenMade::Created);
    token
}
