//! What a database must do for us.
//!
//! One trait in the words of the domain. Each method is one atomic act: no transaction crosses the trait,
//! and what DynamoDB cannot do in one act is not in it (its keys are in ARCHITECTURE.md). Every engine is
//! held to the same behaviour suite, `server/tests/store_suite`.
//!
//! Looking for something that is not there is no error here: it is `None`, and the layer above says what
//! that means.

pub mod dynamodb;
mod measured;
pub mod moving;
mod nodes;
mod open;
mod page;
pub mod postgres;
mod rows;
mod sign_in;
pub mod sqlite;

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, MessageId, Role, TokenId, UserId};

pub use measured::Measured;
pub use nodes::{Ended, EndedRow, NodeStore, Present};
pub use open::{open, open_to_move, put_account_link};
pub use rows::{
    AgentChange, AgentRow, Batch, Bearer, CliCode, Digest, Head, HistoryPage, InviteRow, LogPage,
    MemberRow, MeshChange, MeshRow, Micros, NewAgent, NewMesh, NewMessage, NewUser, Position,
    RemovedMember, RequestRow, Roster, Seen, SentKey, SentRecord, SessionRow, Stored, Stream,
    TokenRow, UserRow, Visibility,
};
pub use sign_in::{
    AccountLink, DeviceCode, DevicePoll, DeviceRequest, LinkPurpose, Linked, NewAccount, NewMember,
    SignInStore,
};

/// The store failed. Nothing is known to be written unless the method says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, is busy or full: the same call may succeed later.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// It answered with something that cannot be: a damaged file, a row that breaks our own rules.
    #[error("the store answered with something unexpected")]
    Fault(#[source] Box<dyn Error + Send + Sync>),
}

/// Result of a call on the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// All of it is durable. The messages got the ids `first`, `first + 1`, …
    Written {
        /// The head that the batch follows.
        follows: MessageId,
        /// The id of its first message.
        first: MessageId,
    },
    /// The epoch has moved, nothing was written: resolve the senders and addresses again.
    EpochMoved,
    /// The messages at these places of the batch have an idempotency key that is in use; nothing was written.
    KeysTaken(Vec<usize>),
    /// The mesh is gone; nothing was written.
    NoMesh,
}

/// How a cursor moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Forward only: to the larger of the kept cursor and the given one.
    Acknowledge,
    /// To the given one, also backwards.
    Set,
}

/// What became of a registration.
#[derive(Debug, Clone)]
pub enum Register {
    /// A new agent; its inbox starts at the head that it saw.
    Created(AgentRow),
    /// The user had an agent of this name; the given fields were replaced.
    Existing(AgentRow),
    /// The name belongs to another member's agent, or is the id of another agent.
    NameTaken,
    /// The mesh has as many agents as it may have.
    LimitReached,
    /// The mesh is gone, or the user is no member of it.
    NoMesh,
}

/// What became of a change to an agent.
#[derive(Debug, Clone)]
pub enum Change {
    /// The agent as it is now.
    Done(AgentRow),
    /// The new name belongs to another agent.
    NameTaken,
    /// No such agent.
    NoAgent,
}

/// What became of a new role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// It is theirs.
    Done,
    /// The new owner has as many meshes as they may have.
    LimitReached,
    /// The epoch has moved; nothing was done.
    EpochMoved,
}

/// What became of a new invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// It stands.
    Created,
    /// The mesh has as many invites as it may have.
    LimitReached,
    /// The epoch has moved; nothing was done.
    EpochMoved,
}

/// What became of an attempt to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// The user is a member now.
    Member,
    /// The user was one before; no invite was used.
    AlreadyMember,
    /// The request stands, from now or from before.
    Requested,
    /// No invite of this mesh has this code, or it is for somebody else.
    InviteNotFound,
    /// The invite has run out or is used up.
    InviteExpired,
    /// The user was refused, and may ask again from then on.
    RefusedLately(Micros),
    /// There is no such mesh.
    NoMesh,
}

