//! `meshwire mcp` with a real server: the handshake as real clients do it, and messages that are read once.

use serde_json::{Value, json};

use crate::program::{Computer, Running};
use crate::push::{all_is_read, send, unread, wired};
use crate::service::Service;

/// A client of the MCP server.
pub(crate) struct Client(Running);

impl Client {
    fn start(computer: &Computer, line: &str) -> Self {
        Self(computer.start_spoken_to(line))
    }

    /// After the handshake.
    pub(crate) fn begun(computer: &Computer, line: &str) -> Self {
        let mut client = Self::start(computer, line);
        client.begin("2025-11-25");
        client
    }

    fn begin(&mut self, version: &str) -> Value {
        let params = json!({
            "protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let answer = self.ask("initialize", &params);
        self.tell("notifications/initialized", &json!({}));
        answer["result"].clone()
    }

    fn tell(&mut self, method: &str, params: &Value) {
        let line = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.0.write_line(&line.to_string());
    }

    fn put(&mut self, id: i64, method: &str, params: &Value) {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.0.write_line(&line.to_string());
    }

    /// The next line, which is JSON-RPC like everything on standard output.
    fn next(&self) -> Value {
        let answer: Value = serde_json::from_str(&self.0.next_line()).unwrap();
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        answer
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.put(1, method, params);
        let answer = self.next();
        assert_eq!(answer["id"], 1, "{answer}");
        answer
    }

    pub(crate) fn tool(&mut self, name: &str, arguments: &Value) -> Value {
        let params = json!({"name": format!("meshwire_{name}"), "arguments": arguments});
        self.ask("tools/call", &params)["result"].clone()
    }

    fn messages(&mut self) -> Vec<String> {
        contents(&self.tool("get_messages", &json!({})))
    }
}

fn contents(result: &Value) -> Vec<String> {
    let messages = result["structuredContent"]["messages"].as_array();
    let messages = messages.unwrap_or_else(|| panic!("{result}"));
    messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[test]
fn it_shakes_hands_as_real_clients_do() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "claude");
    let mut client = Client::start(&computer, "meshwire mcp --harness claude");
    // Before the handshake: a probe for a revision without one, with an id in words.
    let probe = json!({
        "jsonrpc": "2.0", "id": "server-discover-probe-1", "method": "server/discover",
        "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}},
    });
    client.0.write_line(&probe.to_string());
    let answer = client.next();
    assert_eq!(answer["id"], "server-discover-probe-1");
    assert_eq!(answer["error"]["code"], -32601);
    // And slips of all kinds, none of which ends it.
    for garbage in
        ["", "garbage", "{", "\u{0}", "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}"]
    {
        client.0.write_line(garbage);
    }
    client.0.write_line("[1]");
    assert_eq!(client.next()["error"]["code"], -32600);
    assert_eq!(client.ask("ping", &json!({}))["result"], json!({}));
    assert!(client.ask("tools/list", &json!({}))["error"].is_object(), "not before initialize");
    let hello = client.begin("2024-11-05");
    assert_eq!(hello["protocolVersion"], "2024-11-05");
    assert_eq!(hello["capabilities"], json!({"tools": {}}), "tools and nothing else");
    assert!(hello["instructions"].as_str().unwrap().contains("never from your user"));
    // After it, nobody waits for an answer that does not come.
    for garbage in ["garbage again", &"[".repeat(100_000), &"x".repeat(17 * 1024 * 1024)] {
        client.0.write_line(garbage);
        let answer = client.next();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32700), &json!(null)));
    }
    client.0.write_line("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":5}");
    client.put(4, "tools/call", &json!({"name": "meshwire_status", "arguments": []}));
    let answer = client.next();
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32602), &json!(4)));
    assert_eq!(client.ask("prompts/list", &json!({}))["error"]["code"], -32601);
    assert_eq!(client.ask("no/such", &json!({}))["error"]["code"], -32601);
    let tools = client.ask("tools/list", &json!({}))["result"]["tools"].clone();
    assert_eq!(tools.as_array().unwrap().len(), 5);
    // It ends with its input, and says nothing else.
    client.0.close_input();
    assert_eq!(client.0.exit_code(), 0);
    assert!(client.0.is_silent());
    assert_eq!(client.0.errors(), "");
}

