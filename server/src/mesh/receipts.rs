//! What has become of a message: one receipt for each agent that it is for, from the agent's three numbers.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::try_join_all;
use meshwire_protocol::{AgentId, Delivery, DeliveryState, MessageId, MessageStatus};

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
        let stored = [stored];
        let deliveries = self.deliveries(roster, &stored).await?.remove(&id).unwrap_or_default();
        let [stored] = stored;
        Ok(MessageStatus { message: stored.message, deliveries })
    }

    /// How far messages of a mesh have come, by their ids. Each agent's position is asked for once.
    pub async fn deliveries(
        &self,
        roster: &Roster,
        messages: &[Stored],
    ) -> Result<HashMap<MessageId, Vec<Delivery>>> {
        let mesh = &roster.mesh.id;
        let agents: BTreeSet<&AgentId> = messages
            .iter()
            .flat_map(|stored| receivers(roster, stored))
            .map(|agent| &agent.id)
            .collect();
        let agents = Vec::from_iter(agents);
        let state = self.shared.state(mesh);
        let mut reached = HashMap::with_capacity(agents.len());
        for agents in agents.chunks(AT_ONCE) {
            let positions = agents.iter().map(|agent| self.shared.store.position(mesh, agent));
            for (agent, position) in agents.iter().zip(try_join_all(positions).await?) {
                // `None`: it was removed a moment ago.
                let Some(position) = position else { continue };
                reached.insert(*agent, (position, state.presence.handed_to(agent)));
            }
        }
        let of_message = |stored: &Stored| {
            let id = stored.message.id;
            let deliveries = receivers(roster, stored).into_iter().filter_map(|agent| {
                let (position, handed) = *reached.get(&agent.id)?;
                let state = state_of(id, position, handed)?;
                Some(Delivery { agent_id: agent.id.clone(), name: agent.name.clone(), state })
            });
            (id, deliveries.collect())
        };
        Ok(messages.iter().map(of_message).collect())
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
