//! One message and what has become of it.

use meshwire_protocol::MeshId;
use serde_json::{Value, json};

use crate::server::{Server, User};

async fn show(user: &User<'_>, mesh: &MeshId, id: i64) -> Value {
    user.get(&format!("/mesh/{mesh}/messages/{id}")).await.expect(200)
}

/// Names and states, by name.
fn states(status: &Value) -> Vec<(&str, &str)> {
    let deliveries = status["deliveries"].as_array().unwrap();
    let mut found: Vec<_> = deliveries
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_direct_message_is_queued_then_delivered_then_acknowledged() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "a").await;
    let b = ada.agent(&mesh, "b").await;
    let path = format!("/mesh/{mesh}/messages");
    let body = json!({"from": "a", "to": "b", "content": "hello", "metadata": {"k": 1}});
    let mut sent = ada.post(&path, body).await.expect(201);
    let id = sent["id"].as_i64().unwrap();
    let later = ada.send(&mesh, "a", "b", "later").await;

    let status = show(&ada, &mesh, id).await;
    assert_eq!(
        status["deliveries"],
        json!([{"agent_id": b, "name": "b", "state": "queued"}]),
        "only the receiver is listed"
    );
    sent.as_object_mut().unwrap().remove("recipients");
    sent["deliveries"] = status["deliveries"].clone();
    assert_eq!(status, sent, "the message is the one that the sender was answered");

    ada.inbox(&mesh, "b", "limit=1").await;
    assert_eq!(states(&show(&ada, &mesh, id).await), [("b", "delivered")], "before it is written");
    assert_eq!(states(&show(&ada, &mesh, later).await), [("b", "queued")]);
    server.app.meshes.flush().await;
    assert_eq!(states(&show(&ada, &mesh, id).await), [("b", "delivered")], "and after");

    ada.inbox(&mesh, "b", &format!("after={id}")).await;
    assert_eq!(states(&show(&ada, &mesh, id).await), [("b", "acknowledged")]);
    assert_eq!(states(&show(&ada, &mesh, later).await), [("b", "delivered")]);

    ada.put(&format!("/mesh/{mesh}/agents/b/cursor"), json!({"cursor": 0})).await.expect(200);
    assert_eq!(
        states(&show(&ada, &mesh, id).await),
        [("b", "delivered")],
        "a rewind takes acknowledgements back"
    );
    ada.patch(&format!("/mesh/{mesh}/agents/b"), json!({"name": "bee"})).await.expect(200);
    assert_eq!(states(&show(&ada, &mesh, id).await), [("bee", "delivered")], "the name now");
    ada.delete(&format!("/mesh/{mesh}/agents/bee")).await.expect(204);
    assert_eq!(states(&show(&ada, &mesh, id).await), [], "the receiver is gone");
}

#[tokio::test]
async fn a_broadcast_lists_those_who_were_there_but_not_its_sender() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b", "c", "gone"] {
        ada.agent(&mesh, name).await;
    }
    // A person's agent is made when it is first needed.
    ada.inbox(&mesh, "@ada", "").await;
    let id = ada.send(&mesh, "a", "all", "hello").await;
    ada.agent(&mesh, "later").await;
    ada.delete(&format!("/mesh/{mesh}/agents/gone")).await.expect(204);
    ada.inbox(&mesh, "b", "").await;
    ada.inbox(&mesh, "c", &format!("after={id}")).await;
    ada.inbox(&mesh, "later", "after=earliest").await;
    assert_eq!(
        states(&show(&ada, &mesh, id).await),
        [("@ada", "queued"), ("b", "delivered"), ("c", "acknowledged")]
    );
    let own = ada.send(&mesh, "a", "a", "note").await;
    assert_eq!(states(&show(&ada, &mesh, own).await), [("a", "queued")]);
}

#[tokio::test]
async fn what_the_caller_may_not_see_is_not_there() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let a = ada.agent(&mesh, "a").await;
    for name in ["b", "c"] {
        ada.agent(&mesh, name).await;
    }
    let bound = server
        .token(&ada.row, |row| {
            row.mesh = Some(mesh.clone());
            row.agent = Some(a);
        })
        .await;
    let bound = ada.with_token(bound);
    for (from, to, seen) in [
        ("a", "b", true),
        ("b", "a", true),
        ("b", "all", true),
        ("b", "c", false),
        ("c", "@ada", false),
    ] {
        let id = ada.send(&mesh, from, to, "x").await;
        show(&ada, &mesh, id).await;
        let answer = bound.get(&format!("/mesh/{mesh}/messages/{id}")).await;
        if seen {
            assert_eq!(answer.expect(200)["id"], id, "{from} to {to}");
        } else {
            answer.problem(404, "message_not_found");
        }
    }
    for id in ["1", "9007199254740991", "9007199254740992", "-1", "x", "1.5", "%20", "%00"] {
        ada.get(&format!("/mesh/{mesh}/messages/{id}")).await.problem(404, "message_not_found");
    }
}

#[tokio::test]
async fn a_message_is_read_in_its_mesh_by_members_with_the_scope() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (mesh, other) = (ada.mesh().await, ada.mesh().await);
    ada.agent(&mesh, "a").await;
    let id = ada.send(&mesh, "a", "all", "hello").await;
    let path = format!("/mesh/{mesh}/messages/{id}");
    bob.get(&path).await.problem(403, "not_a_member");
    ada.get(&format!("/mesh/{other}/messages/{id}")).await.problem(404, "message_not_found");
    ada.get(&format!("{path}?x=1")).await.problem(400, "invalid_request");
    ada.delete(&path).await.problem(405, "method_not_allowed");
    let sender =
        server.token(&ada.row, |row| row.scopes = vec![meshwire_protocol::Scope::Send]).await;
    ada.with_token(sender).get(&path).await.problem(403, "insufficient_scope");
}
