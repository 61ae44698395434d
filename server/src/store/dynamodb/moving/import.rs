//! Records as items of an empty table. A mark in it keeps servers away until the last one is there.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::stream::{self, TryStreamExt as _};
use meshwire_protocol::limits::REFUSAL_WINDOW;
use meshwire_protocol::{MeshId, Role, TokenId, UserId};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::DynamoStore;
use super::super::append::{HeadRow, SentRow};
use super::super::chunk;
use super::super::codes::{self, CodeItem, Issued};
use super::super::db::MOST_WRITTEN;
use super::super::devices::{self, DeviceItem, State, Typed};
use super::super::invites::{self, Invites, RequestItem};
use super::super::item::{EXPIRES, Item, Place, encode, encode_until, fault, n, s, seconds};
use super::super::keys::{self, Key};
use super::super::links::{LinkItem, Purpose, Valid};
use super::super::meshes::UserMesh;
use super::super::positions::PositionRow;
use super::super::roster::{AgentItem, MemberItem, MetaItem, mark};
use super::super::sessions::SessionItem;
use super::super::tokens::{self, BoundItem, LiveTokens, TokenItem};
use super::super::transaction::Transacted;
use super::super::users::{Holder, UserItem};
use super::LEASE;
use crate::clock::micros;
use crate::store::moving::{
    Account, AccountLink, Agent, CliCode, DeviceCode, DeviceState, Idempotency, Imported, Invite,
    JoinRequest, Member, Mesh, Message, Piece, Purpose as Said, Record, Session, Token,
};
use crate::store::{Batch, Digest, Micros, NewMessage, NodeStore as _, Result};

/// Requests under way at once.
const AT_ONCE: usize = 8;
/// Items that are written together.
const TOGETHER: usize = AT_ONCE * MOST_WRITTEN;
/// The engine deletes nothing that was imported before this time is over: it is read back first.
const STAYS: Micros = 2 * 24 * 60 * 60 * 1_000_000;
/// In which epoch all that is imported came in: before all that comes later.
const BEFORE: i64 = 0;

#[derive(Serialize)]
struct Importing {
    id: i64,
}

impl DynamoStore {
    pub(super) async fn take_everything(
        &self,
        mut from: mpsc::Receiver<Piece>,
    ) -> Result<Imported> {
        let broken_off = self.is_half_imported().await?;
        if !broken_off && self.anyone().await? {
            return Ok(Imported::NotEmpty);
        }
        self.refuse_company().await?;
        let id: i64 = rand::random();
        self.db.put(encode(&keys::importing(), &Importing { id })?).await?;
        self.renew(LEASE).await?;
        // Links and device codes that a server has made, or what an import has left.
        self.clear().await?;
        let mut import = Import::new(self);
        let mut renewed = Instant::now();
        while let Some(piece) = from.recv().await {
            let Piece::Records(records) = piece else {
                import.finish().await?;
                return self.imported(id).await.map(|()| Imported::Done);
            };
            if renewed.elapsed() > LEASE / 3 {
                self.renew(LEASE).await?;
                renewed = Instant::now();
            }
            for record in records {
                import.add(record).await?;
            }
        }
        Err(fault("the records end before their end"))
    }

    /// Removes everything but the mark, and the lease.
    async fn clear(&self) -> Result<()> {
        let mark = keys::importing().pk;
        let values = [("import", s(mark)), ("nodes", s(keys::NODES))];
        let mut start = None;
        loop {
            let page = self.db.scan("NOT #pk IN (:import, :nodes)", &values, start).await?;
            let keys = page.items.iter().map(Key::of).collect::<Result<_>>()?;
            self.db.delete_many(keys).await?;
            start = page.next;
            if start.is_none() {
                return Ok(());
            }
        }
    }

    /// Lets servers in.
    async fn imported(&self, id: i64) -> Result<()> {
        let mut transaction = self.db.transaction();
        // A retry of a request whose answer was lost finds none.
        let ours = "attribute_not_exists(pk) OR #id = :id";
        transaction.delete_if(&keys::importing(), Some(ours), &[("id", n(id))])?;
        match self.db.transact(transaction).await? {
            Transacted::Done => Ok(()),
            Transacted::Refused(_) => Err(fault("another import into this table has begun")),
        }
    }
}

/// What is known of what was imported so far: accounts, meshes and tokens, but no messages.
struct Import<'a> {
    store: &'a DynamoStore,
    items: Vec<Item>,
    users: HashMap<UserId, OfUser>,
    meshes: BTreeMap<MeshId, OfMesh>,
    tokens: HashMap<TokenId, Digest>,
    log: Option<Log>,
}

struct OfUser {
    login: String,
    name: String,
    owned: i64,
    live: BTreeMap<TokenId, Micros>,
}

