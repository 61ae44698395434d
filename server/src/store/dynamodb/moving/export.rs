//! The items of the table as records. All but the messages is gathered first: a scan comes in no order.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use meshwire_protocol::{AgentId, MeshId, UserId};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::append::{HeadRow, SentRow, message_id};
use super::super::chunk::Chunk;
use super::super::codes::CodeItem;
use super::super::db::Range;
use super::super::devices::{DeviceItem, State, Typed};
use super::super::invites::{Invites, RequestItem};
use super::super::item::{Item, UNTIL, decode, fault, number, s, text};
use super::super::links::{LinkItem, Purpose, Valid};
use super::super::positions::PositionRow;
use super::super::roster::{AgentItem, MemberItem, MetaItem};
use super::super::sessions::SessionItem;
use super::super::tokens::TokenItem;
use super::super::users::UserItem;
use super::super::{DynamoStore, keys};
use crate::store::moving::{
    Account, AccountLink, Agent, CliCode, DeviceCode, DeviceState, Idempotency, Invite,
    JoinRequest, Kind, Member, Mesh, Message, Out, Piece, Purpose as Said, Record, Session, Token,
    digest_of, hex_of,
};
use crate::store::{Digest, Result};

/// What is no log, nor what nodes tell each other, nor what is noted of clients.
const KEPT: &str = "NOT begins_with(#pk, :log) AND NOT begins_with(#pk, :ended) \
                    AND NOT begins_with(#pk, :client) \
                    AND NOT begins_with(#pk, :polling) AND NOT #pk IN (:hints, :nodes)";

impl DynamoStore {
    pub(super) async fn hand_over_everything(&self, to: mpsc::Sender<Piece>) -> Result<()> {
        let opened = self.opened().await?;
        self.refuse_company().await?;
        if self.is_half_imported().await? {
            return Err(fault("an import into this table has broken off: import into it again"));
        }
        // What is left of an act would be half of it.
        while self.finish_something().await? {}
        let (records, meshes) = self.gather().await?;
        let mut out = Out::new(to);
        let after_logs = records.partition_point(|record| record.kind() < Kind::Message);
        let mut records = records.into_iter();
        for record in records.by_ref().take(after_logs) {
            out.put(record).await.map_err(fault)?;
        }
        for (mesh, head) in &meshes {
            self.hand_over_log(mesh, head, &mut out).await?;
        }
        for record in records {
            out.put(record).await.map_err(fault)?;
        }
        self.refuse_change(opened.as_ref(), &meshes).await?;
        out.end().await.map_err(fault)
    }

    /// What is in no log, in the order in which an export has it, and the meshes.
    async fn gather(&self) -> Result<(Vec<Record>, BTreeMap<MeshId, HeadRow>)> {
        let values = [
            ("log", s("log#")),
            ("client", s("client#")),
            ("ended", s("ended#")),
            ("polling", s("polling#")),
            ("hints", s(keys::HINTS)),
            ("nodes", s(keys::NODES)),
        ];
        let mut found = Found::default();
        let mut start = None;
        loop {
            let page = self.db.scan(KEPT, &values, start).await?;
            for item in &page.items {
                found.add(item)?;
            }
            start = page.next;
            if start.is_none() {
                return found.finish();
            }
        }
    }

    async fn hand_over_log(&self, mesh: &MeshId, head: &HeadRow, out: &mut Out) -> Result<()> {
        let values = [("after", s(keys::log_place(head.trimmed)))];
        let range = Range { which: "#sk > :after", values: &values, ..Range::all(keys::log(mesh)) };
        let (mut page, mut last) = (self.db.page(&range, None).await?, head.trimmed);
        loop {
            for item in &page.items {
                let (chunk, batch) = (Chunk::decode(mesh, item)?, number(item, "batch_id")?);
                let joins = chunk.follows == last || (last == head.trimmed && chunk.follows < last);
                if !joins {
                    return Err(fault(format!("the log of {mesh} has a hole after {last}")));
                }
                last = chunk.last;
                for stored in chunk.after(head.trimmed) {
                    let message = stored.message.clone();
                    let record = Message {
                        mesh: mesh.clone(),
                        id: message.id,
                        stream: stored.stream.to_string(),
                        batch,
                        from_agent: message.from_agent_id,
                        from: message.from,
                        from_user: message.from_user,
                        from_kind: message.from_kind,
                        via: message.via,
                        to: message.to,
                        content: message.content,
                        metadata: json!(message.metadata).to_string(),
                        hops: message.hops,
                    };
                    out.put(Record::Message(record)).await.map_err(fault)?;
                }
            }
            if page.next.is_none() {
                break;
            }
            page = self.db.page(&range, page.next).await?;
        }
        if last != head.head {
            return Err(fault(format!(
                "the log of {mesh} ends at {last}, its head is {}",
                head.head
            )));
        }
        Ok(())
    }
}

