//! The agent that a harness runs as in this folder.

use meshwire_protocol::{Agent, AgentId, ErrorCode, Harness, MeshId};

use super::{Inbox, wake_of};
use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::identity::{self, Identity, Wanted};
use crate::settings::Settings;

/// What is wired in here.
#[derive(Debug)]
pub(crate) struct Wired {
    /// The mesh.
    pub(crate) mesh: MeshId,
    /// The agent, as the project or the environment names it.
    pub(crate) wanted: Wanted,
    /// The harness.
    pub(crate) harness: Harness,
}

impl Wired {
    /// The mesh and the agent of a harness; `None` in a folder that belongs to no mesh, or where no agent is
    /// named: then there is nothing to push. A person's own inbox never is.
    pub(crate) fn find(
        settings: &Settings,
        mesh: Option<&str>,
        agent: Option<&str>,
        harness: Harness,
    ) -> Outcome<Option<Self>> {
        let Identity::Agent(wanted) = identity::reader_in(settings, agent, harness)? else {
            return Ok(None);
        };
        // Not the mesh of the profile: that one is a person's, and holds for every folder.
        let said = mesh.is_some() || settings.says_mesh_here()?;
        if !said || wanted.name.starts_with('@') {
            return Ok(None);
        }
        let Some((mesh, _)) = settings.mesh(mesh)? else { return Ok(None) };
        Ok(Some(Self { mesh, wanted, harness }))
    }

    /// The agent as the mesh has it, if it is registered and this user's.
    pub(crate) async fn look_up(
        &self,
        settings: &Settings,
        client: &Client,
    ) -> Outcome<Option<Agent>> {
        let name = identity::real_name(settings, &self.mesh, &self.wanted)?;
        let (agent, me) = tokio::join!(client.agent(&self.mesh, &name), client.me());
        match agent {
            Err(failure) if failure.is(ErrorCode::AgentNotFound) => Ok(None),
            Err(failure) => Err(failure),
            Ok(agent) if agent.owner == me?.user.login => Ok(Some(agent)),
            // The project's name, which a teammate has too.
            Ok(_) if self.wanted.of_project => Ok(None),
            Ok(agent) => Err(Failure::refused(format!(
                "{} is an agent of {}, not yours",
                agent.name, agent.owner
            ))
            .hint("choose another name with --agent")),
        }
    }

    /// Registers the agent, unless it is there as this harness runs it; its id and name.
    pub(crate) async fn register(
        &self,
        settings: &Settings,
        client: &Client,
    ) -> Outcome<(AgentId, String)> {
        let wake = wake_of(self.harness);
        match self.look_up(settings, client).await? {
            Some(agent) if agent.harness == Some(self.harness) && agent.wake == wake => {
                Ok((agent.agent_id, agent.name))
            }
            _ => {
                let registered = identity::register_awake(
                    settings,
                    client,
                    &self.mesh,
                    &self.wanted,
                    Some(self.harness),
                    Some(wake),
                )
                .await?;
                Ok((registered.agent_id, registered.name))
            }
        }
    }

    /// The agent's inbox.
    pub(crate) fn inbox(
        &self,
        settings: &Settings,
        client: Client,
        agent: AgentId,
    ) -> Outcome<Inbox> {
        Inbox::new(&settings.home, client, self.mesh.clone(), agent)
    }
}
