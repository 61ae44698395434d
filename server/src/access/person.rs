//! People with a browser, in a mesh. The access table asks of them the same roles as of their tokens; scopes are
//! for tokens alone.

use std::sync::Arc;

use meshwire_protocol::{AgentKind, ErrorCode, MeshId, MessageId, Role, Via};

use super::Action;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::mesh::{Speaker, check_role, not_a_member};
use crate::sign_in::session_of;
use crate::store::{AgentRow, MemberRow, Roster, SessionRow, UserRow, Visibility};

/// A person in a mesh whose right to do something there was checked.
pub struct PersonInMesh {
    /// The session that the check rests on.
    pub session: SessionRow,
    /// Who.
    pub user: UserRow,
    /// The mesh with everyone in it, as of the check.
    pub roster: Arc<Roster>,
    /// Their membership.
    pub member: MemberRow,
    action: Action,
    /// How many tokens had been revoked before the check.
    revocations: u64,
}

impl PersonInMesh {
    /// Who is signed in, when they may do this in this mesh.
    pub async fn enter(
        app: &App,
        (session, user): (SessionRow, UserRow),
        mesh: &str,
        action: Action,
    ) -> Result<Self> {
        let revocations = app.meshes.revocations();
        let not_found = || ApiError::mesh_not_found(mesh);
        let id: MeshId = mesh.parse().map_err(|_| not_found())?;
        let roster = app.meshes.roster(&id).await?.ok_or_else(not_found)?;
        tracing::Span::current().record("mesh", id.as_str()).record("user", user.id.as_str());
        let member = roster.member(&user.id).ok_or_else(|| not_a_member(&id))?.clone();
        if let Some(role) = action.rule().role {
            check_role(&member, role)?;
        }
        Ok(Self { session, user, roster, member, action, revocations })
    }

    /// Checks again, while a page is kept up to date: the session may have ended, the membership, or the mesh.
    pub async fn check_again(&self, app: &App) -> Result<Self> {
        let session = session_of(app, &self.session.hash)
            .await?
            .ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "You are signed out."))?;
        Self::enter(app, session, self.mesh().as_str(), self.action).await
    }

    /// The mesh.
    pub fn mesh(&self) -> &MeshId {
        &self.roster.mesh.id
    }

    /// Whether their role allows something else, which a page may then offer.
    pub fn may(&self, action: Action) -> bool {
        action.rule().role.is_some_and(|least| self.member.role >= least)
    }

    /// What they may see of the log.
    pub fn visible(&self) -> Visibility {
        self.roster.visible_to(&self.user.id, None)
    }

    /// The same, as the log sees it. The public id of the session stands where that of a token would: both are made
    /// alike.
    ///
    /// # Errors
    /// When this one was not: somebody has edited the file that it was imported from. A new sign-in has a new id.
    pub fn speaker(&self) -> Result<Speaker> {
        let token = self.session.id.parse().map_err(|_| {
            ApiError::new(ErrorCode::Unauthorized, "This sign-in has an id that cannot be used.")
                .hint("Sign out and in again.")
        })?;
        Ok(Speaker {
            user: self.user.id.clone(),
            login: self.user.login.clone(),
            token,
            via: Via::Session,
            agent: None,
            expires_at: Some(self.session.expires_at),
            revocations: self.revocations,
        })
    }

    /// Notes that they look at the mesh, if they have an agent there, which is made when it is first needed.
    pub fn is_here(&self, app: &App) {
        if let Some(own) = self.roster.person(&self.user.id) {
            app.meshes.heartbeat(self.mesh(), &own.id);
        }
    }

    /// Notes that messages up to this id were shown to them: delivered, and not acknowledged.
    pub fn was_shown(&self, app: &App, newest: MessageId) {
        if let Some(own) = self.roster.person(&self.user.id) {
            app.meshes.handed(self.mesh(), &own.id, newest);
        }
    }

    /// Whether they may remove an agent: one of their own, or any for an admin. That of a person stays.
    pub fn may_remove(&self, agent: &AgentRow) -> bool {
        agent.kind == AgentKind::Agent
            && (agent.user == self.user.id || self.member.role >= Role::Admin)
    }

    /// The agent with this id or name, when they may remove it.
    pub fn removable_agent(&self, wanted: &str) -> Result<&AgentRow> {
        let agent = self.roster.agent(wanted).ok_or_else(|| ApiError::agent_not_found(wanted))?;
        if self.may_remove(agent) {
            return Ok(agent);
        }
        let detail = match agent.kind {
            AgentKind::Human => "A person's agent follows the login; it is not removed alone.",
            AgentKind::Agent => "An agent is removed by its owner or by an admin.",
        };
        Err(ApiError::new(ErrorCode::Forbidden, detail))
    }
}