/// What a scan has brought so far. Some records are made of several items.
#[derive(Default)]
struct Found {
    records: Vec<Record>,
    users: HashMap<UserId, i64>,
    sessions: Vec<(SessionItem, i64)>,
    heads: HashMap<MeshId, HeadRow>,
    metas: BTreeMap<MeshId, MetaItem>,
    agents: Vec<(MeshId, AgentItem)>,
    positions: HashMap<(MeshId, AgentId), PositionRow>,
    devices: HashMap<Digest, DeviceItem>,
    typed: Vec<(Digest, Typed)>,
    links: Vec<(Digest, Purpose, i64)>,
    valid: Vec<Digest>,
}

fn parsed<T: FromStr>(text: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(fault)
}

fn digest(text: &str) -> Result<Digest> {
    digest_of(text).ok_or_else(|| fault(format!("{text:?} is not a SHA-256")))
}

impl Found {
    fn add(&mut self, item: &Item) -> Result<()> {
        let (pk, sk) = (text(item, "pk")?, text(item, "sk")?);
        let (kind, of) = pk.split_once('#').unwrap_or((pk, ""));
        match (kind, sk) {
            ("user", "user") => self.user(decode(item)?),
            ("session", _) => self.sessions.push((decode(item)?, number(item, UNTIL)?)),
            ("token", _) => self.records.push(token(decode(item)?)),
            ("code", _) => self.records.push(cli_code(digest(of)?, decode(item)?)),
            ("device", _) => drop(self.devices.insert(digest(of)?, decode(item)?)),
            ("user-code", _) => self.typed.push((digest(of)?, decode(item)?)),
            ("link", _) => {
                let LinkItem { purpose } = decode(item)?;
                self.links.push((digest(of)?, purpose, number(item, UNTIL)?));
            }
            ("links", _) => {
                let Valid { link } = decode(item)?;
                self.valid.push(link);
            }
            ("head", _) => drop(self.heads.insert(parsed(of)?, decode(item)?)),
            ("mesh", _) => self.of_mesh(parsed(of)?, sk, item)?,
            ("invites", "invites") => self.invites(&parsed(of)?, decode(item)?),
            ("invites", _) => {
                let RequestItem { user, requested_at, refused_at } = decode(item)?;
                let request = JoinRequest { mesh: parsed(of)?, user, requested_at, refused_at };
                self.records.push(Record::JoinRequest(request));
            }
            ("position", _) => {
                let (mesh, agent) = of.split_once('#').unwrap_or((of, ""));
                self.positions.insert((parsed(mesh)?, parsed(agent)?), decode(item)?);
            }
            ("sent", _) => {
                let (mesh, rest) = of.split_once('#').unwrap_or((of, ""));
                let (agent, _) = rest.split_once('#').unwrap_or((rest, ""));
                let SentRow { key, fingerprint, id } = decode(item)?;
                self.records.push(Record::Idempotency(Idempotency {
                    mesh: parsed(mesh)?,
                    agent: parsed(agent)?,
                    key,
                    fingerprint,
                    message: message_id(id)?,
                    expires_at: number(item, UNTIL)?,
                }));
            }
            // What leads to these, and counts them; and whether a server was here.
            ("user" | "identity" | "login" | "accounts" | "bound" | "meshes" | "opened", _) => {}
            _ => return Err(fault(format!("an item {pk:?} {sk:?} is of no kind that is known"))),
        }
        Ok(())
    }

    fn user(&mut self, user: UserItem) {
        let UserItem { id, identity, login, name, password, created_at, by_invite, sessions } =
            user;
        self.users.insert(id.clone(), sessions);
        self.records.push(Record::Account(Account {
            id,
            identity,
            login,
            name,
            password,
            by_invite,
            created_at,
        }));
    }

    fn of_mesh(&mut self, mesh: MeshId, sk: &str, item: &Item) -> Result<()> {
        match sk.split_once('#') {
            Some(("member", _)) => {
                let MemberItem { user, role, joined_at, .. } = decode(item)?;
                self.records.push(Record::Member(Member { mesh, user, role, joined_at }));
            }
            Some(("agent", _)) => self.agents.push((mesh, decode(item)?)),
            _ => drop(self.metas.insert(mesh, decode(item)?)),
        }
        Ok(())
    }

    fn invites(&mut self, mesh: &MeshId, invites: Invites) {
        for row in invites.newest_first(mesh) {
            self.records.push(Record::Invite(Invite {
                id: row.id,
                mesh: row.mesh,
                hash: row.hash,
                login: row.login,
                created_by: row.created_by,
                created_at: row.created_at,
                expires_at: row.expires_at,
                max_uses: row.max_uses,
                uses: row.uses,
            }));
        }
    }

