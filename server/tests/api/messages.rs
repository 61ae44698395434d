//! Sending, answering, repeating, looking back.

use meshwire_protocol::MessageId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server, User, contents};

async fn send_with_key(user: &User<'_>, mesh: &str, key: &str, body: &Value) -> Answer {
    let path = format!("/mesh/{mesh}/messages");
    let request = user.request(Method::POST, &path).header("Idempotency-Key", key);
    Answer::of(request.body(body.to_string())).await
}

#[tokio::test]
async fn a_message_carries_what_the_server_knows() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let a = ada.agent(&mesh, "a").await;
    let b = ada.agent(&mesh, "b").await;
    let body = json!({"from": "A", "to": "B", "content": "hello", "metadata": {"k": [1, "x"]}});
    let sent = ada.post(&format!("/mesh/{mesh}/messages"), body).await.expect(201);
    let id = sent["id"].as_i64().unwrap();
    assert!(MessageId::new(id).is_some());
    assert!((id - server.clock.now()).abs() < 10_000_000, "the id is the time");
    for (field, value) in [
        ("mesh_id", json!(mesh)),
        ("from", json!("a")),
        ("from_agent_id", json!(a)),
        ("from_user", json!("ada")),
        ("from_kind", json!("agent")),
        ("via", json!("account")),
        ("to", json!("b")),
        ("to_agent_id", json!(b)),
        ("content", json!("hello")),
        ("metadata", json!({"k": [1, "x"]})),
        ("hops", json!(0)),
        ("recipients", json!({"total": 1, "active": 1})),
    ] {
        assert_eq!(sent[field], value, "{field}");
    }
    assert!(sent["sent_at"].as_str().unwrap().ends_with('Z'));

    let mut received = ada.inbox(&mesh, "b", "").await["messages"][0].clone();
    received["recipients"] = sent["recipients"].clone();
    assert_eq!(received, sent, "the receiver gets what the sender was answered");
}

#[tokio::test]
async fn without_from_a_person_speaks() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let path = format!("/mesh/{mesh}/messages");
    let sent = ada.post(&path, json!({"content": "hello"})).await.expect(201);
    assert_eq!((&sent["from"], &sent["from_kind"]), (&json!("@ada"), &json!("human")));
    assert_eq!((&sent["to"], &sent["to_agent_id"]), (&json!("all"), &Value::Null));
    assert_eq!(sent["recipients"], json!({"total": 0, "active": 0}));
    let sent =
        ada.post(&path, json!({"from": "@ADA", "to": "@ada", "content": "note"})).await.expect(201);
    assert_eq!(sent["recipients"]["total"], 1, "one can write to oneself");
    assert_eq!(contents(&ada.inbox(&mesh, "@ada", "").await), ["note"]);
}

#[tokio::test]
async fn via_is_the_kind_of_credential() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let agent = ada.agent(&mesh, "a").await;
    for (body, via) in [
        (json!({"name": "x"}), "account"),
        (json!({"name": "x", "mesh_id": mesh}), "mesh"),
        (json!({"name": "x", "mesh_id": mesh, "agent_id": agent}), "agent"),
    ] {
        let created = ada.post("/tokens", body).await.expect(201);
        let user = ada.with_token(created["token"].as_str().unwrap().to_owned());
        let path = format!("/mesh/{mesh}/messages");
        let sent = user.post(&path, json!({"from": "a", "content": "x"})).await.expect(201);
        assert_eq!(sent["via"], via);
        let claimed = json!({"from": "a", "content": "x", "via": "session"});
        user.post(&path, claimed).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_reply_is_to_a_message_that_the_sender_may_see() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let bob = server.user("bob").await;
    let link = ada.post(&format!("/mesh/{mesh}/invites"), json!({})).await.expect(201);
    bob.post(&format!("/mesh/{mesh}/join"), json!({"invite": link["code"]})).await.expect(200);
    let path = format!("/mesh/{mesh}/messages");
    let direct = ada.send(&mesh, "a", "b", "between us").await;
    let reply = json!({"reply_to": direct, "content": "x"});
    let unseen = bob.post(&path, reply).await.problem(404, "message_not_found");
    assert!(unseen["errors"]["reply_to"].is_string(), "{unseen}");
    let broadcast = ada.send(&mesh, "a", "all", "to everyone").await;
    let reply = json!({"reply_to": broadcast, "content": "x"});
    assert_eq!(bob.post(&path, reply).await.expect(201)["to"], "a");
}

