//! What has become of a message: one receipt for each agent that it is for, from the agent's three numbers.

use futures_util::future::try_join_all;
use meshwire_protocol::{Delivery, DeliveryState, MessageId, MessageStatus};

use super::Meshes;
use crate::error::{ApiError, Result};
use crate::store::{AgentRow, Position, Roster, Stored, Stream, Visibility};

/// Positions that are asked for at a time.
const AT_ONCE: usize = 64;

impl Meshes {
    /// A message that the caller may see, and how far it has come.
    pub async fn receipts(
        &self,
        roster: &Roster,
        visible: &Visibility,
        id: MessageId,
    ) -> Result<MessageStatus> {
        let mesh = &roster.mesh.id;
        let stored = self
            .shared
            .store
            .message(mesh, id)
            .await?
            .filter(|stored| visible.shows(stored))
            .ok_or_else(|| ApiError::message_not_found(&id.to_string()))?;
        let state = self.shared.state(mesh);
        let mut deliveries = Vec::new();
        for agents in receivers(roster, &stored).chunks(AT_ONCE) {
            let positions = agents.iter().map(|agent| self.shared.store.position(mesh, &agent.id));
            let positions = try_join_all(positions).await?;
            for (agent, position) in agents.iter().zip(positions) {
                // `None`: it was removed a moment ago.
                let Some(position) = position else { continue };
                let handed = state.presence.handed_to(&agent.id);
                if let Some(state) = state_of(id, position, handed) {
                    let (agent_id, name) = (agent.id.clone(), agent.name.clone());
                    deliveries.push(Delivery { agent_id, name, state });
                }
            }
        }
        Ok(MessageStatus { message: stored.message, deliveries })
    }
}

/// The agents that a message is for, as far as they are there now.
fn receivers<'r>(roster: &'r Roster, stored: &Stored) -> Vec<&'r AgentRow> {
    match &stored.stream {
        Stream::Agent(receiver) => roster.agent_by_id(receiver).into_iter().collect(),
        Stream::All => {
            let sender = &stored.message.from_agent_id;
            roster.agents.iter().filter(|agent| agent.id != *sender).collect()
        }
    }
}

/// How far a message has come; `None` for an agent that was registered after it. `handed` is what this
/// node has put into answers and may not have written yet.
fn state_of(id: MessageId, position: Position, handed: MessageId) -> Option<DeliveryState> {
    if id <= position.start {
        None
    } else if id <= position.cursor {
        Some(DeliveryState::Acknowledged)
    } else if id <= position.handed.max(handed) {
        Some(DeliveryState::Delivered)
    } else {
        Some(DeliveryState::Queued)
    }
}
