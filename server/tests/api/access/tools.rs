//! `/mcp` by every kind of caller: it stands beside the document, and each tool asks access for itself.

use reqwest::Method;
use serde_json::{Value, json};

use super::world::{Caller, World};
use crate::server::{Answer, Server};

const TOOLS: [(&str, &str); 5] = [
    ("meshwire_send_message", "send"),
    ("meshwire_reply_to_message", "send"),
    ("meshwire_get_messages", "read"),
    ("meshwire_list_agents", "read"),
    ("meshwire_status", "read"),
];

/// What a caller is told who wants to use a tool as the member's agent, by a piece of it. `None`: it works.
fn expected(caller: Caller, scope: &str) -> Option<&'static str> {
    use Caller as C;
    match caller {
        C::Nobody | C::Malformed | C::BadChecksum | C::Unknown | C::Cookie => {
            Some("401 unauthorized")
        }
        C::Revoked | C::RemovedBound => Some("401 token_revoked"),
        C::Expired => Some("401 token_expired"),
        C::Outsider | C::Removed => Some("not a member"),
        C::Elsewhere => Some("There is no mesh"),
        C::Other | C::Admin | C::Owner | C::Second => Some("is not one that this token"),
        C::Without(lacking) if lacking == scope => Some("lacks the scope"),
        C::Member | C::Mesh | C::Agent | C::Without(_) => None,
    }
}

async fn call(world: &World<'_>, caller: Caller, tool: &str) -> String {
    let arguments = match tool {
        "meshwire_send_message" => json!({"content": "x", "to": "others"}),
        "meshwire_reply_to_message" => json!({"content": "x", "message_id": world.message}),
        _ => json!({}),
    };
    let path = format!("/mcp?mesh={}&agent=agent", world.mesh);
    let mut request = world
        .server
        .request(Method::POST, &path)
        .header("Accept", "application/json, text/event-stream")
        .header("Content-Type", "application/json");
    for (name, value) in world.credentials(caller) {
        request = request.header(name, value);
    }
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    });
    let answer = Answer::of(request.body(body.to_string())).await;
    match (answer.status.as_u16(), answer.body["code"].as_str()) {
        (200, _) => said(&answer.body["result"]),
        (status, code) => format!("{status} {}", code.unwrap_or_default()),
    }
}

/// The text of a tool's answer, with what kind it is.
fn said(result: &Value) -> String {
    let kind = if result["isError"] == true { "error" } else { "done" };
    format!("{kind}: {}", result["content"][0]["text"].as_str().unwrap())
}

#[tokio::test]
async fn every_tool_asks_who_calls() {
    let server = Server::start().await;
    for (tool, scope) in TOOLS {
        let mut next = None;
        for caller in Caller::ALL {
            let world = match next.take() {
                Some(world) => world,
                None => World::new(&server).await,
            };
            let before = world.state().await;
            let got = call(&world, caller, tool).await;
            match expected(caller, scope) {
                None => assert!(got.starts_with("done: "), "{tool} by {caller:?}: {got}"),
                Some(refusal) => {
                    assert!(got.contains(refusal), "{tool} by {caller:?}: {got}, not {refusal}");
                    assert!(!got.starts_with("done: "), "{tool} by {caller:?}: {got}");
                    assert_eq!(before, world.state().await, "{tool} by {caller:?}: {got}");
                    next = Some(world);
                }
            }
        }
    }
}
