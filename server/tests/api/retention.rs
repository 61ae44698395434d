//! Retention: what goes, for whom it is held, and that no reader is passed over in silence.

use std::time::{Duration, Instant};

use meshwire_protocol::MeshId;
use serde_json::{Value, json};

use crate::inbox::park;
use crate::server::{Server, User, contents};

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// A server whose clock begins in the past: ids are never ahead of the machine's own clock.
async fn in_the_past(arguments: &[&str]) -> Server {
    let server = Server::with(arguments).await;
    server.clock.shift(-100 * DAY);
    server
}

/// Two days later each, `a` sends `count` messages to everyone, and both read; then a pass is made.
async fn days(user: &User<'_>, mesh: &MeshId, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for n in 0..count {
        user.server.clock.shift(2 * DAY);
        ids.push(user.send(mesh, "a", "all", &n.to_string()).await);
        for agent in ["a", "b"] {
            user.inbox(mesh, agent, "ack=false").await;
        }
    }
    user.server.app.meshes.trim_all().await;
    ids
}

async fn later(server: &Server, days: i64) {
    server.clock.shift(days * DAY);
    server.app.meshes.trim_all().await;
}

async fn acknowledge(user: &User<'_>, mesh: &MeshId, agent: &str, cursor: &Value) -> Value {
    let path = format!("/mesh/{mesh}/agents/{agent}/cursor");
    user.put(&path, json!({"cursor": cursor})).await.expect(200)["cursor"].clone()
}

/// The contents of the whole history, newest first.
async fn history(user: &User<'_>, mesh: &MeshId) -> Vec<String> {
    let (mut all, mut before) = (Vec::new(), Value::Null);
    loop {
        let from = before.as_i64().map_or(String::new(), |id| format!("&before={id}"));
        let page = user.get(&format!("/mesh/{mesh}/messages?limit=2{from}")).await.expect(200);
        all.extend(contents(&page).into_iter().map(str::to_owned));
        before = page["before"].clone();
        if before.is_null() {
            return all;
        }
    }
}

fn gap(page: &Value) -> bool {
    page.get("gap").is_some_and(|gap| {
        assert_eq!(*gap, true, "it is left out when there is none");
        true
    })
}

#[tokio::test]
async fn what_is_old_and_acknowledged_by_all_goes_and_nothing_else() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    // 0 is 10 days old, 5 is new. The sender's own cursor counts like any other.
    let ids = days(&ada, &mesh, 6).await;
    assert_eq!(
        history(&ada, &mesh).await,
        ["5", "4", "3", "2", "1", "0"],
        "nothing is acknowledged"
    );

    acknowledge(&ada, &mesh, "a", &json!("latest")).await;
    for (acknowledged, kept) in [
        (0, vec!["5", "4", "3", "2", "1"]),
        (1, vec!["5", "4", "3", "2"]),
        // Acknowledged, but younger than a week.
        (5, vec!["5", "4", "3", "2"]),
    ] {
        ada.inbox(&mesh, "a", "").await;
        ada.inbox(&mesh, "b", &format!("after={}", ids[acknowledged])).await;
        server.app.meshes.trim_all().await;
        assert_eq!(history(&ada, &mesh).await, kept);
    }
}

#[tokio::test]
async fn a_trimmed_message_is_not_found_by_any_way() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    let ids = days(&ada, &mesh, 6).await;
    for agent in ["a", "b"] {
        acknowledge(&ada, &mesh, agent, &json!(ids[1])).await;
    }
    server.app.meshes.trim_all().await;
    for (id, there) in [(ids[0], false), (ids[1], false), (ids[2], true)] {
        let shown = ada.get(&format!("/mesh/{mesh}/messages/{id}")).await;
        let reply = json!({"from": "b", "content": "yes", "reply_to": id});
        let replied = ada.post(&format!("/mesh/{mesh}/messages"), reply).await;
        if there {
            shown.expect(200);
            replied.expect(201);
        } else {
            shown.problem(404, "message_not_found");
            let problem = replied.problem(404, "message_not_found");
            assert!(problem["errors"]["reply_to"].is_string(), "{problem}");
        }
    }
    // A message of which it is known that it is there still gives its receipts.
    let status = ada.get(&format!("/mesh/{mesh}/messages/{}", ids[2])).await.expect(200);
    assert_eq!(status["deliveries"][0]["state"], "delivered");
}

