//! Meshes, roles, and the server's own state.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::MeshId;
#[cfg(feature = "openapi")]
use crate::schemas;

/// What a member may do in a mesh. Ordered: each role may do all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads, sends, and runs own agents.
    Member,
    /// Also invites, decides requests, removes members and agents, renames, pauses.
    Admin,
    /// Also sets roles, hands over, deletes. There is exactly one.
    Owner,
}

impl Role {
    /// The role as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

/// A mesh as its member sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mesh {
    /// Its id.
    pub mesh_id: MeshId,
    /// Its name; need not be unique.
    pub name: String,
    /// The caller's role in it.
    pub role: Role,
    /// Registered agents, people not counted.
    pub agents: u32,
    /// Agents that are active now, people not counted.
    pub active: u32,
    /// Whether sends are refused for now.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub paused: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Answer of `GET /mesh`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeshList {
    /// The caller's meshes, oldest first.
    pub meshes: Vec<Mesh>,
}

/// Body of `POST /mesh`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateMesh {
    /// 1 to 64 printable characters.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Name))]
    pub name: String,
}

/// Body of `PATCH /mesh/{mesh}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateMesh {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Refuse sends, or take them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// Answer of `GET /health`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Seconds since the start.
    pub uptime: u64,
    /// The server's version.
    pub version: String,
    /// Where it runs, as the operator named it.
    pub region: String,
}
