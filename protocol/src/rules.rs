//! What each field of a request must be, in words for whoever got it wrong.

/// The rule of a field, for an answer to a value of a wrong type or out of range.
pub fn rule(field: &str) -> Option<&'static str> {
    Some(match field {
        "content" => "must be a text of 1 to 10240 bytes",
        "metadata" => "must be an object of at most 4096 bytes",
        "reply_to" | "before" => "must be the id of a message, a number from 0 to 9007199254740991",
        "after" | "cursor" => {
            "must be the id of a message, a number from 0 to 9007199254740991, or earliest or latest"
        }
        "wait" => "must be 0 to 60 seconds",
        "limit" | "max_uses" => "must be 1 to 1000",
        "ack" | "paused" | "accept" => "must be true or false",
        "expires_in_hours" => "must be 1 to 8760",
        "port" => "must be 1024 to 65535",
        "role" => "must be member, admin or owner",
        "name" | "login" | "invite" | "code" | "code_verifier" | "state" | "to" | "from"
        | "host" | "description" | "mesh_id" | "agent_id" | "client_id" | "grant_type"
        | "device_code" => "must be a text",
        "harness" => {
            "must be one of copilot, claude, claude-desktop, cursor, codex, gemini, kiro, opencode, vscode, \
             windsurf, hermes, pi, generic"
        }
        "capabilities" => "must be a list of up to 32 texts of up to 64 characters",
        "wake" => "must be live, turn or poll",
        "scopes" => "must be a list of read, send, agents, admin",
        "expires_in_days" => "must be 1 to 365",
        _ => return None,
    })
}
