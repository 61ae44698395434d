//! Meshes.

use meshwire_protocol::{MeshId, Scope};
use serde_json::json;

use crate::server::{Server, User};

/// How many messages of a mesh somebody sees.
pub(crate) async fn count(user: &User<'_>, mesh: &MeshId) -> usize {
    let (mut count, mut older) = (0, String::new());
    loop {
        let page = user.get(&format!("/mesh/{mesh}/messages?limit=1000{older}")).await.expect(200);
        count += page["messages"].as_array().unwrap().len();
        if page["before"].is_null() {
            return count;
        }
        older = format!("&before={}", page["before"]);
    }
}

#[tokio::test]
async fn a_mesh_is_created_listed_renamed_and_deleted() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let created = ada.post("/mesh", json!({"name": "my-fleet"})).await.expect(201);
    let mesh = created["mesh_id"].as_str().unwrap();
    assert_eq!(mesh.len(), 12);
    assert_eq!(created["name"], "my-fleet");
    assert_eq!(created["role"], "owner");

    let listed = ada.get("/mesh").await.expect(200);
    assert_eq!(listed["meshes"][0]["mesh_id"], mesh);
    assert_eq!(listed["meshes"][0]["agents"], 0);

    let path = format!("/mesh/{mesh}");
    assert_eq!(ada.patch(&path, json!({"name": "other"})).await.expect(200)["name"], "other");
    assert_eq!(ada.get(&path).await.expect(200)["name"], "other");
    ada.delete(&path).await.expect(204);
    ada.get(&path).await.problem(404, "mesh_not_found");
    ada.delete(&path).await.problem(404, "mesh_not_found");
    assert_eq!(ada.get("/mesh").await.expect(200)["meshes"], json!([]));
}

#[tokio::test]
async fn the_list_counts_agents_without_people() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "helper").await;
    ada.inbox(&mesh, "@ada", "").await;
    let listed = ada.get("/mesh").await.expect(200);
    assert_eq!(
        (&listed["meshes"][0]["agents"], &listed["meshes"][0]["active"]),
        (&json!(1), &json!(1))
    );
    server.clock.shift(31_000_000);
    assert_eq!(ada.get("/mesh").await.expect(200)["meshes"][0]["active"], 0);
}

#[tokio::test]
async fn a_stranger_is_told_to_ask_and_learns_nothing_else() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "helper").await;
    for path in
        ["", "/agents", "/messages", "/integrate", "/agents/helper", "/agents/helper/messages"]
    {
        bob.get(&format!("/mesh/{mesh}{path}")).await.problem(403, "not_a_member");
    }
    bob.post(&format!("/mesh/{mesh}/messages"), json!({"content": "x"}))
        .await
        .problem(403, "not_a_member");
    bob.delete(&format!("/mesh/{mesh}")).await.problem(403, "not_a_member");
    for id in ["AAAAAAAAAAAA", "short", "%20", "..", "AAAAAAAAAAAA%00"] {
        let answer = bob.get(&format!("/mesh/{id}/agents")).await;
        assert_eq!(answer.status.as_u16(), 404, "{id}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_token_of_another_mesh_finds_none() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let (one, other) = (ada.mesh().await, ada.mesh().await);
    let bound = server.token(&ada.row, |token| token.mesh = Some(one.clone())).await;
    let bound = ada.with_token(bound);
    bound.get(&format!("/mesh/{other}")).await.problem(404, "mesh_not_found");
    bound.get(&format!("/mesh/{one}")).await.expect(200);
    assert_eq!(bound.get("/mesh").await.expect(200)["meshes"].as_array().unwrap().len(), 1);
    bound.post("/mesh", json!({"name": "x"})).await.problem(403, "insufficient_scope");
    bound.get("/tokens").await.problem(403, "insufficient_scope");
}

#[tokio::test]
async fn each_scope_opens_only_its_own() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "helper").await;
    for scope in Scope::ALL {
        let token = server.token(&ada.row, |token| token.scopes = vec![scope]).await;
        let user = ada.with_token(token);
        let m = format!("/mesh/{mesh}");
        let got = [
            (Scope::Read, user.get(&format!("{m}/agents")).await),
            (Scope::Read, user.get(&format!("{m}/agents/helper/messages")).await),
            (Scope::Read, user.post(&format!("{m}/agents/helper/heartbeat"), json!({})).await),
            (Scope::Send, user.post(&format!("{m}/messages"), json!({"content": "x"})).await),
            (Scope::Agents, user.post(&format!("{m}/agents"), json!({"name": "helper"})).await),
            (Scope::Admin, user.patch(&m, json!({"name": "x"})).await),
            (Scope::Admin, user.get("/tokens").await),
        ];
        for (needed, answer) in got {
            if needed == scope {
                assert!(answer.status.is_success(), "{scope:?}: {}", answer.body);
            } else {
                answer.problem(403, "insufficient_scope");
            }
        }
        user.get("/me").await.expect(200);
        user.get("/mesh").await.expect(200);
    }
}

