//! The calls that are under way on this node, so that a client can call one off.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio::sync::oneshot;

use super::Session;

/// The calls that are under way. Clients choose the ids: two of one session may have the same.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    running: HashMap<u64, Running>,
}

#[derive(Debug)]
struct Running {
    session: Session,
    id: RequestId,
    cancel: oneshot::Sender<()>,
}

/// A call that is under way, until it is dropped.
pub(super) struct Call<'c> {
    calls: &'c Calls,
    number: u64,
    cancelled: oneshot::Receiver<()>,
}

impl Calls {
    /// A call begins.
    pub(super) fn begin(&self, session: &Session, id: &RequestId) -> Call<'_> {
        let (cancel, cancelled) = oneshot::channel();
        let mut inside = self.lock();
        let number = inside.next;
        inside.next += 1;
        let running = Running { session: session.clone(), id: id.clone(), cancel };
        inside.running.insert(number, running);
        Call { calls: self, number, cancelled }
    }

    /// The client does not want the answer any more; `false` when the call is not under way here.
    pub(super) fn cancel(&self, session: &Session, id: &RequestId) -> bool {
        let mut inside = self.lock();
        let called_off = inside.running.extract_if(|_, it| it.id == *id && it.session == *session);
        called_off.fold(false, |any, (_, running)| running.cancel.send(()).is_ok() || any)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call<'_> {
    /// Ends when the call is called off.
    pub(super) async fn cancelled(&mut self) {
        let _ = (&mut self.cancelled).await;
    }

    /// From here on nobody calls it off; whether somebody has.
    pub(super) fn end(mut self) -> bool {
        self.calls.lock().running.remove(&self.number);
        self.cancelled.try_recv().is_ok()
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.lock().running.remove(&self.number);
    }
}
