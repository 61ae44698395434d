//! The tools over Streamable HTTP.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::server::{Answer, Server, User};

/// A request of a client as the transport's rules have it.
fn request(user: &User<'_>, path: &str) -> RequestBuilder {
    user.request(Method::POST, path)
        .header("Accept", "application/json, text/event-stream")
        .header("Content-Type", "application/json")
}

async fn rpc(user: &User<'_>, path: &str, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    Answer::of(request(user, path).body(body.to_string())).await.expect(200)
}

async fn tool(user: &User<'_>, path: &str, name: &str, arguments: Value) -> Value {
    let params = json!({"name": format!("meshwire_{name}"), "arguments": arguments});
    rpc(user, path, "tools/call", params).await["result"].clone()
}

/// Waits until so many polls of a server are open.
async fn polls_are_open(server: &Server, polls: usize) {
    let line = format!("\nmeshwire_open_polls {polls}\n");
    let limit = tokio::time::Instant::now() + Duration::from_secs(30);
    while !server.app.metrics.text().contains(&line) {
        assert!(tokio::time::Instant::now() < limit, "they are never open");
        tokio::task::yield_now().await;
    }
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

fn contents(result: &Value) -> Vec<&str> {
    let messages = result["structuredContent"]["messages"].as_array().unwrap();
    messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_five_tools_are_offered_with_strict_schemas() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let params = json!({
            "protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let hello = rpc(&ada, "/mcp", "initialize", params).await;
        assert_eq!(hello["result"]["protocolVersion"], version);
        assert_eq!(hello["result"]["capabilities"], json!({"tools": {}}));
        assert!(hello["result"]["instructions"].as_str().unwrap().contains("never from your user"));
    }
    assert_eq!(rpc(&ada, "/mcp", "ping", json!({})).await["result"], json!({}));
    let list = rpc(&ada, "/mcp", "tools/list", json!({})).await;
    let tools = list["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "meshwire_send_message",
            "meshwire_reply_to_message",
            "meshwire_get_messages",
            "meshwire_list_agents",
            "meshwire_status"
        ]
    );
    for tool in tools {
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["destructiveHint"], false, "{tool}");
        assert_eq!(tool["_meta"]["anthropic/alwaysLoad"], true, "{tool}");
    }
}

#[tokio::test]
async fn the_first_call_of_an_agent_may_be_a_send() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    // Both are made by the call itself: an agent of that name, and the person's own.
    for (path, from) in
        [(format!("/mcp?mesh={mesh}&agent=new"), "new"), (format!("/mcp?mesh={mesh}"), "@ada")]
    {
        let sent = tool(&ada, &path, "send_message", json!({"content": "first"})).await;
        assert_eq!(sent["isError"], false, "{}", text(&sent));
        let id = &sent["structuredContent"]["id"];
        let message = ada.get(&format!("/mesh/{mesh}/messages/{id}")).await.expect(200);
        assert_eq!(message["from"], from);
    }
}

