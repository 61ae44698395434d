//! What nodes tell each other. Times in these items are by the engine's clock, which is the same for all nodes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, MessageId, TokenId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::append::HeadRow;
use super::db::{Db, Range};
use super::item::{Item, decode, encode_until, s, text};
use super::keys::{self, Key};
use super::{DynamoStore, item};
use crate::clock::micros;
use crate::planted;
use crate::secret;
use crate::store::{Ended, EndedRow, Head, Micros, NodeStore, Present, Result, Store as _};

/// How often all heads are looked at, however many hints come.
const SWEEP: Duration = Duration::from_secs(10);
/// Between two hints of a node. The first one after a pause is written at once; what comes in the meantime is in the
/// next one, for a hint costs a unit of writing.
const BETWEEN: Duration = Duration::from_millis(100);
/// Between two looks for hints. A look that is not consistent costs half a unit of reading for each 4 KB that the hints
/// of [`BACK`] have, half a unit also when there are none: 10 units a second for a node on which polls wait and no other
/// one writes, 12 cents of dollar a day, as much as consistent looks half as often. Where no poll waits nobody looks.
const LOOK: Duration = Duration::from_millis(50);
/// How far back a look goes: what the engine's clock is known to, and the way to the table, may be late.
const BACK: Micros = 3_000_000;
/// Who has not looked for this long may have missed hints.
const MISSED: Duration = Duration::from_secs(2);
/// How far back `ended` goes, clocks that differ included, and how far forward.
const ENDED_BACK: Micros = 20_000_000;
const ENDED_AHEAD: Micros = 10_000_000;

const MINUTE: Micros = 60_000_000;
const HOUR: Micros = 60 * MINUTE;
const DAY: Micros = 24 * HOUR;

/// This process among those on the table.
#[derive(Debug)]
pub(super) struct Node {
    id: String,
    heard: Mutex<Heard>,
    /// Who it has said is there, and when.
    said: Mutex<HashMap<MeshId, (Present, Micros)>>,
}

/// What it has heard of.
#[derive(Debug)]
struct Heard {
    /// By their `sk`.
    hints: BTreeSet<String>,
    looked: Instant,
}

impl Default for Node {
    fn default() -> Self {
        let heard = Heard { hints: BTreeSet::new(), looked: Instant::now() };
        Self { id: secret::base62(12), heard: Mutex::new(heard), said: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Serialize, Deserialize)]
struct HintItem {
    heads: Vec<(MeshId, MessageId)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LeaseItem {
    lease: Micros,
}

#[derive(Debug, Serialize, Deserialize)]
struct PollingItem {
    agents: Vec<AgentId>,
    #[serde(default)]
    recent: Vec<AgentId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EndedItem {
    id: i64,
    token: Option<TokenId>,
    mesh: Option<MeshId>,
}

/// A place by time: 16 digits, as in the log.
fn place(at: Micros) -> String {
    format!("{at:016}")
}

impl Node {
    /// Says goodbye: nobody polls on this node any more. When that fails, its lease runs out.
    pub(super) async fn leave(&self, db: &Db) {
        let _ = db.delete(&Key::new(keys::NODES, &self.id)).await;
    }

    /// The new ones of some hints.
    fn news(&self, items: &[Item]) -> Result<Vec<(MeshId, MessageId)>> {
        let mut heard = lock(&self.heard);
        let mut heads: HashMap<MeshId, MessageId> = HashMap::new();
        for item in items {
            let sk = text(item, "sk")?;
            if sk.ends_with(&self.id) || !heard.hints.insert(sk.to_owned()) {
                continue;
            }
            let hint: HintItem = decode(item)?;
            for (mesh, head) in hint.heads {
                let newest = heads.entry(mesh).or_default();
                *newest = head.max(*newest);
            }
        }
        Ok(heads.into_iter().collect())
    }

    /// Begins a look; whether the last one is so long ago that something may have been missed.
    fn looks(&self, now: Micros) -> bool {
        let mut heard = lock(&self.heard);
        // No look comes back to these.
        let old = place(now - 2 * BACK);
        heard.hints = heard.hints.split_off(&old);
        heard.looked.elapsed() > MISSED
    }

    fn looked(&self) {
        lock(&self.heard).looked = Instant::now();
    }
}

impl DynamoStore {
    /// An entry of the `ended` log, to be written with what ends something.
    pub(super) fn ended_item(&self, what: &Ended) -> Result<Item> {
        let now = self.clock.now();
        let id: i64 = rand::random();
        let (token, mesh) = match what {
            Ended::Token(token) => (Some(token.clone()), None),
            Ended::Mesh(mesh) => (None, Some(mesh.clone())),
        };
        let sk = format!("{}#{}#{id:x}", place(now), self.node.id);
        let key = Key::new(keys::ended(now / MINUTE), sk);
        encode_until(&key, &EndedItem { id, token, mesh }, now + HOUR)
    }

    async fn say(&self, mesh: &MeshId, present: &Present, now: Micros) -> Result<()> {
        let key = Key::new(keys::polling(mesh), &self.node.id);
        let Present { polling, recent } = present.clone();
        if polling.is_empty() && recent.is_empty() {
            return self.db.delete(&key).await;
        }
        let item = PollingItem { agents: polling, recent };
        self.db.put(encode_until(&key, &item, now + DAY)?).await
    }
}

#[async_trait]
impl NodeStore for DynamoStore {
    fn sweep(&self) -> Duration {
        SWEEP
    }

