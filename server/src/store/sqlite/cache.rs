//! What the writer knows without asking the file.
//!
//! This process is the only one on the file (it holds the lock), and the writer task is the only one that
//! changes it. So what the writer notes here after each commit is exact, and a send or a poll that finds
//! what it needs here asks the database nothing. Only the writer adds to these maps: a value read by anyone
//! else could be older than one that the writer has just committed.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use meshwire_protocol::{AgentId, MeshId};

use crate::store::{Bearer, Digest, Head, Position};

/// Entries of each kind before a map is emptied; it fills again from the file.
const MOST: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Cache {
    maps: RwLock<Maps>,
}

#[derive(Debug, Default)]
pub(super) struct Maps {
    /// `None`: there is no such mesh.
    pub(super) heads: HashMap<MeshId, Option<Head>>,
    pub(super) positions: HashMap<(MeshId, AgentId), Position>,
    pub(super) tokens: HashMap<Digest, Bearer>,
}

/// What a committed transaction means for the cache.
#[derive(Debug)]
pub(super) enum Effect {
    Head(MeshId, Option<Head>),
    Position(MeshId, AgentId, Position),
    /// Somebody or all have left this mesh.
    LeftMesh(MeshId),
    Token(Bearer),
    /// Some tokens or users changed: forget them all.
    TokensChanged,
}

impl Cache {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the writer after a commit, before anyone is answered.
    pub(super) fn apply(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let mut maps = self.write();
        for effect in effects {
            match effect {
                Effect::Head(mesh, head) => {
                    make_room(&mut maps.heads);
                    maps.heads.insert(mesh, head);
                }
                Effect::Position(mesh, agent, position) => {
                    make_room(&mut maps.positions);
                    maps.positions.insert((mesh, agent), position);
                }
                Effect::LeftMesh(mesh) => {
                    maps.heads.remove(&mesh);
                    maps.positions.retain(|(of, _), _| *of != mesh);
                }
                Effect::Token(found) => {
                    make_room(&mut maps.tokens);
                    maps.tokens.insert(found.0.hash, found);
                }
                Effect::TokensChanged => maps.tokens.clear(),
            }
        }
    }

    /// Called when the outcome of a transaction is not known.
    pub(super) fn clear(&self) {
        *self.write() = Maps::default();
    }
}

fn make_room<K, V>(map: &mut HashMap<K, V>) {
    if map.len() >= MOST {
        map.clear();
    }
}
