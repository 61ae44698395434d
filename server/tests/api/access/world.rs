//! A mesh with everyone who may want something of it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use meshwire_protocol::{AgentId, MeshId, MessageId, Scope};
use meshwire_server::secret;
use meshwire_server::store::{SessionRow, TokenRow, Visibility};
use serde_json::json;

use crate::server::{Server, User};

/// How many there are: each has people of its own.
static WORLDS: AtomicU32 = AtomicU32::new(0);

const HOUR: i64 = 3_600_000_000;

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Without a token.
    Nobody,
    /// With something that is no token.
    Malformed,
    BadChecksum,
    /// With a token of another server.
    Unknown,
    Revoked,
    Expired,
    /// With the cookie of a session that is good for pages.
    Cookie,
    Outsider,
    /// Removed from the mesh; with a token of the whole account.
    Removed,
    /// The same, with the token that was bound to the mesh.
    RemovedBound,
    /// The member whose agent, token and message it is about.
    Member,
    /// A member with an agent of their own.
    Other,
    Admin,
    Owner,
    /// The member's token bound to another mesh.
    Elsewhere,
    /// The member's token bound to this mesh.
    Mesh,
    /// The member's token bound to the agent.
    Agent,
    /// The member's token bound to another agent of theirs.
    Second,
    /// The member's token with all scopes but this one.
    Without(&'static str),
}

impl Caller {
    pub(super) const ALL: [Self; 22] = [
        Self::Nobody,
        Self::Malformed,
        Self::BadChecksum,
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::Cookie,
        Self::Outsider,
        Self::Removed,
        Self::RemovedBound,
        Self::Member,
        Self::Other,
        Self::Admin,
        Self::Owner,
        Self::Elsewhere,
        Self::Mesh,
        Self::Agent,
        Self::Second,
        Self::Without("read"),
        Self::Without("send"),
        Self::Without("agents"),
        Self::Without("admin"),
    ];
}

pub(super) struct World<'s> {
    pub(super) server: &'s Server,
    pub(super) mesh: MeshId,
    pub(super) owner: User<'s>,
    admin: User<'s>,
    pub(super) member: User<'s>,
    pub(super) other: User<'s>,
    pub(super) outsider: User<'s>,
    pub(super) removed: User<'s>,
    removed_bound: String,
    asking: User<'s>,
    /// The member's other mesh.
    elsewhere: MeshId,
    /// Of the member.
    pub(super) agent: AgentId,
    /// From the member's agent to the other member's.
    pub(super) message: i64,
    pub(super) invite: String,
    /// The id of a token of the member's.
    pub(super) spare: String,
    revoked: String,
    expired: String,
    session: String,
    bound: [String; 4],
    without: Vec<(&'static str, String)>,
}

impl<'s> World<'s> {
    pub(super) async fn new(server: &'s Server) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let user = async |name: &str| server.user(&format!("{name}-{number}")).await;
        let (owner, admin, member) =
            (user("owner").await, user("admin").await, user("member").await);
        let (other, outsider) = (user("other").await, user("outsider").await);
        let (removed, asking) = (user("removed").await, user("asking").await);
        let mesh = owner.mesh().await;
        let elsewhere = member.mesh().await;

        let (invites, join) = (format!("/mesh/{mesh}/invites"), format!("/mesh/{mesh}/join"));
        let link = owner.post(&invites, json!({"max_uses": 4})).await.expect(201);
        for user in [&admin, &member, &other, &removed] {
            user.post(&join, json!({"invite": link["code"]})).await.expect(200);
        }
        let role = format!("/mesh/{mesh}/members/{}", admin.row.login);
        owner.patch(&role, json!({"role": "admin"})).await.expect(200);
        let removed_bound =
            server.token(&removed.row, |token| token.mesh = Some(mesh.clone())).await;
        owner.delete(&format!("/mesh/{mesh}/members/{}", removed.row.login)).await.expect(204);
        asking.post(&join, json!({})).await.expect(202);
        let invite = owner.post(&invites, json!({})).await.expect(201);

        let agent = member.agent(&mesh, "agent").await;
        let second = member.agent(&mesh, "second").await;
        other.agent(&mesh, "others").await;
        let far = member.agent(&elsewhere, "far").await;
        let message = member.send(&mesh, "agent", "others", "for the other").await;
        member.send(&elsewhere, far.as_str(), "all", "far away").await;
        other.send(&mesh, "others", "agent", "an answer").await;

        let token = async |change: &dyn Fn(&mut TokenRow)| {
            server.token(&member.row, |token| change(token)).await
        };
        let bound = [
            token(&|token| token.mesh = Some(elsewhere.clone())).await,
            token(&|token| token.mesh = Some(mesh.clone())).await,
            token(&|token| {
                token.mesh = Some(mesh.clone());
                token.agent = Some(agent.clone());
            })
            .await,
            token(&|token| {
                token.mesh = Some(mesh.clone());
                token.agent = Some(second.clone());
            })
            .await,
        ];
        let mut without = Vec::new();
        for scope in Scope::ALL {
            let token = token(&|token| token.scopes.retain(|it| *it != scope)).await;
            without.push((scope.as_str(), token));
        }
        let now = server.clock.now();
        let revoked = token(&|_| {}).await;
        member.with_token(revoked.clone()).delete("/tokens/current").await.expect(204);
        let expired = token(&|token| token.expires_at = Some(now - 1)).await;
        let spare = member.post("/tokens", json!({"name": "spare"})).await.expect(201);
        let session = secret::one_time();
        let row = SessionRow {
            hash: secret::digest(&session),
            id: secret::base62(12),
            user: member.row.id.clone(),
            client: String::new(),
            created_at: now,
            last_seen: now,
            expires_at: now + HOUR,
        };
        server.app.store.create_session(row).await.unwrap();
        Self {
            server,
            mesh,
            owner,
            admin,
            member,
            other,
            outsider,
            removed,
            removed_bound,
            asking,
            elsewhere,
            agent,
            message,
            invite: invite["id"].as_str().unwrap().to_owned(),
            spare: spare["id"].as_str().unwrap().to_owned(),
            revoked,
            expired,
            session,
            bound,
            without,
        }
    }

