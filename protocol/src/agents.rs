//! Agents: the named endpoints of a mesh.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{AgentId, Harness, MessageId};

/// A program's agent, or a person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// Run by a program.
    Agent,
    /// The one of a person, named `@login`.
    Human,
}

impl AgentKind {
    /// The kind as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Human => "human",
        }
    }
}

/// How soon an agent notices a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Wake {
    /// At once, also when idle.
    Live,
    /// At the border of its next turn.
    Turn,
    /// When it happens to look.
    #[default]
    Poll,
}

/// Body of `POST /mesh/{mesh}/agents`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterAgent {
    /// Unique in the mesh, compared without regard to case.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::AgentName))]
    pub name: String,
    /// The harness that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<Harness>,
    /// The computer that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Host>))]
    pub host: Option<String>,
    /// What it is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Description>))]
    pub description: Option<String>,
    /// What it can do: up to 32 strings of up to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Capabilities>))]
    pub capabilities: Option<Vec<String>>,
    /// How soon it notices a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Wake>,
}

/// Body of `PATCH /mesh/{mesh}/agents/{agent}`: the given fields replace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateAgent {
    /// A new name; older messages keep the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::AgentName>))]
    pub name: Option<String>,
    /// The harness that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<Harness>,
    /// The computer that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Host>))]
    pub host: Option<String>,
    /// What it is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Description>))]
    pub description: Option<String>,
    /// What it can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Capabilities>))]
    pub capabilities: Option<Vec<String>>,
    /// How soon it notices a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<Wake>,
}

/// Answer of `POST /mesh/{mesh}/agents`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registered {
    /// Its id.
    pub agent_id: AgentId,
    /// Its name.
    pub name: String,
    /// The id up to which it has acknowledged its messages.
    pub cursor: MessageId,
}

/// An agent as a member of its mesh sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// Its id.
    pub agent_id: AgentId,
    /// Its name.
    pub name: String,
    /// A program's or a person's.
    pub kind: AgentKind,
    /// The login of the member who runs it.
    pub owner: String,
    /// The harness that runs it.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub harness: Option<Harness>,
    /// The computer that it runs on; told to its owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Polling now, or seen in the last 30 s.
    pub active: bool,
    /// When it last polled, sent, moved its cursor or gave a heartbeat.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_seen: Option<Timestamp>,
    /// How soon it notices a message.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub wake: Wake,
    /// What it is there for.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub description: Option<String>,
    /// What it can do.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub capabilities: Vec<String>,
}

/// Answer of `GET /mesh/{mesh}/agents`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentList {
    /// All agents of the mesh, by name.
    pub agents: Vec<Agent>,
}
