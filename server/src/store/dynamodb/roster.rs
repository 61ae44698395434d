//! Who is in a mesh, as of one epoch.
//!
//! A query may show some of what one transaction wrote and not yet the rest. So each item of a roster carries
//! the epoch in which it was written, and the head carries a sum over all of them: what was found is the
//! roster of the head's epoch when it adds up, and is looked at again when it does not. A change states the
//! epoch that it rests on, so what was true of the roster (a name that is free, a limit that is not reached)
//! is true when it is written.

use meshwire_protocol::{AgentId, AgentKind, Harness, MeshId, Role, UserId, Wake};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::DynamoStore;
use super::append::{HeadRow, message_id};
use super::db::Range;
use super::item::{decode, encode, n, text};
use super::keys::{self, Key};
use super::positions::PositionRow;
use super::retry::Retry;
use super::transaction::{Transaction, Values};
use crate::planted;
use crate::store::{AgentRow, MemberRow, MeshRow, Micros, Result, Roster};

/// A mesh without those who are in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MetaItem {
    pub(super) name: String,
    pub(super) paused: bool,
    pub(super) created_at: Micros,
    #[serde(default)]
    pub(super) changed: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MemberItem {
    pub(super) user: UserId,
    pub(super) login: String,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) joined_at: Micros,
    /// The epoch in which they came in: tells this membership from one before.
    pub(super) since: i64,
    #[serde(default)]
    pub(super) changed: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AgentItem {
    pub(super) id: AgentId,
    pub(super) name: String,
    pub(super) kind: AgentKind,
    pub(super) user: UserId,
    /// The `since` of their membership: the agents of a membership end with it.
    pub(super) since: i64,
    pub(super) harness: Option<Harness>,
    pub(super) host: Option<String>,
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    pub(super) wake: Wake,
    #[serde(default)]
    pub(super) changed: i64,
}

impl AgentItem {
    pub(super) fn row(self, position: &PositionRow) -> AgentRow {
        AgentRow {
            id: self.id,
            name: self.name,
            kind: self.kind,
            user: self.user,
            harness: self.harness,
            host: self.host,
            description: self.description,
            capabilities: self.capabilities,
            wake: self.wake,
            start: position.start,
            cursor: position.cursor,
            last_seen: position.last_seen,
        }
    }
}

/// A roster that is whole, and the head that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) head: HeadRow,
    pub(super) meta: MetaItem,
    pub(super) members: Vec<MemberItem>,
    all_agents: Vec<AgentItem>,
}

impl Snapshot {
    pub(super) fn member(&self, user: &UserId) -> Option<&MemberItem> {
        self.members.iter().find(|member| member.user == *user)
    }

    pub(super) fn owner(&self) -> Option<&MemberItem> {
        self.members.iter().find(|member| member.role == Role::Owner)
    }

