//! Who is signed in, and tokens.

use std::time::{Duration, Instant};

use meshwire_protocol::{Scope, check_token};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

#[tokio::test]
async fn health_answers_without_a_token() {
    let server = Server::start().await;
    let body = Answer::of(server.request(Method::GET, "/health")).await.expect(200);
    assert_eq!(body["status"], "ok");
    assert!(body["uptime"].is_u64());
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(body["region"], "local");
    Answer::of(server.request(Method::GET, "/ready")).await.expect(200);

    let elsewhere = Server::with(&["--region", "eu-1"]).await;
    let body = Answer::of(elsewhere.request(Method::GET, "/health")).await.expect(200);
    assert_eq!(body["region"], "eu-1");
}

#[tokio::test]
async fn me_tells_the_user_and_the_token() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let me = ada.get("/me").await.expect(200);
    assert_eq!(me["user"], json!({"login": "ada", "name": "ada"}));
    assert_eq!(me["token"]["scopes"], json!(["read", "send", "agents", "admin"]));
    for absent in ["mesh_id", "agent_id", "expires_at"] {
        assert!(me["token"][absent].is_null());
    }
}

#[tokio::test]
async fn a_request_without_a_good_token_is_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    Answer::of(server.request(Method::GET, "/me")).await.problem(401, "unauthorized");
    let mut wrong = ada.token.clone();
    let last = wrong.pop();
    wrong.push(if last == Some('0') { '1' } else { '0' });
    for token in ["", "mw_", "x", &wrong, &meshwire_server::secret::token()] {
        let request = server.request(Method::GET, "/me").bearer_auth(token);
        Answer::of(request).await.problem(401, "unauthorized");
    }
    for value in ["Basic dTpw", ada.token.as_str()] {
        let request = server.request(Method::GET, "/me").header("Authorization", value);
        Answer::of(request).await.problem(401, "unauthorized");
    }
    let request =
        server.request(Method::GET, "/me").header("Authorization", format!("bEaReR {}", ada.token));
    Answer::of(request).await.expect(200);
}

#[tokio::test]
async fn a_cookie_is_no_credential_of_the_json_api() {
    let server = Server::start().await;
    let request = server.request(Method::GET, "/me").header("Cookie", "mw_session=whatever");
    Answer::of(request).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn a_token_is_created_listed_and_revoked() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let created =
        ada.post("/tokens", json!({"name": "ci", "expires_in_days": 30})).await.expect(201);
    let token = created["token"].as_str().unwrap().to_owned();
    assert_eq!(check_token(&token), Ok(()));
    assert_eq!(created["suffix"], token[33..]);
    assert!(created["expires_at"].is_string());

    let listed = ada.get("/tokens").await.expect(200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(&token), "a list shows no secret");

    let ci = ada.with_token(token);
    ci.get("/me").await.expect(200);
    let path = format!("/tokens/{}", created["id"].as_str().unwrap());
    ada.delete(&path).await.expect(204);
    ci.get("/me").await.problem(401, "token_revoked");
    ada.delete(&path).await.problem(404, "token_not_found");
    ada.delete("/tokens/nonsense").await.problem(404, "token_not_found");
}

#[tokio::test]
async fn a_token_can_revoke_itself() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    ada.delete("/tokens/current").await.expect(204);
    ada.get("/me").await.problem(401, "token_revoked");
}

#[tokio::test]
async fn nobody_revokes_the_token_of_another() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let id = ada.get("/me").await.expect(200)["token"]["id"].as_str().unwrap().to_owned();
    bob.delete(&format!("/tokens/{id}")).await.problem(404, "token_not_found");
    ada.get("/me").await.expect(200);
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let created = ada.post("/tokens", json!({"name": "x", "expires_in_days": 1})).await.expect(201);
    let short = ada.with_token(created["token"].as_str().unwrap().to_owned());
    short.get("/me").await.expect(200);
    server.clock.shift(24 * 60 * 60 * 1_000_000);
    short.get("/me").await.problem(401, "token_expired");
}

#[tokio::test]
async fn a_token_makes_only_tokens_no_wider_than_itself() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let narrow =
        server.token(&ada.row, |token| token.scopes = vec![Scope::Read, Scope::Admin]).await;
    let narrow = ada.with_token(narrow);
    narrow
        .post("/tokens", json!({"name": "x", "scopes": ["send"]}))
        .await
        .problem(403, "insufficient_scope");
    let same = narrow.post("/tokens", json!({"name": "x"})).await.expect(201);
    assert_eq!(same["scopes"], json!(["read", "admin"]));

    let mesh = ada.mesh().await;
    let bound = server.token(&ada.row, |token| token.mesh = Some(mesh.clone())).await;
    ada.with_token(bound)
        .post("/tokens", json!({"name": "x"}))
        .await
        .problem(403, "insufficient_scope");

    let now = server.clock.now();
    let brief = server.token(&ada.row, |token| token.expires_at = Some(now + 1_000_000_000)).await;
    let brief = ada.with_token(brief);
    brief
        .post("/tokens", json!({"name": "x", "expires_in_days": 1}))
        .await
        .problem(403, "insufficient_scope");
    let child = brief.post("/tokens", json!({"name": "x"})).await.expect(201);
    assert!(child["expires_at"].is_string(), "what is left out is taken from the asking token");
}

