//! Messages that were put into an answer which the client does not have yet.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio::sync::watch;

use crate::delivery::Unread;

/// Calls that were cancelled lately, of which an answer may still be on its way here.
const REMEMBERED: usize = 64;

/// What is acknowledged when the answer to its call has been written, and comes again when it has not.
#[derive(Debug)]
pub(super) struct Outbox {
    inside: Mutex<Inside>,
    /// How much is under way to the client or to the server.
    under_way: watch::Sender<usize>,
    /// Whether the client has said goodbye.
    closed: watch::Sender<bool>,
}

/// Something is under way, until this is dropped.
pub(super) struct UnderWay(watch::Sender<usize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[derive(Debug, Default)]
struct Inside {
    waiting: HashMap<RequestId, Unread>,
    cancelled: VecDeque<RequestId>,
}

impl Default for Outbox {
    fn default() -> Self {
        let (under_way, closed) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { inside: Mutex::default(), under_way, closed }
    }
}

impl Outbox {
    /// These go into the answer to a call.
    pub(super) fn put(&self, id: &RequestId, unread: Unread) {
        let mut inside = self.lock();
        if !inside.cancelled.contains(id) {
            inside.waiting.insert(id.clone(), unread);
        }
    }

    /// The client does not want the answer any more: what is in it stays unread.
    pub(super) fn cancel(&self, id: &RequestId) {
        let mut inside = self.lock();
        inside.waiting.remove(id);
        inside.cancelled.push_back(id.clone());
        if inside.cancelled.len() > REMEMBERED {
            inside.cancelled.pop_front();
        }
    }

    /// The answer has been written: what was in it is acknowledged. When that fails the server is told later,
    /// see [`Unread::acknowledge`].
    pub(super) async fn written(&self, id: &RequestId) {
        let Some(unread) = self.lock().waiting.remove(id) else { return };
        let _under_way = self.begin();
        let _ = unread.acknowledge().await;
    }

    /// Something is under way that [`Outbox::settled`] waits for.
    pub(super) fn begin(&self) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(self.under_way.clone())
    }

    /// The client has said goodbye.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the client has said goodbye.
    pub(super) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Whether the client has said goodbye.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until nothing is under way.
    pub(super) async fn settled(&self) {
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
