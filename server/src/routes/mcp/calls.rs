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
    /// Whether it may be ended: of another one, what it does may be done already.
    reads: bool,
    cancel: Option<oneshot::Sender<()>>,
}

/// A call that is under way, until it is dropped.
pub(super) struct Call<'c> {
    calls: &'c Calls,
    number: u64,
    cancelled: oneshot::Receiver<()>,
}

impl Calls {
    /// A call begins, which only `reads` or does more.
    pub(super) fn begin(&self, session: &Session, id: &RequestId, reads: bool) -> Call<'_> {
        let (cancel, cancelled) = oneshot::channel();
        let mut inside = self.lock();
        let number = inside.next;
        inside.next += 1;
        let (session, id, cancel) = (session.clone(), id.clone(), Some(cancel));
        let running = Running { session, id, reads, cancel };
        inside.running.insert(number, running);
        Call { calls: self, number, cancelled }
    }

    /// The client does not want the answer any more. `false` when no call that could be ended is under way here, or
    /// several are: they may be other clients'.
    pub(super) fn cancel(&self, session: &Session, id: &RequestId) -> bool {
        let mut inside = self.lock();
        let mut fitting =
            inside.running.iter_mut().filter(|(_, it)| it.id == *id && it.session == *session);
        let (Some((_, only)), None) = (fitting.next(), fitting.next()) else { return false };
        let cancel = if only.reads { only.cancel.take() } else { None };
        cancel.is_some_and(|cancel| cancel.send(()).is_ok())
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

#[cfg(test)]
mod tests {
    use meshwire_protocol::TokenId;

    use super::*;
    use crate::routes::mcp::Place;

    #[test]
    fn only_a_read_that_is_meant_for_sure_is_ended() {
        let token: TokenId = "kR9xQpLmW3aZ".parse().unwrap();
        let session = Session { token, place: Place::default() };
        let calls = Calls::default();
        let [one, two] = [1, 2].map(RequestId::Number);
        let (send, read) = (calls.begin(&session, &one, false), calls.begin(&session, &two, true));
        assert!(!calls.cancel(&session, &one));
        let other = calls.begin(&session, &two, true);
        assert!(!calls.cancel(&session, &two));
        assert!(!send.end() && !other.end());
        assert!(calls.cancel(&session, &two));
        assert!(!calls.cancel(&session, &two));
        assert!(read.end());
    }
}
