//! A mesh with its agents, made before anything goes wrong, and requests of them.

use std::sync::Arc;
use std::time::Duration;

use meshwire_protocol::{AgentId, MeshId, MessageId, Scope};
use meshwire_server::clock::Clock;
use meshwire_server::secret;
use meshwire_server::store::{NewUser, Store, Stored, Stream, TokenMade, TokenRow};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::site::Site;

/// How long a request may take before the client takes it for lost.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Ground {
    site: Site,
    /// See [`Self::store`].
    store: OnceCell<Arc<dyn Store>>,
    pub(crate) mesh: MeshId,
    pub(crate) token: String,
    pub(crate) readers: Vec<AgentId>,
    client: Client,
}

pub(crate) fn sender_name(number: usize) -> String {
    format!("sender-{number}")
}

pub(crate) fn reader_name(number: usize) -> String {
    format!("reader-{number}")
}

impl Ground {
    /// An account with a mesh of so many agents; `node` is a server on this site.
    pub(crate) async fn new(site: &Site, node: &str, senders: usize, readers: usize) -> Self {
        let token = token(&*site.open().await, |_| {}).await;
        Self::with_token(site, token, node, senders, readers).await
    }

    /// The same with a token that was made before.
    pub(crate) async fn with_token(
        site: &Site,
        token: String,
        node: &str,
        senders: usize,
        readers: usize,
    ) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let mut ground = Self {
            site: site.clone(),
            store: OnceCell::new(),
            mesh: secret::mesh_id(),
            token,
            readers: Vec::new(),
            client,
        };
        ground.mesh = ground.create_mesh(node).await;
        // The last one sends the message that says that there are no more.
        for number in 0..=senders {
            ground.agent(node, &ground.mesh, &sender_name(number)).await;
        }
        for number in 0..readers {
            let reader = ground.agent(node, &ground.mesh, &reader_name(number)).await;
            ground.readers.push(reader);
        }
        ground
    }

    /// The data, without a server in between. On SQLite there must be none any more.
    pub(crate) async fn store(&self) -> &dyn Store {
        &**self.store.get_or_init(|| self.site.open()).await
    }

    pub(crate) fn request(&self, method: Method, node: &str, path: &str) -> RequestBuilder {
        self.request_as(&self.token, method, node, path)
    }

    /// The same with another token.
    pub(crate) fn request_as(
        &self,
        token: &str,
        method: Method,
        node: &str,
        path: &str,
    ) -> RequestBuilder {
        let url = format!("{node}{path}");
        self.client.request(method, url).bearer_auth(token).timeout(PATIENCE)
    }

    async fn made(&self, node: &str, path: &str, body: Value) -> Value {
        let answer = self.request(Method::POST, node, path).body(body.to_string()).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    pub(crate) async fn create_mesh(&self, node: &str) -> MeshId {
        let made = self.made(node, "/mesh", json!({"name": "under attack"})).await;
        made["mesh_id"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) async fn agent(&self, node: &str, mesh: &MeshId, name: &str) -> AgentId {
        let path = format!("/mesh/{mesh}/agents");
        let made = self.made(node, &path, json!({"name": name})).await;
        made["agent_id"].as_str().unwrap().parse().unwrap()
    }

    /// All that is in the log.
    pub(crate) async fn log(&self) -> Vec<Stored> {
        let store = self.store().await;
        let (mut all, mut after) = (Vec::new(), MessageId::ZERO);
        loop {
            let page = store.read_all(&self.mesh, after, 1_000).await.unwrap().unwrap();
            all.extend(page.messages);
            after = page.seen_to;
            if !page.more {
                return all;
            }
        }
    }

    /// What a reader is to see.
    pub(crate) fn streams_of(&self, reader: usize) -> Vec<Stream> {
        vec![Stream::All, Stream::Agent(self.readers[reader].clone())]
    }
}

/// A new token, changed as wanted before it is kept, of the account that all of this belongs to.
pub(crate) async fn token(store: &dyn Store, change: impl FnOnce(&mut TokenRow)) -> String {
    let now = Clock::default().now();
    let user = NewUser {
        id: secret::user_id(),
        identity: "github:ada".to_owned(),
        login: "ada".to_owned(),
        name: "ada".to_owned(),
        password: None,
        now,
    };
    let user = store.sign_in_github(user).await.unwrap();
    let token = secret::token();
    let mut row = TokenRow {
        hash: secret::digest(&token),
        id: secret::token_id(),
        suffix: token[33..].to_owned(),
        user: user.id,
        name: "test".to_owned(),
        scopes: Scope::ALL.to_vec(),
        mesh: None,
        agent: None,
        created_at: now,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    change(&mut row);
    assert_eq!(store.create_token(row, 0).await.unwrap(), TokenMade::Created);
    token
}
