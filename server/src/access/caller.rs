//! The extractors through which a handler gets its caller.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use meshwire_protocol::{AgentId, MeshId, Role};

use super::{Action, Principal};
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::PathVariables;
use crate::mesh::{check_role, not_a_member, not_your_agent};
use crate::store::{AgentRow, Digest, Head, MemberRow, Roster, Visibility};

/// A caller of something that is not in a mesh.
pub struct Account {
    /// The user and token.
    pub principal: Principal,
}

/// A caller of something in a mesh, whose right to do it was checked.
pub struct InMesh {
    /// The user and token.
    pub principal: Principal,
    /// The mesh with everyone in it, as of the check.
    pub roster: Arc<Roster>,
    /// The membership of the user.
    pub member: MemberRow,
    path: PathVariables,
    action: Action,
    hash: Digest,
}

/// A caller of something at a mesh that they need not be a member of.
pub struct AtMesh {
    /// The user and token.
    pub principal: Principal,
    /// The mesh, which was there a moment ago.
    pub mesh: MeshId,
}

fn action(parts: &Parts) -> Action {
    // Routes that ask for a caller are only made together with their action, see `Routes::api`; the layer around all
    // of them puts it here.
    *parts.extensions.get::<Action>().expect("every route of the API has an action")
}

impl FromRequestParts<App> for Account {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let principal = Principal::of(app, parts).await?;
        action(parts).check_token(&principal)?;
        Ok(Self { principal })
    }
}

impl FromRequestParts<App> for InMesh {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let action = action(parts);
        let (principal, path, at) = arrive(app, parts).await?;
        let (roster, member) = admit(app, &principal, path.get("mesh"), at, action).await?;
        let hash = principal.token.hash;
        Ok(Self { principal, roster, member, path, action, hash })
    }
}

impl FromRequestParts<App> for AtMesh {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let (principal, path, at) = arrive(app, parts).await?;
        let mesh = find(app, &principal, path.get("mesh"), at).await?.mesh.id.clone();
        action(parts).check_token(&principal)?;
        Ok(Self { principal, mesh })
    }
}

/// A mesh as it is now.
type At = (MeshId, Head);

/// The mesh that a path names; `None` when there is no such mesh.
async fn look(app: &App, mesh: &str) -> Result<Option<At>> {
    let Ok(id) = mesh.parse() else { return Ok(None) };
    let head = app.store.head(&id).await?;
    Ok(head.map(|head| (id, head)))
}

/// Who asks, and for which mesh: both are looked up at the same time.
async fn arrive(app: &App, parts: &mut Parts) -> Result<(Principal, PathVariables, Option<At>)> {
    let path = PathVariables::from_request_parts(parts, app).await;
    let mesh = path.as_ref().map_or("", |path| path.get("mesh"));
    let (principal, at) = Principal::of_beside(app, parts, look(app, mesh)).await?;
    Ok((principal, path?, at?))
}

/// The mesh with everyone in it, unless the token is bound to another one.
async fn find(app: &App, principal: &Principal, mesh: &str, at: Option<At>) -> Result<Arc<Roster>> {
    let not_found = || ApiError::mesh_not_found(mesh);
    let (id, head) = at.ok_or_else(not_found)?;
    if principal.token.mesh.as_ref().is_some_and(|bound| *bound != id) {
        return Err(not_found());
    }
    let roster = app.meshes.roster_at(&id, &head).await?.ok_or_else(not_found)?;
    tracing::Span::current().record("mesh", roster.mesh.id.as_str());
    Ok(roster)
}

async fn admit(
    app: &App,
    principal: &Principal,
    mesh: &str,
    at: Option<At>,
    action: Action,
) -> Result<(Arc<Roster>, MemberRow)> {
    let roster = find(app, principal, mesh, at).await?;
    let member =
        roster.member(&principal.user.id).ok_or_else(|| not_a_member(&roster.mesh.id))?.clone();
    action.check_token(principal)?;
    if let Some(role) = action.rule().role {
        check_role(&member, role)?;
    }
    Ok((roster, member))
}

impl InMesh {
    /// A caller who wants to do something in a mesh that no path names, when they may.
    pub async fn enter(
        app: &App,
        principal: Principal,
        mesh: &str,
        action: Action,
    ) -> Result<Self> {
        let at = look(app, mesh).await?;
        let (roster, member) = admit(app, &principal, mesh, at, action).await?;
        let (path, hash) = (PathVariables::default(), principal.token.hash);
        Ok(Self { principal, roster, member, path, action, hash })
    }

    /// The mesh.
    pub fn mesh(&self) -> &MeshId {
        &self.roster.mesh.id
    }

    /// A variable of the path.
    pub fn variable(&self, name: &str) -> &str {
        self.path.get(name)
    }

    /// The agent that the path names, by id or by name; made when it is the caller's own person's agent.
    pub async fn agent(&self, app: &App) -> Result<AgentRow> {
        let wanted = self.variable("agent");
        if let Some(agent) = self.roster.agent(wanted) {
            return Ok(agent.clone());
        }
        let login = &self.principal.user.login;
        if wanted.strip_prefix('@').is_some_and(|wanted| wanted.eq_ignore_ascii_case(login)) {
            // In a box: each poll would else have room for what is done once.
            return Box::pin(app.meshes.person(self.mesh(), &self.principal.user.id, login)).await;
        }
        Err(ApiError::agent_not_found(wanted))
    }

    /// The same, when the caller speaks for it.
    pub async fn own_agent(&self, app: &App) -> Result<AgentRow> {
        let agent = self.agent(app).await?;
        self.check_own(&agent)?;
        Ok(agent)
    }

    /// The same, when the caller may remove it: one's own, or any for an admin.
    pub async fn removable_agent(&self, app: &App) -> Result<AgentRow> {
        let agent = self.agent(app).await?;
        if self.member.role < Role::Admin || self.principal.token.agent.is_some() {
            self.check_own(&agent)?;
        }
        Ok(agent)
    }

    fn check_own(&self, agent: &AgentRow) -> Result<()> {
        let bound = self.principal.token.agent.as_ref();
        if agent.user != self.principal.user.id || bound.is_some_and(|bound| *bound != agent.id) {
            return Err(not_your_agent(&agent.name));
        }
        Ok(())
    }

    /// What the caller may see of the log.
    pub fn visible(&self) -> Visibility {
        let principal = &self.principal;
        self.roster.visible_to(&principal.user.id, principal.token.agent.as_ref())
    }

    /// Checks again, when something that the access rests on may have ended while a request was held; the
    /// epoch for which it holds now.
    pub async fn check_again(&self, app: &App, agent: &AgentId) -> Result<i64> {
        let mesh = self.mesh().as_str();
        let (principal, at) = tokio::join!(Principal::by_hash(app, &self.hash), look(app, mesh));
        let principal = principal?;
        let (roster, _) = admit(app, &principal, mesh, at?, self.action).await?;
        let agent =
            roster.agent_by_id(agent).ok_or_else(|| ApiError::agent_not_found(agent.as_str()))?;
        self.check_own(agent)?;
        Ok(roster.epoch)
    }
}
