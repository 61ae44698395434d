//! F6: the disk of Postgres is full, and then there is room again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwire_protocol::MeshId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Part};
use crate::ground::Ground;
use crate::load::Load;
use crate::own::Own as _;
use crate::{times, until};

const SENDERS: usize = 6;
/// How soon sends go on when there is room again.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_tables_sends_are_refused_and_reads_go_on() {
    let cluster = Cluster::start_with_a_small_disk(Part::Tables).await;
    let site = cluster.site();
    let nodes = [site.node(), site.node()];
    let urls = nodes.each_ref().map(|node| &*node.url);
    let ground = Arc::new(Ground::new(&site, urls[0], SENDERS, 3).await);
    let quiet = ground.create_mesh(urls[0]).await;
    for name in ["reads", "sends"] {
        ground.agent(urls[0], &quiet, name).await;
    }
    send(&ground, urls[0], &quiet).await;
    let load = Load::start(&ground, &urls, SENDERS);
    for _ in 0..times(1, 5) {
        load.goes_on(100).await;
        cluster.disk().fill();
        for _ in 0..2 {
            are_refused(&load).await;
            for url in urls {
                read(&ground, url, &quiet).await;
            }
        }

        cluster.disk().free();
        let room = Instant::now();
        for node in 0..urls.len() {
            load.goes_on_at(node, 1).await;
        }
        assert!(room.elapsed() < SOON, "it took {:?}", room.elapsed());
    }
    load.finish().await.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_its_log_postgres_stops_and_goes_on_when_it_is_started() {
    let mut cluster = Cluster::start_with_a_small_disk(Part::Log).await;
    let site = cluster.site();
    let nodes = [site.node(), site.node()];
    let urls = nodes.each_ref().map(|node| &*node.url);
    let ground = Arc::new(Ground::new(&site, urls[0], SENDERS, 3).await);
    let load = Load::start(&ground, &urls, SENDERS);
    for _ in 0..times(1, 5) {
        load.goes_on(100).await;
        cluster.disk().fill();
        until("Postgres stops", async || {
            cluster.use_up_log().await;
            (!cluster.process().runs()).then_some(())
        })
        .await;
        are_refused(&load).await;

        cluster.disk().free();
        cluster.start_again().await;
        let room = Instant::now();
        for node in 0..urls.len() {
            load.goes_on_at(node, 1).await;
        }
        assert!(room.elapsed() < SOON, "it took {:?}", room.elapsed());
    }
    load.finish().await.check();
}

/// Waits until both nodes have refused sends of now.
async fn are_refused(load: &Load) {
    let before = load.counts().unavailable;
    load.until("sends are refused", |counts| {
        counts.unavailable.iter().zip(&before).all(|(now, before)| now > before)
    })
    .await;
}

async fn send(ground: &Ground, node: &str, mesh: &MeshId) {
    let body = json!({"from": "sends", "to": "reads", "content": "before"}).to_string();
    let path = format!("/mesh/{mesh}/messages");
    let sent = ground.request(Method::POST, node, &path).body(body).send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::CREATED);
}

/// Reads in all ways that write nothing.
async fn read(ground: &Ground, node: &str, mesh: &MeshId) {
    for path in ["", "/agents", "/members", "/messages", "/agents/reads/messages?ack=false"] {
        let path = format!("/mesh/{mesh}{path}");
        let answer = ground.request(Method::GET, node, &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if path.contains("messages") {
            assert_eq!(body["messages"][0]["content"], "before", "{path} {body}");
        }
    }
}