struct OfMesh {
    created_at: Micros,
    members: HashSet<UserId>,
    head: HeadRow,
    /// The newest message so far.
    last: i64,
    invites: Vec<invites::Invite>,
}

/// Messages that were written together.
struct Log {
    mesh: MeshId,
    batch: i64,
    first: i64,
    messages: Vec<NewMessage>,
}

impl Log {
    fn goes_on_with(&self, message: &Message) -> bool {
        let next = usize::try_from(message.id.get() - self.first);
        (&self.mesh, self.batch) == (&message.mesh, message.batch)
            && next == Ok(self.messages.len())
    }
}

/// An item whose time may be over already, and that the engine, by its clock, keeps all the same.
fn encode_kept(key: &Key, row: &impl Serialize, until: Micros, clock: Micros) -> Result<Item> {
    let mut item = encode_until(key, row, until)?;
    let stays = clock.saturating_add(STAYS);
    item.insert(EXPIRES.to_owned(), n(seconds(until.max(stays))));
    Ok(item)
}

impl<'a> Import<'a> {
    fn new(store: &'a DynamoStore) -> Self {
        Self {
            store,
            items: Vec::new(),
            users: HashMap::new(),
            meshes: BTreeMap::new(),
            tokens: HashMap::new(),
            log: None,
        }
    }