#[tokio::test]
async fn addresses_are_found_or_refused() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    let id = ada.agent(&mesh, "helper").await;
    let path = format!("/mesh/{mesh}/messages");
    for (to, label) in
        [("ALL", "all"), ("HELPER", "helper"), (id.as_str(), "helper"), ("@Ada", "@ada")]
    {
        let sent = ada.post(&path, json!({"to": to, "content": "x"})).await.expect(201);
        assert_eq!(sent["to"], label);
    }
    for to in ["nobody", "@bob", "@nobody"] {
        ada.post(&path, json!({"to": to, "content": "x"})).await.problem(404, "agent_not_found");
    }
    for to in ["role:coder", "room:x", "", "a b", "@", "*"] {
        let problem = ada
            .post(&path, json!({"to": to, "content": "x"}))
            .await
            .problem(400, "invalid_request");
        assert!(problem["errors"]["to"].is_string(), "{to}: {problem}");
    }
    ada.post(&path, json!({"from": "nobody", "content": "x"}))
        .await
        .problem(404, "agent_not_found");
    ada.post(&path, json!({"from": "@bob", "content": "x"})).await.problem(404, "agent_not_found");
    drop(bob);
}

#[tokio::test]
async fn content_and_metadata_have_limits() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let path = format!("/mesh/{mesh}/messages");
    ada.post(&path, json!({"content": "x".repeat(10_240)})).await.expect(201);
    ada.post(&path, json!({"content": "é".repeat(5_120)})).await.expect(201);
    for content in ["x".repeat(10_241), "é".repeat(5_121), "x".repeat(100_000)] {
        let problem =
            ada.post(&path, json!({"content": content})).await.problem(400, "message_too_large");
        assert!(problem["detail"].as_str().unwrap().contains("10240"));
    }
    ada.post(&path, json!({"content": "x".repeat(200_000)}))
        .await
        .problem(413, "payload_too_large");
    for content in ["", "a\u{0}b"] {
        let problem =
            ada.post(&path, json!({"content": content})).await.problem(400, "invalid_request");
        assert!(problem["errors"]["content"].is_string());
    }
    // {"k":"…"} is 8 bytes around the text.
    let metadata = |size: usize| json!({"content": "x", "metadata": {"k": "v".repeat(size - 8)}});
    ada.post(&path, metadata(4_096)).await.expect(201);
    ada.post(&path, metadata(4_097)).await.problem(400, "message_too_large");
    // What the server adds for a reply does not count.
    let first = ada.post(&path, json!({"content": "x"})).await.expect(201);
    let mut full = metadata(4_096);
    full["reply_to"] = first["id"].clone();
    let reply = ada.post(&path, full).await.expect(201);
    assert_eq!(reply["metadata"]["reply_to"], first["id"]);
    for metadata in [json!([]), json!("x"), json!({"reply_to": 1})] {
        let body = json!({"content": "x", "metadata": metadata});
        let problem = ada.post(&path, body).await.problem(400, "invalid_request");
        assert!(problem["errors"]["metadata"].is_string());
    }
    let twice = r#"{"content":"x","metadata":{"a":{"k":1,"k":2}}}"#;
    let twice = Answer::of(ada.request(Method::POST, &path).body(twice)).await;
    let problem = twice.problem(400, "invalid_request");
    assert_eq!(problem["errors"], json!({"metadata.a.k": "is given twice"}));
}

#[tokio::test]
async fn a_reply_goes_to_the_sender_and_counts_hops() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b"] {
        ada.agent(&mesh, name).await;
    }
    let path = format!("/mesh/{mesh}/messages");
    let first = ada.send(&mesh, "a", "b", "question").await;
    let reply = json!({"from": "b", "reply_to": first, "content": "answer", "metadata": {"x": 1}});
    let reply = ada.post(&path, reply).await.expect(201);
    assert_eq!((&reply["to"], &reply["hops"]), (&json!("a"), &json!(1)));
    assert_eq!(reply["metadata"], json!({"x": 1, "reply_to": first}));

    let own = ada
        .post(&path, json!({"from": "a", "reply_to": first, "content": "also"}))
        .await
        .expect(201);
    assert_eq!(own["to"], "b", "an answer to one's own message goes where that one went");
    let broadcast = ada.send(&mesh, "a", "all", "news").await;
    for (from, to) in [("a", "all"), ("b", "a")] {
        let body = json!({"from": from, "reply_to": broadcast, "content": "more"});
        assert_eq!(ada.post(&path, body).await.expect(201)["to"], to, "from {from}");
    }
    let elsewhere = json!({"from": "b", "reply_to": first, "to": "all", "content": "x"});
    assert_eq!(ada.post(&path, elsewhere).await.expect(201)["to"], "all");
    let person = json!({"reply_to": reply["id"], "content": "thanks"});
    assert_eq!(ada.post(&path, person).await.expect(201)["hops"], 0, "a person begins anew");

    for id in [json!(1), json!(9_007_199_254_740_991_i64)] {
        ada.post(&path, json!({"reply_to": id, "content": "x"}))
            .await
            .problem(404, "message_not_found");
    }
    for id in [json!("1"), json!(-5), json!(9_007_199_254_740_992_i64)] {
        ada.post(&path, json!({"reply_to": id, "content": "x"}))
            .await
            .problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_reply_to_a_removed_agent_says_so() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let first = ada.send(&mesh, "a", "b", "question").await;
    ada.delete(&format!("/mesh/{mesh}/agents/a")).await.expect(204);
    let reply = json!({"from": "b", "reply_to": first, "content": "answer"});
    ada.post(&format!("/mesh/{mesh}/messages"), reply).await.problem(404, "agent_not_found");
}

