//! Errors as they cross the wire: RFC 9457 problem details with a stable code.

mod help;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// What went wrong, in one word that programs may rely on. New codes may come; old ones stay.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)+
        }

        impl ErrorCode {
            /// Every code, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as it is written in an answer.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// A short text for people, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// Reads a code; `None` for one that this version does not know.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

error_codes! {
    /// The request breaks a rule; `errors` says which field.
    InvalidRequest = "invalid_request", 400, "The request is not valid";
    /// Content or metadata is over its limit.
    MessageTooLarge = "message_too_large", 400, "The message is too large";
    /// A sign-in code that is unknown, spent or expired, or whose verifier is wrong.
    InvalidGrant = "invalid_grant", 400, "The sign-in code is not valid";
    /// No token, or none that we know.
    Unauthorized = "unauthorized", 401, "Not signed in";
    /// The token has run out.
    TokenExpired = "token_expired", 401, "The token has expired";
    /// The token was revoked.
    TokenRevoked = "token_revoked", 401, "The token was revoked";
    /// The token may not do this.
    InsufficientScope = "insufficient_scope", 403, "The token may not do this";
    /// The user does not belong to the mesh.
    NotAMember = "not_a_member", 403, "Not a member of this mesh";
    /// The agent belongs to someone else, or to another token.
    NotYourAgent = "not_your_agent", 403, "This agent is not yours";
    /// The member's role is too low.
    Forbidden = "forbidden", 403, "Not allowed";
    /// The request comes from another site.
    OriginRefused = "origin_refused", 403, "The request comes from another site";
    /// No such path.
    NotFound = "not_found", 404, "Not found";
    /// No such mesh.
    MeshNotFound = "mesh_not_found", 404, "No such mesh";
    /// No such agent.
    AgentNotFound = "agent_not_found", 404, "No such agent";
    /// No such message.
    MessageNotFound = "message_not_found", 404, "No such message";
    /// No such token.
    TokenNotFound = "token_not_found", 404, "No such token";
    /// No such member.
    MemberNotFound = "member_not_found", 404, "No such member";
    /// No such invite, or it was withdrawn.
    InviteNotFound = "invite_not_found", 404, "No such invite";
    /// No such request to join, or it was decided.
    RequestNotFound = "request_not_found", 404, "No such request";
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed";
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// The agent's name belongs to another member.
    AgentNameTaken = "agent_name_taken", 409, "The agent's name is taken";
    /// A mesh is never without an owner.
    OwnerMustStay = "owner_must_stay", 409, "The owner must hand the mesh over first";
    /// The mesh takes no messages for now.
    MeshPaused = "mesh_paused", 409, "The mesh is paused";
    /// A countable limit is reached.
    LimitReached = "limit_reached", 409, "A limit is reached";
    /// Nobody with the role is online.
    NoAgentOnline = "no_agent_online", 409, "No agent is online";
    /// The invite has run out or is used up.
    InviteExpired = "invite_expired", 410, "The invite has expired";
    /// The body is beyond what the server reads.
    PayloadTooLarge = "payload_too_large", 413, "The request body is too large";
    /// The same key came with other input.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key was used for something else";
    /// Too many requests.
    RateLimited = "rate_limited", 429, "Too many requests";
    /// Two agents answer each other without end.
    LoopSuspected = "loop_suspected", 429, "These agents seem to answer each other without end";
    /// The header section is beyond what the server reads (RFC 6585 section 5).
    HeadersTooLarge = "headers_too_large", 431, "The request header is too large";
    /// A fault of ours.
    InternalError = "internal_error", 500, "Something went wrong on our side";
    /// The store does not answer. What was answered before is safe.
    StoreUnavailable = "store_unavailable", 503, "The store is not available";
}

impl ErrorCode {
    /// Whether the same request may succeed later without a change.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RequestTimeout
                | Self::RateLimited
                | Self::LoopSuspected
                | Self::InternalError
                | Self::StoreUnavailable
        )
    }
}

/// The body of every error (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Where the code is documented.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short text, the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code: what programs may rely on.
    pub code: String,
    /// What went wrong here, with the value concerned.
    pub detail: String,
    /// Field → reason, for a bad request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// By what the operator finds the request in the server's log; for faults of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs rely on a code and its status: neither changes, and none goes.
    #[test]
    fn codes_and_their_statuses_stay() {
        let codes: Vec<(u16, Vec<&str>)> = vec![
            (400, vec!["invalid_request", "message_too_large", "invalid_grant"]),
            (401, vec!["unauthorized", "token_expired", "token_revoked"]),
            (
                403,
                vec![
                    "insufficient_scope",
                    "not_a_member",
                    "not_your_agent",
                    "forbidden",
                    "origin_refused",
                ],
            ),
            (
                404,
                vec![
                    "not_found",
                    "mesh_not_found",
                    "agent_not_found",
                    "message_not_found",
                    "token_not_found",
                    "member_not_found",
                    "invite_not_found",
                    "request_not_found",
                ],
            ),
            (405, vec!["method_not_allowed"]),
            (408, vec!["request_timeout"]),
            (
                409,
                vec![
                    "agent_name_taken",
                    "owner_must_stay",
                    "mesh_paused",
                    "limit_reached",
                    "no_agent_online",
                ],
            ),
            (410, vec!["invite_expired"]),
            (413, vec!["payload_too_large"]),
            (422, vec!["idempotency_key_reused"]),
            (429, vec!["rate_limited", "loop_suspected"]),
            (431, vec!["headers_too_large"]),
            (500, vec!["internal_error"]),
            (503, vec!["store_unavailable"]),
        ];
        for (status, names) in codes {
            for name in names {
                assert_eq!(ErrorCode::parse(name).map(ErrorCode::status), Some(status), "{name}");
            }
        }
    }

    #[test]
    fn codes_read_back() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
            assert!((400..=599).contains(&code.status()));
        }
        assert_eq!(ErrorCode::parse("from_the_future"), None);
    }
}
