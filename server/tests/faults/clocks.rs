//! F9: the clock of a node is off from its start on, or is set while it runs.

use std::sync::Arc;

use meshwire_server::clock::Clock;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ground::{Ground, token};
use crate::load::Load;
use crate::nemesis::{Fate, Nemesis};
use crate::proxy::{Proxy, Wire};
use crate::site::Site;
use crate::times;

const SENDERS: usize = 4;
const MINUTE: i64 = 60 * 1_000_000;

on_every_engine! {
    a_clock_a_day_behind_does_no_harm,
    a_clock_a_day_ahead_does_no_harm,
    a_clock_that_jumps_ahead_doubles_nothing_that_nobody_heard_of,
}

/// A clock of a computer, which can be set. Those of its clocks that only measure are left alone.
struct Watch(TempDir);

impl Watch {
    /// One that is so far off.
    fn new(by: &str) -> Self {
        let watch = Self(tempfile::tempdir().unwrap());
        watch.set(by);
        watch
    }

    fn set(&self, by: &str) {
        // Whoever reads it meanwhile finds one or the other.
        let new = self.0.path().join("new");
        std::fs::write(&new, by).unwrap();
        std::fs::rename(new, self.0.path().join("off")).unwrap();
    }

    /// Has a process go by it.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let libraries = [std::env::consts::ARCH, "lib"]
            .map(|name| format!("/usr/lib/{name}-linux-gnu/faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|library| std::path::Path::new(library).exists());
        vec![
            ("LD_PRELOAD", library.expect("libfaketime is installed, as infra/test.sh does")),
            ("FAKETIME_TIMESTAMP_FILE", self.0.path().join("off").to_str().unwrap().to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

async fn a_clock_that_is_off(site: &Site, by: &str) {
    let (began, watch) = (Clock::default().now(), Watch::new(by));
    let nodes = [site.node(), site.node_with(watch.environment())];
    let ground = Arc::new(Ground::new(site, &nodes[0].url, SENDERS, 2).await);
    let store = ground.store().await;
    let expired = token(store, |token| token.expires_at = Some(began - MINUTE)).await;
    let live = token(store, |token| token.expires_at = Some(began + 60 * MINUTE)).await;
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    load.goes_on_at(0, times(50, 1_000)).await;
    load.goes_on_at(1, times(50, 1_000)).await;
    load.finish().await.check();

    for node in &nodes {
        for (token, status) in [(&expired, StatusCode::UNAUTHORIZED), (&live, StatusCode::OK)] {
            let answer = ground.request_as(token, Method::GET, &node.url, "/me").send().await;
            assert_eq!(answer.unwrap().status(), status, "{by}");
        }
    }
    // A key that was used on one node is in use on the other, whoever comes first.
    for (first, second) in [(0, 1), (1, 0)] {
        let mut ids = Vec::new();
        for node in [first, second] {
            let path = format!("/mesh/{}/messages", ground.mesh);
            let body = json!({"from": "sender-0", "content": format!("first by {first}")});
            let request = ground.request(Method::POST, &nodes[node].url, &path);
            let request = request.header("Idempotency-Key", format!("used-{first}"));
            let answer = request.body(body.to_string()).send().await.unwrap();
            let sent: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            ids.push(sent["id"].as_i64().unwrap());
        }
        assert_eq!(ids[0], ids[1], "{by}");
    }
    ids_are_of_the_time_since(began, &ground).await;
}

async fn ids_are_of_the_time_since(began: i64, ground: &Ground) {
    // DynamoDB tells the time in whole seconds, so who goes by it may be one behind.
    let times = began - MINUTE..Clock::default().now() + MINUTE;
    for stored in ground.log().await {
        let id = stored.message.id.get();
        assert!(times.contains(&id), "{id} is not of {times:?}");
    }
}

async fn a_clock_a_day_behind_does_no_harm(site: Site) {
    a_clock_that_is_off(&site, "-1d").await;
}

async fn a_clock_a_day_ahead_does_no_harm(site: Site) {
    a_clock_that_is_off(&site, "+1d").await;
}

async fn a_clock_that_jumps_ahead_doubles_nothing_that_nobody_heard_of(site: Site) {
    let (began, watch) = (Clock::default().now(), Watch::new("+0"));
    let proxy = Proxy::start(site.port()).await;
    let nodes = [site.over(proxy.port()).node_with(watch.environment()), site.node()];
    let ground = Arc::new(Ground::new(&site, &nodes[1].url, SENDERS, 2).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    load.goes_on_at(0, 10).await;
    for round in 0..times(4, 40) {
        // Every other time the clock has jumped since the batch began, or the last one.
        watch.set(if round % 2 == 0 { "+5h" } else { "+0" });
        proxy.cut(Wire::NoCommits).await;
        proxy.mend(true);
        load.goes_on_at(0, 10).await;
    }
    load.finish().await.check();
    ids_are_of_the_time_since(began, &ground).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_wrong_time_signs_by_that_of_dynamodb() {
    let (site, watch) = (Site::dynamodb(), Watch::new("+1d"));
    let nemesis = Nemesis::start(&site).await;
    let refused = || nemesis.tally().befell(Fate::Misdated);
    let node = site.over(nemesis.port()).node_with(watch.environment());
    assert!(refused() > 0, "its first request was not of this day");
    let ground = Arc::new(Ground::new(&site, &node.url, SENDERS, 2).await);
    let load = Load::start(&ground, &[&node.url], SENDERS);
    load.goes_on(20).await;
    for by in ["-1d", "+0"] {
        let before = refused();
        watch.set(by);
        load.goes_on(20).await;
        assert!(refused() > before, "{by}");
    }
    load.finish().await.check();
}