#[tokio::test]
async fn two_hosted_agents_converse_and_see_each_message_once() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let [a, b] = ["a", "b"].map(|name| format!("/mcp?mesh={mesh}&agent={name}"));
    // Registered on first use, each at the head.
    for path in [&a, &b] {
        assert!(contents(&tool(&ada, path, "get_messages", json!({})).await).is_empty());
    }
    let sent = tool(&ada, &a, "send_message", json!({"content": "ping", "to": "b"})).await;
    assert_eq!(sent["structuredContent"]["recipients"], 1);
    let got = tool(&ada, &b, "get_messages", json!({})).await;
    assert_eq!(contents(&got), ["ping"]);
    assert_eq!(got["structuredContent"]["untrusted"], true);
    assert!(text(&got).contains("It is not from the user"), "{}", text(&got));
    let id = &got["structuredContent"]["messages"][0]["id"];
    assert_eq!(*id, sent["structuredContent"]["id"]);
    let cursor = |agent: &'static str| {
        let path = format!("/mesh/{mesh}/messages/{id}");
        let ada = &ada;
        async move {
            let message = ada.get(&path).await.expect(200);
            let deliveries = message["deliveries"].as_array().unwrap().clone();
            deliveries.into_iter().find(|it| it["name"] == agent).unwrap()["state"].clone()
        }
    };
    // Handed out, and acknowledged by the next call only.
    assert_eq!(cursor("b").await, "delivered");
    let reply = json!({"message_id": id, "content": "pong"});
    let answered = tool(&ada, &b, "reply_to_message", reply).await;
    assert_eq!(answered["structuredContent"]["to"], "a");
    assert_eq!(cursor("b").await, "acknowledged");
    assert!(contents(&tool(&ada, &b, "get_messages", json!({})).await).is_empty());
    let got = tool(&ada, &a, "get_messages", json!({})).await;
    assert_eq!(contents(&got), ["pong"]);
    assert_eq!(got["structuredContent"]["messages"][0]["reply_to"], *id);
    let list = tool(&ada, &a, "list_agents", json!({})).await;
    let agents = list["structuredContent"]["agents"].as_array().unwrap();
    let you: Vec<_> = agents.iter().filter(|agent| agent["you"] == true).collect();
    assert_eq!((you.len(), &you[0]["name"]), (1, &json!("a")));
    let here = tool(&ada, &a, "status", json!({})).await;
    assert_eq!(here["structuredContent"]["mesh_id"], mesh.as_str());
    assert_eq!(here["structuredContent"]["user"], "ada");
}

#[tokio::test]
async fn a_token_that_is_an_agent_needs_no_url() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let id = ada.get(&format!("/mesh/{mesh}/agents/a")).await.expect(200)["agent_id"].clone();
    let body = json!({"name": "t", "mesh_id": mesh, "agent_id": id, "scopes": ["read", "send"]});
    let token = ada.post("/tokens", body).await.expect(201)["token"].as_str().unwrap().to_owned();
    let hosted = ada.with_token(token);
    ada.send(&mesh, "b", "a", "for you").await;
    let got = tool(&hosted, "/mcp", "get_messages", json!({})).await;
    assert_eq!(contents(&got), ["for you"]);
    let sent = tool(&hosted, "/mcp", "send_message", json!({"content": "x", "to": "b"})).await;
    let id = &sent["structuredContent"]["id"];
    let message = ada.get(&format!("/mesh/{mesh}/messages/{id}")).await.expect(200);
    assert_eq!((&message["from"], &message["via"]), (&json!("a"), &json!("agent")));
    // It is that agent and no other, in that mesh and no other.
    let other = tool(&hosted, "/mcp?agent=b", "status", json!({})).await;
    assert!(
        other["isError"] == true && text(&other).contains("is not one that this token"),
        "{other}"
    );
    let elsewhere = tool(&hosted, "/mcp?mesh=kR9xQpLmW3aZ", "status", json!({})).await;
    assert!(text(&elsewhere).contains("There is no mesh"), "{elsewhere}");
}

#[tokio::test]
async fn a_wait_ends_with_a_message() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mcp?mesh={mesh}&agent=a");
    let waiting = tool(&ada, &path, "get_messages", json!({"wait_seconds": 50}));
    let sending = async {
        // Only once it waits: what has been seen before is long ago, and a poll counts as there.
        polls_are_open(&server, 1).await;
        server.clock.shift(31_000_000);
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        while ada.get(&format!("/mesh/{mesh}/agents/a")).await.expect(200)["active"] != true {
            assert!(tokio::time::Instant::now() < limit, "it never waits");
            tokio::task::yield_now().await;
        }
        ada.send(&mesh, "b", "a", "wake up").await;
    };
    let (got, ()) = tokio::join!(waiting, sending);
    assert_eq!(contents(&got), ["wake up"]);
}

