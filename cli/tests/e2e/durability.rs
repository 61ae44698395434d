//! What was answered is never lost: kill -9, restarts, receivers that are off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::program::signed_in;
use crate::service::{LIMIT, Service};

const SENDERS: usize = 8;

#[test]
fn listen_survives_a_restart_and_prints_what_came_meanwhile_once() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    let mut listening = computer.start("meshwire listen --json");
    computer.does("meshwire send first --to agent-b");
    assert!(listening.next_line().contains("first"));
    service.kill();
    service.start_again();
    // While `listen` waits for its next try.
    computer.does("meshwire send second --to agent-b");
    assert!(listening.next_line().contains("second"));
    service.terminate();
    service.start_again();
    computer.does("meshwire send third --to agent-b");
    assert!(listening.next_line().contains("third"), "neither of the others comes again");
    assert_eq!(listening.interrupt(), 0);
}

/// One sender: sends a counter until told to stop, and repeats under the same key what was not answered.
fn sender(
    number: usize,
    url: &str,
    mesh: &str,
    token: &str,
    stop: &AtomicBool,
) -> Vec<(i64, usize)> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let url = format!("{url}/mesh/{mesh}/messages");
    let mut answered = Vec::new();
    for counter in 0.. {
        let body = json!({
            "from": format!("sender-{number}"),
            "content": format!("{number}-{counter}"),
        });
        let deadline = Instant::now() + LIMIT;
        let id = loop {
            let answer = client
                .post(&url)
                .bearer_auth(token)
                .header("Idempotency-Key", format!("{number}-{counter}"))
                .body(body.to_string())
                .send();
            match answer {
                Ok(answer) if answer.status().is_success() => {
                    // The body may be cut off by the kill: then it was not answered.
                    let text = answer.text().unwrap_or_default();
                    if let Ok(answer) = serde_json::from_str::<Value>(&text) {
                        break answer["id"].as_i64().unwrap();
                    }
                }
                Ok(answer) => {
                    assert_eq!(answer.status(), 503, "{}", answer.text().unwrap_or_default());
                }
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "sender {number} gets no answer any more");
            std::thread::yield_now();
        };
        answered.push((id, counter));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    answered
}

#[test]
fn kill_9_loses_and_doubles_nothing() {
    let rounds = if std::env::var_os("MESHWIRE_TEST_LONG").is_some() { 1_000 } else { 25 };
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let token = computer.does("meshwire token create load");
    let meshes: Value = serde_json::from_str(&computer.does("meshwire mesh list --json")).unwrap();
    let mesh = meshes["meshes"].as_array().or(meshes.as_array()).unwrap()[0]["mesh_id"].clone();
    let (token, mesh) = (token.trim().to_owned(), mesh.as_str().unwrap().to_owned());
    let client = Client::builder().no_proxy().build().unwrap();
    let names = (0..SENDERS).map(|n| format!("sender-{n}")).chain(["reader".to_owned()]);
    for name in names {
        let url = format!("{}/mesh/{mesh}/agents", service.url);
        let body = json!({"name": name}).to_string();
        let answer = client.post(url).bearer_auth(&token).body(body).send().unwrap();
        assert_eq!(answer.status(), 201);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(Mutex::new(HashMap::new()));
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            let (url, mesh, token) = (service.url.clone(), mesh.clone(), token.clone());
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let own = sender(number, &url, &mesh, &token, &stop);
                answered.lock().unwrap().insert(number, own);
            })
        })
        .collect();
    let mut random = rand::rng();
    for _ in 0..rounds {
        // The instant is what is random here; nothing is waited for.
        let instant = Duration::from_micros(random.random_range(0..150_000));
        std::thread::sleep(instant);
        service.kill();
        service.start_again();
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }

    let mut read: Vec<(i64, String)> = Vec::new();
    let mut after = String::from("earliest");
    loop {
        let url =
            format!("{}/mesh/{mesh}/agents/reader/messages?limit=1000&after={after}", service.url);
        let page = client.get(url).bearer_auth(&token).send().unwrap().text().unwrap();
        let page: Value = serde_json::from_str(&page).unwrap();
        for message in page["messages"].as_array().unwrap() {
            let content = message["content"].as_str().unwrap().to_owned();
            read.push((message["id"].as_i64().unwrap(), content));
        }
        after = page["cursor"].to_string();
        if page["more"] == false {
            break;
        }
    }
    assert!(read.is_sorted_by(|(a, _), (b, _)| a < b), "ids are strictly increasing");
    let answered = answered.lock().unwrap();
    let mut total = 0;
    for (number, own) in &*answered {
        let expected: Vec<(i64, String)> =
            own.iter().map(|(id, counter)| (*id, format!("{number}-{counter}"))).collect();
        let prefix = format!("{number}-");
        let found: Vec<_> =
            read.iter().filter(|(_, content)| content.starts_with(&prefix)).cloned().collect();
        assert!(found == expected, "sender {number}: each answered send is there once, in order");
        total += own.len();
    }
    assert_eq!(total, read.len(), "and nothing else is there");
    assert!(total > rounds, "the senders did send between the kills: {total}");
}