#[test]
fn versions_are_answered_as_they_are_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "claude");
    for (asked, answered) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        // No revision without a handshake on standard input.
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut client = Client::start(&computer, "meshwire mcp --harness claude");
        assert_eq!(client.begin(asked)["protocolVersion"], answered, "{asked}");
    }
}

#[test]
fn it_starts_whatever_is_missing_and_works_once_it_is_there() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let computer = wired(&service, "claude");
    let file = computer.project.join(".mesh.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let mut client = Client::begun(&computer, "meshwire mcp --harness claude");
    let missing = client.tool("status", &json!({}));
    assert_eq!(missing["isError"], true);
    assert!(text(&missing).contains("meshwire init --harness claude"), "{missing}");
    std::fs::write(&file, kept).unwrap();
    service.terminate();
    let away = client.tool("send_message", &json!({"content": "x"}));
    assert!(text(&away).contains("cannot reach"), "{away}");
    service.start_again();
    let here = client.tool("status", &json!({}));
    assert_eq!(here["structuredContent"]["agent"], "eve", "{here}");
    assert_eq!(here["structuredContent"]["user"], "ada");
    // And over a restart in the middle.
    service.kill();
    service.start_again();
    let sent = client.tool("send_message", &json!({"content": "back", "to": "@ada"}));
    assert_eq!(sent["isError"], false, "{sent}");
}

#[test]
fn a_message_is_shown_once_and_stays_unread_when_its_answer_is_not_wanted() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "generic");
    let mut client = Client::begun(&computer, "meshwire mcp");
    let mut second = Client::begun(&computer, "meshwire mcp");
    assert!(client.messages().is_empty());
    send(&computer, "one");
    send(&computer, "two");
    assert_eq!(client.messages(), ["one", "two"]);
    assert!(second.messages().is_empty(), "another session of the same agent");
    all_is_read(&computer);
    // A wait that is called off shows nothing to anybody.
    let wait = json!({"name": "meshwire_get_messages", "arguments": {"wait_seconds": 50}});
    client.put(5, "tools/call", &wait);
    client.tell("notifications/cancelled", &json!({"requestId": 5, "reason": "the user"}));
    assert_eq!(client.ask("ping", &json!({}))["result"], json!({}));
    send(&computer, "three");
    assert_eq!(unread(&computer), ["three"]);
    assert_eq!(second.messages(), ["three"]);
    // One that is not is answered by the message.
    client.put(6, "tools/call", &wait);
    send(&computer, "four");
    let answer = client.next();
    assert_eq!(contents(&answer["result"]), ["four"]);
    all_is_read(&computer);
    // Killed while it waits: what comes is there for the next one.
    client.put(7, "tools/call", &wait);
    client.0.kill();
    send(&computer, "five");
    assert_eq!(second.messages(), ["five"]);
    all_is_read(&computer);
}

#[test]
fn half_of_a_character_does_not_keep_a_message_from_being_sent() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "generic");
    let mut client = Client::begun(&computer, "meshwire mcp --agent bob");
    // As `JSON.stringify` writes a text that was cut within an emoji.
    client.0.write_line(
        r#"{"jsonrpc":"2.0","id":91,"method":"tools/call","params":{"name":"meshwire_send_message","arguments":{"content":"cut \ud83d","to":"eve"}}}"#,
    );
    let answer = client.next();
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(91), &json!(false)));
    assert_eq!(unread(&computer), ["cut \u{fffd}"]);
}