#[tokio::test]
async fn a_token_is_bound_only_to_what_is_ones_own() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    let agent = ada.agent(&mesh, "helper").await;
    bob.post("/tokens", json!({"name": "x", "mesh_id": mesh})).await.problem(403, "not_a_member");
    ada.post("/tokens", json!({"name": "x", "mesh_id": "AAAAAAAAAAAA"}))
        .await
        .problem(404, "mesh_not_found");
    ada.post("/tokens", json!({"name": "x", "agent_id": agent}))
        .await
        .problem(400, "invalid_request");
    ada.post("/tokens", json!({"name": "x", "mesh_id": mesh, "agent_id": "AAAAAAAAA"}))
        .await
        .problem(404, "agent_not_found");
    let bound = ada
        .post("/tokens", json!({"name": "x", "mesh_id": mesh, "agent_id": agent}))
        .await
        .expect(201);
    assert_eq!((&bound["mesh_id"], &bound["agent_id"]), (&json!(mesh), &json!(agent)));
}

#[tokio::test]
async fn no_token_is_live_for_an_agent_or_a_mesh_that_was_removed_meanwhile() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let (mut made, mut refused) = (0, 0);
    for round in 0..16 {
        let mesh = ada.mesh().await;
        let agent = ada.agent(&mesh, "helper").await;
        let body = json!({"name": "x", "mesh_id": mesh, "agent_id": agent});
        let (path, code) = if round % 2 == 0 {
            (format!("/mesh/{mesh}/agents/{agent}"), "agent_not_found")
        } else {
            (format!("/mesh/{mesh}"), "mesh_not_found")
        };
        let (created, _) = tokio::join!(ada.post("/tokens", body), ada.delete(&path));
        if created.status == 201 {
            made += 1;
            let token = created.expect(201)["token"].as_str().unwrap().to_owned();
            ada.with_token(token).get("/me").await.problem(401, "token_revoked");
        } else {
            refused += 1;
            created.problem(404, code);
        }
    }
    assert_eq!(made + refused, 16);
    let listed = ada.get("/tokens").await.expect(200);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1, "ada's own alone: {listed}");
}

#[tokio::test]
async fn a_bad_token_request_names_its_field() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "x".repeat(65)}), "name"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": ["root"]}), "scopes[0]"),
        (json!({"name": "x", "expires_in_days": 0}), "expires_in_days"),
        (json!({"name": "x", "expires_in_days": 366}), "expires_in_days"),
        (json!({"name": "x", "expires_in_days": -1}), "expires_in_days"),
        (json!({"name": "x", "colour": 1}), "colour"),
    ] {
        let problem = ada.post("/tokens", body.clone()).await.problem(400, "invalid_request");
        assert!(problem["errors"][field].is_string(), "{body}: {problem}");
    }
}

#[tokio::test]
async fn tokens_are_limited_by_a_setting() {
    let server = Server::with(&["--limit-tokens", "2"]).await;
    let ada = server.user("ada").await;
    ada.post("/tokens", json!({"name": "x"})).await.expect(201);
    ada.post("/tokens", json!({"name": "x"})).await.problem(409, "limit_reached");
}

#[tokio::test]
async fn the_last_use_of_a_token_is_shown() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let created = ada.post("/tokens", json!({"name": "ci"})).await.expect(201);
    let last_use = async || {
        server.app.meshes.flush().await;
        let listed = ada.get("/tokens").await.expect(200);
        let tokens = listed["tokens"].as_array().unwrap();
        let row = tokens.iter().find(|row| row["id"] == created["id"]).unwrap();
        row["last_used_at"].clone()
    };
    assert!(last_use().await.is_null());
    let ci = ada.with_token(created["token"].as_str().unwrap().to_owned());
    ci.get("/me").await.expect(200);
    // The server writes it by itself too, and may be about to.
    let later = async |than: Value| {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let last = last_use().await;
            // Times of one form sort as texts.
            if last.as_str() > than.as_str() {
                return last;
            }
            assert!(Instant::now() < limit, "{last} is not later than {than}");
        }
    };
    let first = later(Value::Null).await;
    server.clock.shift(3_600_000_000);
    ci.get("/me").await.expect(200);
    later(first).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_a_503_and_never_a_401() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    server.app.store.close().await;
    let unknown = meshwire_server::secret::token();
    for answer in [
        Answer::of(server.request(Method::GET, "/ready")).await,
        ada.with_token(unknown).get("/me").await,
        ada.post("/mesh", json!({"name": "x"})).await,
    ] {
        assert!(answer.headers.contains_key("retry-after"), "{}", answer.body);
        answer.problem(503, "store_unavailable");
    }
    Answer::of(server.request(Method::GET, "/health")).await.expect(200);
}
