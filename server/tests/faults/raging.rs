//! F12: everything that DynamoDB may do to a client, at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::ground::Ground;
use crate::load::Load;
use crate::nemesis::{Fate, Nemesis};
use crate::site::Site;
use crate::{LIMIT, times, until};

const SENDERS: usize = 16;
/// The most requests for a batch that the engine may see, on average.
const ATTEMPTS: f64 = 3.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_nemesis_before_dynamodb_loses_and_doubles_nothing() {
    let site = Site::dynamodb();
    let nemesis = Nemesis::start(&site).await;
    let behind = site.over(nemesis.port());
    let nodes = [behind.node(), behind.node()];
    let ground = Arc::new(Ground::new(&site, &nodes[0].url, SENDERS, 2).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    nemesis.rage();
    let all_befell = || {
        let tally = nemesis.tally();
        Fate::ALL.into_iter().all(|fate| tally.befell(fate) > 0)
    };
    let begun = Instant::now();
    let mut round = 0;
    // The rare ones may take longer; in a long time every one of them befalls.
    while load.counts().all() < times(2_000, 5_000) || (!all_befell() && begun.elapsed() < LIMIT) {
        load.goes_on(200).await;
        round += 1;
        // What was done on one node is so on the other, whatever its queries show.
        let name = format!("late-{round}");
        let agents = format!("/mesh/{}/agents", ground.mesh);
        let [one, other] = [&nodes[round % 2].url, &nodes[1 - round % 2].url];
        let body = json!({"name": name}).to_string();
        let made = ask(&ground, Method::POST, one, &agents, &body).await;
        assert!(made.is_success(), "{made}");
        let inbox = format!("{agents}/{name}/messages?limit=1");
        assert_eq!(ask(&ground, Method::GET, other, &inbox, "").await, StatusCode::OK);
        let agent = format!("{agents}/{name}");
        let removed = ask(&ground, Method::DELETE, other, &agent, "").await;
        // Its answer may have been lost, and then it is done twice.
        assert!(removed.is_success() || removed == StatusCode::NOT_FOUND, "{removed}");
        assert_eq!(ask(&ground, Method::GET, one, &inbox, "").await, StatusCode::NOT_FOUND);
    }
    let story = load.finish().await;
    let tally = nemesis.tally();
    println!("{:?}", tally.fates);
    let [sent, seen] = tally.mean_attempts();
    println!(
        "{} batches, sent {sent:.2} times, seen by the engine {seen:.2} times",
        tally.batches()
    );
    story.check();
    assert!(seen <= ATTEMPTS, "{seen} requests for a batch");
    for fate in Fate::ALL {
        assert!(tally.befell(fate) > 0, "{fate:?} was not tried");
    }
}

/// Asks until the store is there for it.
async fn ask(ground: &Ground, method: Method, node: &str, path: &str, body: &str) -> StatusCode {
    until("a request is answered", async || {
        let request = ground.request(method.clone(), node, path).body(body.to_owned());
        let status = request.timeout(Duration::from_secs(30)).send().await.ok()?.status();
        (status != StatusCode::SERVICE_UNAVAILABLE).then_some(status)
    })
    .await
}
