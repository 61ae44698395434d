//! Agents.

use serde_json::json;

use crate::server::{Server, contents};

#[tokio::test]
async fn registering_again_gives_the_same_agent() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let path = format!("/mesh/{mesh}/agents");
    let body = json!({"name": "Helper", "harness": "claude", "host": "laptop", "description": "helps",
        "capabilities": ["rust", "review"], "wake": "live"});
    let first = ada.post(&path, body).await.expect(201);
    assert_eq!(first["agent_id"].as_str().unwrap().len(), 9);
    assert_eq!(first["name"], "Helper");
    let again = ada.post(&path, json!({"name": "helper", "wake": "turn"})).await.expect(200);
    assert_eq!(again, first);

    let listed = ada.get(&path).await.expect(200);
    let agent = &listed["agents"][0];
    for (field, value) in [
        ("agent_id", &first["agent_id"]),
        ("name", &json!("Helper")),
        ("kind", &json!("agent")),
        ("owner", &json!("ada")),
        ("harness", &json!("claude")),
        ("active", &json!(true)),
        ("wake", &json!("turn")),
        ("description", &json!("helps")),
        ("capabilities", &json!(["rust", "review"])),
    ] {
        assert_eq!(&agent[field], value, "{field}");
    }
    assert!(agent["last_seen"].is_string());
}

#[tokio::test]
async fn an_agent_is_found_by_id_and_by_name() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let id = ada.agent(&mesh, "helper").await;
    for wanted in [id.as_str(), "helper", "HELPER"] {
        let agent = ada.get(&format!("/mesh/{mesh}/agents/{wanted}")).await.expect(200);
        assert_eq!(agent["agent_id"], json!(id));
    }
    ada.get(&format!("/mesh/{mesh}/agents/nobody")).await.problem(404, "agent_not_found");
}

#[tokio::test]
async fn bad_names_are_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let path = format!("/mesh/{mesh}/agents");
    for name in ["", "all", "ALL", "-x", "a b", "@ada", "é", "role:x", &"x".repeat(65)] {
        let problem = ada.post(&path, json!({"name": name})).await.problem(400, "invalid_request");
        assert!(problem["errors"]["name"].is_string(), "{name}");
    }
    let id = ada.agent(&mesh, "helper").await;
    for id in [id.to_string(), id.to_string().to_uppercase()] {
        ada.post(&path, json!({"name": id})).await.problem(409, "agent_name_taken");
    }
    for (field, value) in [
        ("harness", json!("emacs")),
        ("wake", json!("never")),
        ("wake", json!(5)),
        ("wake", json!({})),
        ("harness", json!(["claude"])),
        ("host", json!("a\nb")),
        ("description", json!("x".repeat(1_025))),
        ("capabilities", json!(vec!["x"; 33])),
        ("capabilities", json!(["x".repeat(65)])),
        ("capabilities", json!("x")),
    ] {
        let mut body = json!({"name": "other"});
        body[field] = value;
        let problem = ada.post(&path, body).await.problem(400, "invalid_request");
        assert!(problem["errors"][field].is_string(), "{problem}");
    }
}

#[tokio::test]
async fn a_new_agent_starts_at_the_head() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "a").await;
    let before = ada.send(&mesh, "a", "all", "before").await;
    let path = format!("/mesh/{mesh}/agents");
    let late = ada.post(&path, json!({"name": "late"})).await.expect(201);
    assert_eq!(late["cursor"], before);
    ada.send(&mesh, "a", "all", "after").await;
    assert_eq!(contents(&ada.inbox(&mesh, "late", "").await), ["after"]);
}

#[tokio::test]
async fn an_agent_is_renamed_and_removed() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let id = ada.agent(&mesh, "helper").await;
    ada.agent(&mesh, "other").await;
    ada.send(&mesh, "helper", "other", "hello").await;
    let path = format!("/mesh/{mesh}/agents/helper");
    ada.patch(&path, json!({"name": "other"})).await.problem(409, "agent_name_taken");
    let renamed = ada.patch(&path, json!({"name": "Helper-2", "wake": "live"})).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["agent_id"]), (&json!("Helper-2"), &json!(id)));
    ada.get(&path).await.problem(404, "agent_not_found");
    let inbox = ada.inbox(&mesh, "other", "").await;
    assert_eq!(inbox["messages"][0]["from"], "helper", "older messages keep the old name");

    let bound = server
        .token(&ada.row, |token| {
            token.mesh = Some(mesh.clone());
            token.agent = Some(id.clone());
        })
        .await;
    let bound = ada.with_token(bound);
    bound.get("/me").await.expect(200);
    ada.delete(&format!("/mesh/{mesh}/agents/{id}")).await.expect(204);
    bound.get("/me").await.problem(401, "token_revoked");
    ada.get(&format!("/mesh/{mesh}/agents/{id}")).await.problem(404, "agent_not_found");
    ada.post(&format!("/mesh/{mesh}/messages"), json!({"to": id, "content": "x"}))
        .await
        .problem(404, "agent_not_found");
}