    fn finish(mut self) -> Result<(Vec<Record>, BTreeMap<MeshId, HeadRow>)> {
        let mut meshes = BTreeMap::new();
        for (id, MetaItem { name, paused, created_at, .. }) in self.metas {
            let head = self.heads.remove(&id).ok_or_else(|| fault(format!("{id} has no head")))?;
            self.records.push(Record::Mesh(Mesh {
                id: id.clone(),
                name,
                paused,
                epoch: head.epoch,
                head: message_id(head.head)?,
                trimmed: message_id(head.trimmed)?,
                created_at,
            }));
            meshes.insert(id, head);
        }
        for (mesh, agent) in self.agents {
            let position = self.positions.remove(&(mesh.clone(), agent.id.clone()));
            let position =
                position.ok_or_else(|| fault(format!("agent {} has no position", agent.id)))?;
            self.records.push(self::agent(mesh, agent, &position));
        }
        for (session, expires_at) in self.sessions {
            // One of before all were ended is not there any more.
            if self.users.get(&session.user) == Some(&session.of) {
                let SessionItem { hash, id, user, client, created_at, last_seen, .. } = session;
                self.records.push(Record::Session(Session {
                    hash,
                    id,
                    user,
                    client,
                    created_at,
                    last_seen,
                    expires_at,
                }));
            }
        }
        for (user_code, Typed { device }) in self.typed {
            // The engine deletes the two one after the other.
            if let Some(item) = self.devices.remove(&device) {
                self.records.push(device_code(device, user_code, item));
            }
        }
        for (hash, purpose, expires_at) in self.links {
            if self.valid.contains(&hash) {
                let (purpose, login) = match purpose {
                    Purpose::First => (Said::First, String::new()),
                    Purpose::Add(login) => (Said::Add, login),
                    Purpose::Reset(login) => (Said::Reset, login),
                };
                let link = AccountLink { hash, purpose, login, expires_at };
                self.records.push(Record::AccountLink(link));
            }
        }
        self.records.sort_by_cached_key(order);
        Ok((self.records, meshes))
    }
}

/// The order of an export, which is the same on all engines.
fn order(record: &Record) -> (Kind, String, String, String) {
    let none = String::new;
    let (a, b, c) = match record {
        Record::Account(account) => (account.id.to_string(), none(), none()),
        Record::Session(session) => (hex_of(&session.hash), none(), none()),
        Record::Mesh(mesh) => (mesh.id.to_string(), none(), none()),
        Record::Member(member) => (member.mesh.to_string(), member.user.to_string(), none()),
        Record::Agent(agent) => (agent.mesh.to_string(), agent.id.to_string(), none()),
        Record::Token(token) => (hex_of(&token.hash), none(), none()),
        Record::CliCode(code) => (hex_of(&code.hash), none(), none()),
        Record::DeviceCode(code) => (hex_of(&code.hash), none(), none()),
        Record::AccountLink(link) => (hex_of(&link.hash), none(), none()),
        Record::Invite(invite) => (invite.id.clone(), none(), none()),
        Record::JoinRequest(asks) => (asks.mesh.to_string(), asks.user.to_string(), none()),
        Record::Message(message) => (message.mesh.to_string(), none(), none()),
        Record::Idempotency(sent) => {
            (sent.mesh.to_string(), sent.agent.to_string(), sent.key.clone())
        }
    };
    (record.kind(), a, b, c)
}

fn token(token: TokenItem) -> Record {
    Record::Token(Token {
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
    })
}

fn cli_code(hash: Digest, code: CodeItem) -> Record {
    Record::CliCode(CliCode {
        hash,
        user: code.user,
        challenge: code.challenge,
        token_name: code.token_name,
        used: code.used.is_some(),
        token: code.token.map(|issued| issued.id),
        expires_at: code.expires_at,
    })
}

fn device_code(hash: Digest, user_code: Digest, code: DeviceItem) -> Record {
    Record::DeviceCode(DeviceCode {
        hash,
        user_code,
        client: code.client,
        host: code.host,
        address: code.address,
        token_name: code.token_name,
        state: match code.state {
            State::Pending => DeviceState::Pending,
            State::Approved => DeviceState::Approved,
            State::Denied => DeviceState::Denied,
            State::Used => DeviceState::Used,
        },
        user: code.user,
        every: code.every,
        next_poll: code.next_poll,
        requested_at: code.requested_at,
        expires_at: code.expires_at,
    })
}

fn agent(mesh: MeshId, agent: AgentItem, position: &PositionRow) -> Record {
    Record::Agent(Agent {
        mesh,
        id: agent.id,
        name: agent.name,
        agent_kind: agent.kind,
        user: agent.user,
        harness: agent.harness,
        host: agent.host,
        description: agent.description,
        capabilities: agent.capabilities,
        wake: agent.wake,
        start: position.start,
        handed: position.handed,
        cursor: position.cursor,
        last_seen: position.last_seen,
        last_read: position.last_read,
        created_at: position.created_at,
    })
}
