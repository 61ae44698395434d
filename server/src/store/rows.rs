//! What goes in and out of a store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use meshwire_protocol::{
    AgentId, AgentKind, Harness, MeshId, Message, MessageId, Role, Scope, TokenId, UserId, Via,
    Wake,
};
use serde_json::{Map, Value};

/// Microseconds since 1970, UTC.
pub type Micros = i64;

/// SHA-256 of a secret.
pub type Digest = [u8; 32];

/// A part of a mesh's log that is read on its own. Each message lies in exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stream {
    /// What went to everyone.
    All,
    /// What went to one agent.
    Agent(AgentId),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Agent(id) => write!(f, "agent:{id}"),
        }
    }
}

impl FromStr for Stream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.strip_prefix("agent:")
            .and_then(|id| id.parse().ok())
            .map(Self::Agent)
            .ok_or_else(|| format!("{text:?} is not a stream"))
    }
}

/// The head row of a mesh's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Raised by every change of members, agents, names, pause or deletion.
    pub epoch: i64,
    /// The id of the newest message, 0 when there was none.
    pub head: MessageId,
    /// Messages up to this id were trimmed.
    pub trimmed: MessageId,
}

/// A message as it is kept: with its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Where it lies.
    pub stream: Stream,
    /// The message.
    pub message: Message,
}

impl Stored {
    /// The bytes of content and metadata, as a page counts them.
    pub fn size(&self) -> usize {
        size(&self.message.content, &self.message.metadata)
    }
}

fn size(content: &str, metadata: &Map<String, Value>) -> usize {
    let metadata = if metadata.is_empty() {
        2
    } else {
        serde_json::to_string(metadata).map_or(0, |text| text.len())
    };
    content.len() + metadata
}

/// A message before it has its id.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Where it will lie.
    pub stream: Stream,
    /// Name of the sending agent.
    pub from: String,
    /// Id of the sending agent.
    pub from_agent: AgentId,
    /// Login of the sending agent's owner.
    pub from_user: String,
    /// Kind of the sending agent.
    pub from_kind: AgentKind,
    /// Kind of the credential.
    pub via: Via,
    /// `all`, or the receiver's name.
    pub to: String,
    /// The text.
    pub content: String,
    /// With `reply_to`, if it is a reply.
    pub metadata: Map<String, Value>,
    /// Replies since a person or a new thread began.
    pub hops: u32,
    /// The idempotency key that came with it.
    pub key: Option<SentKey>,
}

impl NewMessage {
    /// The bytes of content and metadata.
    pub fn size(&self) -> usize {
        size(&self.content, &self.metadata)
    }

    /// The message under its id.
    pub fn into_stored(self, mesh: MeshId, id: MessageId) -> Stored {
        let to_agent_id = match &self.stream {
            Stream::All => None,
            Stream::Agent(agent) => Some(agent.clone()),
        };
        Stored {
            stream: self.stream,
            message: Message {
                id,
                mesh_id: mesh,
                from: self.from,
                from_agent_id: self.from_agent,
                from_user: self.from_user,
                from_kind: self.from_kind,
                via: self.via,
                to: self.to,
                to_agent_id,
                content: self.content,
                metadata: self.metadata,
                hops: self.hops,
                sent_at: crate::clock::timestamp(id.get()),
            },
        }
    }
}

/// An idempotency key with what it was sent for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentKey {
    /// As the client chose it.
    pub key: String,
    /// SHA-256 of the fields as sent.
    pub fingerprint: Digest,
    /// When it may be forgotten.
    pub expires_at: Micros,
}

/// What was sent under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRecord {
    /// SHA-256 of the fields as sent.
    pub fingerprint: Digest,
    /// The message.
    pub id: MessageId,
}

/// Messages to append to one mesh, in order. No two of them have the same sender and idempotency key.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The mesh.
    pub mesh: MeshId,
    /// Random: tells whether a batch of unknown outcome was written.
    pub id: i64,
    /// The epoch under which senders and addresses were resolved.
    pub epoch: i64,
    /// The clock of the node.
    pub now: Micros,
    /// At least one.
    pub messages: Vec<NewMessage>,
}

/// A piece of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// Oldest first.
    pub messages: Vec<Stored>,
    /// How far the log was read without a hole.
    pub seen_to: MessageId,
    /// Whether there is more after `seen_to`.
    pub more: bool,
    /// The epoch as of which it was read.
    pub epoch: i64,
    /// Messages up to this id were trimmed.
    pub trimmed: MessageId,
}

/// Which messages of a mesh a caller may see: broadcasts, and those to or from these agents.
#[derive(Debug, Clone)]
pub struct Visibility {
    /// The agents that the caller speaks for.
    pub agents: Vec<AgentId>,
}

impl Visibility {
    /// Whether the caller may see this message.
    pub fn shows(&self, stored: &Stored) -> bool {
        stored.stream == Stream::All
            || self.agents.contains(&stored.message.from_agent_id)
            || stored.message.to_agent_id.as_ref().is_some_and(|to| self.agents.contains(to))
    }
}

/// A piece of the history.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Newest first.
    pub messages: Vec<Stored>,
    /// Where to go on; `None` when the oldest message was looked at.
    pub before: Option<MessageId>,
}

/// A mesh without those who are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshRow {
    /// Its id.
    pub id: MeshId,
    /// Its name.
    pub name: String,
    /// Whether sends are refused.
    pub paused: bool,
    /// When it was made.
    pub created_at: Micros,
}

/// A new mesh.
#[derive(Debug, Clone)]
pub struct NewMesh {
    /// Its id.
    pub id: MeshId,
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: UserId,
    /// Now.
    pub created_at: Micros,
}

