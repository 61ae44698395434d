//! Ids of others: what is not yours is answered as what is not there, byte for byte.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::table::body;
use super::world::World;
use crate::document::{fetch, operations};
use crate::server::{Server, User};

/// The whole answer, with a mark where the id stood.
async fn answer(request: RequestBuilder, id: &str) -> (u16, Vec<(String, String)>, String) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let mut headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .filter(|(name, _)| !["date", "content-length", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let text = response.text().await.unwrap();
    (status, headers, text.replace(id, "<id>"))
}

fn ask(user: &User<'_>, method: &Method, path: &str, body: &Value) -> RequestBuilder {
    let request = user.request(method.clone(), path);
    if body.is_null() { request } else { request.body(body.to_string()) }
}

/// Asks once for each id; the answers must be the same, of this status and code.
async fn same(
    user: &User<'_>,
    method: &Method,
    ids: &[String],
    expected: (u16, &str),
    request: impl Fn(&str) -> (String, Value),
) {
    let mut first = None;
    for id in ids {
        let (path, body) = request(id);
        let answer = answer(ask(user, method, &path, &body), id).await;
        let about = format!("{method} {path} {body}: {answer:?}");
        assert_eq!(answer.0, expected.0, "{about}");
        assert!(answer.2.contains(&format!("\"code\":\"{}\"", expected.1)), "{about}");
        match &first {
            None => first = Some(answer),
            Some(first) => assert_eq!(*first, answer, "{about}"),
        }
    }
    assert!(ids.len() > 1, "there is nothing to compare");
}

fn texts(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

#[tokio::test]
async fn an_id_of_others_is_as_one_that_is_not_there() {
    let server = Server::start().await;
    let document = fetch(&server).await;
    let (ours, theirs) = (World::new(&server).await, World::new(&server).await);
    let owner = &ours.owner;
    let mesh = ours.mesh.as_str();

    // What is gone.
    let gone_agent = owner.agent(&ours.mesh, "gone").await;
    owner.delete(&format!("/mesh/{mesh}/agents/{gone_agent}")).await.expect(204);
    let gone_invite = owner.post(&format!("/mesh/{mesh}/invites"), json!({})).await.expect(201);
    let gone_invite = gone_invite["id"].as_str().unwrap();
    owner.delete(&format!("/mesh/{mesh}/invites/{gone_invite}")).await.expect(204);
    let gone_token = owner.post("/tokens", json!({"name": "gone"})).await.expect(201);
    let gone_token = gone_token["id"].as_str().unwrap();
    owner.delete(&format!("/tokens/{gone_token}")).await.expect(204);
    let gone_mesh = owner.mesh().await;
    owner.delete(&format!("/mesh/{gone_mesh}")).await.expect(204);

    let agents = texts(&[theirs.agent.as_str(), gone_agent.as_str(), "AAAAAAAAA"]);
    let absent = (ours.message + 1).to_string();
    // A message between others in the same mesh is as far away as one in another mesh.
    let messages = texts(&[&theirs.message.to_string(), &ours.message.to_string(), &absent]);
    let invites = texts(&[&theirs.invite, gone_invite, "AAAAAAAAAAAA"]);
    let tokens = texts(&[&theirs.spare, &ours.spare, gone_token, "AAAAAAAAAAAA"]);
    let logins = texts(&[&theirs.member.row.login, &ours.removed.row.login, "nobody-here"]);

    let mut swapped = 0;
    for operation in operations(&document) {
        let (method, body) = (&operation.method, body(&operation.id, &ours));
        for (variable, ids, code) in [
            ("{agent}", &agents, "agent_not_found"),
            ("{message}", &messages, "message_not_found"),
            ("{invite}", &invites, "invite_not_found"),
            ("{id}", &tokens, "token_not_found"),
            ("{login}", &logins, "member_not_found"),
        ] {
            if !operation.path.contains(variable) {
                continue;
            }
            let asks = operation.path.contains("/requests/");
            let code = if asks { "request_not_found" } else { code };
            let path = |id: &str| ours.fill(&operation.path.replace(variable, id));
            same(owner, method, ids, (404, code), |id| (path(id), body.clone())).await;
            swapped += 1;
        }
        if operation.path.contains("{mesh}") {
            let path = |id: &str| ours.fill(&operation.path.replace("{mesh}", id));
            let request = |id: &str| (path(id), body.clone());
            let gone = texts(&[gone_mesh.as_str(), "AAAAAAAAAAAA"]);
            same(owner, method, &gone, (404, "mesh_not_found"), request).await;
            // A bound token learns nothing of any other mesh, be it of its own user.
            let bound =
                server.token(&owner.row, |token| token.mesh = Some(ours.mesh.clone())).await;
            let bound = owner.with_token(bound);
            let own = owner.mesh().await;
            let meshes = [gone, texts(&[theirs.mesh.as_str(), own.as_str()])].concat();
            same(&bound, method, &meshes, (404, "mesh_not_found"), request).await;
            swapped += 1;
        }
    }
    assert!(swapped > 30, "only {swapped}");
}

#[tokio::test]
async fn an_id_of_others_in_a_body_is_as_one_that_is_not_there() {
    let server = Server::start().await;
    let (ours, theirs) = (World::new(&server).await, World::new(&server).await);
    let owner = &ours.owner;
    let mesh = ours.mesh.as_str();
    let gone_agent = owner.agent(&ours.mesh, "gone").await;
    owner.delete(&format!("/mesh/{mesh}/agents/{gone_agent}")).await.expect(204);
    let gone_mesh = owner.mesh().await;
    owner.delete(&format!("/mesh/{gone_mesh}")).await.expect(204);

    let agents = texts(&[theirs.agent.as_str(), gone_agent.as_str(), "AAAAAAAAA"]);
    let absent = (ours.message + 1).to_string();
    let messages = texts(&[&theirs.message.to_string(), &ours.message.to_string(), &absent]);
    let messages_path = format!("/mesh/{mesh}/messages");
    let send = |fields: Value| (messages_path.clone(), fields);
    let (post, expected) = (&Method::POST, (404, "agent_not_found"));
    same(owner, post, &agents, expected, |id| send(json!({"content": "x", "from": id}))).await;
    same(owner, post, &agents, expected, |id| send(json!({"content": "x", "to": id}))).await;
    let expected = (404, "message_not_found");
    same(owner, post, &messages, expected, |id| {
        send(json!({"content": "x", "reply_to": id.parse::<i64>().unwrap()}))
    })
    .await;
    let bind = |mesh: &str, agent: &str| {
        ("/tokens".to_owned(), json!({"name": "x", "mesh_id": mesh, "agent_id": agent}))
    };
    same(owner, post, &agents, (404, "agent_not_found"), |id| bind(mesh, id)).await;
    let meshes = texts(&[gone_mesh.as_str(), "AAAAAAAAAAAA"]);
    same(owner, post, &meshes, (404, "mesh_not_found"), |id| bind(id, "AAAAAAAAA")).await;
}