    fn belongs(&self, agent: &AgentItem) -> bool {
        self.member(&agent.user).is_some_and(|member| member.since == agent.since)
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = &AgentItem> + Send {
        self.all_agents.iter().filter(|agent| self.belongs(agent))
    }

    /// Agents of members who are gone, which are left to be removed.
    pub(super) fn orphans(&self) -> impl Iterator<Item = &AgentItem> {
        self.all_agents.iter().filter(|agent| !self.belongs(agent))
    }

    pub(super) fn agent(&self, id: &AgentId) -> Option<&AgentItem> {
        self.agents().find(|agent| agent.id == *id)
    }

    pub(super) fn named(&self, name: &str) -> Option<&AgentItem> {
        let name = name.to_lowercase();
        self.agents().find(|agent| agent.name.to_lowercase() == name)
    }

    /// The agent whose id a name looks like: names are compared without regard to case.
    pub(super) fn with_id_like(&self, name: &str) -> Option<&AgentItem> {
        self.agents().find(|agent| agent.id.as_str().eq_ignore_ascii_case(name))
    }
}

/// What an item adds to the sum of its roster.
pub(super) fn mark(sk: &str, changed: i64) -> u64 {
    let hash = Sha256::new().chain_update(sk).chain_update(changed.to_be_bytes()).finalize();
    hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

impl DynamoStore {
    /// The roster of a mesh that is there.
    pub(super) async fn snapshot(&self, mesh: &MeshId) -> Result<Option<Snapshot>> {
        let mut retry = Retry::default();
        loop {
            let Some(head) = self.live_head(mesh).await? else { return Ok(None) };
            let items = self.db.range(&Range::all(keys::mesh(mesh))).await?;
            let (mut sum, mut meta) = (0, None);
            let (mut members, mut all_agents) = (Vec::new(), Vec::new());
            for item in &items {
                let sk = text(item, "sk")?;
                let changed = if let Some(("member", _)) = sk.split_once('#') {
                    let member: MemberItem = decode(item)?;
                    members.push(member);
                    members.last().map_or(0, |member| member.changed)
                } else if let Some(("agent", _)) = sk.split_once('#') {
                    let agent: AgentItem = decode(item)?;
                    all_agents.push(agent);
                    all_agents.last().map_or(0, |agent| agent.changed)
                } else {
                    let found: MetaItem = decode(item)?;
                    meta.insert(found).changed
                };
                sum ^= mark(sk, changed);
            }
            if (sum == head.sum || planted::is("roster-not-added-up"))
                && let Some(meta) = meta
            {
                return Ok(Some(Snapshot { head, meta, members, all_agents }));
            }
            retry.pause("a roster cannot be seen whole").await?;
        }
    }

    pub(super) async fn whole_roster(&self, mesh: &MeshId) -> Result<Option<Roster>> {
        let Some(found) = self.snapshot(mesh).await? else { return Ok(None) };
        let positions = self.position_rows(mesh, found.agents().map(|agent| &agent.id)).await?;
        let mut agents = Vec::with_capacity(positions.len());
        for agent in found.agents() {
            // Without its numbers it was removed after the roster was read.
            if let Some(position) = positions.get(&agent.id) {
                agents.push(agent.clone().row(position));
            }
        }
        agents.sort_by_cached_key(|agent| agent.name.to_lowercase());
        let mut members: Vec<_> = found
            .members
            .into_iter()
            .map(|MemberItem { user, login, name, role, joined_at, .. }| MemberRow {
                user,
                login,
                name,
                role,
                joined_at,
            })
            .collect();
        members.sort_by_cached_key(|member| member.login.to_lowercase());
        let MetaItem { name, paused, created_at, .. } = found.meta;
        let mesh = MeshRow { id: mesh.clone(), name, paused, created_at };
        Ok(Some(Roster { epoch: found.head.epoch, mesh, members, agents }))
    }
}

/// A change of a roster to be: it raises the epoch.
pub(super) struct RosterChange {
    mesh: MeshId,
    head: HeadRow,
    sum: u64,
    rest: Transaction,
}

/// The place in the transaction of what moves the head.
pub(super) const HEAD: usize = 0;

impl RosterChange {
    pub(super) fn new(store: &DynamoStore, mesh: &MeshId, head: &HeadRow) -> Self {
        let rest = store.db.transaction();
        Self { mesh: mesh.clone(), head: head.clone(), sum: head.sum, rest }
    }

    /// The epoch that it begins.
    pub(super) fn epoch(&self) -> i64 {
        self.head.epoch + 1
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len() + 1
    }

    /// What else is written with it. The places of these actions are one more than it says.
    pub(super) fn with(&mut self) -> &mut Transaction {
        &mut self.rest
    }

    pub(super) fn put_new(&mut self, key: &Key, row: &impl Serialize) -> Result<()> {
        self.sum ^= mark(&key.sk, self.epoch());
        let item = self.item(key, row)?;
        self.rest.put_new(item).map(drop)
    }

    pub(super) fn replace(&mut self, key: &Key, row: &impl Serialize, changed: i64) -> Result<()> {
        self.sum ^= mark(&key.sk, changed) ^ mark(&key.sk, self.epoch());
        let item = self.item(key, row)?;
        self.rest.put_if(item, Some(UNCHANGED), &[("changed", n(changed))]).map(drop)
    }

    pub(super) fn remove(&mut self, key: &Key, changed: i64) -> Result<()> {
        self.sum ^= mark(&key.sk, changed);
        self.rest.delete_if(key, Some(UNCHANGED), &[("changed", n(changed))]).map(drop)
    }

    fn item(&self, key: &Key, row: &impl Serialize) -> Result<super::item::Item> {
        let mut item = encode(key, row)?;
        item.insert("changed".to_owned(), n(self.epoch()));
        Ok(item)
    }

    pub(super) fn finish(self) -> Result<Transaction> {
        self.close("SET #epoch = :next, #sum = :sum", "", &[])
    }

    /// The same, and nothing was appended since the head was read either.
    pub(super) fn finish_at_head(self) -> Result<Transaction> {
        let head = self.head.head;
        self.close("SET #epoch = :next, #sum = :sum", " AND #head = :head", &[("head", n(head))])
    }

    /// The last change of a mesh: from then on it is not there.
    pub(super) fn finish_with_deletion(self, at: Micros) -> Result<Transaction> {
        self.close("SET #epoch = :next, #sum = :sum, #deleted_at = :at", "", &[("at", n(at))])
    }

    fn close(self, update: &str, also: &str, more: Values<'_>) -> Result<Transaction> {
        let condition = format!("#epoch = :epoch AND attribute_not_exists(#deleted_at){also}");
        let mut values =
            vec![("epoch", n(self.head.epoch)), ("next", n(self.epoch())), ("sum", n(self.sum))];
        values.extend(more.iter().cloned());
        let mut whole = self.rest.empty();
        whole.update(&keys::head(&self.mesh), update, Some(&condition), &values)?;
        whole.extend(self.rest);
        Ok(whole)
    }
}

const UNCHANGED: &str = "#changed = :changed";

/// The items of a mesh that begins, with its owner in it.
pub(super) fn begin(
    transaction: &mut Transaction,
    mesh: &MeshId,
    meta: &MetaItem,
    owner: &MemberItem,
) -> Result<()> {
    const FIRST: i64 = 1;
    let mut sum = 0;
    let meta_key = keys::meta(mesh);
    let member_key = keys::member(mesh, &owner.user);
    for (key, mut item) in
        [(&meta_key, encode(&meta_key, meta)?), (&member_key, encode(&member_key, owner)?)]
    {
        item.insert("changed".to_owned(), n(FIRST));
        sum ^= mark(&key.sk, FIRST);
        transaction.put_new(item)?;
    }
    let head = HeadRow { epoch: FIRST, head: 0, trimmed: 0, sum, deleted_at: None };
    transaction.put_new(encode(&keys::head(mesh), &head)?).map(drop)
}

/// Where an agent that is registered now begins.
pub(super) fn start(head: &HeadRow, now: Micros) -> Result<PositionRow> {
    Ok(PositionRow::new(message_id(head.head)?, now))
}
