//! F7: Postgres is restarted or killed under load, or away for a while.

use std::sync::Arc;
use std::time::Duration;

use meshwire_server::store::postgres::PostgresStore;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::ground::Ground;
use crate::load::Load;
use crate::node::Node;
use crate::{LIMIT, times};

const SENDERS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_kill_of_postgres_lose_and_double_nothing() {
    let mut dice = Dice::new();
    let mut cluster = Cluster::start().await;
    let nodes = [Node::start(&cluster.url()), Node::start(&cluster.url())];
    let ground = Arc::new(Ground::new(&cluster.url(), &nodes[0].url, SENDERS, 3).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    for round in 0..times(2, 10) {
        load.goes_on(100).await;
        dice.instant(Duration::from_millis(200)).await;
        if round % 2 == 0 {
            cluster.stop_at_once();
        } else {
            cluster.kill();
        }
        cluster.start_again().await;
        load.goes_on_at(0, 20).await;
        load.goes_on_at(1, 20).await;
    }
    load.finish().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_sends_are_refused_and_polls_wait() {
    let mut cluster = Cluster::start().await;
    let node = Node::start(&cluster.url());
    let ground = Arc::new(Ground::new(&cluster.url(), &node.url, SENDERS, 3).await);
    let quiet = ground.create_mesh(&node.url).await;
    for name in ["waits", "sends"] {
        ground.agent(&node.url, &quiet, name).await;
    }
    let load = Load::start(&ground, &[&node.url], SENDERS);
    for _ in 0..times(1, 5) {
        let path = format!("/mesh/{quiet}/agents/waits/messages?wait=60");
        let poll = ground.request(Method::GET, &node.url, &path).timeout(LIMIT);
        let poll = tokio::spawn(poll.send());
        // By then it is parked.
        load.goes_on(100).await;

        cluster.stop_at_once();
        let refused = load.counts().unavailable[0] + 2 * SENDERS;
        load.until("sends are refused", |counts| counts.unavailable[0] >= refused).await;
        assert!(!poll.is_finished(), "a poll waits");
        cluster.start_again().await;
        load.goes_on(50).await;

        let body = json!({"from": "sends", "to": "waits", "content": "at last"}).to_string();
        let path = format!("/mesh/{quiet}/messages");
        let sent = ground.request(Method::POST, &node.url, &path).body(body).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
        let answer = poll.await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(page["messages"][0]["content"], "at last", "{page}");
        let path = format!("/mesh/{quiet}/agents/waits/messages?after={}", page["cursor"]);
        let done = ground.request(Method::GET, &node.url, &path).send().await.unwrap();
        assert_eq!(done.status(), StatusCode::OK);
    }
    load.finish().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_would_lose_what_it_confirmed_is_refused() {
    let mut cluster = Cluster::start().await;
    PostgresStore::open(&cluster.url()).await.expect("as it comes, it is taken");
    for setting in ["fsync", "full_page_writes"] {
        cluster.stop_at_once();
        cluster.set(setting, "off");
        cluster.start_again().await;
        let refused = PostgresStore::open(&cluster.url()).await.err().expect("it is refused");
        assert!(refused.to_string().contains(setting), "{refused}");
        cluster.set(setting, "on");
    }
}
