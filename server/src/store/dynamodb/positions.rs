//! The three numbers of an agent, and when it was seen.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use meshwire_protocol::{AgentId, MeshId, MessageId};
use serde::{Deserialize, Serialize};

use super::DynamoStore;
use super::append::message_id;
use super::db::Updated;
use super::item::{decode, n};
use super::keys;
use crate::store::{Micros, Move, Position, Result, Seen};

/// Writes that go on at once.
const AT_ONCE: usize = 16;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PositionRow {
    pub(super) start: MessageId,
    pub(super) handed: MessageId,
    pub(super) cursor: MessageId,
    pub(super) last_seen: Option<Micros>,
    pub(super) last_read: Option<Micros>,
    pub(super) created_at: Micros,
}

impl PositionRow {
    pub(super) fn new(start: MessageId, created_at: Micros) -> Self {
        Self { start, handed: start, cursor: start, last_seen: None, last_read: None, created_at }
    }

    /// Since when it holds what it has not read.
    pub(super) fn holds_from(&self) -> Micros {
        self.last_read.unwrap_or(0).max(self.created_at)
    }
}

impl DynamoStore {
    pub(super) async fn position_row(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
    ) -> Result<Option<PositionRow>> {
        self.db.get(&keys::position(mesh, agent)).await?.as_ref().map(decode).transpose()
    }

    /// Those of some agents.
    pub(super) async fn position_rows<'a>(
        &self,
        mesh: &MeshId,
        agents: impl Iterator<Item = &'a AgentId> + Send,
    ) -> Result<HashMap<AgentId, PositionRow>> {
        let agents: HashMap<_, _> =
            agents.map(|agent| (keys::position(mesh, agent), agent.clone())).collect();
        let found = self.db.get_many(agents.keys().cloned().collect()).await?;
        found
            .iter()
            .filter_map(|(key, item)| {
                let agent = agents.get(key)?.clone();
                Some(decode(item).map(|row| (agent, row)))
            })
            .collect()
    }

    pub(super) async fn three_numbers(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
    ) -> Result<Option<Position>> {
        let row = self.position_row(mesh, agent).await?;
        Ok(row.map(|PositionRow { start, handed, cursor, .. }| Position { start, handed, cursor }))
    }

    pub(super) async fn put_cursor(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        to: MessageId,
        how: Move,
    ) -> Result<Option<MessageId>> {
        // A head never moves back: one that was seen is good enough to stay below it.
        let known = self.heads.get(mesh).is_some_and(|(_, head)| head >= to.get());
        let to = if known {
            to
        } else {
            let Some(head) = self.live_head(mesh).await? else { return Ok(None) };
            to.min(message_id(head.head)?)
        };
        let condition = match how {
            Move::Acknowledge => "attribute_exists(pk) AND #cursor < :to",
            Move::Set => "attribute_exists(pk)",
        };
        let values = [("to", n(to.get()))];
        let key = keys::position(mesh, agent);
        let item = match self.db.update(&key, "SET #cursor = :to", condition, &values).await? {
            Updated::Done(item) => Some(item),
            Updated::Refused(item) => item,
        };
        Ok(item.as_ref().map(decode::<PositionRow>).transpose()?.map(|row| row.cursor))
    }

    pub(super) async fn merge_seen(&self, seen: &[Seen]) -> Result<()> {
        let mut merged: HashMap<(&MeshId, &AgentId), (Micros, Option<Micros>, MessageId)> =
            HashMap::new();
        for seen in seen {
            let (at, read_at, handed) = merged.entry((&seen.mesh, &seen.agent)).or_insert((
                seen.at,
                seen.read_at,
                seen.handed,
            ));
            *at = seen.at.max(*at);
            *read_at = seen.read_at.max(*read_at);
            *handed = seen.handed.max(*handed);
        }
        let merged: Vec<Seen> = merged
            .into_iter()
            .map(|((mesh, agent), (at, read_at, handed))| Seen {
                mesh: mesh.clone(),
                agent: agent.clone(),
                at,
                read_at,
                handed,
            })
            .collect();
        stream::iter(merged)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |seen| async move { self.merge_one(seen).await })
            .await
    }

    /// Writes what is larger than what is kept, each of the numbers on its own.
    async fn merge_one(&self, mut seen: Seen) -> Result<()> {
        let key = keys::position(&seen.mesh, &seen.agent);
        loop {
            let mut update = "SET #last_seen = :at, #handed = :handed".to_owned();
            let mut condition = "attribute_exists(pk) AND #handed <= :handed \
                 AND (attribute_not_exists(#last_seen) OR #last_seen <= :at)"
                .to_owned();
            let mut values = vec![("at", n(seen.at)), ("handed", n(seen.handed.get()))];
            if let Some(read_at) = seen.read_at {
                update.push_str(", #last_read = :read");
                condition
                    .push_str(" AND (attribute_not_exists(#last_read) OR #last_read <= :read)");
                values.push(("read", n(read_at)));
            }
            match self.db.update(&key, &update, &condition, &values).await? {
                // Nobody is made by being seen.
                Updated::Done(_) | Updated::Refused(None) => return Ok(()),
                Updated::Refused(Some(item)) => {
                    let row: PositionRow = decode(&item)?;
                    seen.at = seen.at.max(row.last_seen.unwrap_or(seen.at));
                    seen.read_at = seen.read_at.map(|at| at.max(row.last_read.unwrap_or(at)));
                    seen.handed = seen.handed.max(row.handed);
                }
            }
        }
    }
}