    /// A path of the document with what is in this world in place of its variables.
    pub(super) fn fill(&self, path: &str) -> String {
        let login = if path.contains("/requests/") {
            &self.asking.row.login
        } else {
            &self.other.row.login
        };
        let path = path
            .replace("{mesh}", self.mesh.as_str())
            .replace("{agent}", self.agent.as_str())
            .replace("{login}", login)
            .replace("{invite}", &self.invite)
            .replace("{message}", &self.message.to_string())
            .replace("{id}", &self.spare);
        assert!(!path.contains('{'), "a variable that the test does not know: {path}");
        path
    }

    /// The headers by which a caller says who it is.
    pub(super) fn credentials(&self, caller: Caller) -> Vec<(&'static str, String)> {
        let token = match caller {
            Caller::Nobody => return vec![],
            Caller::Cookie => return vec![("Cookie", format!("mw_session={}", self.session))],
            Caller::Malformed => "mw_not-a-token".to_owned(),
            Caller::BadChecksum => {
                let (start, last) = self.member.token.split_at(38);
                format!("{start}{}", if last == "0" { '1' } else { '0' })
            }
            Caller::Unknown => secret::token(),
            Caller::Revoked => self.revoked.clone(),
            Caller::Expired => self.expired.clone(),
            Caller::Outsider => self.outsider.token.clone(),
            Caller::Removed => self.removed.token.clone(),
            Caller::RemovedBound => self.removed_bound.clone(),
            Caller::Member => self.member.token.clone(),
            Caller::Other => self.other.token.clone(),
            Caller::Admin => self.admin.token.clone(),
            Caller::Owner => self.owner.token.clone(),
            Caller::Elsewhere => self.bound[0].clone(),
            Caller::Mesh => self.bound[1].clone(),
            Caller::Agent => self.bound[2].clone(),
            Caller::Second => self.bound[3].clone(),
            Caller::Without(scope) => {
                self.without.iter().find(|(it, _)| *it == scope).unwrap().1.clone()
            }
        };
        vec![("Authorization", format!("Bearer {token}"))]
    }

    /// All that a call could change, as the store has it. What only tells when somebody was here is left out.
    pub(super) async fn state(&self) -> String {
        let store = &self.server.app.store;
        let now = self.server.clock.now();
        let mut state = String::new();
        for mesh in [&self.mesh, &self.elsewhere] {
            let head = store.head(mesh).await.unwrap();
            writeln!(state, "{head:?}").unwrap();
            let roster = store.roster(mesh).await.unwrap().unwrap();
            writeln!(state, "{:?} {:?}", roster.mesh, roster.members).unwrap();
            for agent in &roster.agents {
                let cursor = store.position(mesh, &agent.id).await.unwrap().unwrap().cursor;
                let mut agent = agent.clone();
                agent.last_seen = None;
                writeln!(state, "{agent:?} {cursor}").unwrap();
            }
            let agents = roster.agents.iter().map(|agent| agent.id.clone()).collect();
            let all = Visibility { agents };
            let history = store.history(mesh, &all, MessageId::MAX, 1_000).await.unwrap();
            writeln!(state, "{:?}", history.messages).unwrap();
            writeln!(state, "{:?}", store.invites(mesh).await.unwrap()).unwrap();
            writeln!(state, "{:?}", store.join_requests(mesh).await.unwrap()).unwrap();
        }
        let people = [&self.owner, &self.admin, &self.member, &self.other];
        for user in people.into_iter().chain([&self.outsider, &self.removed, &self.asking]) {
            writeln!(state, "{:?}", store.meshes_of(&user.row.id).await.unwrap()).unwrap();
            for mut token in store.tokens(&user.row.id, now).await.unwrap() {
                token.last_used_at = None;
                writeln!(state, "{token:?}").unwrap();
            }
        }
        state
    }
}
