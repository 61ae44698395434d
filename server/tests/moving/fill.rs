//! A store with some of everything in it.

use std::net::IpAddr;

use meshwire_protocol::{
    AgentId, AgentKind, Harness, MeshId, MessageId, Role, Scope, UserId, Via, Wake,
};
use meshwire_server::clock::Clock;
use meshwire_server::secret;
use meshwire_server::store::{
    AccountLink, AgentChange, Appended, Batch, CliCode, DeviceCode, DevicePoll, DeviceRequest,
    Digest, Exchange, InviteRow, Invited, Joining, LinkPurpose, Linked, Micros, Move, NewAccount,
    NewAgent, NewMember, NewMesh, NewMessage, NewUser, Register, RoleChange, Seen, SentKey,
    SessionRow, Store, Stream, TokenMade, TokenRow, UserRow,
};

const MINUTE: Micros = 60 * 1_000_000;

/// What the tests ask for afterwards.
pub(crate) struct Filled {
    pub(crate) mesh: MeshId,
    pub(crate) token: String,
    pub(crate) revoked: String,
    pub(crate) expired: String,
    pub(crate) bound: String,
    pub(crate) trimmed: MessageId,
}

/// Fills an empty store.
pub(crate) async fn fill(store: &dyn Store) -> Filled {
    let fill = Fill { store, now: Clock::default().now() };
    let ada = fill.github("Ada", 1).await;
    let bob = fill.github("bob", 2).await;
    let carol = fill.local("carol").await;
    fill.sign_in(&ada, &bob).await;

    let mesh = fill.mesh(&ada, "the first Ümlaut").await;
    fill.members(&mesh, &ada, &bob, &carol).await;
    let a = fill.agent(&mesh, &ada, "a").await;
    let b = fill.agent(&mesh, &ada, "b").await;
    fill.agent(&mesh, &bob, "c").await;
    let trimmed = fill.log(&mesh, &a, &b).await;

    let paused = fill.mesh(&bob, "paused").await;
    let change = meshwire_server::store::MeshChange { name: None, paused: Some(true) };
    assert!(store.update_mesh(&paused, change).await.unwrap());

    let token = fill.token(&ada, |_| {}).await;
    let revoked = fill.token(&ada, |_| {}).await;
    let id = store.token(&secret::digest(&revoked)).await.unwrap().unwrap().0.id.clone();
    assert!(store.revoke_token(&ada.id, &id, fill.now).await.unwrap());
    let expired = fill.token(&ada, |row| row.expires_at = Some(fill.now - MINUTE)).await;
    let bound =
        fill.token(&ada, |row| (row.mesh, row.agent) = (Some(mesh.clone()), Some(a.clone()))).await;
    let id = store.token(&secret::digest(&token)).await.unwrap().unwrap().0.id.clone();
    store.note_used(&[(id, fill.now)]).await.unwrap();

    // What is gone is not carried, but a token that was bound to it says so to its holder.
    let gone = fill.mesh(&ada, "gone").await;
    let last = fill.agent(&gone, &ada, "last").await;
    fill.send(&gone, vec![fill.message(&last, Stream::All, "gone", Some("k"))], fill.now).await;
    fill.token(&ada, |row| row.mesh = Some(gone.clone())).await;
    assert!(store.delete_mesh(&gone, fill.now).await.unwrap());
    Filled { mesh, token, revoked, expired, bound, trimmed }
}

struct Fill<'s> {
    store: &'s dyn Store,
    now: Micros,
}

fn hash(text: &str) -> Digest {
    secret::digest(text)
}