#[tokio::test]
async fn an_agent_that_reads_holds_for_thirty_days() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    ada.send(&mesh, "a", "b", "for b").await;
    for day in 1..=30 {
        assert_eq!(contents(&ada.inbox(&mesh, "b", "ack=false").await), ["for b"], "day {day}");
        later(&server, 1).await;
    }
    // 30 days and a moment.
    server.clock.shift(60_000_000);
    server.app.meshes.trim_all().await;
    let page = ada.inbox(&mesh, "b", "").await;
    assert_eq!(contents(&page), [""; 0]);
    assert!(gap(&page), "{page}");
}

#[tokio::test]
async fn an_agent_that_does_not_read_for_seven_days_holds_nothing() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    ada.send(&mesh, "a", "b", "one").await;
    later(&server, 5).await;
    ada.inbox(&mesh, "b", "wait=0").await;
    // Signs of life of other kinds, every day.
    for _ in 0..6 {
        later(&server, 1).await;
        ada.send(&mesh, "b", "b", "to itself").await;
        ada.post(&format!("/mesh/{mesh}/agents/b/heartbeat"), json!({})).await;
        assert!(history(&ada, &mesh).await.contains(&"one".to_owned()));
    }
    later(&server, 1).await;
    // It was read 7 days ago to the moment, and more by what this test takes.
    assert!(!history(&ada, &mesh).await.contains(&"one".to_owned()));
    let page = ada.inbox(&mesh, "b", "").await;
    assert!(gap(&page));
    assert_eq!(contents(&page), ["to itself"; 6], "what is younger is still there");
}

#[tokio::test]
async fn a_person_who_never_reads_holds_for_seven_days_from_the_first_need_on() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    let path = format!("/mesh/{mesh}/messages");
    ada.post(&path, json!({"content": "from ada"})).await.expect(201);
    for _ in 0..6 {
        later(&server, 1).await;
        assert_eq!(history(&ada, &mesh).await, ["from ada"]);
    }
    later(&server, 2).await;
    assert_eq!(history(&ada, &mesh).await, [""; 0]);
}

#[tokio::test]
async fn a_reader_is_told_of_a_gap_until_it_has_moved_on() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    let ids = days(&ada, &mesh, 6).await;
    // Nobody has read for 31 days; one more message comes after that.
    later(&server, 20).await;
    assert_eq!(history(&ada, &mesh).await, ["5"; 0]);
    let last = ada.send(&mesh, "a", "b", "last").await;

    for query in ["", "after=0", &format!("after={}&ack=false", ids[2]), "limit=1"] {
        let page = ada.inbox(&mesh, "b", query).await;
        assert_eq!(contents(&page), ["last"], "{query}");
        assert!(gap(&page), "{query}");
        assert_eq!((&page["cursor"], &page["more"]), (&json!(last), &json!(false)));
    }
    for query in ["after=earliest", &format!("after={}&ack=false", ids[5])] {
        let page = ada.inbox(&mesh, "b", query).await;
        assert_eq!(contents(&page), ["last"], "{query}");
        assert!(!gap(&page), "nothing is missing there: {query}");
    }
    assert!(!gap(&ada.inbox(&mesh, "b", "after=latest").await));
    assert!(gap(&ada.inbox(&mesh, "b", "").await), "the kept cursor has not moved");
    let moved_on = ada.inbox(&mesh, "b", &format!("after={last}")).await;
    assert!(!gap(&moved_on));
    assert!(!gap(&ada.inbox(&mesh, "b", "").await));
}

#[tokio::test]
async fn a_cursor_is_rewound_to_the_oldest_kept_or_beyond_with_a_gap() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    let ids = days(&ada, &mesh, 6).await;
    for agent in ["a", "b"] {
        acknowledge(&ada, &mesh, agent, &json!("latest")).await;
    }
    server.app.meshes.trim_all().await;
    assert_eq!(acknowledge(&ada, &mesh, "b", &json!("earliest")).await, ids[1]);
    let page = ada.inbox(&mesh, "b", "").await;
    assert_eq!((contents(&page), gap(&page)), (vec!["2", "3", "4", "5"], false));

    assert_eq!(acknowledge(&ada, &mesh, "b", &json!(ids[0])).await, ids[0]);
    let page = ada.inbox(&mesh, "b", "").await;
    assert_eq!((contents(&page), gap(&page)), (vec!["2", "3", "4", "5"], true));
    // A rewind takes acknowledgements back, and so it holds what is still there.
    later(&server, 6).await;
    assert_eq!(history(&ada, &mesh).await, ["5", "4", "3", "2"]);
}

