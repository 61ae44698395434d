//! What nodes on one store tell each other.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, MessageId, TokenId};

use super::{Head, Micros, Result};

/// Something that open polls rest on, and that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ended {
    /// A token was revoked.
    Token(TokenId),
    /// An agent or a member was removed from this mesh, or the mesh is gone.
    Mesh(MeshId),
}

/// An entry of the `ended` log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRow {
    /// Random: tells entries apart that are read more than once.
    pub id: i64,
    /// What has ended.
    pub what: Ended,
}

/// Agents that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// Those that poll.
    pub polling: Vec<AgentId>,
    /// Others that have given a sign of life a moment ago.
    pub recent: Vec<AgentId>,
}

/// Several processes on one store; each that has opened it is a node.
///
/// Nothing here makes anything right that would be wrong without it: messages would come later, and a poll
/// that nobody may hold any more would end with its time instead of at once. So what fails here is logged
/// and tried again, and never fails a request.
///
/// Revoking a token, removing an agent or a member and deleting a mesh also write into the `ended` log, in
/// the same act.
#[async_trait]
pub trait NodeStore: Send + Sync + 'static {
    /// How often the heads of meshes with waiting polls are to be looked at, however many hints come.
    fn sweep(&self) -> Duration;

    /// The heads of some meshes; those that are gone are missing.
    async fn heads(&self, meshes: &[MeshId]) -> Result<HashMap<MeshId, Head>>;

    /// Tells the other nodes how far appends on this one have moved some heads.
    async fn hint(&self, heads: &[(MeshId, MessageId)]) -> Result<()>;

    /// Waits until other nodes tell of heads. `None`: some of what they told may be lost, so that all heads
    /// are to be looked at. What they tell while nobody `waits` for messages need not be heard.
    async fn hinted(
        &self,
        waits: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<(MeshId, MessageId)>>>;

    /// The `ended` log of the last ten seconds at least, that of all nodes.
    async fn ended(&self) -> Result<Vec<EndedRow>>;

    /// What time it is by the store's own clock; `None` when it has none that can be asked.
    async fn now(&self) -> Result<Option<Micros>> {
        Ok(None)
    }

    /// An operation of the store was given up, since no answer came: connections may have gone silent.
    fn gave_up(&self) {}

    /// Keeps what this node has said of its polls true for `lease` from now on.
    async fn renew(&self, lease: Duration) -> Result<()>;

    /// Says which agents of a mesh are on this node, in the place of what it said before.
    async fn note_present(&self, mesh: &MeshId, present: &Present) -> Result<()>;

    /// The agents of a mesh that are on other nodes whose lease has not run out.
    async fn present(&self, mesh: &MeshId) -> Result<Present>;

    /// When agents of a mesh were last seen, as far as any node has written it. Agents that were never seen are
    /// missing.
    async fn last_seen(&self, mesh: &MeshId, agents: &[AgentId]) -> Result<Vec<(AgentId, Micros)>>;
}
