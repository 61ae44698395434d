//! What was answered is never lost: kill -9, restarts, receivers that are off.

use std::time::Duration;

use rand::RngExt as _;
use reqwest::blocking::Client;
use serde_json::Value;

use crate::Stream;
use crate::checker::{Sight, check};
use crate::load::{Http, Letter, Load, id_of, sender_name};
use crate::program::signed_in;
use crate::service::Service;

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

#[test]
fn kill_9_loses_and_doubles_nothing() {
    let rounds = if std::env::var_os("MESHWIRE_TEST_LONG").is_some() { 1_000 } else { 25 };
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let token = computer.does("meshwire token create load");
    let (token, mesh) = (token.trim(), computer.mesh());
    let http = Http::new(vec![service.url.clone()], &mesh, token);
    for sender in 0..=SENDERS {
        http.register(&sender_name(sender));
    }
    http.register("reader");

    let send = move |letter: &Letter<'_>| http.send(letter);
    let load = Load::start(SENDERS, usize::MAX, &["reader".to_owned()], send);
    let mut random = rand::rng();
    for _ in 0..rounds {
        // The instant is what is random here; nothing is waited for.
        let instant = Duration::from_micros(random.random_range(0..150_000));
        std::thread::sleep(instant);
        service.kill();
        service.start_again();
    }
    load.stop();
    let attempts = load.finish();

    let client = Client::builder().no_proxy().build().unwrap();
    let mut log = Sight::of(vec![Stream::All, Stream::Agent("reader".to_owned())]);
    let mut after = String::from("earliest");
    loop {
        let url =
            format!("{}/mesh/{mesh}/agents/reader/messages?limit=1000&after={after}", service.url);
        let page = client.get(url).bearer_auth(token).send().unwrap().text().unwrap();
        let page: Value = serde_json::from_str(&page).unwrap();
        for message in page["messages"].as_array().unwrap() {
            log.saw(id_of(message), message["content"].as_str().unwrap());
        }
        after = page["cursor"].to_string();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(check(&attempts, &[], &log), Ok(()));
    assert_eq!(attempts.len(), log.read.len(), "and nothing else is there");
    assert!(attempts.len() > rounds, "they did send between the kills: {}", attempts.len());
}
