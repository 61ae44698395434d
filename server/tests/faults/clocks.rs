//! F9: the clock of one of two nodes is a day off, from its start on.

use std::sync::Arc;

use meshwire_server::clock::Clock;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::ground::{Ground, token};
use crate::load::Load;
use crate::site::Site;
use crate::times;

const SENDERS: usize = 4;
const MINUTE: i64 = 60 * 1_000_000;

/// What makes a process believe that it is another time; clocks that only measure are left alone.
fn faketime(by: &str) -> Vec<(&'static str, String)> {
    let libraries = [std::env::consts::ARCH, "lib"]
        .map(|name| format!("/usr/lib/{name}-linux-gnu/faketime/libfaketimeMT.so.1"));
    let library = libraries.into_iter().find(|library| std::path::Path::new(library).exists());
    vec![
        ("LD_PRELOAD", library.expect("libfaketime is installed, as infra/test.sh does")),
        ("FAKETIME", by.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

async fn a_clock_that_is_off(site: &Site, by: &str) {
    let began = Clock::default().now();
    let nodes = [site.node(), site.node_with(faketime(by))];
    let ground = Arc::new(Ground::new(site, &nodes[0].url, SENDERS, 2).await);
    let expired = token(&*ground.store, |token| token.expires_at = Some(began - MINUTE)).await;
    let live = token(&*ground.store, |token| token.expires_at = Some(began + 60 * MINUTE)).await;
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
    let until = Clock::default().now() + MINUTE;
    let log = ground.log().await;
    assert!(log.iter().all(|stored| (began..until).contains(&stored.message.id.get())), "{by}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_a_day_behind_does_no_harm() {
    a_clock_that_is_off(&Site::postgres().await, "-1d").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_a_day_ahead_does_no_harm() {
    a_clock_that_is_off(&Site::postgres().await, "+1d").await;
}