/// What became of a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMade {
    /// It is live.
    Created,
    /// A token of this user has this public id already: the same act was done before.
    Exists,
    /// The user has as many live tokens as they may have.
    LimitReached,
    /// The mesh that it was to be bound to is gone.
    NoMesh,
    /// The user is no member of that mesh.
    NotMember,
    /// The agent that it was to be bound to is gone, or is not the user's.
    NoAgent,
}

/// What became of a CLI sign-in code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// The token is there; the code is spent. Holds the login of its user.
    Issued(String),
    /// The verifier does not match; the code is spent.
    WrongVerifier,
    /// The code was used before: the token that it got then is revoked now.
    Reused(Option<TokenId>),
    /// Unknown or expired.
    Unknown,
    /// The user has as many tokens as they may have; the code is spent.
    LimitReached,
}

/// A database.
#[async_trait]
pub trait Store:
    LogStore + MeshStore + MemberStore + AccountStore + SignInStore + ClientStore
{
    /// Answers when the store does, and takes writes as far as it says so. It writes nothing, and its cost does not
    /// grow with the data.
    async fn ping(&self) -> Result<()>;

    /// Removes a bounded amount of what is left of deleted meshes and of what has expired; `true` while
    /// there is more.
    async fn purge(&self, now: Micros) -> Result<bool>;

    /// Finishes what is being written and lets go of the database.
    async fn close(&self);

    /// What nodes tell each other; `None` when one process alone works on this store.
    fn nodes(&self) -> Option<&dyn NodeStore>;
}

/// The log of a mesh, and how far each agent has read it.
///
/// Single messages, the history and idempotency records of a deleted mesh may be answered until they are
/// purged: the head says whether the mesh is there.
#[async_trait]
pub trait LogStore: Send + Sync + 'static {
    /// The head row, read consistently; `None` when there is no such mesh.
    async fn head(&self, mesh: &MeshId) -> Result<Option<Head>>;

    /// Appends a batch to one mesh, whole or not at all, durable before the answer.
    ///
    /// The first id is max(now, head + 1), and head + 1 when `now` is more than 60 s ahead of the store's
    /// clock. No reader that has seen an id is later shown a smaller one that it did not see.
    async fn append(&self, batch: Arc<Batch>) -> Result<Appended>;

    /// How many messages with an idempotency key a batch may have.
    fn most_keys(&self) -> usize {
        usize::MAX
    }

    /// What an agent sent under this idempotency key, while it is remembered.
    async fn sent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        key: &str,
        now: Micros,
    ) -> Result<Option<SentRecord>>;

    /// The messages of some streams after an id, oldest first, at most `limit` and about 1 MiB; `None` when
    /// there is no such mesh.
    async fn read(
        &self,
        mesh: &MeshId,
        streams: &[Stream],
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>>;

    /// The messages after an id, whatever their stream; otherwise like [`Self::read`].
    async fn read_all(
        &self,
        mesh: &MeshId,
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>>;

    /// One message, unless it was trimmed.
    async fn message(&self, mesh: &MeshId, id: MessageId) -> Result<Option<Stored>>;

    /// What a caller may see of the log before an id, newest first. Looks at a bounded number of messages,
    /// so that a page may be short or empty while there is more.
    async fn history(
        &self,
        mesh: &MeshId,
        visible: &Visibility,
        before: MessageId,
        limit: u32,
    ) -> Result<HistoryPage>;

    /// The three numbers of an agent.
    async fn position(&self, mesh: &MeshId, agent: &AgentId) -> Result<Option<Position>>;

    /// Moves a cursor, never beyond the head, durable before the answer; the cursor as it is then.
    async fn move_cursor(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        to: MessageId,
        how: Move,
    ) -> Result<Option<MessageId>>;

    /// Writes when agents were seen, when they read, and how far they were handed messages, all merged by max.
    async fn note_seen(&self, seen: &[Seen]) -> Result<()>;

    /// The smallest cursor among the agents of a mesh that have read their inbox or registered at `since` or
    /// later; `None` when there is no such agent.
    async fn held_from(&self, mesh: &MeshId, since: Micros) -> Result<Option<MessageId>>;

    /// Moves the trim point to the newest message up to `to` (or, where messages are kept in batches, to the
    /// end of the newest batch up to it), never back; the trim point as it is then, `None` when there is no
    /// such mesh. What lies up to it is gone for everyone at once, and left to [`Self::delete_trimmed`].
    async fn trim(&self, mesh: &MeshId, to: MessageId) -> Result<Option<MessageId>>;

    /// Removes a bounded number of messages up to the trim point, the oldest first; `true` while there are
    /// more.
    async fn delete_trimmed(&self, mesh: &MeshId) -> Result<bool>;
}

/// What is to be known of a client from one call to the next, whichever nodes they come to. Nothing is lost with
/// it but comfort: an export leaves it out.
#[async_trait]
pub trait ClientStore: Send + Sync + 'static {
    /// What was noted of a client, unless its time is over.
    async fn client_note(&self, client: &Digest, now: Micros) -> Result<Option<String>>;

    /// Notes something else of a client until `expires_at`, if what is noted at `now` is still `was`; `false`
    /// when it is not. To do it twice is harmless.
    async fn swap_client_note(
        &self,
        client: &Digest,
        was: Option<&str>,
        note: &str,
        now: Micros,
        expires_at: Micros,
    ) -> Result<bool>;
}

