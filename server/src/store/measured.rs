//! Any store, with the time that each operation takes noted: one place for all engines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, MessageId, Role, TokenId, UserId};
use tokio::time::timeout;

use super::{
    AccountLink, AccountStore, AgentChange, Appended, Batch, Bearer, Change, CliCode, ClientStore,
    DeviceCode, DevicePoll, DeviceRequest, Digest, Exchange, Head, HistoryPage, InviteRow, Invited,
    Joining, LinkPurpose, Linked, LogPage, LogStore, MemberStore, MeshChange, MeshStore, Micros,
    Move, NewAccount, NewAgent, NewMember, NewMesh, NewUser, NodeStore, Position, Register,
    RemovedMember, RequestRow, Result, RoleChange, Roster, Seen, SentRecord, SessionRow,
    SignInStore, Store, StoreError, Stored, Stream, TokenMade, TokenRow, UserRow, Visibility,
};
use crate::metrics::Metrics;

/// More than any operation takes that gets an answer from each round trip; a store's own limits are shorter.
const LIMIT: Duration = Duration::from_secs(20);

/// A store whose operations are measured.
pub struct Measured {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

impl Measured {
    /// Measures a store.
    pub fn new(store: Arc<dyn Store>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }

    /// The answer of an operation, unless it takes too long on a store that is somewhere else: the connection that
    /// it waits at may have been cut off without a word.
    async fn within_limit<T>(
        &self,
        operation: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let Some(nodes) = self.store.nodes() else { return operation.await };
        timeout(LIMIT, operation).await.unwrap_or_else(|late| {
            nodes.gave_up();
            Err(StoreError::Unavailable(late.into()))
        })
    }
}

macro_rules! measured {
    ($trait:ident { $(fn $operation:ident($($name:ident: $type:ty),*) -> $answer:ty;)+ } $({ $($more:item)* })?) => {
        #[async_trait]
        impl $trait for Measured {
            $(async fn $operation(&self, $($name: $type),*) -> $answer {
                let started = Instant::now();
                let answer = self.within_limit(self.store.$operation($($name),*)).await;
                self.metrics.stored(stringify!($operation), started.elapsed());
                answer
            })+
            $($($more)*)?
        }
    };
}

measured! { Store {
    fn ping() -> Result<()>;
    fn purge(now: Micros) -> Result<bool>;
} {
    async fn close(&self) {
        self.store.close().await;
    }

    fn nodes(&self) -> Option<&dyn NodeStore> {
        // What nodes tell each other has limits of its own, where it is waited for.
        self.store.nodes()
    }
} }

measured! { LogStore {
    fn head(mesh: &MeshId) -> Result<Option<Head>>;
    fn append(batch: Arc<Batch>) -> Result<Appended>;
    fn sent(mesh: &MeshId, agent: &AgentId, key: &str, now: Micros) -> Result<Option<SentRecord>>;
    fn read(mesh: &MeshId, streams: &[Stream], after: MessageId, limit: u32) -> Result<Option<LogPage>>;
    fn read_all(mesh: &MeshId, after: MessageId, limit: u32) -> Result<Option<LogPage>>;
    fn message(mesh: &MeshId, id: MessageId) -> Result<Option<Stored>>;
    fn history(mesh: &MeshId, visible: &Visibility, before: MessageId, limit: u32) -> Result<HistoryPage>;
    fn position(mesh: &MeshId, agent: &AgentId) -> Result<Option<Position>>;
    fn move_cursor(mesh: &MeshId, agent: &AgentId, to: MessageId, how: Move) -> Result<Option<MessageId>>;
    fn note_seen(seen: &[Seen]) -> Result<()>;
    fn held_from(mesh: &MeshId, since: Micros) -> Result<Option<MessageId>>;
    fn trim(mesh: &MeshId, to: MessageId) -> Result<Option<MessageId>>;
    fn delete_trimmed(mesh: &MeshId) -> Result<bool>;
} {
    fn most_keys(&self) -> usize {
        self.store.most_keys()
    }
} }

measured! { MeshStore {
    fn create_mesh(mesh: NewMesh, limit: u32) -> Result<bool>;
    fn update_mesh(mesh: &MeshId, change: MeshChange) -> Result<bool>;
    fn delete_mesh(mesh: &MeshId, now: Micros) -> Result<bool>;
    fn meshes_of(user: &UserId) -> Result<Vec<MeshId>>;
    fn meshes(after: Option<&MeshId>, limit: u32) -> Result<Vec<MeshId>>;
    fn roster(mesh: &MeshId) -> Result<Option<Roster>>;
    fn register_agent(agent: NewAgent, limit: u32) -> Result<Register>;
    fn update_agent(mesh: &MeshId, agent: &AgentId, change: AgentChange) -> Result<Change>;
    fn remove_agent(mesh: &MeshId, agent: &AgentId, now: Micros) -> Result<bool>;
} }

measured! { MemberStore {
    fn set_role(mesh: &MeshId, epoch: i64, user: &UserId, role: Role, limit: u32) -> Result<RoleChange>;
    fn remove_member(mesh: &MeshId, epoch: i64, user: &UserId, now: Micros) -> Result<Option<RemovedMember>>;
    fn create_invite(invite: InviteRow, epoch: i64, limit: u32) -> Result<Invited>;
    fn invites(mesh: &MeshId) -> Result<Vec<InviteRow>>;
    fn withdraw_invite(mesh: &MeshId, epoch: i64, id: &str) -> Result<Option<bool>>;
    fn join(mesh: &MeshId, user: &UserRow, code: Option<Digest>, now: Micros) -> Result<Joining>;
    fn invite_by_code(mesh: &MeshId, code: &Digest) -> Result<Option<InviteRow>>;
    fn join_requests(mesh: &MeshId) -> Result<Vec<RequestRow>>;
    fn decide_request(mesh: &MeshId, epoch: i64, user: &UserId, accept: bool, now: Micros) -> Result<Option<bool>>;
} }

measured! { AccountStore {
    fn sign_in_github(user: NewUser) -> Result<UserRow>;
    fn user_by_login(login: &str) -> Result<Option<UserRow>>;
    fn any_user() -> Result<bool>;
    fn create_session(session: SessionRow) -> Result<()>;
    fn session(hash: &Digest, now: Micros) -> Result<Option<(SessionRow, UserRow)>>;
    fn sessions(user: &UserId, now: Micros) -> Result<Vec<SessionRow>>;
    fn end_session(user: &UserId, id: &str) -> Result<bool>;
    fn create_token(token: TokenRow, limit: u32) -> Result<TokenMade>;
    fn token(hash: &Digest) -> Result<Option<Bearer>>;
    fn tokens(user: &UserId, now: Micros) -> Result<Vec<TokenRow>>;
    fn revoke_token(user: &UserId, id: &TokenId, now: Micros) -> Result<bool>;
    fn note_used(used: &[(TokenId, Micros)]) -> Result<()>;
    fn put_cli_code(code: CliCode) -> Result<()>;
    fn exchange_cli_code(hash: &Digest, challenge: &str, token: TokenRow, limit: u32, now: Micros) -> Result<Exchange>;
} }

measured! { SignInStore {
    fn put_account_link(link: AccountLink) -> Result<Linked>;
    fn account_link(hash: &Digest, now: Micros) -> Result<Option<LinkPurpose>>;
    fn create_local_user(user: NewUser, link: &Digest) -> Result<NewAccount>;
    fn create_member(user: NewUser, mesh: &MeshId, code: &Digest) -> Result<NewMember>;
    fn reset_password(link: &Digest, password: &str, now: Micros) -> Result<Option<UserRow>>;
    fn put_device_code(code: DeviceCode) -> Result<bool>;
    fn device_request(user_code: &Digest, now: Micros) -> Result<Option<DeviceRequest>>;
    fn decide_device(user_code: &Digest, user: Option<&UserId>, now: Micros) -> Result<bool>;
    fn poll_device(hash: &Digest, client: Option<&str>, token: TokenRow, slower: Micros, limit: u32, now: Micros) -> Result<DevicePoll>;
} }

measured! { ClientStore {
    fn client_note(client: &Digest, now: Micros) -> Result<Option<String>>;
    fn swap_client_note(client: &Digest, was: Option<&str>, note: &str, now: Micros, expires_at: Micros) -> Result<bool>;
} }