    async fn add(&mut self, record: Record) -> Result<()> {
        match record {
            Record::Account(account) => self.account(account)?,
            Record::Session(session) => self.session(session)?,
            Record::Mesh(mesh) => self.mesh(mesh)?,
            Record::Member(member) => self.member(member)?,
            Record::Agent(agent) => self.agent(agent)?,
            Record::Token(token) => self.token(token)?,
            Record::CliCode(code) => self.cli_code(code)?,
            Record::DeviceCode(code) => self.device_code(code)?,
            Record::AccountLink(link) => self.account_link(link)?,
            Record::Invite(invite) => self.invite(invite)?,
            Record::JoinRequest(request) => self.join_request(request)?,
            Record::Message(message) => self.message(message)?,
            Record::Idempotency(sent) => self.sent(sent)?,
        }
        if self.items.len() >= TOGETHER { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        let db = &self.store.db;
        let mut some = std::mem::take(&mut self.items);
        let mut requests = Vec::new();
        while !some.is_empty() {
            let rest = some.split_off(some.len().min(MOST_WRITTEN));
            requests.push(Ok(std::mem::replace(&mut some, rest)));
        }
        stream::iter(requests)
            .try_for_each_concurrent(AT_ONCE, |items| async move { db.put_many(items).await })
            .await
    }

    fn put(&mut self, key: &Key, row: &impl Serialize) -> Result<()> {
        self.items.push(encode(key, row)?);
        Ok(())
    }

    fn put_until(&mut self, key: &Key, row: &impl Serialize, until: Micros) -> Result<()> {
        self.items.push(encode_kept(key, row, until, self.store.clock.now())?);
        Ok(())
    }

    fn put_to_end(&mut self, key: &Key, row: &impl Serialize, end: Option<Micros>) -> Result<()> {
        match end {
            Some(end) => self.put_until(key, row, end.saturating_add(tokens::KNOWN)),
            None => self.put(key, row),
        }
    }

    fn of_user(&mut self, user: &UserId) -> Result<&mut OfUser> {
        let missing = || fault(format!("account {user} is not among the records"));
        self.users.get_mut(user).ok_or_else(missing)
    }

    fn of_mesh(&mut self, mesh: &MeshId) -> Result<&mut OfMesh> {
        let missing = || fault(format!("mesh {mesh} is not among the records"));
        self.meshes.get_mut(mesh).ok_or_else(missing)
    }

    fn account(&mut self, account: Account) -> Result<()> {
        let Account { id, identity, login, name, password, by_invite, created_at } = account;
        if self.users.is_empty() {
            self.items.push(keys::any_account().item());
        }
        let holder = Holder { user: id.clone() };
        self.put(&keys::identity(&identity), &holder)?;
        self.put(&keys::login(&login), &holder)?;
        let of =
            OfUser { login: login.clone(), name: name.clone(), owned: 0, live: BTreeMap::new() };
        self.users.insert(id.clone(), of);
        let key = keys::user(&id);
        let sessions = 0;
        self.put(
            &key,
            &UserItem { id, identity, login, name, password, created_at, by_invite, sessions },
        )
    }

    fn session(&mut self, session: Session) -> Result<()> {
        let Session { hash, id, user, client, created_at, last_seen, expires_at } = session;
        self.put_until(&keys::user_session(&user, &id), &Place { hash }, expires_at)?;
        let item = SessionItem { hash, id, user, client, created_at, last_seen, of: 0 };
        self.put_until(&keys::session(&hash), &item, expires_at)
    }

    /// An item of a roster, which the head adds up.
    fn in_roster(&mut self, mesh: &MeshId, key: &Key, row: &impl Serialize) -> Result<()> {
        self.of_mesh(mesh)?.head.sum ^= mark(&key.sk, BEFORE);
        self.put(key, row)
    }

    fn mesh(&mut self, mesh: Mesh) -> Result<()> {
        let Mesh { id, name, paused, epoch, head, trimmed, created_at } = mesh;
        let (head, trimmed) = (head.get(), trimmed.get());
        let head = HeadRow { epoch, head, trimmed, sum: 0, deleted_at: None };
        let of = OfMesh {
            created_at,
            members: HashSet::new(),
            head,
            last: trimmed,
            invites: Vec::new(),
        };
        self.meshes.insert(id.clone(), of);
        self.items.push(keys::listed(&id).item());
        let meta = MetaItem { name, paused, created_at, changed: BEFORE };
        self.in_roster(&id, &keys::meta(&id), &meta)
    }

    fn member(&mut self, member: Member) -> Result<()> {
        let Member { mesh, user, role, joined_at } = member;
        let of = self.of_mesh(&mesh)?;
        of.members.insert(user.clone());
        let own = UserMesh { created_at: of.created_at };
        self.put(&keys::user_mesh(&user, &mesh), &own)?;
        let of = self.of_user(&user)?;
        of.owned += i64::from(role == Role::Owner);
        let (login, name) = (of.login.clone(), of.name.clone());
        let key = keys::member(&mesh, &user);
        let item =
            MemberItem { user, login, name, role, joined_at, since: BEFORE, changed: BEFORE };
        self.in_roster(&mesh, &key, &item)
    }

    fn agent(&mut self, agent: Agent) -> Result<()> {
        let position = PositionRow {
            start: agent.start,
            handed: agent.handed,
            cursor: agent.cursor,
            last_seen: agent.last_seen,
            last_read: agent.last_read,
            created_at: agent.created_at,
        };
        self.put(&keys::position(&agent.mesh, &agent.id), &position)?;
        let key = keys::agent(&agent.mesh, &agent.id);
        let item = AgentItem {
            id: agent.id,
            name: agent.name,
            kind: agent.agent_kind,
            user: agent.user,
            since: BEFORE,
            harness: agent.harness,
            host: agent.host,
            description: agent.description,
            capabilities: agent.capabilities,
            wake: agent.wake,
            changed: BEFORE,
        };
        self.in_roster(&agent.mesh, &key, &item)
    }

    fn token(&mut self, token: Token) -> Result<()> {
        let stands = |mesh: &MeshId| {
            self.meshes.get(mesh).is_some_and(|mesh| mesh.members.contains(&token.user))
        };
        let since = token.mesh.as_ref().filter(|mesh| stands(mesh)).map(|_| BEFORE);
        let end = match (token.expires_at, token.revoked_at) {
            (Some(expires), Some(revoked)) => Some(expires.min(revoked)),
            (expires, revoked) => expires.or(revoked),
        };
        self.tokens.insert(token.id.clone(), token.hash);
        if token.revoked_at.is_none() {
            let expires = token.expires_at.unwrap_or(0);
            self.of_user(&token.user)?.live.insert(token.id.clone(), expires);
        }
        let item = TokenItem {
            hash: token.hash,
            id: token.id,
            suffix: token.suffix,
            user: token.user,
            name: token.name,
            scopes: token.scopes,
            mesh: token.mesh,
            agent: token.agent,
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            since,
        };
        let place = Place { hash: item.hash };
        self.put_to_end(&keys::user_token(&item.user, &item.id), &place, end)?;
        if item.revoked_at.is_none()
            && let (Some(key), Some(since)) = (item.bound_key(), since)
        {
            let bound = BoundItem { hash: item.hash, user: item.user.clone(), since };
            self.put_to_end(&key, &bound, end)?;
        }
        self.put_to_end(&keys::token(&item.hash), &item, end)
    }

    fn cli_code(&mut self, code: CliCode) -> Result<()> {
        let CliCode { hash, user, challenge, token_name, used, token, expires_at } = code;
        let issued = |id: TokenId| self.tokens.get(&id).map(|hash| Issued { id, hash: *hash });
        let token = token.and_then(issued);
        let used = used.then_some(true);
        let item = CodeItem { user, challenge, token_name, expires_at, used, token };
        self.put_until(&keys::code(&hash), &item, expires_at.saturating_add(codes::KNOWN))
    }

    fn device_code(&mut self, code: DeviceCode) -> Result<()> {
        let until = code.expires_at.saturating_add(devices::KNOWN);
        let typed = Typed { device: code.hash };
        self.put_until(&keys::user_code(&code.user_code), &typed, until)?;
        let item = DeviceItem {
            client: code.client,
            token_name: code.token_name,
            host: code.host,
            address: code.address,
            requested_at: code.requested_at,
            expires_at: code.expires_at,
            state: match code.state {
                DeviceState::Pending => State::Pending,
                DeviceState::Approved => State::Approved,
                DeviceState::Denied => State::Denied,
                DeviceState::Used => State::Used,
            },
            user: code.user,
            every: code.every,
            next_poll: code.next_poll,
            version: 0,
        };
        self.put_until(&keys::device(&code.hash), &item, until)
    }

    fn account_link(&mut self, link: AccountLink) -> Result<()> {
        let AccountLink { hash, purpose, login, expires_at } = link;
        let purpose = match purpose {
            Said::First => Purpose::First,
            Said::Add => Purpose::Add(login),
            Said::Reset => Purpose::Reset(login),
        };
        self.put_until(&purpose.key(), &Valid { link: hash }, expires_at)?;
        self.put_until(&keys::link(&hash), &LinkItem { purpose }, expires_at)
    }

    fn invite(&mut self, invite: Invite) -> Result<()> {
        let Invite { id, mesh, hash, login, created_by, created_at, expires_at, .. } = invite;
        let (max_uses, uses) = (invite.max_uses, invite.uses);
        self.of_mesh(&mesh)?.invites.push(invites::Invite {
            id,
            hash,
            login,
            created_by,
            created_at,
            expires_at,
            max_uses,
            uses,
        });
        Ok(())
    }

    fn join_request(&mut self, request: JoinRequest) -> Result<()> {
        let JoinRequest { mesh, user, requested_at, refused_at } = request;
        let key = keys::request(&mesh, &user);
        let item = RequestItem { user, requested_at, refused_at };
        match refused_at {
            Some(at) => self.put_until(&key, &item, at.saturating_add(micros(REFUSAL_WINDOW))),
            None => self.put(&key, &item),
        }
    }

    fn message(&mut self, message: Message) -> Result<()> {
        if self.log.as_ref().is_none_or(|log| !log.goes_on_with(&message)) {
            self.end_batch()?;
        }
        let id = message.id.get();
        let log = self.log.get_or_insert_with(|| Log {
            mesh: message.mesh,
            batch: message.batch,
            first: id,
            messages: Vec::new(),
        });
        log.messages.push(NewMessage {
            stream: message.stream.parse().map_err(|why: String| fault(why))?,
            from: message.from,
            from_agent: message.from_agent,
            from_user: message.from_user,
            from_kind: message.from_kind,
            via: message.via,
            to: message.to,
            content: message.content,
            metadata: serde_json::from_str(&message.metadata).map_err(fault)?,
            hops: message.hops,
            key: None,
        });
        Ok(())
    }

    fn end_batch(&mut self) -> Result<()> {
        let Some(Log { mesh, batch, first, messages }) = self.log.take() else { return Ok(()) };
        let of = self.of_mesh(&mesh)?;
        let follows = of.last;
        of.last = first + i64::try_from(messages.len()).unwrap_or(i64::MAX) - 1;
        let batch = Batch { mesh, id: batch, epoch: 0, now: 0, messages };
        self.items.extend(chunk::encode(&batch, follows, first)?);
        Ok(())
    }

    fn sent(&mut self, sent: Idempotency) -> Result<()> {
        let key = keys::sent(&sent.mesh, &sent.agent, &keys::key_hash(&sent.key));
        let Idempotency { key: text, fingerprint, message, expires_at, .. } = sent;
        let row = SentRow { key: text, fingerprint, id: message.get() };
        self.put_until(&key, &row, expires_at)
    }

    /// Writes what is only known at the end.
    async fn finish(mut self) -> Result<()> {
        self.end_batch()?;
        for (mesh, of) in std::mem::take(&mut self.meshes) {
            if of.last != of.head.head {
                return Err(fault(format!(
                    "the newest message of mesh {mesh} is {}, and its head {}",
                    of.last, of.head.head
                )));
            }
            self.put(&keys::head(&mesh), &of.head)?;
            if !of.invites.is_empty() {
                let list = Invites { version: 1, list: of.invites };
                self.put(&keys::invite_list(&mesh), &list)?;
            }
        }
        for (user, of) in std::mem::take(&mut self.users) {
            if of.owned > 0 {
                let mut owned = keys::owned(&user).item();
                owned.insert("owned".to_owned(), n(of.owned));
                self.items.push(owned);
            }
            if !of.live.is_empty() {
                let tokens = LiveTokens { version: 1, live: of.live };
                self.put(&keys::live_tokens(&user), &tokens)?;
            }
        }
        while !self.items.is_empty() {
            self.write().await?;
        }
        Ok(())
    }
}
