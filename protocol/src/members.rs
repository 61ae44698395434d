//! Members of a mesh, invites to it, and requests to join it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{MeshId, Role, whole};

/// Someone who belongs to a mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// The login.
    pub login: String,
    /// The name that the person goes by, or the login.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
}

/// Answer of `GET /mesh/{mesh}/members`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberList {
    /// By login.
    pub members: Vec<Member>,
}

/// Body of `PATCH /mesh/{mesh}/members/{login}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeMember {
    /// The new role; `owner` hands the mesh over.
    pub role: Role,
}

/// Body of `POST /mesh/{mesh}/invites`: for one login, or a link.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateInvite {
    /// Who may come in; absent: whoever has the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Hours until it runs out.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::optional"
    )]
    pub expires_in_hours: Option<u32>,
    /// How many people a link lets in.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::optional"
    )]
    pub max_uses: Option<u32>,
}

/// A row of `GET /mesh/{mesh}/invites`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invite {
    /// Its public id.
    pub id: String,
    /// Whom it lets in; absent: whoever has the link.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub login: Option<String>,
    /// When it runs out.
    pub expires_at: Timestamp,
    /// How many people it lets in.
    pub max_uses: u32,
    /// How many it has let in.
    pub uses: u32,
}

/// Answer of `POST /mesh/{mesh}/invites`: the only one that holds the code.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedInvite {
    /// The row as it will be listed.
    #[serde(flatten)]
    pub invite: Invite,
    /// The secret, shown this once.
    pub code: String,
    /// The same as a link, for people.
    pub url: String,
}

/// Answer of `GET /mesh/{mesh}/invites`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InviteList {
    /// Newest first, those that have run out or are used up among them.
    pub invites: Vec<Invite>,
}

/// Body of `POST /mesh/{mesh}/join`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The code of an invite; absent: come in as an invited login, or ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
}

/// How far somebody is with joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum JoinStatus {
    /// They are in.
    Member,
    /// An admin has to decide.
    Requested,
}

/// Answer of `POST /mesh/{mesh}/join`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Joined {
    /// How far it is.
    pub status: JoinStatus,
    /// The mesh.
    pub mesh_id: MeshId,
}

/// Someone who asks to join.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinRequest {
    /// The login.
    pub login: String,
    /// The name that the person goes by, or the login.
    pub name: String,
    /// Since when they ask.
    pub requested_at: Timestamp,
}

/// Answer of `GET /mesh/{mesh}/requests`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinRequestList {
    /// Oldest first.
    pub requests: Vec<JoinRequest>,
}

/// Body of `POST /mesh/{mesh}/requests/{login}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Whether they may come in.
    pub accept: bool,
}

/// Answer of `POST /mesh/{mesh}/requests/{login}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decided {
    /// Who asked.
    pub login: String,
    /// Whether they are in.
    pub accept: bool,
}
