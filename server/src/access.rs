//! Who may do what: one table, asked before any handler runs.
//!
//! Every route of the JSON API is registered with an [`Action`] (see `routes`), and a handler gets its
//! caller only through one of the extractors here, which look the action up in the table. So a route cannot
//! forget to ask, and all that may be done stands on one page.

mod bearer;
mod caller;
mod person;
mod strangers;

use meshwire_protocol::{ErrorCode, Role, Scope};

pub use self::bearer::Principal;
pub use self::caller::{Account, AtMesh, InMesh};
pub use self::person::PersonInMesh;
pub use self::strangers::Strangers;
use crate::error::{ApiError, Result};

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it, and the table below says the rest")]
pub enum Action {
    WhoAmI,
    UseTools,
    ListTokens,
    CreateToken,
    RevokeToken,
    RevokeOwnToken,
    ListMeshes,
    CreateMesh,
    ShowMesh,
    ChangeMesh,
    DeleteMesh,
    ListMembers,
    ChangeMember,
    RemoveMember,
    CreateInvite,
    ListInvites,
    WithdrawInvite,
    Join,
    ListRequests,
    DecideRequest,
    Integrate,
    ListAgents,
    RegisterAgent,
    ShowAgent,
    ChangeAgent,
    RemoveAgent,
    Heartbeat,
    ReadInbox,
    MoveCursor,
    Send,
    ReadHistory,
    ReadMessage,
}

/// What a caller needs for an action.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The scope that the token must have; `None`: any token.
    pub scope: Option<Scope>,
    /// The lowest role in the mesh; `None` for what is not in a mesh.
    pub role: Option<Role>,
    /// Whether a token that is bound to a mesh may do it.
    pub bound: bool,
}

impl Action {
    /// The access table.
    pub const fn rule(self) -> Rule {
        use Action as A;
        use Role::{Admin, Member, Owner};
        // What is not in a mesh: any token.
        const fn any() -> Rule {
            Rule { scope: None, role: None, bound: true }
        }
        // What concerns the account: only a token of the whole account.
        const fn account(scope: Scope) -> Rule {
            Rule { scope: Some(scope), role: None, bound: false }
        }
        const fn in_mesh(scope: Scope, role: Role) -> Rule {
            Rule { scope: Some(scope), role: Some(role), bound: true }
        }
        match self {
            // Each tool asks again, for the action of the call that does the same.
            A::WhoAmI | A::RevokeOwnToken | A::ListMeshes | A::UseTools => any(),
            A::ListTokens | A::CreateToken | A::RevokeToken | A::CreateMesh => {
                account(Scope::Admin)
            }
            // No role yet: see `AtMesh`.
            A::Join => Rule { scope: Some(Scope::Agents), role: None, bound: true },
            A::ShowMesh
            | A::ListMembers
            | A::Integrate
            | A::ListAgents
            | A::ShowAgent
            | A::ReadInbox
            | A::MoveCursor
            | A::Heartbeat
            | A::ReadHistory
            | A::ReadMessage => in_mesh(Scope::Read, Member),
            A::Send => in_mesh(Scope::Send, Member),
            // Whose agent it is, the handler asks: `InMesh::own_agent`, `InMesh::removable_agent`.
            A::RegisterAgent | A::ChangeAgent | A::RemoveAgent => in_mesh(Scope::Agents, Member),
            // Whom a member may remove, `Meshes::remove_member` asks: anyone may leave.
            A::RemoveMember => in_mesh(Scope::Admin, Member),
            A::ListInvites | A::ListRequests => in_mesh(Scope::Read, Admin),
            A::ChangeMesh | A::CreateInvite | A::WithdrawInvite | A::DecideRequest => {
                in_mesh(Scope::Admin, Admin)
            }
            A::ChangeMember | A::DeleteMesh => in_mesh(Scope::Admin, Owner),
        }
    }

    /// Checks what the token alone decides.
    fn check_token(self, principal: &Principal) -> Result<()> {
        let rule = self.rule();
        if let Some(scope) = rule.scope
            && !principal.token.scopes.contains(&scope)
        {
            return Err(ApiError::new(
                ErrorCode::InsufficientScope,
                format!("This token lacks the scope `{}`.", scope.as_str()),
            )
            .hint("Use a token with this scope; `meshwire whoami` shows what yours may do.")
            .because(scope.as_str()));
        }
        if !rule.bound && principal.token.mesh.is_some() {
            return Err(ApiError::new(
                ErrorCode::InsufficientScope,
                "This token is bound to one mesh, and this concerns the whole account.",
            )
            .hint("Use a token of the account, such as the one that `meshwire login` gets.")
            .because("bound to a mesh"));
        }
        Ok(())
    }
}