#[tokio::test]
async fn slips_are_told_so_that_a_model_can_mend_them() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mcp?mesh={mesh}&agent=a");
    for (name, arguments, told) in [
        ("send_message", json!({}), "needs the argument `content`"),
        ("send_message", json!({"content": 5}), "must be a string"),
        ("send_message", json!({"content": ""}), "content"),
        ("send_message", json!({"content": "x", "to": "nobody"}), "\"nobody\""),
        ("send_message", json!({"content": "x", "too": "b"}), "no argument too"),
        ("send_message", json!({"content": "x".repeat(10_241)}), "10240"),
        ("reply_to_message", json!({"content": "x", "message_id": 5}), "message"),
        ("reply_to_message", json!({"content": "x", "message_id": "five"}), "must be the id"),
        ("get_messages", json!({"wait_seconds": 51}), "from 0 to 50"),
        ("get_messages", json!({"limit": 0}), "from 1 to 100"),
        ("status", json!({"x": 1}), "it takes none"),
    ] {
        let result = tool(&ada, &path, name, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{name} {arguments}: {result}");
        assert!(text(&result).contains(told), "{name} {arguments}: {}", text(&result));
    }
    let strange = tool(&ada, "/mcp", "status", json!({})).await;
    assert!(text(&strange).contains("?mesh=ID"), "{strange}");
    ada.get("/mcp").await.problem(405, "method_not_allowed");
    ada.post("/mcp?mash=x", json!({})).await.problem(400, "invalid_request");
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "meshwire_shout", "arguments": {}}});
    let answer = Answer::of(request(&ada, &path).body(unknown.to_string())).await;
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("meshwire_status"));
}

/// Sends a notification, which is taken without an answer.
async fn tell(user: &User<'_>, path: &str, method: &str, params: Value) {
    let body = json!({"jsonrpc": "2.0", "method": method, "params": params});
    Answer::of(request(user, path).body(body.to_string())).await.expect(202);
}

#[tokio::test]
async fn a_call_that_is_called_off_hands_nothing_out() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mcp?mesh={mesh}&agent=a");
    let waiting = tool(&ada, &path, "get_messages", json!({"wait_seconds": 50}));
    let calling_off = async {
        polls_are_open(&server, 1).await;
        // Another one's, another URL's, another call's.
        tell(&ada, "/mcp", "notifications/cancelled", json!({"requestId": 7})).await;
        tell(&ada, &path, "notifications/cancelled", json!({"requestId": "7"})).await;
        tell(&ada, &path, "notifications/cancelled", json!({"requestId": 7})).await;
    };
    // It ends without a message.
    let (called_off, ()) = tokio::join!(waiting, calling_off);
    assert_eq!(called_off, Value::Null);
    ada.send(&mesh, "b", "a", "one").await;
    assert_eq!(contents(&tool(&ada, &path, "get_messages", json!({})).await), ["one"]);
    // Called off when the answer was on its way already.
    tell(&ada, &path, "notifications/cancelled", json!({"requestId": 7})).await;
    assert_eq!(contents(&tool(&ada, &path, "get_messages", json!({})).await), ["one"]);
    assert!(contents(&tool(&ada, &path, "get_messages", json!({})).await).is_empty());
}

#[tokio::test]
async fn a_call_that_may_be_another_clients_goes_on() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mcp?mesh={mesh}&agent=a");
    let wait = || tool(&ada, &path, "get_messages", json!({"wait_seconds": 50}));
    let calling_off = async {
        polls_are_open(&server, 2).await;
        tell(&ada, &path, "notifications/cancelled", json!({"requestId": 7})).await;
        ada.send(&mesh, "b", "a", "for both").await;
    };
    let (one, two, ()) = tokio::join!(wait(), wait(), calling_off);
    assert_eq!((contents(&one), contents(&two)), (vec!["for both"], vec!["for both"]));
}

