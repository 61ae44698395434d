//! F13: nodes are told to stop and started again, one after the other, under load.

use std::sync::Arc;

use reqwest::header::CONNECTION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::load::Load;
use crate::site::Site;
use crate::{LIMIT, times, until};

const SENDERS: usize = 6;
/// The command line sends a message so often at the most.
const TRIES: usize = 4;

on_every_engine! { a_rolling_restart_fails_nobody_and_answers_open_polls }

async fn a_rolling_restart_fails_nobody_and_answers_open_polls(site: Site) {
    let mut nodes = [site.node(), site.node()];
    let urls = nodes.each_ref().map(|node| node.url.clone());
    let ground = Arc::new(Ground::new(&site, &urls[0], SENDERS, 4).await);
    let quiet = ground.create_mesh(&urls[0]).await;
    ground.agent(&urls[0], &quiet, "waits").await;
    let load = Load::start(&ground, &[&urls[0], &urls[1]], SENDERS);
    for round in 0..2 * times(1, 10) {
        let number = round % 2;
        let node = &mut nodes[number];
        load.goes_on_at(number, 20).await;
        let path = format!("/mesh/{quiet}/agents/waits/messages?wait=60");
        let poll = ground.request(Method::GET, &node.url, &path).timeout(LIMIT);
        let poll = tokio::spawn(poll.send());
        // By then it is parked.
        load.goes_on_at(number, 100).await;

        node.signal("-TERM");
        let answer = poll.await.unwrap().expect("a parked poll is answered");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONNECTION], "close");
        let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((&page["messages"], &page["more"]), (&json!([]), &json!(false)));
        let ended = until("the node ends", async || node.ended()).await;
        assert!(ended.success(), "{ended}");
        load.goes_on_at(1 - number, 20).await;
        node.start_again();
    }
    let story = load.finish().await;
    assert!(story.counts.tries <= TRIES, "{:?}", story.counts);
    story.check();
}