#[tokio::test]
async fn a_repeat_under_the_same_key_answers_the_first_message() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let mesh_id = mesh.as_str();
    let body = json!({"from": "a", "to": "b", "content": "once"});
    let first = send_with_key(&ada, mesh_id, "key-1", &body).await.expect(201);
    let again = send_with_key(&ada, mesh_id, "key-1", &body).await.expect(200);
    assert_eq!(again["id"], first["id"]);

    // Also when the receiver was renamed, removed, or the mesh paused in between.
    ada.patch(&format!("/mesh/{mesh}/agents/b"), json!({"name": "c"})).await.expect(200);
    assert_eq!(send_with_key(&ada, mesh_id, "key-1", &body).await.expect(200)["id"], first["id"]);
    ada.delete(&format!("/mesh/{mesh}/agents/c")).await.expect(204);
    assert_eq!(send_with_key(&ada, mesh_id, "key-1", &body).await.expect(200)["id"], first["id"]);
    ada.patch(&format!("/mesh/{mesh}"), json!({"paused": true})).await.expect(200);
    assert_eq!(send_with_key(&ada, mesh_id, "key-1", &body).await.expect(200)["id"], first["id"]);
    ada.patch(&format!("/mesh/{mesh}"), json!({"paused": false})).await.expect(200);

    let other = json!({"from": "a", "to": "all", "content": "once"});
    send_with_key(&ada, mesh_id, "key-1", &other).await.problem(422, "idempotency_key_reused");
    // The key is the sending agent's own.
    let person = json!({"content": "once"});
    send_with_key(&ada, mesh_id, "key-1", &person).await.expect(201);
    // And is forgotten after a day.
    server.clock.shift(24 * 60 * 60 * 1_000_000 + 1);
    send_with_key(&ada, mesh_id, "key-1", &other).await.expect(201);
}

#[tokio::test]
async fn a_raced_key_gives_one_message() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "a").await;
    let body = json!({"from": "a", "content": "once"});
    let racing = (0..8).map(|_| send_with_key(&ada, mesh.as_str(), "raced", &body));
    let answers = futures_util::future::join_all(racing).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1);
    let ids: std::collections::HashSet<i64> =
        answers.into_iter().map(|answer| answer.body["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let body = json!({"content": "x"});
    for key in ["", &"k".repeat(256)] {
        send_with_key(&ada, mesh.as_str(), key, &body).await.problem(400, "invalid_request");
    }
    for key in ["k".repeat(255), "!~ a".to_owned()] {
        send_with_key(&ada, mesh.as_str(), &key, &body).await.expect(201);
    }
    let tab = send_with_key(&ada, mesh.as_str(), "a\tb", &body).await;
    assert!(tab.problem(400, "invalid_request")["errors"]["Idempotency-Key"].is_string());
}

#[tokio::test]
async fn history_shows_what_the_caller_may_see_newest_first() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    for n in 0..5 {
        ada.send(&mesh, "a", if n % 2 == 0 { "b" } else { "all" }, &n.to_string()).await;
    }
    let path = format!("/mesh/{mesh}/messages");
    let page = ada.get(&format!("{path}?limit=2")).await.expect(200);
    assert_eq!(contents(&page), ["4", "3"]);
    let page = ada.get(&format!("{path}?limit=2&before={}", page["before"])).await.expect(200);
    assert_eq!(contents(&page), ["2", "1"]);
    let page = ada.get(&format!("{path}?limit=2&before={}", page["before"])).await.expect(200);
    assert_eq!(contents(&page), ["0"]);
    assert!(page["before"].is_null());
    for query in ["limit=0", "limit=1001", "before=x", "before=-1", "after=1"] {
        ada.get(&format!("{path}?{query}")).await.problem(400, "invalid_request");
    }
}
