//! What was handed out over `/mcp` and waits for the next call, which acknowledges it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use meshwire_protocol::{AgentId, MessageId, TokenId};

/// Agents whose last page is remembered. Of one that is forgotten, the page comes again.
const MOST: usize = 10_000;

/// The last page of each agent, by the token that read it.
#[derive(Debug, Default)]
pub(super) struct Handed(Mutex<HashMap<(TokenId, AgentId), MessageId>>);

impl Handed {
    /// Notes how far a page went.
    pub(super) fn note(&self, token: &TokenId, agent: &AgentId, up_to: MessageId) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= MOST
            && let Some(any) = pages.keys().next().cloned()
        {
            pages.remove(&any);
        }
        pages.insert((token.clone(), agent.clone()), up_to);
    }

    /// Takes the note of the last page.
    pub(super) fn take(&self, token: &TokenId, agent: &AgentId) -> Option<MessageId> {
        let key = (token.clone(), agent.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key)
    }
}