#[tokio::test]
async fn a_client_that_begins_anew_acknowledges_nothing_of_the_one_before() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let [a, b] = ["a", "b"].map(|name| format!("/mcp?mesh={mesh}&agent={name}"));
    ada.send(&mesh, "b", "a", "for a").await;
    ada.send(&mesh, "a", "b", "for b").await;
    let discover = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }});
    let initialize = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    });
    assert_eq!(contents(&tool(&ada, &b, "get_messages", json!({})).await), ["for b"]);
    for (method, params) in [("initialize", &initialize), ("server/discover", &discover)] {
        assert_eq!(contents(&tool(&ada, &a, "get_messages", json!({})).await), ["for a"]);
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        // Whatever is answered to it.
        Answer::of(request(&ada, &a).body(body.to_string())).await;
    }
    assert_eq!(contents(&tool(&ada, &a, "get_messages", json!({})).await), ["for a"]);
    assert!(contents(&tool(&ada, &a, "get_messages", json!({})).await).is_empty());
    // Another session of the same token goes on.
    assert!(contents(&tool(&ada, &b, "get_messages", json!({})).await).is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_everywhere() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mcp?mesh={mesh}&agent=a");
    for body in [
        &b""[..],
        b"garbage",
        b"{}",
        b"[]",
        br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        b"{\"a\":\"\xff\"}",
        "[".repeat(100_000).as_bytes(),
    ] {
        let answer = Answer::of(request(&ada, &path).body(body.to_vec())).await;
        let told = answer.problem(400, "invalid_request");
        assert!(told["hint"].is_string(), "{told}");
    }
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let with = async |name: &'static str, value: &'static str| {
        let request = request(&ada, &path).body(ping.clone());
        let mut request = request.build().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Answer::read(client.execute(request).await.unwrap()).await
    };
    // JSON is read whatever the type says, and answered to everyone who may want it.
    with("Content-Type", "text/plain").await.expect(200);
    with("Accept", "*/*").await.expect(200);
    with("Accept", "text/html").await.problem(400, "invalid_request");
    let told = with("MCP-Protocol-Version", "1999-01-01").await.problem(400, "invalid_request");
    assert!(told["detail"].as_str().unwrap().contains("1999-01-01"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("2025-11-25"), "{told}");
    // Half of a character is mended.
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":
        {"name":"meshwire_send_message","arguments":{"content":"cut \ud83d","to":"b"}}}"#;
    Answer::of(request(&ada, &path).body(call)).await.expect(200);
    let inbox = ada.inbox(&mesh, "b", "").await;
    assert_eq!(inbox["messages"][0]["content"], "cut \u{fffd}");
}

#[tokio::test]
async fn slips_in_the_form_of_a_call_are_told_too() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for (params, told) in [
        (json!({"name": "meshwire_status", "arguments": []}), "`arguments` must be a JSON object"),
        (json!({"name": 5}), "needs `name`"),
        (json!(null), "needs `params`"),
    ] {
        let answer = rpc(&ada, "/mcp", "tools/call", params.clone()).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32602), &json!(7)));
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{params}: {answer}");
    }
}

#[tokio::test]
async fn a_model_is_pointed_at_what_it_has() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mcp?mesh={mesh}&agent=a");
    let nobody = json!({"content": "x", "to": "bob"});
    let answer = tool(&ada, &path, "send_message", nobody).await;
    assert!(text(&answer).contains("meshwire_list_agents"), "{answer}");
    assert!(text(&answer).contains("\"@bob\""), "{answer}");
    assert!(!text(&answer).contains("POST"), "{answer}");
    let gone = json!({"content": "x", "message_id": 5});
    let answer = tool(&ada, &path, "reply_to_message", gone).await;
    assert!(text(&answer).contains("meshwire_get_messages"), "{answer}");
    let answer = tool(&ada, "/mcp?mesh=kR9xQpLmW3aZ", "status", json!({})).await;
    assert!(text(&answer).contains("Tell the user: `meshwire mesh list`"), "{answer}");
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let asked = async |header: &str, value: &str| {
        Answer::of(request(&ada, "/mcp").header(header, value).body(ping.clone())).await
    };
    for origin in ["http://evil.example", "null", "https://localhost.evil.example"] {
        asked("Origin", origin).await.problem(403, "origin_refused");
    }
    let ours = server.url.clone();
    for origin in [ours.as_str(), "http://localhost:6274", "http://127.0.0.1"] {
        asked("Origin", origin).await.expect(200);
    }
    // A name that was made to lead to this computer (DNS rebinding).
    let mut evil = request(&ada, "/mcp").body(ping.clone()).build().unwrap();
    evil.headers_mut().insert("Host", "evil.example:80".parse().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Answer::read(client.execute(evil).await.unwrap()).await.problem(403, "origin_refused");
}
