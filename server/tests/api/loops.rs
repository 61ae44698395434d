//! The loop guard.

use meshwire_protocol::MeshId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server, User};

const SECOND: i64 = 1_000_000;

/// Answers a message, with a key or without.
async fn reply(user: &User<'_>, mesh: &MeshId, key: Option<&str>, body: Value) -> Answer {
    let mut request = user.request(Method::POST, &format!("/mesh/{mesh}/messages"));
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    Answer::of(request.body(body.to_string())).await
}

/// Seconds until a suspected loop may go on.
#[track_caller]
fn suspected(answer: Answer) -> u64 {
    let wait = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    let problem = answer.problem(429, "loop_suspected");
    assert!(problem["hint"].is_string(), "{problem}");
    wait
}

#[tokio::test]
async fn a_thread_ends_after_a_hundred_hops() {
    let server =
        Server::with(&["--limit-replies-per-minute", "0", "--limit-sends-per-second", "0"]).await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b"] {
        ada.agent(&mesh, name).await;
    }
    let mut last = json!(ada.send(&mesh, "a", "b", "begin").await);
    let mut body = Value::Null;
    for hop in 1..=100 {
        let from = if hop % 2 == 1 { "b" } else { "a" };
        body = json!({"from": from, "reply_to": last, "content": "again"});
        let sent = reply(&ada, &mesh, Some(&hop.to_string()), body.clone()).await.expect(201);
        assert_eq!(sent["hops"], hop);
        last = sent["id"].clone();
    }
    // A repeat of the hundredth is no hundred-and-first.
    assert_eq!(reply(&ada, &mesh, Some("100"), body).await.expect(200)["id"], last);
    for to in ["a", "all", "@ada"] {
        let body = json!({"from": "b", "reply_to": last, "to": to, "content": "x"});
        assert!(suspected(reply(&ada, &mesh, None, body).await) >= 1);
    }
    // A person begins anew, and so does a new thread.
    let body = json!({"reply_to": last, "content": "go on"});
    let sent = reply(&ada, &mesh, None, body).await.expect(201);
    let body = json!({"from": "a", "reply_to": sent["id"], "content": "yes"});
    assert_eq!(reply(&ada, &mesh, None, body).await.expect(201)["hops"], 1);
    ada.send(&mesh, "b", "a", "new thread").await;
}

#[tokio::test]
async fn two_agents_answer_each_other_sixty_times_a_minute() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b", "c"] {
        ada.agent(&mesh, name).await;
    }
    // Each answers anew, so that no thread grows long: both ways count, and to everyone too.
    let asked = ada.send(&mesh, "a", "b", "question").await;
    let answered = ada.send(&mesh, "b", "a", "question").await;
    let answer = |n: i64| match n % 3 {
        0 => json!({"from": "a", "reply_to": answered, "content": "x"}),
        1 => json!({"from": "b", "reply_to": asked, "content": "x"}),
        _ => json!({"from": "b", "reply_to": asked, "to": "all", "content": "x"}),
    };
    let mut ids = Vec::new();
    let mut first = None;
    for n in 0..60 {
        let key = format!("key-{n}");
        let sent = reply(&ada, &mesh, Some(&key), answer(n)).await.expect(201);
        ids.push(sent["id"].clone());
        // A repeat does not count.
        let again = reply(&ada, &mesh, Some(&key), answer(n)).await.expect(200);
        assert_eq!(again["id"], ids[ids.len() - 1]);
        // The clock stands still, so that all are within a minute on a slow machine too.
        let first = *first.get_or_insert_with(|| server.clock.now());
        server.clock.shift(first - server.clock.now());
    }
    for n in 0..3 {
        let wait = suspected(reply(&ada, &mesh, Some("new"), answer(n)).await);
        assert!((1..=60).contains(&wait), "{wait}");
        let key = format!("key-{n}");
        let again = reply(&ada, &mesh, Some(&key), answer(n)).await.expect(200);
        assert_eq!(json!(again["id"]), ids[usize::try_from(n).unwrap()], "repeats come first");
    }
    // What is no reply, and what is between others, goes on.
    ada.send(&mesh, "a", "b", "by the way").await;
    let body = json!({"from": "c", "reply_to": ids[2], "content": "x"});
    reply(&ada, &mesh, None, body).await.expect(201);
    let body = json!({"reply_to": ids[2], "content": "stop it"});
    reply(&ada, &mesh, None, body).await.expect(201);
    let body = json!({"from": "b", "reply_to": asked, "to": "@ada", "content": "sorry"});
    reply(&ada, &mesh, None, body).await.expect(201);

    server.clock.shift(61 * SECOND);
    reply(&ada, &mesh, Some("new"), answer(0)).await.expect(201);
}

#[tokio::test]
async fn a_person_is_no_loop() {
    let server = Server::with(&["--limit-replies-per-minute", "1"]).await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b"] {
        ada.agent(&mesh, name).await;
    }
    let asked = ada.send(&mesh, "@ada", "a", "question").await;
    let broadcast = ada.send(&mesh, "@ada", "all", "question").await;
    let other = ada.send(&mesh, "b", "a", "question").await;
    for _ in 0..3 {
        for body in [
            json!({"from": "a", "reply_to": asked, "content": "x"}),
            json!({"from": "a", "reply_to": broadcast, "to": "all", "content": "x"}),
            json!({"reply_to": other, "content": "x"}),
        ] {
            reply(&ada, &mesh, None, body).await.expect(201);
        }
    }
    let body = json!({"from": "a", "reply_to": other, "content": "x"});
    reply(&ada, &mesh, None, body.clone()).await.expect(201);
    suspected(reply(&ada, &mesh, None, body).await);
}
