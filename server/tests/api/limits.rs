//! Limits on rates and open polls.

use meshwire_protocol::MeshId;
use reqwest::Method;
use serde_json::json;

use crate::inbox::park;
use crate::server::{Answer, Server, User, contents};

/// More sends than any limit here lets through, however slow the machine.
const MANY: usize = 200;

async fn send(user: &User<'_>, mesh: &MeshId, key: &str) -> Answer {
    let request = user.request(Method::POST, &format!("/mesh/{mesh}/messages"));
    let request = request.header("Idempotency-Key", key);
    Answer::of(request.body(json!({"content": "x"}).to_string())).await
}

/// Sends until it is told to wait; how many went through, and the refusal.
async fn send_until_refused(user: &User<'_>, mesh: &MeshId) -> (usize, Answer) {
    for n in 0..MANY {
        let answer = send(user, mesh, &format!("key-{n}")).await;
        if answer.status != 201 {
            return (n, answer);
        }
    }
    panic!("{MANY} sends went through");
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn the_defaults_are_those_of_the_contract() {
    let server = Server::with(&[]).await;
    let limits = server.app.settings.limits;
    assert_eq!((limits.sends_per_second, limits.mesh_sends_per_second), (500, 1_000));
    assert_eq!((limits.open_polls, limits.open_polls_total), (64, 20_000));
    assert_eq!(limits.replies_per_minute, 60);

    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let answer = send(&ada, &mesh, "first").await;
    assert_eq!(header(&answer, "ratelimit-policy"), r#""token";q=1000;w=2, "mesh";q=2000;w=2"#);
    // The buckets may have filled again by now.
    let left = header(&answer, "ratelimit").replace("=1000;", "=999;").replace("=2000;", "=1999;");
    assert_eq!(left, r#""token";r=999;t=1, "mesh";r=1999;t=1"#);
    answer.expect(201);
    // Other answers and other meshes have nothing to do with it.
    let answer = ada.get("/me").await;
    assert!(!answer.headers.contains_key("ratelimit"));

    let unlimited = Server::start().await;
    let ada = unlimited.user("ada").await;
    let answer = send(&ada, &ada.mesh().await, "first").await;
    assert!(!answer.headers.contains_key("ratelimit-policy"), "no limit, no header");
}

#[tokio::test]
async fn a_token_that_sends_too_fast_is_told_to_wait() {
    let server = Server::with(&["--limit-sends-per-second", "1"]).await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let (went_through, refused) = send_until_refused(&ada, &mesh).await;
    assert!(went_through >= 2, "a burst of two seconds");
    assert_eq!(header(&refused, "retry-after"), "1");
    assert_eq!(header(&refused, "ratelimit-policy"), r#""token";q=2;w=2, "mesh";q=2000;w=2"#);
    assert!(header(&refused, "ratelimit").starts_with(r#""token";r="#));
    let problem = refused.problem(429, "rate_limited");
    assert!(problem["hint"].as_str().unwrap().contains("MESHWIRE_LIMIT_SENDS_PER_SECOND"));

    // A repeat is recognised before, and costs nothing.
    for _ in 0..MANY {
        send(&ada, &mesh, "key-0").await.expect(200);
    }
    // The limit is the token's: another one of the same user sends, and this one reads.
    let other = ada.with_token(server.token(&ada.row, |_| {}).await);
    send(&other, &mesh, "other").await.expect(201);
    for _ in 0..MANY {
        ada.get("/me").await.expect(200);
    }
}

#[tokio::test]
async fn a_mesh_that_is_sent_to_too_fast_is_protected() {
    let server = Server::with(&["--limit-mesh-sends-per-second", "1"]).await;
    let ada = server.user("ada").await;
    let (mesh, quiet) = (ada.mesh().await, ada.mesh().await);
    let other = ada.with_token(server.token(&ada.row, |_| {}).await);
    send(&other, &mesh, "other").await.expect(201);
    let (_, refused) = send_until_refused(&ada, &mesh).await;
    assert_eq!(header(&refused, "retry-after"), "1");
    let problem = refused.problem(429, "rate_limited");
    assert!(problem["hint"].as_str().unwrap().contains("MESHWIRE_LIMIT_MESH_SENDS_PER_SECOND"));
    send(&ada, &quiet, "quiet").await.expect(201);
}

#[tokio::test]
async fn a_token_holds_so_many_open_polls() {
    let server = Server::with(&["--limit-open-polls", "2"]).await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b", "c"] {
        ada.agent(&mesh, name).await;
    }
    let one = park(&ada, &mesh, "a", "wait=60").await;
    let two = park(&ada, &mesh, "b", "wait=60").await;
    let path = format!("/mesh/{mesh}/agents/c/messages");
    let refused = ada.get(&format!("{path}?wait=60")).await;
    assert_eq!(header(&refused, "retry-after"), "5");
    let problem = refused.problem(429, "rate_limited");
    assert!(problem["hint"].as_str().unwrap().contains("MESHWIRE_LIMIT_OPEN_POLLS "));
    ada.get(&format!("{path}?wait=0")).await.expect(200);
    let other = ada.with_token(server.token(&ada.row, |_| {}).await);
    other.get(&format!("{path}?wait=1")).await.expect(200);

    // One that has ended makes room, whether it was answered or hung up.
    ada.send(&mesh, "c", "a", "hello").await;
    assert_eq!(contents(&one.await.unwrap().expect(200)), ["hello"]);
    ada.get(&format!("{path}?wait=1")).await.expect(200);
    two.abort();
    let three = park(&ada, &mesh, "c", "wait=60").await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ada.get(&format!("/mesh/{mesh}/agents/b/messages?wait=1")).await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "the poll that hung up still counts");
    }
    three.abort();
}

#[tokio::test]
async fn a_refused_poll_acknowledges_nothing() {
    let server = Server::with(&["--limit-open-polls-total", "1"]).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (mesh, other) = (ada.mesh().await, bob.mesh().await);
    for name in ["a", "b"] {
        ada.agent(&mesh, name).await;
    }
    bob.agent(&other, "c").await;
    let id = ada.send(&mesh, "a", "b", "hello").await;
    let poll = park(&bob, &other, "c", "wait=60").await;
    let path = format!("/mesh/{mesh}/agents/b/messages?wait=1&after={id}");
    let problem = ada.get(&path).await.problem(429, "rate_limited");
    assert!(problem["hint"].as_str().unwrap().contains("MESHWIRE_LIMIT_OPEN_POLLS_TOTAL"));
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["hello"]);
    poll.abort();
}
