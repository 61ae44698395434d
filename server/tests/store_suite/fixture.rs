//! What the cases share: a world with users, meshes and agents in it, and drafts of messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use meshwire_protocol::{AgentId, AgentKind, MeshId, MessageId, Scope, UserId, Via};
use meshwire_server::secret;
use meshwire_server::store::{
    AgentChange, AgentRow, Appended, Batch, Joining, LogPage, Micros, NewAgent, NewMesh,
    NewMessage, NewUser, Register, Result, SentKey, Store, Stored, Stream, TokenRow, UserRow,
};

use crate::engine::Engine;

/// When most cases begin: before the clock of any machine that runs them.
pub(crate) const T0: Micros = 1_760_000_000_000_000;
pub(crate) const SECOND: Micros = 1_000_000;
pub(crate) const DAY: Micros = 24 * 60 * 60 * SECOND;

/// The machine's clock.
pub(crate) fn wall() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Micros::try_from(since.as_micros()).expect("it is before the year 292000")
}

pub(crate) fn id(micros: Micros) -> MessageId {
    MessageId::new(micros).expect("a message id")
}

/// An engine with one case on it.
pub(crate) struct World {
    engine: Box<dyn Engine>,
    pub(crate) store: Arc<dyn Store>,
    people: AtomicU64,
}

impl World {
    pub(crate) async fn fresh<E: Engine + 'static>() -> Self {
        Self::on(E::fresh().await)
    }

    pub(crate) fn on<E: Engine + 'static>(engine: E) -> Self {
        let store = engine.store();
        Self { engine: Box::new(engine), store, people: AtomicU64::new(100) }
    }

    /// Closes the store and opens it again. A [`Mesh`] made before needs [`Mesh::on`].
    pub(crate) async fn reopen(&mut self) {
        self.engine.reopen().await;
        self.store = self.engine.store();
    }

    /// Removes some of what has expired and of what was deleted; `true` while there is more.
    pub(crate) async fn purge(&self, now: Micros) -> Result<bool> {
        Ok(self.engine.expire(now).await | self.store.purge(now).await?)
    }

    pub(crate) async fn left_of(&self, mesh: &Mesh) -> i64 {
        self.engine.left_of(&mesh.id).await
    }

    /// A new person.
    pub(crate) async fn user(&self, login: &str) -> Result<UserRow> {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        self.store.sign_in_github(github(number, login)).await
    }

    /// A new mesh.
    pub(crate) async fn mesh(&self, owner: &UserRow) -> Result<Mesh> {
        let id = secret::mesh_id();
        let made = self.store.create_mesh(new_mesh(&id, owner), 0).await?;
        assert!(made, "there is no limit");
        Ok(Mesh { store: Arc::clone(&self.store), id, owner: owner.clone() })
    }

    /// A new mesh of somebody, with an agent in it.
    pub(crate) async fn mesh_with_agent(&self) -> Result<(Mesh, AgentRow)> {
        let number = self.people.load(Ordering::Relaxed);
        let owner = self.user(&format!("owner{number}")).await?;
        let mesh = self.mesh(&owner).await?;
        let agent = mesh.agent("agent-a").await?;
        Ok((mesh, agent))
    }

    /// Another member of a mesh.
    pub(crate) async fn member(&self, mesh: &Mesh, login: &str) -> Result<UserRow> {
        let user = self.user(login).await?;
        assert_eq!(self.store.join(&mesh.id, &user, None, T0).await?, Joining::Requested);
        let epoch = mesh.epoch().await?;
        let decided = self.store.decide_request(&mesh.id, epoch, &user.id, true, T0).await?;
        assert_eq!(decided, Some(true));
        Ok(user)
    }
}

/// A mesh on a store.
#[derive(Clone)]
pub(crate) struct Mesh {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) id: MeshId,
    pub(crate) owner: UserRow,
}

impl Mesh {
    /// The same one, on the store as it was opened again.
    pub(crate) fn on(&self, world: &World) -> Self {
        Self { store: Arc::clone(&world.store), ..self.clone() }
    }

    pub(crate) async fn epoch(&self) -> Result<i64> {
        Ok(self.store.head(&self.id).await?.expect("the mesh is there").epoch)
    }

    pub(crate) async fn head(&self) -> Result<MessageId> {
        Ok(self.store.head(&self.id).await?.expect("the mesh is there").head)
    }

    /// The agent as the roster shows it.
    pub(crate) async fn find(&self, agent: &AgentId) -> Result<Option<AgentRow>> {
        let roster = self.store.roster(&self.id).await?.expect("the mesh is there");
        Ok(roster.agents.into_iter().find(|row| row.id == *agent))
    }

    /// The agent with this name.
    pub(crate) async fn find_named(&self, name: &str) -> Result<AgentRow> {
        let roster = self.store.roster(&self.id).await?.expect("the mesh is there");
        Ok(roster.agents.into_iter().find(|row| row.name == name).expect("the agent is there"))
    }

    /// A new agent of the owner.
    pub(crate) async fn agent(&self, name: &str) -> Result<AgentRow> {
        match self.store.register_agent(self.new_agent(&self.owner, name), 0).await? {
            Register::Created(agent) => Ok(agent),
            other => panic!("{name} is new, but: {other:?}"),
        }
    }

