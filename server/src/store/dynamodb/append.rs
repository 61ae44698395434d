//! Appending: one transaction moves the head, puts the batch that names it, and takes the idempotency keys.

use meshwire_protocol::{MeshId, MessageId};
use serde::{Deserialize, Serialize};

use super::item::{Item, decode, encode_until, fault, hex, n, number};
use super::keys::{self, Key};
use super::retry::Retry;
use super::transaction::{Refusal, Transacted, Transaction};
use super::{DynamoStore, chunk};
use crate::planted;
use crate::store::{Appended, Batch, Digest, Head, Micros, Result, StoreError};

/// A node's clock that is further ahead of the engine's than this is not used for ids.
const CLOCK_TOLERANCE: Micros = 60 * 1_000_000;

/// Idempotency keys in a batch, at most: a transaction has 100 actions, of which the head is one, and the
/// messages of a batch as large as one may be are nine.
pub(super) const MOST_KEYS: usize = 90;

/// The head row of a mesh as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HeadRow {
    pub(super) epoch: i64,
    pub(super) head: i64,
    pub(super) trimmed: i64,
    /// Says of what the roster consists in this epoch, see [`super::roster`].
    pub(super) sum: u64,
    pub(super) deleted_at: Option<Micros>,
}

impl HeadRow {
    pub(super) fn public(&self) -> Result<Head> {
        Ok(Head {
            epoch: self.epoch,
            head: message_id(self.head)?,
            trimmed: message_id(self.trimmed)?,
        })
    }
}

pub(super) fn message_id(id: i64) -> Result<MessageId> {
    MessageId::new(id).ok_or_else(|| fault(format!("message id {id} is out of range")))
}

/// An idempotency record. Its time is over at `until`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SentRow {
    /// For who moves it to another engine.
    pub(super) key: String,
    #[serde(with = "hex")]
    pub(super) fingerprint: Digest,
    pub(super) id: i64,
}

/// One try at appending a batch behind a certain head. To repeat it is harmless: at most one batch can ever
/// follow a head.
struct Attempt<'a> {
    batch: &'a Batch,
    follows: i64,
    first: i64,
    token: String,
}

/// What became of an attempt.
enum Attempted {
    Written,
    /// Nothing is written.
    No(Appended),
    /// Nothing is written: the head is another one now.
    HeadMoved(HeadRow),
}

/// What is known of an attempt whose answer was lost.
enum Outcome {
    Written,
    /// It is not written and never will be.
    Void,
    /// It is not written, and may still be.
    Open,
}

impl DynamoStore {
    /// The head of a mesh, of a deleted one too.
    pub(super) async fn any_head(&self, mesh: &MeshId) -> Result<Option<HeadRow>> {
        let found = self.db.get(&keys::head(mesh)).await?;
        let head: Option<HeadRow> = found.as_ref().map(decode).transpose()?;
        if let Some(head) = &head {
            self.heads.put(mesh.clone(), (head.epoch, head.head));
        }
        Ok(head)
    }

    /// The head of a mesh that is there.
    pub(super) async fn live_head(&self, mesh: &MeshId) -> Result<Option<HeadRow>> {
        Ok(self.any_head(mesh).await?.filter(|head| head.deleted_at.is_none()))
    }

    /// Appends a batch, racing other nodes for the head until it has it. On this node one goes after the
    /// other, in the order in which they came.
    pub(super) async fn append_batch(&self, batch: &Batch) -> Result<Appended> {
        let _turn = self.turns.take(&batch.mesh).await;
        let mut retry = Retry::default();
        // The head that was seen last is very often still the one.
        let mut known = self.heads.get(&batch.mesh);
        loop {
            let follows = match known.take() {
                Some((epoch, head)) if epoch == batch.epoch => head,
                _ => match self.live_head(&batch.mesh).await? {
                    None => return Ok(Appended::NoMesh),
                    Some(head) if head.epoch != batch.epoch && !planted::is("epoch-unchecked") => {
                        return Ok(Appended::EpochMoved);
                    }
                    Some(head) => head.head,
                },
            };
            let attempt = Attempt::new(batch, follows, self.clock.now());
            match self.attempt(&attempt).await {
                Ok(Attempted::Written) => return self.written(&attempt),
                Ok(Attempted::No(answer)) => return Ok(answer),
                Ok(Attempted::HeadMoved(head)) => {
                    self.heads.put(batch.mesh.clone(), (head.epoch, head.head));
                    known = Some((head.epoch, head.head));
                }
                Err(StoreError::Unavailable(_)) => {
                    let looked = !planted::is("unsure-not-looked");
                    if looked && self.settle(&attempt, &mut retry).await? {
                        return self.written(&attempt);
                    }
                }
                Err(error) => return Err(error),
            }
            retry.pause_shortly("others append to the same mesh").await?;
        }
    }

    fn written(&self, attempt: &Attempt<'_>) -> Result<Appended> {
        let batch = attempt.batch;
        self.heads.put(batch.mesh.clone(), (batch.epoch, attempt.last()));
        Ok(Appended::Written {
            follows: message_id(attempt.follows)?,
            first: message_id(attempt.first)?,
        })
    }

