//! What a node remembers to ask less, and whose turn it is there. Nothing here is believed: a head that is remembered is only tried as
//! the condition of an append, and an item of a log never changes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwire_protocol::MeshId;

use super::chunk::Chunk;

/// Entries of a map before the older half is forgotten.
const MOST: usize = 100_000;
/// Bytes of logs that are kept.
const MOST_BYTES: usize = 32 * 1024 * 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was looked up lately: the newest entries at least, and no more than twice as many.
#[derive(Debug)]
pub(super) struct Recent<K, V>(Mutex<[HashMap<K, V>; 2]>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let maps = lock(&self.0);
        maps.iter().find_map(|map| map.get(key).cloned())
    }

    pub(super) fn put(&self, key: K, value: V) {
        let mut maps = lock(&self.0);
        if maps[0].len() >= MOST {
            maps.swap(0, 1);
            maps[0].clear();
        }
        maps[0].insert(key, value);
    }
}

/// The newest heads that were seen: the epoch, and the id of the newest message.
pub(super) type Heads = Recent<MeshId, (i64, i64)>;

/// Pieces of logs that were read and may be asked for again: the rest of what one request brought, when a
/// page ended before it.
#[derive(Debug, Default)]
pub(super) struct Chunks(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By their last ids.
    logs: HashMap<MeshId, BTreeMap<i64, Arc<Chunk>>>,
    order: VecDeque<(MeshId, i64)>,
    bytes: usize,
}

impl Chunks {
    pub(super) fn keep(&self, mesh: &MeshId, chunk: &Arc<Chunk>) {
        let mut kept = lock(&self.0);
        let log = kept.logs.entry(mesh.clone()).or_default();
        if log.insert(chunk.last, Arc::clone(chunk)).is_some() {
            return;
        }
        kept.order.push_back((mesh.clone(), chunk.last));
        kept.bytes += chunk.bytes;
        while kept.bytes > MOST_BYTES
            && let Some((mesh, last)) = kept.order.pop_front()
        {
            let Some(log) = kept.logs.get_mut(&mesh) else { continue };
            let gone = log.remove(&last);
            if log.is_empty() {
                kept.logs.remove(&mesh);
            }
            kept.bytes -= gone.map_or(0, |gone| gone.bytes);
        }
    }

    /// The piece with what comes next after an id.
    pub(super) fn after(&self, mesh: &MeshId, id: i64) -> Option<Arc<Chunk>> {
        let kept = lock(&self.0);
        let (_, chunk) = kept.logs.get(mesh)?.range(id.checked_add(1)?..).next()?;
        (chunk.follows <= id).then(|| Arc::clone(chunk))
    }

    /// The piece that ends with an id.
    pub(super) fn ending(&self, mesh: &MeshId, last: i64) -> Option<Arc<Chunk>> {
        lock(&self.0).logs.get(mesh)?.get(&last).cloned()
    }
}

/// Turns at the log of each mesh: who comes first has it first. Without them, those of one node would race
/// each other for a head, and the slowest might never get it.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<MeshId, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for a turn, which lasts until it is dropped.
    pub(super) async fn take(&self, mesh: &MeshId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = lock(&self.0);
            if turns.len() >= MOST {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry(mesh.clone()).or_default())
        };
        turn.lock_owned().await
    }
}
