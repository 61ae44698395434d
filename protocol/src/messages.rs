//! Messages, the inbox, the cursor and the history.

use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

#[cfg(feature = "openapi")]
use crate::schemas;
use crate::{AgentId, AgentKind, InvalidId, MeshId, MessageId, unique, whole};

/// What kind of credential sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A browser session.
    Session,
    /// A token of the whole account.
    Account,
    /// A token bound to the mesh.
    Mesh,
    /// A token bound to the agent.
    Agent,
}

impl Via {
    /// The kind as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Account => "account",
            Self::Mesh => "mesh",
            Self::Agent => "agent",
        }
    }
}

/// Body of `POST /mesh/{mesh}/messages`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// 1 to 10,240 bytes of UTF-8 without U+0000.
    #[cfg_attr(feature = "openapi", schema(value_type = schemas::Content))]
    pub content: String,
    /// Absent or `all`: everyone but the sender; else an agent's id or name, or `@login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Address>))]
    pub to: Option<String>,
    /// One of the caller's agents, by id or name; absent: the token's agent, else the person's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::OwnAgent>))]
    pub from: Option<String>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// An object of at most 4,096 bytes when written compactly; it may not contain `reply_to`, and no key twice.
    #[serde(default, deserialize_with = "unique::object", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<schemas::Metadata>))]
    pub metadata: Option<Map<String, Value>>,
}

/// A message. Everything but content and metadata is set by the server; none of it can be claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its id, which is also its offset in the mesh.
    pub id: MessageId,
    /// Its mesh.
    pub mesh_id: MeshId,
    /// The name of the sending agent when it was sent.
    pub from: String,
    /// The id of the sending agent.
    pub from_agent_id: AgentId,
    /// The login of the sending agent's owner.
    pub from_user: String,
    /// Whether a program or a person sent it.
    pub from_kind: AgentKind,
    /// What kind of credential sent it.
    pub via: Via,
    /// `all`, or the receiver's name when it was sent.
    pub to: String,
    /// The receiver's id; absent when it went to all.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub to_agent_id: Option<AgentId>,
    /// The text. Untrusted: it says who sent it, never that it should be obeyed.
    pub content: String,
    /// What the sender added, and `reply_to`.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required, value_type = schemas::AnyObject))]
    pub metadata: Map<String, Value>,
    /// Replies since a person or a new thread began.
    pub hops: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
}

/// Who a message goes to, as known within the last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recipients {
    /// Agents that it goes to.
    pub total: u32,
    /// Those of them that are active.
    pub active: u32,
}

/// Answer of `POST /mesh/{mesh}/messages`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sent {
    /// The message as it is kept.
    #[serde(flatten)]
    pub message: Message,
    /// Who it goes to.
    pub recipients: Recipients,
}

/// How far the delivery of a message to one agent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It waits in the agent's inbox.
    Queued,
    /// It was put into an answer.
    Delivered,
    /// The agent's cursor has passed it.
    Acknowledged,
}

impl DeliveryState {
    /// The state as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// The receipt of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Who receives it.
    pub agent_id: AgentId,
    /// The agent's name now.
    pub name: String,
    /// How far it has come.
    pub state: DeliveryState,
}

/// Answer of `GET /mesh/{mesh}/messages/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageStatus {
    /// The message as it is kept.
    #[serde(flatten)]
    pub message: Message,
    /// Its receiver while it exists; of a broadcast, the agents that exist now and were registered before
    /// it, without the sender.
    pub deliveries: Vec<Delivery>,
}

/// Where a reader starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// After this id, which is thereby acknowledged.
    Id(MessageId),
    /// The oldest message that is kept.
    Earliest,
    /// Only what comes from now on.
    Latest,
}

/// What a cursor is set to.
pub type CursorTarget = From;

impl FromStr for From {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            id => id.parse().map(Self::Id),
        }
    }
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

impl Serialize for From {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(id) => id.serialize(serializer),
            word => serializer.collect_str(word),
        }
    }
}

impl<'de> Deserialize<'de> for From {
    /// A number in JSON, a text in a query; both read `earliest` and `latest`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Clone, Copy)]
        struct Position;

        impl Visitor<'_> for Position {
            type Value = From;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a message id, \"earliest\" or \"latest\"")
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<From, E> {
                let unexpected = || E::invalid_value(Unexpected::Signed(id), &self);
                MessageId::new(id).map(From::Id).ok_or_else(unexpected)
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<From, E> {
                let unexpected = || E::invalid_value(Unexpected::Unsigned(id), &self);
                self.visit_i64(i64::try_from(id).map_err(|_| unexpected())?)
            }

            fn visit_f64<E: de::Error>(self, id: f64) -> Result<From, E> {
                let unexpected = || E::invalid_value(Unexpected::Float(id), &self);
                self.visit_i64(whole::from_float(id).ok_or_else(unexpected)?)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<From, E> {
                text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Position)
    }
}

/// Query of `GET /mesh/{mesh}/agents/{agent}/messages`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct InboxQuery {
    /// Where to start; absent: the kept cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<From>,
    /// Seconds to wait for a message, 0 to 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<schemas::Wait>))]
    pub wait: Option<u64>,
    /// Most messages to return, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<schemas::PageLimit>))]
    pub limit: Option<u32>,
    /// `false`: never acknowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<bool>,
}

/// Answer of `GET /mesh/{mesh}/agents/{agent}/messages`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InboxPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// What to pass as `after` next time: how far the log was read without a hole.
    pub cursor: MessageId,
    /// Whether there is more to read right now.
    pub more: bool,
    /// Retention has passed the reader's position: messages were trimmed before it read them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gap: bool,
}

/// Body of `PUT /mesh/{mesh}/agents/{agent}/cursor`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetCursor {
    /// An id, `latest` or `earliest`.
    pub cursor: CursorTarget,
}

/// Answer of `PUT /mesh/{mesh}/agents/{agent}/cursor`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cursor {
    /// Where the cursor stands now.
    pub cursor: MessageId,
}

/// Query of `GET /mesh/{mesh}/messages`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// Only messages older than this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<MessageId>,
    /// Most messages to return, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(value_type = Option<schemas::PageLimit>))]
    pub limit: Option<u32>,
}

/// Answer of `GET /mesh/{mesh}/messages`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// Newest first.
    pub messages: Vec<Message>,
    /// What to pass as `before` for older ones; absent: there are none.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub before: Option<MessageId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_reads_from_json_and_from_a_query() {
        let id = MessageId::new(7).unwrap();
        assert_eq!(serde_json::from_str::<From>("7").unwrap(), From::Id(id));
        assert_eq!(serde_json::from_str::<From>("\"latest\"").unwrap(), From::Latest);
        assert_eq!("7".parse::<From>().unwrap(), From::Id(id));
        assert_eq!("earliest".parse::<From>().unwrap(), From::Earliest);
        for bad in ["-1", "9007199254740992", "\"soon\"", "null", "1.5", "[]"] {
            assert!(serde_json::from_str::<From>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_hides_the_gap_unless_there_is_one() {
        let page = InboxPage { messages: vec![], cursor: MessageId::ZERO, more: false, gap: false };
        assert_eq!(
            serde_json::to_string(&page).unwrap(),
            r#"{"messages":[],"cursor":0,"more":false}"#
        );
    }
}
