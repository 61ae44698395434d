//! The inbox: cursors, pages, and polls that wake.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Answer, Server, User, contents};

/// Starts a poll and waits until the server holds it.
pub(crate) async fn park(
    user: &User<'_>,
    mesh: &meshwire_protocol::MeshId,
    agent: &str,
    query: &str,
) -> tokio::task::JoinHandle<Answer> {
    let path = format!("/mesh/{mesh}/agents/{agent}/messages?{query}");
    let poll = tokio::spawn(Answer::of(user.request(Method::GET, &path)));
    let server = user.server;
    let roster = server.app.meshes.roster(mesh).await.unwrap().unwrap();
    let row = roster.agent(agent).unwrap().clone();
    // A parked agent stays active however far the clock runs.
    server.clock.shift(31_000_000);
    let limit = Instant::now() + Duration::from_secs(10);
    while !server.app.meshes.whereabouts(&roster).await.of(&row).1 {
        assert!(Instant::now() < limit, "the poll never arrived");
        tokio::task::yield_now().await;
    }
    poll
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    for n in 0..3 {
        ada.send(&mesh, "a", "b", &n.to_string()).await;
    }
    let first = ada.inbox(&mesh, "b", "limit=2").await;
    assert_eq!(contents(&first), ["0", "1"]);
    assert_eq!(first["more"], true);
    assert_eq!(first["cursor"], first["messages"][1]["id"]);
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["0", "1", "2"], "at least once");

    let next = ada.inbox(&mesh, "b", &format!("after={}", first["cursor"])).await;
    assert_eq!(contents(&next), ["2"]);
    assert_eq!(next["more"], false);
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["2"], "the cursor was kept");
    ada.inbox(&mesh, "b", &format!("after={}", next["cursor"])).await;
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), [""; 0]);
}

#[tokio::test]
async fn reading_elsewhere_leaves_the_cursor_alone() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    for n in 0..3 {
        ada.send(&mesh, "a", "b", &n.to_string()).await;
    }
    let all = ada.inbox(&mesh, "b", "").await;
    let ids: Vec<i64> =
        all["messages"].as_array().unwrap().iter().map(|m| m["id"].as_i64().unwrap()).collect();
    ada.inbox(&mesh, "b", &format!("after={}", ids[1])).await;

    assert_eq!(contents(&ada.inbox(&mesh, "b", "after=earliest").await), ["0", "1", "2"]);
    assert_eq!(contents(&ada.inbox(&mesh, "b", "after=latest").await), [""; 0]);
    assert_eq!(contents(&ada.inbox(&mesh, "b", &format!("after={}", ids[0])).await), ["1", "2"]);
    assert_eq!(
        contents(&ada.inbox(&mesh, "b", &format!("after={}&ack=false", ids[2])).await),
        [""; 0]
    );
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["2"]);
}

#[tokio::test]
async fn a_cursor_never_lies_beyond_the_head() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let head = ada.send(&mesh, "a", "b", "first").await;
    let page = ada.inbox(&mesh, "b", "after=9007199254740991").await;
    assert_eq!(page["cursor"], head);
    ada.send(&mesh, "a", "b", "second").await;
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["second"]);
}

#[tokio::test]
async fn a_cursor_is_put_anywhere_up_to_the_head() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let one = ada.send(&mesh, "a", "b", "one").await;
    let two = ada.send(&mesh, "a", "b", "two").await;
    let path = format!("/mesh/{mesh}/agents/b/cursor");
    for (put, stands, unread) in [
        (json!(one), one, vec!["two"]),
        (json!("latest"), two, vec![]),
        (json!(9_007_199_254_740_991_i64), two, vec![]),
        (json!("earliest"), 0, vec!["one", "two"]),
        (json!(0), 0, vec!["one", "two"]),
    ] {
        let cursor = ada.put(&path, json!({"cursor": put})).await.expect(200);
        assert_eq!(cursor, json!({"cursor": stands}));
        assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), unread);
    }
    for bad in [
        json!({}),
        json!({"cursor": "soon"}),
        json!({"cursor": -1}),
        json!({"cursor": 1.5}),
        json!({"cursor": null}),
        json!({"cursor": 9_007_199_254_740_992_i64}),
    ] {
        let problem = ada.put(&path, bad.clone()).await.problem(400, "invalid_request");
        assert!(problem["errors"]["cursor"].is_string(), "{bad}: {problem}");
    }
}

#[tokio::test]
async fn one_s_own_broadcast_is_not_for_oneself() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let id = ada.send(&mesh, "a", "all", "hello").await;
    let page = ada.inbox(&mesh, "a", "").await;
    assert_eq!(contents(&page), [""; 0]);
    assert_eq!(page["cursor"], id, "the cursor moves on over what is not for this agent");
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["hello"]);
    ada.send(&mesh, "a", "a", "note").await;
    assert_eq!(contents(&ada.inbox(&mesh, "a", "").await), ["note"]);
}

