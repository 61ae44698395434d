//! Identifiers. Each is its own type, so that a mesh cannot be passed where an agent is meant.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::whole;

/// The text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {kind}: expected {expected}")]
pub struct InvalidId {
    kind: &'static str,
    value: String,
    expected: &'static str,
}

macro_rules! base62_id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $kind:literal) => {
        $(#[$doc])*
        // In place: a message and whoever reads it carry many of these, and text of its own is an allocation each.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name([u8; $length]);

        impl $name {
            /// Number of base62 characters.
            pub const LENGTH: usize = $length;

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                str::from_utf8(&self.0).expect("base62 is ASCII")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(value: &str) -> Result<Self, InvalidId> {
                match value.as_bytes().try_into() {
                    Ok(bytes) if value.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(Self(bytes)),
                    _ => Err(InvalidId {
                        kind: $kind,
                        // Long enough to recognise a slip, short enough for an answer and a log line.
                        value: value.chars().take(64).collect(),
                        expected: concat!(stringify!($length), " characters of a-z A-Z 0-9"),
                    }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            /// So that none of another form comes in with JSON: identifiers are shown as they are.
            fn try_from(value: String) -> Result<Self, InvalidId> {
                value.parse()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_str()).finish()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

base62_id!(
    /// A mesh: 12 base62 characters.
    MeshId, 12, "mesh id"
);
base62_id!(
    /// An agent in a mesh: 9 base62 characters.
    AgentId, 9, "agent id"
);
base62_id!(
    /// The public name of a token, never the secret: 12 base62 characters.
    TokenId, 12, "token id"
);
base62_id!(
    /// A user of this server: 12 base62 characters. Logins change hands, these never do.
    UserId, 12, "user id"
);

/// The id of a message, which is also its offset in its mesh: microseconds since 1970, forced strictly
/// increasing within the mesh. Fits in 53 bits, so that every JSON reader holds it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(into = "i64")]
pub struct MessageId(i64);

impl From<MessageId> for i64 {
    fn from(id: MessageId) -> Self {
        id.0
    }
}

impl TryFrom<i64> for MessageId {
    type Error = &'static str;

    fn try_from(value: i64) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("expected an integer from 0 to 9007199254740991")
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(whole::number(deserializer)?).map_err(D::Error::custom)
    }
}

impl MessageId {
    /// Before every message.
    pub const ZERO: Self = Self(0);
    /// The largest id: 2^53 - 1 (RFC 8259 section 6: the range that is exact in every JSON reader).
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The id of that many microseconds since 1970, or `None` outside 0 to 2^53 - 1.
    pub const fn new(micros: i64) -> Option<Self> {
        if micros >= 0 && micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// Microseconds since 1970.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The id that comes directly after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(value: &str) -> Result<Self, InvalidId> {
        value
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| value.parse().ok().and_then(Self::new))
            .flatten()
            .ok_or_else(|| InvalidId {
                kind: "message id",
                value: value.chars().take(64).collect(),
                expected: "an integer from 0 to 9007199254740991",
            })
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_length_and_alphabet() {
        assert!("kR9xQpLmW3aZ".parse::<MeshId>().is_ok());
        for bad in ["", "kR9xQpLmW3a", "kR9xQpLmW3aZZ", "kR9xQpLmW3a_", "kR9xQpLmW3aé"] {
            assert!(bad.parse::<MeshId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_id_stays_within_53_bits() {
        assert_eq!("1748123456789000".parse::<MessageId>().unwrap().get(), 1_748_123_456_789_000);
        assert_eq!("9007199254740991".parse::<MessageId>(), Ok(MessageId::MAX));
        for bad in ["", "-1", "+1", "9007199254740992", "99999999999999999999", "1.0", "x"] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }
}
