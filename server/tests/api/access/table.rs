//! What each kind of caller gets. Written from the contract, not from the server's own table.

use serde_json::{Value, json};

use super::world::{Caller, World};

/// What the valid callers get from one operation.
pub(super) struct Call {
    pub(super) operation: &'static str,
    /// The scope without which a token is refused; empty for any token, `open` when none is needed.
    scope: &'static str,
    /// Nobody in the mesh.
    outsider: &'static str,
    /// Was in the mesh until an admin removed them.
    removed: &'static str,
    /// A member, whose agent, token or message it is.
    member: &'static str,
    /// A member with an agent of their own.
    other: &'static str,
    admin: &'static str,
    owner: &'static str,
    /// The member's token that is bound to another mesh.
    elsewhere: &'static str,
    /// The member's token that is bound to the mesh.
    mesh: &'static str,
    /// The member's token that is bound to the agent.
    agent: &'static str,
    /// The member's token that is bound to another agent of theirs.
    second: &'static str,
}

impl Call {
    pub(super) fn expected(&self, caller: Caller) -> &'static str {
        use Caller as C;
        if self.scope == "open" {
            return self.member;
        }
        match caller {
            C::Nobody | C::Malformed | C::BadChecksum | C::Unknown | C::Cookie => {
                "401 unauthorized"
            }
            C::Revoked | C::RemovedBound => "401 token_revoked",
            C::Expired => "401 token_expired",
            C::Outsider => self.outsider,
            C::Removed => self.removed,
            C::Other => self.other,
            C::Admin => self.admin,
            C::Owner => self.owner,
            C::Elsewhere => self.elsewhere,
            C::Mesh => self.mesh,
            C::Agent => self.agent,
            C::Second => self.second,
            C::Without(scope) if scope == self.scope => SCOPE,
            C::Member | C::Without(_) => self.member,
        }
    }
}

const SCOPE: &str = "403 insufficient_scope";
const STRANGER: &str = "403 not_a_member";
const LOW: &str = "403 forbidden";
const NOT_YOURS: &str = "403 not_your_agent";
const NO_MESH: &str = "404 mesh_not_found";
const NO_TOKEN: &str = "404 token_not_found";
const NO_MESSAGE: &str = "404 message_not_found";
const TAKEN: &str = "409 agent_name_taken";

macro_rules! table {
    ($($operation:ident, $scope:literal: $outsider:tt $removed:tt, $member:tt $other:tt $admin:tt $owner:tt,
        $elsewhere:tt $mesh:tt $agent:tt $second:tt;)+) => {
        &[$(Call {
            operation: stringify!($operation),
            scope: $scope,
            outsider: $outsider,
            removed: $removed,
            member: $member,
            other: $other,
            admin: $admin,
            owner: $owner,
            elsewhere: $elsewhere,
            mesh: $mesh,
            agent: $agent,
            second: $second,
        },)+]
    };
}