#[tokio::test]
async fn a_reader_behind_a_thousand_of_its_own_broadcasts_gets_through() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    for n in 0..60 {
        ada.send(&mesh, "a", "all", &n.to_string()).await;
    }
    ada.send(&mesh, "b", "a", "at last").await;
    let mut after = String::from("earliest");
    loop {
        let page = ada.inbox(&mesh, "a", &format!("after={after}&limit=2&ack=false")).await;
        if !page["messages"].as_array().unwrap().is_empty() {
            assert_eq!(contents(&page), ["at last"]);
            break;
        }
        assert_eq!(page["more"], true);
        after = page["cursor"].to_string();
    }
}

#[tokio::test]
async fn a_page_ends_early_when_it_is_large() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let content = "x".repeat(10_000);
    for _ in 0..120 {
        ada.send(&mesh, "a", "b", &content).await;
    }
    let page = ada.inbox(&mesh, "b", "limit=1000").await;
    let count = page["messages"].as_array().unwrap().len();
    assert!((100..110).contains(&count), "{count}");
    assert_eq!(page["more"], true);
    let rest = ada.inbox(&mesh, "b", &format!("limit=1000&after={}", page["cursor"])).await;
    assert_eq!(rest["messages"].as_array().unwrap().len(), 120 - count);
    assert_eq!(rest["more"], false);
}

#[tokio::test]
async fn a_poll_wakes_when_a_message_comes() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    for (to, content) in [("b", "direct"), ("all", "to all")] {
        let before = ada.inbox(&mesh, "b", "").await["cursor"].clone();
        let poll = park(&ada, &mesh, "b", &format!("wait=60&after={before}")).await;
        ada.send(&mesh, "a", to, content).await;
        let page = tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap().unwrap();
        assert_eq!(contents(&page.expect(200)), [content]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_while_a_poll_begins_wakes_it() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let mut after = "earliest".to_owned();
    for _ in 0..100 {
        let path = format!("/mesh/{mesh}/agents/b/messages?wait=60&after={after}");
        let poll = tokio::time::timeout(Duration::from_secs(20), ada.get(&path));
        let (page, _) = tokio::join!(poll, ada.send(&mesh, "a", "b", "m"));
        let page = page.expect("the poll is woken").expect(200);
        assert_eq!(contents(&page), ["m"]);
        after = page["cursor"].to_string();
    }
}

#[tokio::test]
async fn a_poll_is_not_woken_by_what_is_for_others() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for name in ["a", "b", "c"] {
        ada.agent(&mesh, name).await;
    }
    // Where a poll is over before a slow machine has sent, a longer one is tried.
    for wait in [5, 20] {
        let began = Instant::now();
        let poll = park(&ada, &mesh, "b", &format!("wait={wait}")).await;
        let last = ada.send(&mesh, "a", "c", "not for b").await;
        ada.send(&mesh, "b", "all", "its own").await;
        let page = poll.await.unwrap().expect(200);
        assert_eq!(contents(&page), [""; 0]);
        assert!(began.elapsed() >= Duration::from_secs(wait), "it was woken");
        if page["cursor"].as_i64().unwrap() >= last {
            return;
        }
    }
    panic!("the cursor has not moved over it");
}

#[tokio::test]
async fn several_polls_of_one_agent_each_get_every_message() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let polls = [park(&ada, &mesh, "b", "wait=60").await, park(&ada, &mesh, "b", "wait=60").await];
    ada.send(&mesh, "a", "b", "for both").await;
    for poll in polls {
        // The second may have come after the message: it reads it all the same.
        assert_eq!(contents(&poll.await.unwrap().expect(200)), ["for both"]);
    }
}

/// Revokes a new token of this kind, and says how long its open poll went on.
async fn goes_on(ada: &User<'_>, mesh: &meshwire_protocol::MeshId, binding: &Value) -> Duration {
    let created = ada.post("/tokens", binding.clone()).await.expect(201);
    let leaked = ada.with_token(created["token"].as_str().unwrap().to_owned());
    let poll = park(&leaked, mesh, "b", "wait=60").await;
    let path = format!("/tokens/{}", created["id"].as_str().unwrap());
    ada.delete(&path).await.expect(204);
    let revoked = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(10), poll).await;
    let ended = ended.unwrap_or_else(|_| panic!("{binding} goes on")).unwrap();
    let went_on = revoked.elapsed();
    ended.problem(401, "token_revoked");
    leaked.get("/me").await.problem(401, "token_revoked");
    went_on
}

#[tokio::test]
async fn a_revoked_token_ends_its_open_poll_within_a_second() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    let agent = ada.agent(&mesh, "b").await;
    let other = park(&ada, &mesh, "b", "wait=60").await;
    for binding in [
        json!({"name": "of the account"}),
        json!({"name": "of the mesh", "mesh_id": mesh}),
        json!({"name": "of the agent", "mesh_id": mesh, "agent_id": agent}),
    ] {
        // A machine that stands still has one of them go on for longer, but not each time.
        let mut tries = 1;
        while goes_on(&ada, &mesh, &binding).await > Duration::from_secs(1) {
            tries += 1;
            assert!(tries <= 3, "{binding} goes on for more than a second each time");
        }
    }
    assert!(!other.is_finished(), "a poll with another token goes on");
    other.abort();
}