#[tokio::test]
async fn a_poll_that_waits_while_its_place_is_trimmed_says_so() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    // All of it is still in memory. `a` reads what is for it, which is nothing of this.
    for n in 0..3 {
        ada.send(&mesh, "a", "all", &n.to_string()).await;
    }
    let poll = park(&ada, &mesh, "a", "wait=60").await;
    later(&server, 31).await;
    assert_eq!(history(&ada, &mesh).await, [""; 0]);
    // `a` has seen all of that already, `b` has not.
    ada.send(&mesh, "b", "a", "wake").await;
    let page = poll.await.unwrap().expect(200);
    assert_eq!((contents(&page), gap(&page)), (vec!["wake"], false));
    let page = ada.inbox(&mesh, "b", "").await;
    assert_eq!((contents(&page), gap(&page)), (vec![], true), "not from memory either");
}

#[tokio::test]
async fn a_new_agent_starts_behind_the_trim_point() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    ada.send(&mesh, "a", "b", "old").await;
    later(&server, 31).await;
    ada.agent(&mesh, "c").await;
    let page = ada.inbox(&mesh, "c", "").await;
    assert_eq!((contents(&page), gap(&page)), (vec![], false));
    ada.send(&mesh, "a", "c", "new").await;
    let page = ada.inbox(&mesh, "c", "").await;
    assert_eq!((contents(&page), gap(&page)), (vec!["new"], false));
}

#[tokio::test]
async fn a_retry_is_answered_however_old_its_neighbours_are() {
    let server = in_the_past(&["--retention-days", "1", "--retention-max-days", "1"]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    let send = || {
        ada.request(reqwest::Method::POST, &format!("/mesh/{mesh}/messages"))
            .header("Idempotency-Key", "k")
            .body(json!({"from": "a", "to": "b", "content": "once"}).to_string())
    };
    let first = crate::server::Answer::of(send()).await.expect(201);
    // A moment before the key is forgotten.
    server.clock.shift(DAY - 60_000_000);
    server.app.meshes.trim_all().await;
    let again = crate::server::Answer::of(send()).await.expect(200);
    assert_eq!(again["id"], first["id"]);
    server.clock.shift(61_000_000);
    server.app.meshes.trim_all().await;
    let anew = crate::server::Answer::of(send()).await.expect(201);
    assert_ne!(anew["id"], first["id"]);
}

#[tokio::test]
async fn zero_days_are_for_ever() {
    let server = in_the_past(&["--retention-days", "0"]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    ada.send(&mesh, "a", "b", "kept").await;
    later(&server, 3_000).await;
    assert_eq!(history(&ada, &mesh).await, ["kept"]);
}

#[tokio::test]
async fn many_meshes_are_trimmed_each_for_itself() {
    let server = in_the_past(&["--limit-meshes", "0"]).await;
    let ada = server.user("ada").await;
    let mut meshes = Vec::new();
    for n in 0..120 {
        let mesh = ada.mesh().await;
        ada.agent(&mesh, "a").await;
        ada.send(&mesh, "a", "a", &n.to_string()).await;
        meshes.push(mesh);
    }
    server.clock.shift(8 * DAY);
    // One of them is being read.
    ada.inbox(&meshes[60], "a", "").await;
    server.app.meshes.trim_all().await;
    for (n, mesh) in meshes.iter().enumerate() {
        assert_eq!(history(&ada, mesh).await.len(), usize::from(n == 60), "mesh {n}");
    }
}

#[tokio::test]
async fn the_housekeeping_trims_within_the_hour_again_and_again() {
    let server = in_the_past(&[]).await;
    let (ada, mesh) = server.mesh_of_two().await;
    for round in 0..3 {
        ada.send(&mesh, "a", "b", &round.to_string()).await;
        server.clock.shift(31 * DAY);
        // The pass before may still be under way, and is then not the one that we wait for.
        for attempt in 0.. {
            assert!(attempt < 3, "round {round}: nothing was trimmed");
            tokio::time::pause();
            tokio::time::advance(Duration::from_mins(50)).await;
            tokio::time::resume();
            if is_emptied(&ada, &mesh).await {
                break;
            }
        }
    }
}

/// Waits for the history to be empty; `false` when it stays as it is for some seconds.
async fn is_emptied(user: &User<'_>, mesh: &MeshId) -> bool {
    let limit = Instant::now() + Duration::from_secs(5);
    while Instant::now() < limit {
        if history(user, mesh).await.is_empty() {
            return true;
        }
    }
    false
}
