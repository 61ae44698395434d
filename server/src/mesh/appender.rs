//! Group commit: one appender for a mesh writes all that waits as one batch.
//!
//! Alone, a send waits for nobody; while a batch is being written, the sends that come are gathered into
//! the next one. The appender is a task of its own: a client that hangs up does not cancel an append that
//! has begun.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwire_protocol::MessageId;
use tokio::sync::oneshot;

use super::{MeshState, Shared};
use crate::store::{Appended, Batch, NewMessage, Result, StoreError, Stored};

/// Most messages in a batch.
const MOST: usize = 256;
/// Most bytes in a batch: DynamoDB keeps one as an item of at most 400 KB.
const MOST_BYTES: usize = 300 * 1024;

/// What a message takes besides content and metadata, at most: names, ids, its key.
const ENVELOPE: usize = 512;

/// What became of a message.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is durable.
    Written(Arc<Stored>),
    /// Who is in the mesh has changed since it was resolved.
    EpochMoved,
    /// Its idempotency key is in use.
    KeyTaken,
    /// The mesh is gone.
    NoMesh,
}

#[derive(Debug)]
struct Pending {
    epoch: i64,
    message: NewMessage,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Outcome>>;

/// Sends that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pending: VecDeque<Pending>,
    running: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.lock().running
    }

    /// The next batch: messages of one epoch, no idempotency key twice and no more of them than the store
    /// takes; `None` ends the appender.
    fn next(&self, most_keys: usize) -> Option<(i64, Vec<Pending>)> {
        let mut inner = self.lock();
        let Some(epoch) = inner.pending.front().map(|first| first.epoch) else {
            inner.running = false;
            return None;
        };
        let (mut bytes, mut keys) = (0, HashSet::new());
        let mut fits = 0;
        for pending in inner.pending.iter().take(MOST) {
            let message = &pending.message;
            bytes += message.size() + ENVELOPE;
            let key = message.key.as_ref().map(|key| (&message.from_agent, &key.key));
            if pending.epoch != epoch
                || (fits > 0 && bytes > MOST_BYTES)
                || key.is_some_and(|key| keys.len() == most_keys || !keys.insert(key))
            {
                break;
            }
            fits += 1;
        }
        Some((epoch, inner.pending.drain(..fits).collect()))
    }

    fn put_back(&self, batch: Vec<Pending>) {
        let mut inner = self.lock();
        for pending in batch.into_iter().rev() {
            inner.pending.push_front(pending);
        }
    }
}

impl Shared {
    /// Has a message written; answered when it is durable.
    pub(super) async fn append(
        self: &Arc<Self>,
        state: &Arc<MeshState>,
        epoch: i64,
        message: NewMessage,
    ) -> Result<Outcome> {
        let (reply, answer) = oneshot::channel();
        let start = {
            let mut inner = state.queue.lock();
            inner.pending.push_back(Pending { epoch, message, reply });
            !std::mem::replace(&mut inner.running, true)
        };
        if start {
            tokio::spawn(run(Arc::clone(self), Arc::clone(state)));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the server is stopping".into())))
    }
}

async fn run(shared: Arc<Shared>, state: Arc<MeshState>) {
    while let Some((epoch, batch)) = state.queue.next(shared.store.most_keys()) {
        write(&shared, &state, epoch, batch).await;
    }
}

async fn write(shared: &Shared, state: &MeshState, epoch: i64, waiting: Vec<Pending>) {
    let now = shared.clock.now();
    #[cfg(feature = "planted-bugs")]
    let waiting = answered_early(state, now, waiting);
    let (messages, replies): (Vec<_>, Vec<_>) =
        waiting.into_iter().map(|pending| (pending.message, pending.reply)).unzip();
    let mesh = state.id.clone();
    let batch = Arc::new(Batch { mesh, id: rand::random(), epoch, now, messages });
    let appended = shared.store.append(Arc::clone(&batch)).await;
    // The store has let go of it, unless it was given up.
    let messages = Arc::try_unwrap(batch).unwrap_or_else(|batch| (*batch).clone()).messages;
    match appended {
        Ok(Appended::Written { follows, first }) => {
            let stored: Vec<Arc<Stored>> = std::iter::successors(Some(first), |id| Some(id.next()))
                .zip(messages)
                .map(|(id, message): (MessageId, NewMessage)| {
                    Arc::new(message.into_stored(state.id.clone(), id))
                })
                .collect();
            // At most 256 of them.
            #[expect(clippy::cast_precision_loss, reason = "small numbers are exact")]
            shared.metrics.batch.observe(stored.len() as f64);
            let last = stored.last().map_or(follows, |last| last.message.id);
            state.tail.publish(follows, last, epoch, &stored);
            shared.tell_others(&state.id, last);
            for (reply, stored) in replies.into_iter().zip(stored) {
                let _ = reply.send(Ok(Outcome::Written(stored)));
            }
        }
        Ok(Appended::EpochMoved) => answer_all(replies, || Ok(Outcome::EpochMoved)),
        Ok(Appended::NoMesh) => answer_all(replies, || Ok(Outcome::NoMesh)),
        Ok(Appended::KeysTaken(places)) => {
            let mut rest = Vec::with_capacity(replies.len());
            for (place, (message, reply)) in messages.into_iter().zip(replies).enumerate() {
                if places.contains(&place) {
                    let _ = reply.send(Ok(Outcome::KeyTaken));
                } else {
                    rest.push(Pending { epoch, message, reply });
                }
            }
            state.queue.put_back(rest);
        }
        // One of them may be at fault: alone, the others go through.
        Err(StoreError::Fault(_)) if replies.len() > 1 => {
            for (message, reply) in messages.into_iter().zip(replies) {
                let pending = Pending { epoch, message, reply };
                Box::pin(write(shared, state, epoch, vec![pending])).await;
            }
        }
        Err(StoreError::Fault(error)) => {
            let text = error.to_string();
            answer_all(replies, || Err(StoreError::Fault(text.clone().into())));
        }
        Err(StoreError::Unavailable(error)) => {
            let text = error.to_string();
            answer_all(replies, || Err(StoreError::Unavailable(text.clone().into())));
        }
    }
}

/// A bug that can be planted: senders are answered with the ids that their messages will most likely get.
#[cfg(feature = "planted-bugs")]
fn answered_early(
    state: &MeshState,
    now: crate::store::Micros,
    mut waiting: Vec<Pending>,
) -> Vec<Pending> {
    if crate::planted::is("ack-before-commit") {
        let ids = std::iter::successors(MessageId::new(now), |id| Some(id.next()));
        for (pending, id) in waiting.iter_mut().zip(ids) {
            let stored = pending.message.clone().into_stored(state.id.clone(), id);
            let reply = std::mem::replace(&mut pending.reply, oneshot::channel().0);
            let _ = reply.send(Ok(Outcome::Written(Arc::new(stored))));
        }
    }
    waiting
}

fn answer_all(replies: Vec<Reply>, answer: impl Fn() -> Result<Outcome>) {
    for reply in replies {
        // Nobody waits any more when the client has hung up.
        let _ = reply.send(answer());
    }
}