#[tokio::test]
async fn a_token_bound_to_an_agent_is_that_agent() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let own = ada.agent(&mesh, "own").await;
    ada.agent(&mesh, "other").await;
    let token = server
        .token(&ada.row, |token| {
            token.mesh = Some(mesh.clone());
            token.agent = Some(own.clone());
        })
        .await;
    let bound = ada.with_token(token);
    let messages = format!("/mesh/{mesh}/messages");
    bound.get(&format!("/mesh/{mesh}/agents/other/messages")).await.problem(403, "not_your_agent");
    bound.get(&format!("/mesh/{mesh}/agents/@ada/messages")).await.problem(403, "not_your_agent");
    bound
        .post(&messages, json!({"from": "other", "content": "x"}))
        .await
        .problem(403, "not_your_agent");
    bound
        .post(&format!("/mesh/{mesh}/agents"), json!({"name": "third"}))
        .await
        .problem(403, "not_your_agent");
    bound.delete(&format!("/mesh/{mesh}/agents/other")).await.problem(403, "not_your_agent");
    let sent = bound.post(&messages, json!({"content": "hello"})).await.expect(201);
    assert_eq!((&sent["from"], &sent["via"]), (&json!("own"), &json!("agent")));

    // Of the history it sees broadcasts and its own messages only.
    ada.send(&mesh, "other", "@ada", "not for you").await;
    ada.send(&mesh, "other", "own", "for you").await;
    let seen = bound.get(&messages).await.expect(200);
    assert_eq!(contents(&seen), ["for you", "hello"]);
}

#[tokio::test]
async fn a_person_s_agent_is_not_changed_alone() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.inbox(&mesh, "@ada", "").await;
    let path = format!("/mesh/{mesh}/agents/@ada");
    assert_eq!(ada.get(&path).await.expect(200)["kind"], "human");
    ada.patch(&path, json!({"name": "boss"})).await.problem(403, "forbidden");
    ada.delete(&path).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_heartbeat_keeps_an_agent_active() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "helper").await;
    let path = format!("/mesh/{mesh}/agents/helper");
    server.clock.shift(31_000_000);
    assert_eq!(ada.get(&path).await.expect(200)["active"], false);
    ada.post(&format!("{path}/heartbeat"), json!({})).await.expect(204);
    assert_eq!(ada.get(&path).await.expect(200)["active"], true);
}

#[tokio::test]
async fn agents_are_limited_by_a_setting_and_people_do_not_count() {
    let server = Server::with(&["--limit-agents", "1"]).await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.inbox(&mesh, "@ada", "").await;
    ada.agent(&mesh, "one").await;
    ada.post(&format!("/mesh/{mesh}/agents"), json!({"name": "two"}))
        .await
        .problem(409, "limit_reached");
    ada.post(&format!("/mesh/{mesh}/agents"), json!({"name": "one"})).await.expect(200);
}

#[tokio::test]
async fn a_poll_a_send_and_an_acknowledgement_count_as_heartbeats() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mesh/{mesh}/agents/a");
    let asleep = async || {
        server.clock.shift(31_000_000);
        assert_eq!(ada.get(&path).await.expect(200)["active"], false);
    };
    let awake = async || assert_eq!(ada.get(&path).await.expect(200)["active"], true);
    asleep().await;
    ada.inbox(&mesh, "a", "").await;
    awake().await;
    asleep().await;
    ada.send(&mesh, "a", "b", "x").await;
    awake().await;
    asleep().await;
    ada.put(&format!("{path}/cursor"), json!({"cursor": "latest"})).await.expect(200);
    awake().await;
    asleep().await;
    ada.send(&mesh, "b", "a", "x").await;
    assert_eq!(ada.get(&path).await.expect(200)["active"], false, "being written to does not");
}