#[tokio::test]
async fn a_paused_mesh_takes_no_messages_and_can_be_read() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    ada.send(&mesh, "a", "b", "before").await;
    let path = format!("/mesh/{mesh}");
    ada.patch(&path, json!({"paused": true})).await.expect(200);
    ada.post(&format!("{path}/messages"), json!({"content": "x"}))
        .await
        .problem(409, "mesh_paused");
    assert_eq!(crate::server::contents(&ada.inbox(&mesh, "b", "").await), ["before"]);
    ada.patch(&path, json!({"paused": false})).await.expect(200);
    ada.send(&mesh, "a", "b", "after").await;
}

#[tokio::test]
async fn nothing_lands_after_a_pause_was_answered() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mesh/{mesh}/messages");
    let pause = async |paused: bool| {
        ada.patch(&format!("/mesh/{mesh}"), json!({"paused": paused})).await.expect(200);
    };
    let mut sent = 0;
    for _ in 0..4 {
        let sends = async || {
            let mut sent = 0;
            loop {
                let body = json!({"content": "x", "from": "a", "to": "b"});
                let answer = ada.post(&path, body).await;
                if answer.status != 201 {
                    answer.problem(409, "mesh_paused");
                    return sent;
                }
                sent += 1;
            }
        };
        let begun = sent;
        let pausing = async {
            while count(&ada, &mesh).await < begun + 5 {
                tokio::task::yield_now().await;
            }
            pause(true).await;
            count(&ada, &mesh).await
        };
        let (one, two, three, seen) = tokio::join!(sends(), sends(), sends(), pausing);
        sent += one + two + three;
        assert_eq!(sent, seen, "all that was answered, and nothing after the pause");
        assert_eq!(count(&ada, &mesh).await, seen);
        pause(false).await;
    }
}

#[tokio::test]
async fn a_deleted_mesh_takes_its_tokens_along() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let bound = server.token(&ada.row, |token| token.mesh = Some(mesh.clone())).await;
    let bound = ada.with_token(bound);
    bound.get("/me").await.expect(200);
    ada.delete(&format!("/mesh/{mesh}")).await.expect(204);
    bound.get("/me").await.problem(401, "token_revoked");
}

#[tokio::test]
async fn bad_mesh_requests_name_their_field() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for body in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "   "}),
        json!({"name": "a\nb"}),
        json!({"name": "x".repeat(65)}),
        json!({"name": 5}),
        json!({"name": null}),
    ] {
        let problem = ada.post("/mesh", body.clone()).await.problem(400, "invalid_request");
        assert!(problem["errors"]["name"].is_string(), "{body}: {problem}");
    }
    let mesh = ada.mesh().await;
    let path = format!("/mesh/{mesh}");
    ada.patch(&path, json!({})).await.problem(400, "invalid_request");
    ada.patch(&path, json!({"paused": "yes"})).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn meshes_are_limited_by_a_setting() {
    let server = Server::with(&["--limit-meshes", "1"]).await;
    let ada = server.user("ada").await;
    ada.mesh().await;
    ada.post("/mesh", json!({"name": "x"})).await.problem(409, "limit_reached");
    server.user("bob").await.mesh().await;
}

#[tokio::test]
async fn the_guide_is_filled_in_for_the_mesh() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let created = ada.post("/mesh", json!({"name": "a `b` <c>"})).await.expect(201);
    let mesh = created["mesh_id"].as_str().unwrap();
    let answer = ada.get(&format!("/mesh/{mesh}/integrate")).await;
    assert_eq!(answer.headers["content-type"], "text/markdown; charset=utf-8");
    let text = answer.expect(200);
    let text = text.as_str().unwrap();
    assert!(text.contains(&format!("MESHWIRE_MESH_ID={mesh}")));
    assert!(text.contains(&format!("MESHWIRE_URL={}\n", server.url)));
    assert!(text.contains(r"a \`b\` \<c\>"));
    assert!(!text.contains("{{"));
}
