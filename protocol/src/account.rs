//! The signed-in user, tokens, and the exchange at the end of a browser sign-in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{AgentId, MeshId, TokenId, whole};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every GET in a mesh, the inbox, the cursor, the heartbeat.
    Read,
    /// Send messages.
    Send,
    /// Register, change and remove agents; join.
    Agents,
    /// Meshes, members, tokens.
    Admin,
}

impl Scope {
    /// All of them, which is what a token gets when nothing is said.
    pub const ALL: [Self; 4] = [Self::Read, Self::Send, Self::Agents, Self::Admin];

    /// The scope as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Agents => "agents",
            Self::Admin => "admin",
        }
    }
}

/// Answer of `GET /me`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Who is signed in.
    pub user: MeUser,
    /// With which token.
    pub token: MeToken,
}

/// The user of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeUser {
    /// The login.
    pub login: String,
    /// The name that the person goes by, or the login.
    pub name: String,
}

/// The token of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeToken {
    /// Its public id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The mesh that it is bound to.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub mesh_id: Option<MeshId>,
    /// The agent that it is bound to.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub agent_id: Option<AgentId>,
    /// When it runs out; absent: never.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub expires_at: Option<Timestamp>,
}

/// Body of `POST /tokens`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What the token is for.
    pub name: String,
    /// Bind it to this mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_id: Option<String>,
    /// Bind it to this agent of `mesh_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// What it may do; absent: what the asking token may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
    /// Days until it runs out, 1 to 365; absent: as long as the asking token.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::optional"
    )]
    pub expires_in_days: Option<u32>,
}

/// A row of `GET /tokens`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenInfo {
    /// Its public id.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// The last six characters of the secret.
    pub suffix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The mesh that it is bound to.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub mesh_id: Option<MeshId>,
    /// The agent that it is bound to.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub agent_id: Option<AgentId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to within a minute.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_used_at: Option<Timestamp>,
    /// When it runs out; absent: never.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub expires_at: Option<Timestamp>,
}

/// Answer of `POST /tokens`: the only one that holds the secret.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The row as it will be listed.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The secret, shown this once.
    pub token: String,
}

/// Answer of `GET /tokens`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// Live tokens, newest first.
    pub tokens: Vec<TokenInfo>,
}

/// Body of `POST /auth/cli/token`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CliTokenRequest {
    /// The code that the browser brought.
    pub code: String,
    /// The PKCE verifier (RFC 7636 section 4.1).
    pub code_verifier: String,
}

/// Answer of `POST /auth/cli/token`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CliTokenAnswer {
    /// The secret, shown this once.
    pub token: String,
    /// Whose it is.
    pub user: UserLogin,
}

/// A user by login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserLogin {
    /// The login.
    pub login: String,
}
