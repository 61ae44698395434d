//! A node that runs for long, with all that people do to it, and is killed or told to stop now and then.
//!
//! Messages go all the time; clients come and go, some without waiting for their answer; tokens are made, used and
//! revoked. Nothing is lost, and the node takes no more at the end of a life than at its beginning, which is printed:
//! `MESHWIRE_TEST_SOAK_MINUTES` says how long it takes, a few seconds else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meshwire_protocol::MeshId;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::ground::{Ground, token};
use crate::load::Load;
use crate::node::Node;
use crate::site::Site;
use crate::{LIMIT, until};

const SENDERS: usize = 6;
const READERS: usize = 4;
/// Times between two ends of the node: enough of them, and each long enough to see what grows.
const LIVES: u32 = 6;
/// When no length is set.
const SHORT: Duration = Duration::from_secs(12);
/// Clients that hang up in a round.
const GONE: u64 = 20;
/// A poll ends within 1 s after its token was revoked; the rest is for a busy machine.
const REVOKED: Duration = Duration::from_secs(30);

on_every_engine! { sqlite too: nothing_is_lost_and_nothing_grows }

async fn nothing_is_lost_and_nothing_grows(site: Site) {
    let minutes = std::env::var("MESHWIRE_TEST_SOAK_MINUTES").ok();
    let minutes = minutes.map(|minutes| minutes.parse::<f64>().expect("a number of minutes"));
    let whole = minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(minutes * 60.0));

    let store = site.open().await;
    let token = token(&*store, |_| {}).await;
    store.close().await;
    drop(store);
    let mut node = site.node();
    let url = node.url.clone();
    let ground = Ground::with_token(&site, token, &url, SENDERS, READERS).await;
    let ground = Arc::new(ground);
    let quiet = ground.create_mesh(&url).await;
    ground.agent(&url, &quiet, "waits").await;
    // As many messages as a test can keep in mind for long.
    let load = Load::paced(&ground, &[&url], SENDERS, Duration::from_millis(50));
    for life in 0..LIVES {
        load.goes_on(10).await;
        let end = Instant::now() + whole / LIVES;
        let watch = Watch::start(node.id(), end);
        let mut rounds = 0;
        while Instant::now() < end || rounds == 0 {
            come_and_go(&ground, &url, &quiet).await;
            make_use_and_revoke(&ground, &url, &quiet).await;
            rounds += 1;
            sleep(Duration::from_millis(500)).await;
        }
        println!("Life {life}, {rounds} rounds. {}", watch.tell().await);
        if life % 2 == 0 {
            node.kill();
        } else {
            stop(&mut node).await;
        }
        node.start_again();
    }
    load.goes_on(10).await;
    load.finish_with(move || drop(node)).await.check();
}

async fn stop(node: &mut Node) {
    node.signal("-TERM");
    let ended = until("the node ends", async || node.ended()).await;
    assert!(ended.success(), "{ended}");
}

/// Polls by clients that hang up before they are answered.
async fn come_and_go(ground: &Ground, url: &str, quiet: &MeshId) {
    let host = url.trim_start_matches("http://");
    let token = &ground.token;
    let poll = format!(
        "GET /mesh/{quiet}/agents/waits/messages?wait=60 HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let mut streams = Vec::new();
    for _ in 0..GONE {
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(poll.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    sleep(Duration::from_millis(100)).await;
}

/// A token is made and waits for a message, and then it is revoked.
async fn make_use_and_revoke(ground: &Ground, url: &str, quiet: &MeshId) {
    let body = json!({"name": "soak"}).to_string();
    let made = answered(|| ground.request(Method::POST, url, "/tokens").body(body.clone())).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let path = format!("/mesh/{quiet}/agents/waits/messages?wait=60");
    let ask = || ground.request_as(token, Method::GET, url, &path).timeout(LIMIT);
    let poll = tokio::spawn(ask().send());
    sleep(Duration::from_millis(100)).await;
    let path = format!("/tokens/{id}");
    let revoked = answered(|| ground.request(Method::DELETE, url, &path)).await.status();
    // The second time there is none any more.
    assert!([StatusCode::NO_CONTENT, StatusCode::NOT_FOUND].contains(&revoked), "{revoked}");
    let answer = timeout(REVOKED, poll).await.expect("the poll ends").unwrap().unwrap();
    // Under load it may have been told to come again before.
    assert!([StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()));
    assert_eq!(answered(ask).await.status(), StatusCode::UNAUTHORIZED);
}

/// Asks until it is not told any more to come again later.
async fn answered(ask: impl Fn() -> RequestBuilder) -> Response {
    until("the store is there", async || {
        let answer = ask().send().await.unwrap();
        (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}

/// Looks at a process until its time is over.
struct Watch(JoinHandle<Vec<Sample>>);

struct Sample {
    /// Resident, in KiB.
    memory: u64,
    descriptors: u64,
}

impl Watch {
    /// At most a hundred times.
    fn start(process: u32, end: Instant) -> Self {
        let pause =
            (end.saturating_duration_since(Instant::now()) / 100).max(Duration::from_millis(50));
        Self(tokio::spawn(async move {
            let mut samples = Vec::new();
            while Instant::now() < end {
                samples.extend(Sample::of(process));
                sleep(pause).await;
            }
            samples
        }))
    }

    /// What it took at the beginning, all the time, and at the end.
    async fn tell(self) -> String {
        let samples = self.0.await.unwrap();
        let tell = |what: &str, slack, of: fn(&Sample) -> u64| {
            let values: Vec<u64> = samples.iter().map(of).collect();
            let quarter = values.len().div_ceil(4);
            let first = median(&values[..quarter]);
            let last = median(&values[values.len() - quarter..]);
            let some: Vec<u64> =
                values.iter().step_by(quarter.div_ceil(3).max(1)).copied().collect();
            let word = if last <= first + first / 10 + slack { "flat" } else { "GROWS" };
            format!("{what}: {first} in the first quarter, {last} in the last: {word}; {some:?}")
        };
        let memory = tell("Memory in KiB", 2_048, |sample| sample.memory);
        // Those of clients that are just hanging up are no more than that.
        let descriptors = tell("Descriptors", 2 * GONE, |sample| sample.descriptors);
        format!("{memory}\n  {descriptors}")
    }
}

impl Sample {
    /// `None` when there is no such process any more.
    fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = memory.trim().strip_suffix(" kB")?.parse().ok()?;
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count();
        Some(Self { memory, descriptors: open.try_into().ok()? })
    }
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