#[rustfmt::skip]
pub(super) const TABLE: &[Call] = table! {
    // operation, scope:            outsider removed,   member other admin owner,           elsewhere mesh agent second
    health, "open":                 "200" "200",        "200" "200" "200" "200",            "200" "200" "200" "200";
    ready, "open":                  "200" "200",        "200" "200" "200" "200",            "200" "200" "200" "200";
    openapi, "open":                "200" "200",        "200" "200" "200" "200",            "200" "200" "200" "200";
    exchange_cli_code, "open":      "" "",              "400 invalid_grant" "" "" "",       "" "" "" "";

    who_am_i, "":                   "200" "200",        "200" "200" "200" "200",            "200" "200" "200" "200";
    revoke_current_token, "":       "204" "204",        "204" "204" "204" "204",            "204" "204" "204" "204";
    list_tokens, "admin":           "200" "200",        "200" "200" "200" "200",            SCOPE SCOPE SCOPE SCOPE;
    create_token, "admin":          STRANGER STRANGER,  "201" "201" "201" "201",            SCOPE SCOPE SCOPE SCOPE;
    revoke_token, "admin":          NO_TOKEN NO_TOKEN,  "204" NO_TOKEN NO_TOKEN NO_TOKEN,   SCOPE SCOPE SCOPE SCOPE;

    list_meshes, "":                "200" "200",        "200" "200" "200" "200",            "200" "200" "200" "200";
    create_mesh, "admin":           "201" "201",        "201" "201" "201" "201",            SCOPE SCOPE SCOPE SCOPE;
    show_mesh, "read":              STRANGER STRANGER,  "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    integrate, "read":              STRANGER STRANGER,  "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    change_mesh, "admin":           STRANGER STRANGER,  LOW LOW "200" "200",                NO_MESH LOW LOW LOW;
    delete_mesh, "admin":           STRANGER STRANGER,  LOW LOW LOW "204",                  NO_MESH LOW LOW LOW;

    list_members, "read":           STRANGER STRANGER,  "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    change_member, "admin":         STRANGER STRANGER,  LOW LOW LOW "200",                  NO_MESH LOW LOW LOW;
    remove_member, "admin":         STRANGER STRANGER,  LOW "204" "204" "204",              NO_MESH LOW LOW LOW;
    list_invites, "read":           STRANGER STRANGER,  LOW LOW "200" "200",                NO_MESH LOW LOW LOW;
    create_invite, "admin":         STRANGER STRANGER,  LOW LOW "201" "201",                NO_MESH LOW LOW LOW;
    withdraw_invite, "admin":       STRANGER STRANGER,  LOW LOW "204" "204",                NO_MESH LOW LOW LOW;
    join_mesh, "agents":            "202" "202",        "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    list_requests, "read":          STRANGER STRANGER,  LOW LOW "200" "200",                NO_MESH LOW LOW LOW;
    decide_request, "admin":        STRANGER STRANGER,  LOW LOW "200" "200",                NO_MESH LOW LOW LOW;

    list_agents, "read":            STRANGER STRANGER,  "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    show_agent, "read":             STRANGER STRANGER,  "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    register_agent, "agents":       STRANGER STRANGER,  "200" TAKEN TAKEN TAKEN,            NO_MESH "200" "200" NOT_YOURS;
    change_agent, "agents":         STRANGER STRANGER,  "200" NOT_YOURS NOT_YOURS NOT_YOURS, NO_MESH "200" "200" NOT_YOURS;
    remove_agent, "agents":         STRANGER STRANGER,  "204" NOT_YOURS "204" "204",        NO_MESH "204" "204" NOT_YOURS;
    heartbeat, "read":              STRANGER STRANGER,  "204" NOT_YOURS NOT_YOURS NOT_YOURS, NO_MESH "204" "204" NOT_YOURS;

    send_message, "send":           STRANGER STRANGER,  "201" NOT_YOURS NOT_YOURS NOT_YOURS, NO_MESH "201" "201" NOT_YOURS;
    read_inbox, "read":             STRANGER STRANGER,  "200" NOT_YOURS NOT_YOURS NOT_YOURS, NO_MESH "200" "200" NOT_YOURS;
    set_cursor, "read":             STRANGER STRANGER,  "200" NOT_YOURS NOT_YOURS NOT_YOURS, NO_MESH "200" "200" NOT_YOURS;
    read_history, "read":           STRANGER STRANGER,  "200" "200" "200" "200",            NO_MESH "200" "200" "200";
    // A message from the member's agent to the other member's.
    show_message, "read":           STRANGER STRANGER,  "200" "200" NO_MESSAGE NO_MESSAGE,  NO_MESH "200" "200" NO_MESSAGE;
};

/// The body of an operation; null for none.
pub(super) fn body(operation: &str, world: &World<'_>) -> Value {
    match operation {
        "exchange_cli_code" => json!({"code": "x", "code_verifier": "x"}),
        "create_token" => json!({"name": "new", "mesh_id": world.mesh}),
        "create_mesh" | "change_mesh" => json!({"name": "new"}),
        "change_member" => json!({"role": "admin"}),
        "create_invite" | "join_mesh" => json!({}),
        "decide_request" => json!({"accept": true}),
        "register_agent" => json!({"name": "agent", "description": "new"}),
        "change_agent" => json!({"description": "new"}),
        "send_message" => json!({"from": world.agent, "content": "new"}),
        "set_cursor" => json!({"cursor": "latest"}),
        _ => Value::Null,
    }
}