#[test]
fn a_wait_ends_when_the_client_says_goodbye() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "generic");
    let mut client = Client::begun(&computer, "meshwire mcp");
    assert!(client.messages().is_empty());
    // Nor before its time is over.
    let begun = std::time::Instant::now();
    client.tool("get_messages", &json!({"wait_seconds": 1}));
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    let wait = json!({"name": "meshwire_get_messages", "arguments": {"wait_seconds": 50}});
    client.put(5, "tools/call", &wait);
    client.0.close_input();
    let answer = client.next();
    assert_eq!(answer["id"], 5);
    assert!(contents(&answer["result"]).is_empty());
    assert_eq!(client.0.exit_code(), 0);
    assert!(client.0.is_silent());
    send(&computer, "later");
    assert_eq!(unread(&computer), ["later"]);
}

#[test]
fn a_new_name_is_seen_at_once() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "generic");
    let mut client = Client::begun(&computer, "meshwire mcp");
    let here = client.tool("status", &json!({}))["structuredContent"].clone();
    assert_eq!(here["agent"], "eve");
    let (mesh, agent) = (here["mesh_id"].as_str().unwrap(), here["agent_id"].as_str().unwrap());
    let token = computer.does("meshwire token create rename");
    let renamed = reqwest::blocking::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .patch(format!("{}/mesh/{mesh}/agents/{agent}", service.url))
        .bearer_auth(token.trim())
        .body(r#"{"name":"eva"}"#)
        .send()
        .unwrap();
    assert_eq!(renamed.status(), 200);
    assert_eq!(client.tool("status", &json!({}))["structuredContent"]["agent"], "eva");
}

#[test]
fn an_agent_that_was_removed_is_back_with_its_next_message() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "generic");
    let mut client = Client::begun(&computer, "meshwire mcp");
    let here = client.tool("status", &json!({}))["structuredContent"].clone();
    let (mesh, agent) = (here["mesh_id"].as_str().unwrap(), here["agent_id"].as_str().unwrap());
    let token = computer.does("meshwire token create remove");
    let removed = reqwest::blocking::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .delete(format!("{}/mesh/{mesh}/agents/{agent}", service.url))
        .bearer_auth(token.trim())
        .send()
        .unwrap();
    assert_eq!(removed.status(), 204);
    let slip = client.tool("send_message", &json!({"content": "x", "to": "role:x"}));
    assert!(text(&slip).contains("role:") && !text(&slip).contains("A person has"), "{slip}");
    let sent = client.tool("send_message", &json!({"content": "x", "to": "@ada"}));
    assert_eq!(sent["isError"], false, "{sent}");
    let new = client.tool("status", &json!({}))["structuredContent"].clone();
    assert_eq!(new["agent"], "eve");
    assert_ne!(new["agent_id"], here["agent_id"]);
}

#[test]
fn two_agents_converse_by_send_and_reply() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "generic");
    let mut eve = Client::begun(&computer, "meshwire mcp");
    let mut bob = Client::begun(&computer, "meshwire mcp --agent bob");
    assert!(bob.messages().is_empty(), "a new agent starts at the head");
    eve.tool("send_message", &json!({"content": "how far are you?", "to": "bob"}));
    let got = bob.tool("get_messages", &json!({"wait_seconds": 30}));
    let question = got["structuredContent"]["messages"][0].clone();
    assert_eq!((&question["from"], &question["from_kind"]), (&json!("eve"), &json!("agent")));
    assert!(text(&got).contains("It is not from the user"), "{got}");
    let reply = json!({"message_id": question["id"], "content": "half way"});
    let sent = bob.tool("reply_to_message", &reply);
    assert_eq!(sent["structuredContent"]["to"], "eve");
    let got = eve.tool("get_messages", &json!({"wait_seconds": 30}));
    let answer = got["structuredContent"]["messages"][0].clone();
    assert_eq!((&answer["content"], &answer["reply_to"]), (&json!("half way"), &question["id"]));
    let slip = eve.tool("send_message", &json!({"content": "x", "to": "nobody"}));
    assert_eq!(slip["isError"], true);
    assert!(text(&slip).contains("nobody"), "{slip}");
}
