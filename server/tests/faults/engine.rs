//! F7: the engine is restarted or killed under load, or away for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwire_server::settings::Place;
use meshwire_server::store::postgres::PostgresStore;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::ground::Ground;
use crate::load::Load;
use crate::local::Local;
use crate::own::Own;
use crate::{LIMIT, times, until};

const SENDERS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_kill_of_postgres_lose_and_double_nothing() {
    a_restart_and_a_kill_lose_and_double_nothing(Cluster::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_kill_of_dynamodb_lose_and_double_nothing() {
    a_restart_and_a_kill_lose_and_double_nothing(Local::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_sends_are_refused_and_polls_wait() {
    while_it_is_away_sends_are_refused_and_polls_wait(Cluster::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_dynamodb_is_away_sends_are_refused_and_polls_wait() {
    while_it_is_away_sends_are_refused_and_polls_wait(Local::start().await).await;
}

async fn a_restart_and_a_kill_lose_and_double_nothing(mut engine: impl Own) {
    let mut dice = Dice::new();
    let site = engine.site();
    let nodes = [site.node(), site.node()];
    let ground = Arc::new(Ground::new(&site, &nodes[0].url, SENDERS, 3).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    for round in 0..times(2, 10) {
        load.goes_on(100).await;
        dice.instant(Duration::from_millis(200)).await;
        if round % 2 == 0 {
            engine.stop_at_once().await;
        } else {
            engine.kill().await;
        }
        engine.start_again().await;
        load.goes_on_at(0, 20).await;
        load.goes_on_at(1, 20).await;
    }
    load.finish().await.check();
}

async fn while_it_is_away_sends_are_refused_and_polls_wait(mut engine: impl Own) {
    let site = engine.site();
    let node = site.node();
    let ground = Arc::new(Ground::new(&site, &node.url, SENDERS, 3).await);
    let quiet = ground.create_mesh(&node.url).await;
    for name in ["waits", "sends"] {
        ground.agent(&node.url, &quiet, name).await;
    }
    let load = Load::start(&ground, &[&node.url], SENDERS);
    for _ in 0..times(1, 5) {
        let path = format!("/mesh/{quiet}/agents/waits/messages?wait=60");
        let parked = || {
            let poll = ground.request(Method::GET, &node.url, &path).timeout(LIMIT);
            tokio::spawn(poll.send())
        };
        let parked_at = Instant::now();
        let poll = parked();
        // By then it is parked.
        load.goes_on(40).await;

        engine.stop_at_once().await;
        let refused = load.counts().unavailable[0] + 2 * SENDERS;
        load.until("sends are refused", |counts| counts.unavailable[0] >= refused).await;
        // On a slow machine its minute may be over.
        let is_over = parked_at.elapsed() > Duration::from_secs(55);
        assert!(!poll.is_finished() || is_over, "a poll waits");
        engine.start_again().await;
        load.goes_on(50).await;

        let body = json!({"from": "sends", "to": "waits", "content": "at last"}).to_string();
        let path = format!("/mesh/{quiet}/messages");
        let sent = ground.request(Method::POST, &node.url, &path).body(body).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
        let mut page = page(poll).await;
        // A minute may be over before a slow engine is back.
        while page["messages"] == json!([]) {
            page = self::page(parked()).await;
        }
        assert_eq!(page["messages"][0]["content"], "at last", "{page}");
        let path = format!("/mesh/{quiet}/agents/waits/messages?after={}", page["cursor"]);
        let done = ground.request(Method::GET, &node.url, &path).send().await.unwrap();
        assert_eq!(done.status(), StatusCode::OK);
    }
    load.finish().await.check();
}

async fn page(poll: JoinHandle<reqwest::Result<Response>>) -> Value {
    let answer = poll.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_would_lose_what_it_confirmed_is_refused() {
    let mut cluster = Cluster::start().await;
    PostgresStore::open(&cluster.url(), Place::CONNECTIONS)
        .await
        .expect("as it comes, it is taken");
    for setting in ["fsync", "full_page_writes"] {
        cluster.stop_at_once().await;
        cluster.set(setting, "off");
        cluster.start_again().await;
        let refused = PostgresStore::open(&cluster.url(), Place::CONNECTIONS)
            .await
            .err()
            .expect("it is refused");
        assert!(refused.to_string().contains(setting), "{refused}");
        cluster.set(setting, "on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_takes_no_writes_is_not_ready() {
    let mut cluster = Cluster::start().await;
    let site = cluster.site();
    let node = site.node();
    let ground = Ground::new(&site, &node.url, 0, 0).await;
    let ready = async || {
        let answer = ground.request(Method::GET, &node.url, "/ready").send().await;
        let answer = answer.expect("it answers");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        (status, serde_json::from_str::<Value>(&text).expect("JSON")["code"].clone())
    };
    assert_eq!(ready().await, (StatusCode::OK, Value::Null));
    for (setting, expected) in [("on", StatusCode::SERVICE_UNAVAILABLE), ("off", StatusCode::OK)] {
        cluster.stop_at_once().await;
        cluster.set("default_transaction_read_only", setting);
        cluster.start_again().await;
        // Connections to the one before are found dead by whoever asks first.
        let path = format!("/mesh/{}/agents", ground.mesh);
        until("reads are answered", async || {
            let answer = ground.request(Method::GET, &node.url, &path).send().await.ok()?;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
        let (status, code) = until("the last connections to the one before are gone", async || {
            let answer = ready().await;
            (setting == "on" || answer.0 == expected).then_some(answer)
        })
        .await;
        assert_eq!(status, expected);
        assert_eq!(code == "store_unavailable", setting == "on", "{code}");
    }
}