    pub(crate) fn new_agent(&self, user: &UserRow, name: &str) -> NewAgent {
        NewAgent {
            mesh: self.id.clone(),
            id: secret::agent_id(),
            name: name.to_owned(),
            kind: AgentKind::Agent,
            user: user.id.clone(),
            fields: AgentChange::default(),
            now: T0,
        }
    }

    pub(crate) fn batch(&self, epoch: i64, now: Micros, messages: Vec<NewMessage>) -> Arc<Batch> {
        Arc::new(Batch { mesh: self.id.clone(), id: rand::random(), epoch, now, messages })
    }

    /// Appends under the epoch as it is.
    pub(crate) async fn append(&self, now: Micros, messages: Vec<NewMessage>) -> Result<Appended> {
        self.store.append(self.batch(self.epoch().await?, now, messages)).await
    }

    /// Appends what can be appended, in as many batches as the store needs; the id of the first message.
    pub(crate) async fn write(&self, now: Micros, messages: Vec<NewMessage>) -> Result<MessageId> {
        let keyed = messages.iter().any(|message| message.key.is_some());
        let most = if keyed { self.store.most_keys() } else { usize::MAX };
        let mut begin = None;
        for some in messages.chunks(most) {
            match self.append(now, some.to_vec()).await? {
                Appended::Written { first, .. } => begin = begin.or(Some(first)),
                other => panic!("nothing stands against it, but: {other:?}"),
            }
        }
        Ok(begin.expect("there is a message"))
    }

    /// A page that there is.
    pub(crate) async fn page(
        &self,
        streams: &[Stream],
        after: MessageId,
        limit: u32,
    ) -> Result<LogPage> {
        let page = self.store.read(&self.id, streams, after, limit).await?;
        Ok(page.expect("the mesh is there"))
    }

    /// Everything in some streams after an id, page by page.
    pub(crate) async fn pages(
        &self,
        streams: &[Stream],
        mut after: MessageId,
        limit: u32,
    ) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        loop {
            let page = self.page(streams, after, limit).await?;
            assert!(page.messages.len() <= limit as usize, "no page is longer than asked for");
            all.extend(page.messages);
            if !page.more {
                return Ok(all);
            }
            assert!(page.seen_to > after, "a page that is not the last one leads on");
            after = page.seen_to;
        }
    }

    /// Everything that went to all.
    pub(crate) async fn broadcasts(&self) -> Result<Vec<Stored>> {
        self.pages(&[Stream::All], MessageId::ZERO, 1_000).await
    }
}

pub(crate) fn new_mesh(id: &MeshId, owner: &UserRow) -> NewMesh {
    NewMesh { id: id.clone(), name: "ours".to_owned(), owner: owner.id.clone(), created_at: T0 }
}

/// Somebody who comes from GitHub.
pub(crate) fn github(number: u64, login: &str) -> NewUser {
    NewUser {
        id: secret::user_id(),
        identity: format!("github:{number}"),
        login: login.to_owned(),
        name: format!("{login} by name"),
        password: None,
        now: T0,
    }
}

pub(crate) fn to_all(from: &AgentRow, content: &str) -> NewMessage {
    draft(from, Stream::All, "all", content)
}

pub(crate) fn to_one(from: &AgentRow, to: &AgentRow, content: &str) -> NewMessage {
    draft(from, Stream::Agent(to.id.clone()), &to.name, content)
}

fn draft(from: &AgentRow, stream: Stream, to: &str, content: &str) -> NewMessage {
    NewMessage {
        stream,
        from: from.name.clone(),
        from_agent: from.id.clone(),
        from_user: "ann".to_owned(),
        from_kind: from.kind,
        via: Via::Account,
        to: to.to_owned(),
        content: content.to_owned(),
        metadata: serde_json::Map::new(),
        hops: 0,
        key: None,
    }
}

/// The message under an idempotency key.
pub(crate) fn keyed(message: NewMessage, key: &str, expires_at: Micros) -> NewMessage {
    let fingerprint = secret::digest(&message.content);
    NewMessage { key: Some(SentKey { key: key.to_owned(), fingerprint, expires_at }), ..message }
}

pub(crate) fn inbox(agent: &AgentRow) -> Stream {
    Stream::Agent(agent.id.clone())
}

pub(crate) fn contents(messages: &[Stored]) -> Vec<&str> {
    messages.iter().map(|stored| stored.message.content.as_str()).collect()
}

pub(crate) fn ids(messages: &[Stored]) -> Vec<MessageId> {
    messages.iter().map(|stored| stored.message.id).collect()
}

/// A token that never runs out, with this secret.
pub(crate) fn new_token(user: &UserId, secret: &str) -> TokenRow {
    TokenRow {
        hash: secret::digest(secret),
        id: secret::token_id(),
        suffix: "abcdef".to_owned(),
        user: user.clone(),
        name: "laptop".to_owned(),
        scopes: vec![Scope::Read, Scope::Send],
        mesh: None,
        agent: None,
        created_at: T0,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    }
}

/// Numbers that look random and are the same in every run (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("usize fits in u64");
        usize::try_from(self.next() % end).expect("it is below a usize")
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