    async fn attempt(&self, attempt: &Attempt<'_>) -> Result<Attempted> {
        let (transaction, keyed) = attempt.transaction(self.db.transaction())?;
        let refusal = match self.db.transact_as(transaction, &attempt.token).await? {
            Transacted::Done => return Ok(Attempted::Written),
            Transacted::Refused(refusal) => refusal,
        };
        attempt.refused(&refusal, &keyed)
    }

    /// Brings an attempt whose answer was lost to an end; `true` when it is written.
    async fn settle(&self, attempt: &Attempt<'_>, retry: &mut Retry) -> Result<bool> {
        loop {
            match self.outcome(attempt).await {
                Ok(Outcome::Written) => return Ok(true),
                Ok(Outcome::Void) => return Ok(false),
                // The same request again: whichever arrives first, it is written once.
                Ok(Outcome::Open) => {
                    if let Ok(Attempted::Written) = self.attempt(attempt).await {
                        return Ok(true);
                    }
                }
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => return Err(error),
            }
            retry.pause("what became of a batch could not be found out").await?;
        }
    }

    /// The two items are read as of one moment: one after the other, the head could be seen to have moved
    /// before the batch that moved it is there.
    async fn outcome(&self, attempt: &Attempt<'_>) -> Result<Outcome> {
        let batch = attempt.batch;
        let place = Key::new(keys::log(&batch.mesh), keys::log_place(attempt.last()));
        let found = self.db.get_together(&[keys::head(&batch.mesh), place]).await?;
        let [head, there] = found.as_slice() else {
            return Err(fault("there is not one answer for each item"));
        };
        if let Some(there) = there
            && number(there, "batch_id")? == batch.id
        {
            return Ok(Outcome::Written);
        }
        let head: Option<HeadRow> = head.as_ref().map(decode).transpose()?;
        let open = head.is_some_and(|head| attempt.may_follow(&head));
        Ok(if open { Outcome::Open } else { Outcome::Void })
    }
}

impl<'a> Attempt<'a> {
    fn new(batch: &'a Batch, follows: i64, clock: Micros) -> Self {
        let token = format!("{:016x}-{:016x}", batch.id, rand::random::<u64>());
        Self { batch, follows, first: first_id(batch.now, follows, clock), token }
    }

    fn last(&self) -> i64 {
        self.first + i64::try_from(self.batch.messages.len()).unwrap_or(i64::MAX) - 1
    }

    fn may_follow(&self, head: &HeadRow) -> bool {
        head.head == self.follows && head.epoch == self.batch.epoch && head.deleted_at.is_none()
    }

    /// The transaction, and for each key the place of its action and that of its message.
    fn transaction(&self, mut to: Transaction) -> Result<(Transaction, Vec<(usize, usize)>)> {
        let batch = self.batch;
        message_id(self.last())?;
        let same = if planted::is("epoch-unchecked") { ">=" } else { "=" };
        let condition =
            format!("#head = :read AND #epoch {same} :epoch AND attribute_not_exists(#deleted_at)");
        to.update(
            &keys::head(&batch.mesh),
            "SET #head = :last",
            Some(&condition),
            &[("last", n(self.last())), ("read", n(self.follows)), ("epoch", n(batch.epoch))],
        )?;
        for item in chunk::encode(batch, self.follows, self.first)? {
            // The condition on the head says that there is none.
            to.put(item)?;
        }
        let mut keyed = Vec::new();
        for (place, (message, id)) in batch.messages.iter().zip(self.first..).enumerate() {
            let Some(key) = &message.key else { continue };
            let at = keys::sent(&batch.mesh, &message.from_agent, &keys::key_hash(&key.key));
            let row = SentRow { key: key.key.clone(), fingerprint: key.fingerprint, id };
            let item: Item = encode_until(&at, &row, key.expires_at)?;
            // One whose time is over may be taken: the engine deletes it when it likes.
            let free = "attribute_not_exists(pk) OR #until <= :now";
            keyed.push((to.put_if(item, Some(free), &[("now", n(batch.now))])?, place));
        }
        Ok((to, keyed))
    }

    /// A key that is taken stays taken, whatever else was wrong; and a retry of a message that is there must
    /// get it also when the roster has changed since.
    fn refused(&self, refusal: &Refusal, keyed: &[(usize, usize)]) -> Result<Attempted> {
        let taken: Vec<usize> = keyed
            .iter()
            .filter(|(action, _)| refusal.failed(*action))
            .map(|(_, place)| *place)
            .collect();
        if !taken.is_empty() {
            return Ok(Attempted::No(Appended::KeysTaken(taken)));
        }
        let Some(head) = refusal.item(0) else { return Ok(Attempted::No(Appended::NoMesh)) };
        let head: HeadRow = decode(head)?;
        Ok(if head.deleted_at.is_some() {
            Attempted::No(Appended::NoMesh)
        } else if head.epoch != self.batch.epoch {
            Attempted::No(Appended::EpochMoved)
        } else {
            Attempted::HeadMoved(head)
        })
    }
}

/// max(now, head + 1), without a `now` that is far ahead of the engine's clock.
fn first_id(now: Micros, head: i64, clock: Micros) -> i64 {
    let next = head + 1;
    if now > clock.saturating_add(CLOCK_TOLERANCE) { next } else { next.max(now) }
}