#[tokio::test]
async fn an_expired_token_ends_its_open_poll() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "b").await;
    let expires_at = server.clock.now() + 300_000;
    let brief = server.token(&ada.row, |token| token.expires_at = Some(expires_at)).await;
    let path = format!("/mesh/{mesh}/agents/b/messages?wait=60");
    let poll = Answer::of(ada.with_token(brief).request(Method::GET, &path));
    let ended = tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap();
    ended.problem(401, "token_expired");
}

#[tokio::test]
async fn head_acknowledges_nothing() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let id = ada.send(&mesh, "a", "b", "unread").await;
    let path = format!("/mesh/{mesh}/agents/b/messages?after={id}");
    let head = ada.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["unread"]);
}

#[tokio::test]
async fn removing_an_agent_or_its_mesh_ends_open_polls() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "b").await;
    ada.agent(&mesh, "c").await;
    let b = park(&ada, &mesh, "b", "wait=60").await;
    let c = park(&ada, &mesh, "c", "wait=60").await;
    ada.delete(&format!("/mesh/{mesh}/agents/b")).await.expect(204);
    b.await.unwrap().problem(404, "agent_not_found");
    ada.delete(&format!("/mesh/{mesh}")).await.expect(204);
    c.await.unwrap().problem(404, "mesh_not_found");
}

#[tokio::test]
async fn stopping_answers_open_polls_at_once() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "b").await;
    let poll = park(&ada, &mesh, "b", "wait=60").await;
    server.stop();
    let answer = tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap().unwrap();
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(contents(&answer.expect(200)), [""; 0]);
}

#[tokio::test]
async fn bad_queries_name_their_parameter() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "b").await;
    for (query, field) in [
        ("wait=61", "wait"),
        ("wait=-1", "wait"),
        ("wait=soon", "wait"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=soon", "after"),
        ("after=-1", "after"),
        ("after=9007199254740992", "after"),
        ("ack=maybe", "ack"),
        ("affter=1", "affter"),
        ("limit=1&limit=2", "limit"),
    ] {
        let path = format!("/mesh/{mesh}/agents/b/messages?{query}");
        let problem = ada.get(&path).await.problem(400, "invalid_request");
        assert!(problem["errors"][field].is_string(), "{query}: {problem}");
    }
}

#[tokio::test]
async fn another_member_s_inbox_is_closed() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "b").await;
    ada.get(&format!("/mesh/{mesh}/agents/nobody/messages")).await.problem(404, "agent_not_found");
    ada.get(&format!("/mesh/{mesh}/agents/@bob/messages")).await.problem(404, "agent_not_found");

    let bob = server.user("bob").await;
    let link = ada.post(&format!("/mesh/{mesh}/invites"), json!({})).await.expect(201);
    bob.post(&format!("/mesh/{mesh}/join"), json!({"invite": link["code"]})).await.expect(200);
    bob.agent(&mesh, "worker").await;
    bob.inbox(&mesh, "@bob", "").await;
    // Not even the owner of the mesh reads or moves it.
    for agent in ["worker", "@bob"] {
        let path = format!("/mesh/{mesh}/agents/{agent}");
        ada.get(&format!("{path}/messages")).await.problem(403, "not_your_agent");
        let cursor = json!({"cursor": "latest"});
        ada.put(&format!("{path}/cursor"), cursor).await.problem(403, "not_your_agent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_senders_and_four_readers_see_one_order() {
    const SENDERS: usize = 8;
    const EACH: usize = 500;
    const READERS: usize = 4;
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for n in 0..SENDERS {
        ada.agent(&mesh, &format!("sender-{n}")).await;
    }
    for n in 0..READERS {
        ada.agent(&mesh, &format!("reader-{n}")).await;
    }
    let senders = futures_util::future::join_all((0..SENDERS).map(async |n| {
        let mut answered = Vec::new();
        for counter in 0..EACH {
            let content = format!("{n}-{counter}");
            answered
                .push((ada.send(&mesh, &format!("sender-{n}"), "all", &content).await, content));
        }
        answered
    }));
    let readers = futures_util::future::join_all((0..READERS).map(async |n| {
        let (mut read, mut after) = (Vec::new(), String::from("earliest"));
        while read.len() < SENDERS * EACH {
            let page =
                ada.inbox(&mesh, &format!("reader-{n}"), &format!("wait=30&after={after}")).await;
            read.extend(page["messages"].as_array().unwrap().iter().map(|message: &Value| {
                (message["id"].as_i64().unwrap(), message["content"].as_str().unwrap().to_owned())
            }));
            after = page["cursor"].to_string();
        }
        read
    }));
    let (answered, read) = futures_util::future::join(senders, readers).await;

    assert!(read[0].is_sorted_by(|(a, _), (b, _)| a < b), "ids are strictly increasing");
    for other in &read[1..] {
        assert!(*other == read[0], "all readers see one order");
    }
    for (n, sent) in answered.iter().enumerate() {
        let own: Vec<_> = read[0]
            .iter()
            .filter(|(_, content)| content.starts_with(&format!("{n}-")))
            .cloned()
            .collect();
        assert!(own == *sent, "what was answered is read, once, in the order of sending");
    }
}