/// Meshes and who is in them. Every change here raises the epoch of the mesh concerned.
#[async_trait]
pub trait MeshStore: Send + Sync + 'static {
    /// Makes a mesh with its owner as first member; `false` when the owner has `limit` meshes already
    /// (0: no limit).
    async fn create_mesh(&self, mesh: NewMesh, limit: u32) -> Result<bool>;

    /// Renames or pauses; `false` when there is no such mesh.
    async fn update_mesh(&self, mesh: &MeshId, change: MeshChange) -> Result<bool>;

    /// Ends a mesh for everyone and revokes the tokens bound to it; its messages are left to
    /// [`Store::purge`]. `false` when there is no such mesh.
    async fn delete_mesh(&self, mesh: &MeshId, now: Micros) -> Result<bool>;

    /// The meshes that a user is a member of, oldest first.
    async fn meshes_of(&self, user: &UserId) -> Result<Vec<MeshId>>;

    /// At most `limit` meshes of anyone, in an order that does not change, from the one after `after` on.
    async fn meshes(&self, after: Option<&MeshId>, limit: u32) -> Result<Vec<MeshId>>;

    /// A mesh with its members and agents, as of the epoch in its head.
    async fn roster(&self, mesh: &MeshId) -> Result<Option<Roster>>;

    /// Registers an agent, reading its start from the head in the same act; at most `limit` agents of
    /// programs in a mesh (0: no limit).
    async fn register_agent(&self, agent: NewAgent, limit: u32) -> Result<Register>;

    /// Replaces fields of an agent.
    async fn update_agent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        change: AgentChange,
    ) -> Result<Change>;

    /// Removes an agent and revokes the tokens bound to it; `false` when there is none.
    async fn remove_agent(&self, mesh: &MeshId, agent: &AgentId, now: Micros) -> Result<bool>;
}

