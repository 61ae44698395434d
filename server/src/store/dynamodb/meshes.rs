//! Meshes: making, changing, listing and deleting them.

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, Role, UserId};
use serde::{Deserialize, Serialize};

use super::db::Range;
use super::item::{decode, encode, n, s, text};
use super::retry::Retry;
use super::roster::{MemberItem, MetaItem, RosterChange, begin};
use super::transaction::{Transacted, Transaction};
use super::unfinished::Unfinished;
use super::{DynamoStore, keys};
use crate::store::{
    AgentChange, Change, Ended, MeshChange, MeshStore, Micros, NewAgent, NewMesh, Register, Result,
    Roster,
};

/// What the ids of meshes begin with, in the order of the list of all.
const FIRST_CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A mesh among what a user has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserMesh {
    pub(super) created_at: Micros,
}

/// Counts a mesh for its new owner; the place of the action, which is refused when that is one too many.
pub(super) fn count_owned(
    transaction: &mut Transaction,
    user: &UserId,
    limit: u32,
) -> Result<usize> {
    let room = "attribute_not_exists(#owned) OR #owned < :limit";
    let mut values = vec![("one", n(1))];
    if limit > 0 {
        values.push(("limit", n(limit)));
    }
    let condition = (limit > 0).then_some(room);
    transaction.update(&keys::owned(user), "ADD #owned :one", condition, &values)
}

/// And for one who owns it no longer.
pub(super) fn count_less(transaction: &mut Transaction, user: &UserId) -> Result<()> {
    transaction.update(&keys::owned(user), "ADD #owned :less", None, &[("less", n(-1))]).map(drop)
}

impl DynamoStore {
    async fn begin_mesh(&self, new: &NewMesh, limit: u32) -> Result<bool> {
        let mut retry = Retry::default();
        loop {
            let owner = self.user_item(&new.owner).await?;
            let mut transaction = self.db.transaction();
            let counted = count_owned(&mut transaction, &new.owner, limit)?;
            let meta = MetaItem {
                name: new.name.clone(),
                paused: false,
                created_at: new.created_at,
                changed: 0,
            };
            let member = MemberItem {
                user: new.owner.clone(),
                login: owner.login.clone(),
                name: owner.name.clone(),
                role: Role::Owner,
                joined_at: new.created_at,
                since: 1,
                changed: 0,
            };
            begin(&mut transaction, &new.id, &meta, &member)?;
            transaction.put(keys::listed(&new.id).item())?;
            let own = UserMesh { created_at: new.created_at };
            transaction.put(encode(&keys::user_mesh(&new.owner, &new.id), &own)?)?;
            owner.still_labelled(&mut transaction)?;
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(true),
                Transacted::Refused(refusal) if refusal.failed(counted) => return Ok(false),
                Transacted::Refused(_) => retry.pause("a user is changing fast").await?,
            }
        }
    }

    async fn change_mesh(&self, mesh: &MeshId, change: &MeshChange) -> Result<bool> {
        let mut retry = Retry::default();
        loop {
            let Some(roster) = self.snapshot(mesh).await? else { return Ok(false) };
            let mut meta = roster.meta.clone();
            if let Some(name) = &change.name {
                meta.name.clone_from(name);
            }
            meta.paused = change.paused.unwrap_or(meta.paused);
            let mut change = RosterChange::new(self, mesh, &roster.head);
            change.replace(&keys::meta(mesh), &meta, roster.meta.changed)?;
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => return Ok(true),
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }

    async fn end_mesh(&self, mesh: &MeshId, now: Micros) -> Result<bool> {
        let mut retry = Retry::default();
        loop {
            let Some(roster) = self.snapshot(mesh).await? else { return Ok(false) };
            let mut change = RosterChange::new(self, mesh, &roster.head);
            change.with().delete(&keys::listed(mesh))?;
            if let Some(owner) = roster.owner() {
                count_less(change.with(), &owner.user)?;
            }
            change.with().put(self.ended_item(&Ended::Mesh(mesh.clone()))?)?;
            let note = Unfinished::Mesh { mesh: mesh.clone(), at: now };
            let note = note.noted(change.with())?;
            match self.db.transact(change.finish_with_deletion(now)?).await? {
                Transacted::Done => {
                    self.finish_soon(&note).await;
                    return Ok(true);
                }
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }

    async fn list_meshes(&self, after: Option<&MeshId>, limit: u32) -> Result<Vec<MeshId>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let first = after.map_or(0, |after| after.as_str().as_bytes()[0]);
        let mut found = Vec::new();
        for character in FIRST_CHARACTERS.iter().filter(|character| **character >= first) {
            let values = [("after", s(after.map_or("", MeshId::as_str)))];
            let continues = *character == first && after.is_some();
            let range = Range {
                which: if continues { "#sk > :after" } else { "" },
                values: if continues { &values } else { &[] },
                limit: Some(limit - found.len()),
                ..Range::all(format!("meshes#{}", char::from(*character)))
            };
            for item in self.db.page(&range, None).await?.items {
                found.push(text(&item, "sk")?.parse().map_err(super::item::fault)?);
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    async fn user_meshes(&self, user: &UserId) -> Result<Vec<MeshId>> {
        let mut found = Vec::new();
        for item in self.db.beginning(keys::of_user(user), "mesh#").await? {
            let mesh = text(&item, "sk")?.trim_start_matches("mesh#");
            let mesh: MeshId = mesh.parse().map_err(super::item::fault)?;
            let row: UserMesh = decode(&item)?;
            found.push((row.created_at, mesh));
        }
        found.sort();
        Ok(found.into_iter().map(|(_, mesh)| mesh).collect())
    }
}

#[async_trait]
impl MeshStore for DynamoStore {
    async fn create_mesh(&self, mesh: NewMesh, limit: u32) -> Result<bool> {
        self.begin_mesh(&mesh, limit).await
    }

    async fn update_mesh(&self, mesh: &MeshId, change: MeshChange) -> Result<bool> {
        self.change_mesh(mesh, &change).await
    }

    async fn delete_mesh(&self, mesh: &MeshId, now: Micros) -> Result<bool> {
        self.end_mesh(mesh, now).await
    }

    async fn meshes_of(&self, user: &UserId) -> Result<Vec<MeshId>> {
        self.user_meshes(user).await
    }

    async fn meshes(&self, after: Option<&MeshId>, limit: u32) -> Result<Vec<MeshId>> {
        self.list_meshes(after, limit).await
    }

    async fn roster(&self, mesh: &MeshId) -> Result<Option<Roster>> {
        self.whole_roster(mesh).await
    }

    async fn register_agent(&self, agent: NewAgent, limit: u32) -> Result<Register> {
        self.register(&agent, limit).await
    }

    async fn update_agent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        change: AgentChange,
    ) -> Result<Change> {
        self.change_agent(mesh, agent, &change).await
    }

    async fn remove_agent(&self, mesh: &MeshId, agent: &AgentId, now: Micros) -> Result<bool> {
        self.end_agent(mesh, agent, now).await
    }
}
