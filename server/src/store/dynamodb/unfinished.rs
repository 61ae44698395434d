//! What an act leaves to be done after it: what no longer decides anything, and may be more than one
//! transaction holds.
//!
//! The act notes it in its own transaction and does it right after; should the node die over it, a purge
//! does. Doing it twice is harmless.

use meshwire_protocol::{AgentId, MeshId, TokenId, UserId};
use serde::{Deserialize, Serialize};

use super::DynamoStore;
use super::chunk::Chunk;
use super::db::Range;
use super::item::{decode, encode, n, text};
use super::keys::{self, Key};
use super::retry::Retry;
use super::roster::RosterChange;
use super::transaction::{Transacted, Transaction};
use crate::error::chain;
use crate::store::{Micros, Result};

/// Messages after which one step of a purge removes no further item.
const STEP: usize = 400;
/// Agents that are removed in one transaction.
pub(super) const AGENTS_AT_ONCE: usize = 40;

/// What is left to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub(super) enum Unfinished {
    /// All of a deleted mesh.
    Mesh { mesh: MeshId, at: Micros },
    /// The agents and tokens of a membership that ended in this epoch.
    Member { mesh: MeshId, user: UserId, epoch: i64, at: Micros },
    /// The tokens of an agent.
    Agent { mesh: MeshId, user: UserId, agent: AgentId, at: Micros },
    /// The copies of a user's login and name.
    Label { user: UserId },
}

/// A note of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    /// Random: tells it from another of the same thing.
    id: i64,
    #[serde(flatten)]
    what: Unfinished,
}

impl Unfinished {
    fn key(&self) -> Key {
        let sk = match self {
            Self::Mesh { mesh, .. } => format!("mesh#{mesh}"),
            Self::Member { mesh, user, .. } => format!("member#{mesh}#{user}"),
            Self::Agent { mesh, agent, .. } => format!("agent#{mesh}#{agent}"),
            Self::Label { user } => format!("label#{user}"),
        };
        Key::new(keys::UNFINISHED, sk)
    }

    /// Notes it in the transaction of its act.
    pub(super) fn noted(self, transaction: &mut Transaction) -> Result<Note> {
        let key = self.key();
        let note = Note { id: rand::random(), what: self };
        transaction.put(encode(&key, &note)?)?;
        Ok(note)
    }
}

impl DynamoStore {
    /// Does what is left of an act that has been done; the tokens that were revoked. What fails is left to a
    /// purge: the act itself stands.
    pub(super) async fn finish_soon(&self, note: &Note) -> Vec<TokenId> {
        let finished = async {
            let revoked = self.finish(&note.what).await?;
            if !matches!(note.what, Unfinished::Mesh { .. }) {
                self.forget(note).await?;
            }
            Ok(revoked)
        };
        match finished.await {
            Ok(revoked) => revoked,
            Err(error) => {
                let error: crate::store::StoreError = error;
                tracing::warn!(error = %chain(&error), "the rest of a change is left for later");
                Vec::new()
            }
        }
    }

    async fn forget(&self, note: &Note) -> Result<()> {
        let mut transaction = self.db.transaction();
        // Not one that was made since.
        let same = "attribute_not_exists(pk) OR #id = :id";
        transaction.delete_if(&note.what.key(), Some(same), &[("id", n(note.id))])?;
        self.db.transact(transaction).await.map(drop)
    }

    /// A step of what is unfinished; `true` when there was something.
    pub(super) async fn finish_something(&self) -> Result<bool> {
        let range = Range { limit: Some(1), ..Range::all(keys::UNFINISHED) };
        let page = self.db.page(&range, None).await?;
        let Some(note) = page.items.first() else { return Ok(false) };
        let note: Note = decode(note)?;
        if let Unfinished::Mesh { mesh, .. } = &note.what {
            if self.remove_log(mesh).await? {
                return Ok(true);
            }
            self.finish(&note.what).await?;
            self.db.delete(&keys::head(mesh)).await?;
        } else {
            self.finish(&note.what).await?;
        }
        self.forget(&note).await?;
        Ok(true)
    }

    async fn finish(&self, what: &Unfinished) -> Result<Vec<TokenId>> {
        match what {
            Unfinished::Mesh { mesh, at } => {
                let revoked = self.revoke_bound(mesh, "", None, *at).await?;
                self.remove_roster(mesh).await?;
                Ok(revoked)
            }
            Unfinished::Member { mesh, user, epoch, at } => {
                self.remove_orphans(mesh).await?;
                let place = keys::bound_place(user, None);
                self.revoke_bound(mesh, &place, Some(*epoch), *at).await
            }
            Unfinished::Agent { mesh, user, agent, at } => {
                let place = keys::bound_place(user, Some(agent));
                self.revoke_bound(mesh, &place, None, *at).await
            }
            Unfinished::Label { user } => self.relabel(user).await.map(|()| Vec::new()),
        }
    }

    /// The roster of a deleted mesh, its invites, and what its members have of it.
    async fn remove_roster(&self, mesh: &MeshId) -> Result<()> {
        let mut gone = Vec::new();
        for partition in [keys::mesh(mesh), keys::invites(mesh), keys::polling(mesh)] {
            let range = Range { attributes: "#pk, #sk", ..Range::all(partition) };
            for item in self.db.range(&range).await? {
                match text(&item, "sk")?.split_once('#') {
                    Some(("member", user)) => {
                        let user = user.parse().map_err(super::item::fault)?;
                        gone.push(keys::user_mesh(&user, mesh));
                    }
                    Some(("agent", agent)) => {
                        let agent = agent.parse().map_err(super::item::fault)?;
                        gone.push(keys::position(mesh, &agent));
                    }
                    _ => {}
                }
                // After what is found by it.
                gone.push(Key::of(&item)?);
            }
        }
        self.db.delete_many(gone).await
    }

    /// Agents whose member is gone.
    async fn remove_orphans(&self, mesh: &MeshId) -> Result<()> {
        let mut retry = Retry::default();
        while let Some(roster) = self.snapshot(mesh).await? {
            let mut change = RosterChange::new(self, mesh, &roster.head);
            for agent in roster.orphans().take(AGENTS_AT_ONCE) {
                change.remove(&keys::agent(mesh, &agent.id), agent.changed)?;
                change.with().delete(&keys::position(mesh, &agent.id))?;
            }
            if change.len() == 1 {
                break;
            }
            if let Transacted::Refused(_) = self.db.transact(change.finish()?).await? {
                retry.pause("a mesh is changing fast").await?;
            }
        }
        Ok(())
    }

    /// Some of the log of a deleted mesh, with the idempotency records of its messages; `false` when there
    /// is none.
    async fn remove_log(&self, mesh: &MeshId) -> Result<bool> {
        let range = Range { limit: Some(20), ..Range::all(keys::log(mesh)) };
        let page = self.db.page(&range, None).await?;
        let (mut gone, mut messages) = (Vec::new(), 0);
        for item in &page.items {
            let chunk = Chunk::decode(mesh, item)?;
            gone.extend(chunk.keys.iter().map(|(agent, key)| keys::sent(mesh, agent, key)));
            gone.push(Key::of(item)?);
            messages += chunk.messages.len();
            if messages >= STEP {
                break;
            }
        }
        let any = !gone.is_empty();
        self.db.delete_many(gone).await?;
        Ok(any)
    }
}
