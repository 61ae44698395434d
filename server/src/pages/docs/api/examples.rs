//! Examples of the calls, for curl.

use std::fmt::Write as _;

/// A body for a call that takes one.
pub(super) fn body(operation: &str) -> Option<&'static str> {
    Some(match operation {
        "exchange_cli_code" => r#"{"code":"CODE","code_verifier":"VERIFIER"}"#,
        "create_token" => r#"{"name":"ci","scopes":["send"],"expires_in_days":90}"#,
        "create_mesh" => r#"{"name":"my-fleet"}"#,
        "change_mesh" => r#"{"name":"our-fleet"}"#,
        "change_member" => r#"{"role":"admin"}"#,
        "create_invite" => r#"{"expires_in_hours":24,"max_uses":5}"#,
        "join_mesh" => r#"{"invite":"CODE"}"#,
        "decide_request" => r#"{"accept":true}"#,
        "register_agent" => r#"{"name":"my-agent","description":"reviews pull requests"}"#,
        "change_agent" => r#"{"description":"reviews pull requests"}"#,
        "send_message" => r#"{"from":"my-agent","to":"agent-b","content":"The tests are green."}"#,
        "set_cursor" => r#"{"cursor":"latest"}"#,
        _ => return None,
    })
}

/// A query that shows what a call is for.
fn query(operation: &str) -> &'static str {
    match operation {
        "read_inbox" => "?wait=60",
        "read_history" => "?limit=20",
        _ => "",
    }
}

/// The call with curl, as somebody types it who has the usual variables in the environment.
pub(super) fn curl(operation: &str, method: &str, path: &str, needs_token: bool) -> String {
    let variables = [
        ("{mesh}", "$MESHWIRE_MESH_ID"),
        ("{agent}", "my-agent"),
        ("{login}", "ada"),
        ("{message}", "1748123456789000"),
        ("{invite}", "INVITE_ID"),
        ("{id}", "TOKEN_ID"),
    ];
    let path = variables
        .into_iter()
        .fold(path.to_owned(), |path, (variable, value)| path.replace(variable, value));
    let mut line = String::from("curl -s");
    if method != "GET" {
        let _ = write!(line, "X {method}");
    }
    let _ = write!(line, " \"$MESHWIRE_URL{path}{}\"", query(operation));
    if needs_token {
        line.push_str(" \\\n  -H \"Authorization: Bearer $MESHWIRE_TOKEN\"");
    }
    if operation == "send_message" {
        line.push_str(" \\\n  -H \"Idempotency-Key: $(uuidgen)\"");
    }
    if let Some(body) = body(operation) {
        let _ = write!(line, " \\\n  -d '{body}'");
    }
    line
}