    async fn heads(&self, meshes: &[MeshId]) -> Result<HashMap<MeshId, Head>> {
        let found = self.db.get_many(meshes.iter().map(keys::head).collect()).await?;
        let mut heads = HashMap::with_capacity(found.len());
        for mesh in meshes {
            let Some(item) = found.get(&keys::head(mesh)) else { continue };
            let head: HeadRow = decode(item)?;
            if head.deleted_at.is_none() {
                heads.insert(mesh.clone(), head.public()?);
            }
        }
        Ok(heads)
    }

    async fn hint(&self, heads: &[(MeshId, MessageId)]) -> Result<()> {
        if planted::is("hints-dropped") {
            return Ok(());
        }
        let now = self.clock.now();
        let key = Key::new(keys::HINTS, format!("{}#{}", place(now), self.node.id));
        let hint = HintItem { heads: heads.to_vec() };
        self.db.put(encode_until(&key, &hint, now + MINUTE)?).await?;
        // What comes in the meantime goes into one item.
        tokio::time::sleep(BETWEEN).await;
        Ok(())
    }

    async fn hinted(
        &self,
        waits: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<(MeshId, MessageId)>>> {
        loop {
            tokio::time::sleep(LOOK).await;
            if !waits() {
                // Who comes to wait begins by looking at the head, and what is told from then on is not yet old.
                self.node.looked();
                continue;
            }
            let now = self.clock.now();
            let missed = self.node.looks(now);
            let values = [("from", s(place(now - BACK)))];
            // What is not seen in one look is in a later one.
            let range = Range {
                which: "#sk > :from",
                values: &values,
                consistent: false,
                ..Range::all(keys::HINTS)
            };
            let items = self.db.range(&range).await?;
            let news = self.node.news(&items)?;
            self.node.looked();
            if missed {
                return Ok(None);
            }
            if !news.is_empty() {
                return Ok(Some(news));
            }
        }
    }

    async fn ended(&self) -> Result<Vec<EndedRow>> {
        let now = self.clock.now();
        let from = now - ENDED_BACK;
        let values = [("from", s(place(from)))];
        let mut rows = Vec::new();
        for minute in from / MINUTE..=(now + ENDED_AHEAD) / MINUTE {
            let which = "#sk > :from";
            let range = Range { which, values: &values, ..Range::all(keys::ended(minute)) };
            for item in self.db.range(&range).await? {
                let ended: EndedItem = decode(&item)?;
                let what = match ended {
                    EndedItem { token: Some(token), .. } => Ended::Token(token),
                    EndedItem { mesh: Some(mesh), .. } => Ended::Mesh(mesh),
                    _ => return Err(item::fault("something has ended, and it is not said what")),
                };
                rows.push(EndedRow { id: ended.id, what });
            }
        }
        Ok(rows)
    }

    async fn now(&self) -> Result<Option<Micros>> {
        // An answer from just now: what time has passed since an older one is not known when the computer slept.
        self.ping().await?;
        Ok(self.clock.told())
    }

    async fn renew(&self, lease: Duration) -> Result<()> {
        let now = self.clock.now();
        let key = Key::new(keys::NODES, &self.node.id);
        let lease = now.saturating_add(micros(lease));
        self.db.put(encode_until(&key, &LeaseItem { lease }, lease + HOUR)?).await?;
        // What was said long ago is said again before the engine deletes it.
        let old: Vec<(MeshId, Present)> = lock(&self.node.said)
            .iter_mut()
            .filter(|(_, (_, at))| *at < now - DAY / 2)
            .map(|(mesh, (present, at))| {
                *at = now;
                (mesh.clone(), present.clone())
            })
            .collect();
        for (mesh, present) in old {
            self.say(&mesh, &present, now).await?;
        }
        Ok(())
    }

    async fn note_present(&self, mesh: &MeshId, present: &Present) -> Result<()> {
        let now = self.clock.now();
        self.say(mesh, present, now).await?;
        let mut said = lock(&self.node.said);
        if *present == Present::default() {
            said.remove(mesh);
        } else {
            said.insert(mesh.clone(), (present.clone(), now));
        }
        Ok(())
    }

    async fn present(&self, mesh: &MeshId) -> Result<Present> {
        let mut said = self.db.range(&Range::all(keys::polling(mesh))).await?;
        said.retain(|item| text(item, "sk").is_ok_and(|node| node != self.node.id));
        if said.is_empty() {
            return Ok(Present::default());
        }
        let mut leases = Vec::with_capacity(said.len());
        for item in &said {
            leases.push(Key::new(keys::NODES, text(item, "sk")?));
        }
        let found = self.db.get_many(leases.clone()).await?;
        let now = self.clock.now();
        let mut present = Present::default();
        for (item, lease) in said.iter().zip(&leases) {
            let Some(lease) = found.get(lease) else { continue };
            let (lease, item): (LeaseItem, PollingItem) = (decode(lease)?, decode(item)?);
            if lease.lease > now {
                present.polling.extend(item.agents);
                present.recent.extend(item.recent);
            }
        }
        Ok(present)
    }

    async fn last_seen(&self, mesh: &MeshId, agents: &[AgentId]) -> Result<Vec<(AgentId, Micros)>> {
        let rows = self.position_rows(mesh, agents.iter()).await?;
        Ok(rows.into_iter().filter_map(|(agent, row)| Some((agent, row.last_seen?))).collect())
    }
}

impl DynamoStore {
    /// Whether another node has a lease that has not run out.
    pub(super) async fn is_shared(&self) -> Result<bool> {
        let now = self.clock.now();
        for item in self.db.range(&Range::all(keys::NODES)).await? {
            let lease: LeaseItem = decode(&item)?;
            if lease.lease > now && text(&item, "sk")? != self.node.id {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