impl Fill<'_> {
    fn user(&self, login: &str, identity: String, password: Option<&str>) -> NewUser {
        NewUser {
            id: secret::user_id(),
            identity,
            login: login.to_owned(),
            name: format!("{login} \"by\" name 🦊"),
            password: password.map(str::to_owned),
            now: self.now,
        }
    }

    async fn github(&self, login: &str, number: u32) -> UserRow {
        let user = self.user(login, format!("github:{number}"), None);
        self.store.sign_in_github(user).await.unwrap()
    }

    async fn local(&self, login: &str) -> UserRow {
        self.link(login, LinkPurpose::Add(login.to_owned())).await;
        let user = self.user(login, format!("local:{login}"), Some("$argon2id$v=19$hash"));
        match self.store.create_local_user(user, &hash(login)).await.unwrap() {
            NewAccount::Created(user) => user,
            other => panic!("{other:?}"),
        }
    }

    async fn link(&self, code: &str, purpose: LinkPurpose) {
        let link = AccountLink { hash: hash(code), purpose, expires_at: self.now + MINUTE * 60 };
        assert_eq!(self.store.put_account_link(link).await.unwrap(), Linked::Done);
    }

    fn token_row(&self, user: &UserId, token: &str) -> TokenRow {
        TokenRow {
            hash: hash(token),
            id: secret::token_id(),
            suffix: token[token.len() - 6..].to_owned(),
            user: user.clone(),
            name: "laptop".to_owned(),
            scopes: Scope::ALL.to_vec(),
            mesh: None,
            agent: None,
            created_at: self.now,
            last_used_at: None,
            expires_at: None,
            revoked_at: None,
        }
    }

    async fn token(&self, user: &UserRow, change: impl FnOnce(&mut TokenRow)) -> String {
        let token = secret::token();
        let mut row = self.token_row(&user.id, &token);
        change(&mut row);
        assert_eq!(self.store.create_token(row, 0).await.unwrap(), TokenMade::Created);
        token
    }

    /// Sessions, codes and links.
    async fn sign_in(&self, ada: &UserRow, bob: &UserRow) {
        for (id, user) in [("one", ada), ("two", ada), ("three", bob)] {
            let session = SessionRow {
                hash: hash(id),
                id: id.to_owned(),
                user: user.id.clone(),
                client: "Firefox\ton \\ Linux".to_owned(),
                created_at: self.now,
                last_seen: self.now + 1,
                expires_at: self.now + 60 * MINUTE,
            };
            self.store.create_session(session).await.unwrap();
        }
        for code in ["kept", "spent"] {
            let code = CliCode {
                hash: hash(code),
                user: ada.id.clone(),
                challenge: "challenge".to_owned(),
                token_name: "cli".to_owned(),
                expires_at: self.now + MINUTE,
            };
            self.store.put_cli_code(code).await.unwrap();
        }
        let token = self.token_row(&ada.id, &secret::token());
        let (spent, now) = (hash("spent"), self.now);
        let got = self.store.exchange_cli_code(&spent, "challenge", token, 0, now).await.unwrap();
        assert!(matches!(got, Exchange::Issued(_)));
        for code in ["pending", "approved", "denied", "used"] {
            self.device(code, bob).await;
        }
        self.link("zoe", LinkPurpose::Add("zoe".to_owned())).await;
        self.link("bob", LinkPurpose::Reset("bob".to_owned())).await;
    }

    async fn device(&self, code: &str, bob: &UserRow) {
        let device = DeviceCode {
            hash: hash(code),
            user_code: hash(&format!("{code}!")),
            client: "meshwire".to_owned(),
            token_name: "cli on box".to_owned(),
            request: DeviceRequest {
                host: "box".to_owned(),
                address: Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
                requested_at: self.now,
            },
            every: 5_000_000,
            expires_at: self.now + 10 * MINUTE,
        };
        assert!(self.store.put_device_code(device).await.unwrap());
        let poll = async || {
            let token = self.token_row(&bob.id, &secret::token());
            self.store.poll_device(&hash(code), None, token, 1, 0, self.now).await.unwrap()
        };
        assert_eq!(poll().await, DevicePoll::Pending);
        let user = match code {
            "pending" => return,
            "denied" => None,
            _ => Some(&bob.id),
        };
        let user_code = hash(&format!("{code}!"));
        assert!(self.store.decide_device(&user_code, user, self.now).await.unwrap());
        if code == "used" {
            assert!(matches!(poll().await, DevicePoll::Issued(_)));
        }
    }

    async fn mesh(&self, owner: &UserRow, name: &str) -> MeshId {
        let id = secret::mesh_id();
        let mesh = NewMesh {
            id: id.clone(),
            name: name.to_owned(),
            owner: owner.id.clone(),
            created_at: self.now,
        };
        assert!(self.store.create_mesh(mesh, 0).await.unwrap());
        id
    }

    async fn epoch(&self, mesh: &MeshId) -> i64 {
        self.store.head(mesh).await.unwrap().unwrap().epoch
    }

    async fn members(&self, mesh: &MeshId, ada: &UserRow, bob: &UserRow, carol: &UserRow) {
        let (store, now) = (self.store, self.now);
        for (code, login) in [("open", None), ("named", Some("frank"))] {
            let invite = InviteRow {
                id: format!("invite-{code}"),
                mesh: mesh.clone(),
                hash: hash(code),
                login: login.map(str::to_owned),
                created_by: ada.id.clone(),
                created_at: now,
                expires_at: now + 60 * MINUTE,
                max_uses: 5,
                uses: 0,
            };
            let made = store.create_invite(invite, self.epoch(mesh).await, 0).await.unwrap();
            assert_eq!(made, Invited::Created);
        }
        let joined = store.join(mesh, bob, Some(hash("open")), now).await.unwrap();
        assert_eq!(joined, Joining::Member);
        let epoch = self.epoch(mesh).await;
        let role = store.set_role(mesh, epoch, &bob.id, Role::Admin, 0).await.unwrap();
        assert_eq!(role, RoleChange::Done);
        // An account that an invite has made.
        let dave = self.user("dave", "local:dave".to_owned(), Some("$argon2id$v=19$dave"));
        let made = store.create_member(dave, mesh, &hash("open")).await.unwrap();
        assert!(matches!(made, NewMember::Created(_)));
        // One asks, one was refused.
        let eve = self.github("eve", 5).await;
        for user in [carol, &eve] {
            let asked = store.join(mesh, user, None, now).await.unwrap();
            assert_eq!(asked, Joining::Requested);
        }
        let epoch = self.epoch(mesh).await;
        let decided = store.decide_request(mesh, epoch, &eve.id, false, now).await.unwrap();
        assert_eq!(decided, Some(true));
    }

    async fn agent(&self, mesh: &MeshId, user: &UserRow, name: &str) -> AgentId {
        let agent = NewAgent {
            mesh: mesh.clone(),
            id: secret::agent_id(),
            name: name.to_owned(),
            kind: AgentKind::Agent,
            user: user.id.clone(),
            fields: AgentChange {
                harness: (name == "a").then_some(Harness::ClaudeDesktop),
                description: (name == "a").then(|| "it's\nhere".to_owned()),
                capabilities: (name == "a").then(|| vec!["rust".to_owned(), "sql".to_owned()]),
                wake: (name == "a").then_some(Wake::Live),
                ..AgentChange::default()
            },
            now: self.now,
        };
        match self.store.register_agent(agent, 0).await.unwrap() {
            Register::Created(row) => row.id,
            other => panic!("{other:?}"),
        }
    }

    fn message(&self, from: &AgentId, to: Stream, content: &str, key: Option<&str>) -> NewMessage {
        let metadata = match content.len() % 2 {
            0 => serde_json::json!({"z": 1, "a": {"n": null, "f": 0.5}, "emoji": "🦊"}),
            _ => serde_json::json!({}),
        };
        NewMessage {
            to: if to == Stream::All { "all" } else { "b" }.to_owned(),
            stream: to,
            from: "a".to_owned(),
            from_agent: from.clone(),
            from_user: "Ada".to_owned(),
            from_kind: AgentKind::Agent,
            via: Via::Account,
            content: content.to_owned(),
            metadata: metadata.as_object().unwrap().clone(),
            hops: 3,
            key: key.map(|key| SentKey {
                key: key.to_owned(),
                fingerprint: hash(content),
                expires_at: self.now + 60 * MINUTE,
            }),
        }
    }

    async fn send(&self, mesh: &MeshId, messages: Vec<NewMessage>, now: Micros) -> MessageId {
        let (mesh, epoch) = (mesh.clone(), self.epoch(mesh).await);
        let batch = Batch { mesh, id: rand::random(), epoch, now, messages }.into();
        match self.store.append(batch).await.unwrap() {
            Appended::Written { first, .. } => first,
            other => panic!("{other:?}"),
        }
    }

    /// More messages than a piece has; the oldest were trimmed, and not all of those were deleted.
    async fn log(&self, mesh: &MeshId, a: &AgentId, b: &AgentId) -> MessageId {
        let mut middle = MessageId::ZERO;
        for batch in 0..130 {
            let messages = (0..10).map(|n| {
                let to = if n % 3 == 0 { Stream::Agent(b.clone()) } else { Stream::All };
                let text =
                    format!("{batch}/{n} \u{1f98a} \"quoted\"\n\ttabs \\ {}", "x".repeat(n * 300));
                let key = format!("key {batch}/{n}");
                self.message(a, to, &text, (n % 4 == 0).then_some(&*key))
            });
            let sent = self.send(mesh, messages.collect(), self.now - MINUTE + batch * 1000).await;
            if batch == 60 {
                middle = sent;
            }
        }
        let trimmed = self.store.trim(mesh, middle).await.unwrap().unwrap();
        self.store.delete_trimmed(mesh).await.unwrap();
        self.store.move_cursor(mesh, b, trimmed.next(), Move::Set).await.unwrap();
        let seen = Seen {
            mesh: mesh.clone(),
            agent: b.clone(),
            at: self.now,
            read_at: Some(self.now - 5),
            handed: trimmed.next().next(),
        };
        self.store.note_seen(&[seen]).await.unwrap();
        trimmed
    }
}
