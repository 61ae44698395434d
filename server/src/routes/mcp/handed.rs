//! What was handed out over `/mcp` and waits for the next call, which acknowledges it. It is in the store, since
//! the next call may come to any node.

use std::sync::Arc;
use std::time::Duration;

use meshwire_protocol::{AgentId, MessageId, TokenId};
use rmcp::model::RequestId;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, micros};
use crate::secret::digest;
use crate::store::moving::hex_of;
use crate::store::{Digest, Result, Store, StoreError};

/// How long a page waits for the next call; after that it comes again.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// Cancelled calls that are remembered: those that were under way at once.
const MOST_CANCELLED: usize = 16;
/// How often a change is tried that another call of the same client has stood in the way of.
const ATTEMPTS: usize = 16;

/// The last page of a client: of a token that speaks for an agent.
pub(super) struct Handed {
    store: Arc<dyn Store>,
    clock: Arc<Clock>,
    client: Digest,
}

/// A call, by its id: of one length, whatever the client takes for an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Called(String);

impl From<&RequestId> for Called {
    fn from(id: &RequestId) -> Self {
        Self(hex_of(&digest(&format!("{id:?}"))[..16]))
    }
}

/// What a call has handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    /// How far it went.
    up_to: MessageId,
    call: Called,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    page: Option<Page>,
    /// Calls whose answers the client does not want, on whichever node they are under way; the newest last.
    cancelled: Vec<Called>,
}

impl Handed {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<Clock>,
        token: &TokenId,
        agent: &AgentId,
    ) -> Self {
        Self { store, clock, client: digest(&format!("{token} {agent}")) }
    }

    /// Notes a page, unless its call was cancelled.
    pub(super) async fn note(&self, up_to: MessageId, call: &Called) -> Result<()> {
        self.change(|note| {
            if let Some(place) = note.cancelled.iter().position(|cancelled| cancelled == call) {
                note.cancelled.remove(place);
            } else {
                note.page = Some(Page { up_to, call: call.clone() });
            }
        })
        .await
    }

    /// Takes the note of the last page; how far it went.
    pub(super) async fn take(&self) -> Result<Option<MessageId>> {
        self.change(|note| note.page.take().map(|page| page.up_to)).await
    }

    /// A client begins anew: nobody knows whether the one before has seen the last page, so it comes again.
    pub(super) async fn forget(&self) -> Result<()> {
        self.change(|note| *note = Note::default()).await
    }

    /// The client does not want the answer to this call: what is in it comes again.
    pub(super) async fn cancel(&self, call: Called) -> Result<()> {
        self.change(|note| {
            if note.page.as_ref().is_some_and(|page| page.call == call) {
                note.page = None;
            } else if !note.cancelled.contains(&call) {
                note.cancelled.push(call.clone());
                if note.cancelled.len() > MOST_CANCELLED {
                    note.cancelled.remove(0);
                }
            }
        })
        .await
    }

    async fn change<T>(&self, change: impl Fn(&mut Note) -> T) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let was = self.store.client_note(&self.client, now).await?;
            let before: Note = match &was {
                Some(text) => {
                    serde_json::from_str(text).map_err(|e| StoreError::Fault(e.into()))?
                }
                None => Note::default(),
            };
            let mut note = before.clone();
            let answer = change(&mut note);
            if note == before {
                return Ok(answer);
            }
            let text = serde_json::to_string(&note).map_err(|e| StoreError::Fault(e.into()))?;
            let until = now.saturating_add(micros(KEPT));
            if self.store.swap_client_note(&self.client, was.as_deref(), &text, now, until).await? {
                return Ok(answer);
            }
        }
        Err(StoreError::Unavailable("calls of one client are in each other's way".into()))
    }
}