/// Who may come into a mesh, and who has to leave it.
///
/// Acts that rest on somebody's role state the `epoch` of the roster in which they have it. When the epoch
/// has moved, nothing is done and the role is looked at again: so nobody acts who has just been removed.
#[async_trait]
pub trait MemberStore: Send + Sync + 'static {
    /// Gives a member another role. Giving `owner` hands the mesh over, the old owner becomes admin in the
    /// same act, and `limit` is how many meshes the new one may own (0: no limit). The owner's own role
    /// changes in no other way: that, and the role of somebody who is no member, is answered like a moved
    /// epoch.
    async fn set_role(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        role: Role,
        limit: u32,
    ) -> Result<RoleChange>;

    /// Removes a member with their agents, revokes their tokens bound to the mesh, and drops the invites
    /// that they made or that are for their login. `None`, with nothing done, when the epoch has moved; the
    /// owner and who is no member are answered alike.
    async fn remove_member(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        now: Micros,
    ) -> Result<Option<RemovedMember>>;

    /// Keeps a new invite; at most `limit` that have not run out in a mesh (0: no limit).
    async fn create_invite(&self, invite: InviteRow, epoch: i64, limit: u32) -> Result<Invited>;

    /// The invites of a mesh, newest first; those that have run out are kept for 30 days.
    async fn invites(&self, mesh: &MeshId) -> Result<Vec<InviteRow>>;

    /// Withdraws an invite; `false` when there is none, `None` when the epoch has moved.
    async fn withdraw_invite(&self, mesh: &MeshId, epoch: i64, id: &str) -> Result<Option<bool>>;

    /// Lets a user in, by the invite with this code or by one for their login; else notes that they ask. An
    /// invite for a login that is older than an account made by an invite lets it in with its code only:
    /// else anybody with an invite to any mesh could take the login that another mesh waits for.
    async fn join(
        &self,
        mesh: &MeshId,
        user: &UserRow,
        code: Option<Digest>,
        now: Micros,
    ) -> Result<Joining>;

    /// The invite with this code, run out or used up ones too.
    async fn invite_by_code(&self, mesh: &MeshId, code: &Digest) -> Result<Option<InviteRow>>;

    /// Who asks to join, oldest first.
    async fn join_requests(&self, mesh: &MeshId) -> Result<Vec<RequestRow>>;

    /// Decides a request; `false` when there is none, `None` when the epoch has moved.
    async fn decide_request(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        accept: bool,
        now: Micros,
    ) -> Result<Option<bool>>;
}

/// Users, their sessions and tokens, and the codes of browser sign-ins.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// The account of a GitHub identity, made or brought up to date. When another account holds the login,
    /// that account's label becomes `login~id`.
    async fn sign_in_github(&self, user: NewUser) -> Result<UserRow>;

    /// The account with this login (compared without regard to case).
    async fn user_by_login(&self, login: &str) -> Result<Option<UserRow>>;

    /// Whether anyone has an account yet.
    async fn any_user(&self) -> Result<bool>;

    /// Keeps a new session.
    async fn create_session(&self, session: SessionRow) -> Result<()>;

    /// A live session by the hash of its secret, and its user; notes that it was seen.
    async fn session(&self, hash: &Digest, now: Micros) -> Result<Option<(SessionRow, UserRow)>>;

    /// The live sessions of a user, newest first.
    async fn sessions(&self, user: &UserId, now: Micros) -> Result<Vec<SessionRow>>;

    /// Ends a session of a user by its public id; `false` when there is none.
    async fn end_session(&self, user: &UserId, id: &str) -> Result<bool>;

    /// Keeps a new token; at most `limit` live ones of a user (0: no limit). In the same act it is seen that
    /// the mesh and the agent that it is bound to are there and the user's, so that none outlives them. The
    /// public id decides first: one that is in use is [`TokenMade::Exists`], whatever has changed since.
    async fn create_token(&self, token: TokenRow, limit: u32) -> Result<TokenMade>;

    /// A token by the hash of its secret, revoked and expired ones too, and its user.
    async fn token(&self, hash: &Digest) -> Result<Option<Bearer>>;

    /// The tokens of a user that are neither revoked nor expired, newest first.
    async fn tokens(&self, user: &UserId, now: Micros) -> Result<Vec<TokenRow>>;

    /// Revokes a live token of a user; `false` when there is none. Refused everywhere from the answer on.
    async fn revoke_token(&self, user: &UserId, id: &TokenId, now: Micros) -> Result<bool>;

    /// Writes when tokens were last used, merged by max.
    async fn note_used(&self, used: &[(TokenId, Micros)]) -> Result<()>;

    /// Keeps a CLI sign-in code.
    async fn put_cli_code(&self, code: CliCode) -> Result<()>;

    /// Exchanges a CLI sign-in code for `token`, whose user and name are taken from the code. One act: a
    /// code works once, a wrong challenge ends it, and a second use revokes what the first one got.
    async fn exchange_cli_code(
        &self,
        hash: &Digest,
        challenge: &str,
        token: TokenRow,
        limit: u32,
        now: Micros,
    ) -> Result<Exchange>;
}