/// A change to a mesh; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct MeshChange {
    /// A new name.
    pub name: Option<String>,
    /// Refuse sends, or take them again.
    pub paused: Option<bool>,
}

/// A member of a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// Their login now.
    pub login: String,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Micros,
}

/// What went with a member who was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovedMember {
    /// Their agents, the person's own among them.
    pub agents: Vec<AgentId>,
    /// Their tokens that were bound to the mesh and are revoked now.
    pub tokens: Vec<TokenId>,
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRow {
    /// Its public id.
    pub id: String,
    /// Into which mesh.
    pub mesh: MeshId,
    /// SHA-256 of the code.
    pub hash: Digest,
    /// Whom it lets in, in lower case; `None`: whoever has the code.
    pub login: Option<String>,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Micros,
    /// When it runs out.
    pub expires_at: Micros,
    /// How many people it lets in.
    pub max_uses: u32,
    /// How many it has let in.
    pub uses: u32,
}

/// Someone who asks to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// Who.
    pub user: UserId,
    /// Their login now.
    pub login: String,
    /// Their name.
    pub name: String,
    /// Since when they ask.
    pub requested_at: Micros,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// A program's or a person's.
    pub kind: AgentKind,
    /// The member who runs it.
    pub user: UserId,
    /// The harness that runs it.
    pub harness: Option<Harness>,
    /// The computer that it runs on.
    pub host: Option<String>,
    /// What it is there for.
    pub description: Option<String>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// How soon it notices a message.
    pub wake: Wake,
    /// The head when it registered.
    pub start: MessageId,
    /// The cursor when the row was read.
    pub cursor: MessageId,
    /// When it was last seen, as far as written.
    pub last_seen: Option<Micros>,
}

/// An agent to register.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Where.
    pub mesh: MeshId,
    /// The id to give it when it is new.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// A program's or a person's.
    pub kind: AgentKind,
    /// Who runs it.
    pub user: UserId,
    /// The given fields; they replace those of an agent that exists.
    pub fields: AgentChange,
    /// Now.
    pub now: Micros,
}

/// Fields of an agent to replace; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentChange {
    /// A new name.
    pub name: Option<String>,
    /// The harness that runs it.
    pub harness: Option<Harness>,
    /// The computer that it runs on.
    pub host: Option<String>,
    /// What it is there for.
    pub description: Option<String>,
    /// What it can do.
    pub capabilities: Option<Vec<String>>,
    /// How soon it notices a message.
    pub wake: Option<Wake>,
}

/// A mesh with everyone in it, as of one epoch.
#[derive(Debug, Clone)]
pub struct Roster {
    /// The epoch that this is true for.
    pub epoch: i64,
    /// The mesh.
    pub mesh: MeshRow,
    /// Its members.
    pub members: Vec<MemberRow>,
    /// Its agents, by name.
    pub agents: Vec<AgentRow>,
}

/// The delivery state of an agent. An id up to `cursor` is acknowledged, else up to `handed` delivered,
/// else queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The head when it registered.
    pub start: MessageId,
    /// The highest id that was put into an answer.
    pub handed: MessageId,
    /// The id up to which it has acknowledged.
    pub cursor: MessageId,
}

/// That an agent was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Where.
    pub mesh: MeshId,
    /// Who.
    pub agent: AgentId,
    /// When.
    pub at: Micros,
    /// When it read its inbox; `None`: it did not.
    pub read_at: Option<Micros>,
    /// The highest id that was put into an answer.
    pub handed: MessageId,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Never changes.
    pub id: UserId,
    /// The label, which may.
    pub login: String,
    /// The name that the person goes by, or the login.
    pub name: String,
    /// argon2id, as a PHC string; local accounts only.
    pub password: Option<String>,
}

/// A user to make or to bring up to date.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The id to give when the user is new.
    pub id: UserId,
    /// `github:<numeric id>` or `local:<login>`.
    pub identity: String,
    /// The login now.
    pub login: String,
    /// The name now.
    pub name: String,
    /// argon2id, as a PHC string; local accounts only.
    pub password: Option<String>,
    /// Now.
    pub now: Micros,
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// SHA-256 of the cookie's secret.
    pub hash: Digest,
    /// Its public name.
    pub id: String,
    /// Whose.
    pub user: UserId,
    /// The browser, as it named itself.
    pub client: String,
    /// When it began.
    pub created_at: Micros,
    /// When it was last seen, to within an hour.
    pub last_seen: Micros,
    /// When it ends, whatever happens.
    pub expires_at: Micros,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of the secret.
    pub hash: Digest,
    /// Its public name.
    pub id: TokenId,
    /// The last six characters of the secret.
    pub suffix: String,
    /// Whose.
    pub user: UserId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The mesh that it is bound to.
    pub mesh: Option<MeshId>,
    /// The agent that it is bound to.
    pub agent: Option<AgentId>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last used, as far as written.
    pub last_used_at: Option<Micros>,
    /// When it runs out.
    pub expires_at: Option<Micros>,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

/// A token with its user; shared, because every request with a token asks for them.
pub type Bearer = (Arc<TokenRow>, Arc<UserRow>);

/// A code that ends a browser sign-in for the command line.
#[derive(Debug, Clone)]
pub struct CliCode {
    /// SHA-256 of the code.
    pub hash: Digest,
    /// Who signed in.
    pub user: UserId,
    /// PKCE, S256 (RFC 7636 section 4.2).
    pub challenge: String,
    /// Name of the token to issue.
    pub token_name: String,
    /// When it runs out.
    pub expires_at: Micros,
}
