//! What was handed out over `/mcp` and waits for the next call, which acknowledges it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use meshwire_protocol::{AgentId, MessageId, TokenId};
use rmcp::model::RequestId;

use super::Place;

/// Sessions whose last page is remembered. Of one that is forgotten, the page comes again.
const MOST: usize = 10_000;

/// What of a client stays the same from call to call: its token, and its URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) token: TokenId,
    pub(super) place: Place,
}

/// What a call has handed out.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// To which agent: another one may have got the name that stands in the URL.
    pub(super) agent: AgentId,
    /// How far it went.
    pub(super) up_to: MessageId,
    /// The call.
    pub(super) call: RequestId,
}

/// The last page of each session.
#[derive(Debug, Default)]
pub(super) struct Handed(Mutex<HashMap<Session, Page>>);

impl Handed {
    /// Notes a page.
    pub(super) fn note(&self, session: &Session, page: Page) {
        let mut pages = self.lock();
        if pages.len() >= MOST
            && let Some(any) = pages.keys().next().cloned()
        {
            pages.remove(&any);
        }
        pages.insert(session.clone(), page);
    }

    /// Takes the note of the last page; how far it went, if it was this agent's.
    pub(super) fn take(&self, session: &Session, agent: &AgentId) -> Option<MessageId> {
        let page = self.lock().remove(session)?;
        (page.agent == *agent).then_some(page.up_to)
    }

    /// A client begins anew: nobody knows whether the one before has seen the last page, so it comes again.
    pub(super) fn forget(&self, session: &Session) {
        self.lock().remove(session);
    }

    /// The client does not want the answer to this call: what was in it comes again.
    pub(super) fn cancel(&self, session: &Session, call: &RequestId) {
        let mut pages = self.lock();
        if pages.get(session).is_some_and(|page| page.call == *call) {
            pages.remove(session);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Session, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
