//! Who is in a mesh, kept in memory for as long as the epoch stands.

use std::sync::{Arc, Mutex, PoisonError};

use meshwire_protocol::{AgentId, AgentKind, ErrorCode, UserId};

use crate::error::{ApiError, shown};
use crate::store::{AgentRow, MemberRow, Roster, Visibility};

/// The roster of the last epoch that was asked for. The head row says which epoch it is now, so an old
/// roster is never taken for the present one.
#[derive(Debug, Default)]
pub(super) struct CachedRoster {
    kept: Mutex<Option<Arc<Roster>>>,
    /// One reads it for all that ask: a hundred agents that come at once would else hold a hundred copies.
    reading: tokio::sync::Mutex<()>,
}

impl CachedRoster {
    /// The roster of this epoch, or of a later one, read when it is not known.
    pub(super) async fn of_epoch<E>(
        &self,
        epoch: i64,
        read: impl AsyncFnOnce() -> Result<Option<Roster>, E>,
    ) -> Result<Option<Arc<Roster>>, E> {
        if let Some(roster) = self.kept(epoch) {
            return Ok(Some(roster));
        }
        let alone = self.reading.try_lock();
        if alone.is_err() {
            // Once: when the one who reads gets no answer, the others do not ask one after the other.
            drop(self.reading.lock().await);
            if let Some(roster) = self.kept(epoch) {
                return Ok(Some(roster));
            }
        }
        let roster = read().await?.map(Arc::new);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roster) = &roster
            && kept.as_ref().is_none_or(|kept| kept.epoch <= roster.epoch)
        {
            *kept = Some(Arc::clone(roster));
        }
        drop(kept);
        Ok(roster)
    }

    fn kept(&self, epoch: i64) -> Option<Arc<Roster>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone().filter(|roster| roster.epoch == epoch)
    }
}

impl Roster {
    /// The membership of a user.
    pub fn member(&self, user: &UserId) -> Option<&MemberRow> {
        self.members.iter().find(|member| member.user == *user)
    }

    /// The member with this login, compared without regard to case.
    pub fn member_by_login(&self, login: &str) -> Option<&MemberRow> {
        self.members.iter().find(|member| member.login.eq_ignore_ascii_case(login))
    }

    /// An agent by id.
    pub fn agent_by_id(&self, id: &AgentId) -> Option<&AgentRow> {
        self.agents.iter().find(|agent| agent.id == *id)
    }

    /// An agent by id or, when there is none, by name.
    pub fn agent(&self, id_or_name: &str) -> Option<&AgentRow> {
        let by_id = id_or_name.parse().ok().and_then(|id| self.agent_by_id(&id));
        by_id.or_else(|| {
            self.agents.iter().find(|agent| agent.name.eq_ignore_ascii_case(id_or_name))
        })
    }

    /// What a user may see, with a token that may be bound to one agent.
    pub fn visible_to(&self, user: &UserId, bound: Option<&AgentId>) -> Visibility {
        let own = self
            .agents
            .iter()
            .filter(|agent| agent.user == *user && bound.is_none_or(|bound| *bound == agent.id));
        Visibility { agents: own.map(|agent| agent.id.clone()).collect() }
    }

    /// The agent of a person.
    pub fn person(&self, user: &UserId) -> Option<&AgentRow> {
        self.agents.iter().find(|agent| agent.kind == AgentKind::Human && agent.user == *user)
    }
}

pub(super) fn name_taken(name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::AgentNameTaken,
        format!("The name {} belongs to another agent of this mesh.", shown(name)),
    )
    .hint("Choose another name, for example with your login at its end.")
}
