//! The promises.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures_util::future::join_all;
use meshwire_protocol::{MeshId, Scope};
use meshwire_server::settings::Place;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::server::{Answer, Server, User, contents};

/// How long a case waits for what another node is to hear of.
const LIMIT: Duration = Duration::from_secs(20);
const NO_RATES: [&str; 4] = ["--limit-sends-per-second", "0", "--limit-mesh-sends-per-second", "0"];

/// Two nodes.
async fn two(place: Place, arguments: &[&str]) -> [Server; 2] {
    let folder = || tempfile::tempdir().unwrap();
    let arguments = [&NO_RATES[..], arguments].concat();
    [
        Server::on(place.clone(), folder(), &arguments).await,
        Server::on(place, folder(), &arguments).await,
    ]
}

/// The same user on another node.
fn on<'s>(server: &'s Server, user: &User<'_>) -> User<'s> {
    User { server, row: user.row.clone(), token: user.token.clone() }
}

/// Starts a poll, and waits until the node holds it.
async fn park(user: &User<'_>, mesh: &MeshId, agent: &str) -> JoinHandle<Answer> {
    let before = open_polls(user.server).await;
    let path = format!("/mesh/{mesh}/agents/{agent}/messages?wait=60");
    let poll = tokio::spawn(Answer::of(user.request(Method::GET, &path)));
    let limit = Instant::now() + LIMIT;
    while open_polls(user.server).await <= before {
        assert!(Instant::now() < limit, "the poll never arrived");
        tokio::task::yield_now().await;
    }
    poll
}

/// How many polls a node holds, as it tells its operator.
async fn open_polls(server: &Server) -> u64 {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let answer = server.app.metrics.router().oneshot(request).await.unwrap();
    let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("meshwire_open_polls "));
    line.unwrap().parse().unwrap()
}

/// The answer of a poll that ends before its own time does.
async fn ended(poll: JoinHandle<Answer>) -> Answer {
    tokio::time::timeout(LIMIT, poll).await.expect("the poll is woken").unwrap()
}

pub(crate) async fn a_message_wakes_a_poll_on_another_node(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let there = on(&second, &ada);
    for round in 0..5 {
        let poll = park(&there, &mesh, "b").await;
        ada.send(&mesh, "a", "b", &format!("message {round}")).await;
        let page = ended(poll).await.expect(200);
        assert_eq!(contents(&page), [format!("message {round}")]);
        there.inbox(&mesh, "b", &format!("after={}", page["cursor"])).await;
    }
}

pub(crate) async fn a_broadcast_wakes_every_poll_on_every_node(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let there = on(&second, &ada);
    let mut polls = Vec::new();
    for n in 0..8 {
        ada.agent(&mesh, &format!("c{n}")).await;
        let node = if n % 2 == 0 { &ada } else { &there };
        polls.push(park(node, &mesh, &format!("c{n}")).await);
    }
    ada.send(&mesh, "a", "all", "to everyone").await;
    for poll in polls {
        assert_eq!(contents(&ended(poll).await.expect(200)), ["to everyone"]);
    }
}

pub(crate) async fn readers_on_all_nodes_see_one_order(place: Place) {
    const SENDERS: usize = 8;
    const EACH: usize = 25;
    let nodes = two(place, &[]).await;
    let (ada, mesh) = nodes[0].mesh_of_two().await;
    let readers = nodes.each_ref().map(|node| read_all(on(node, &ada), &mesh, SENDERS * EACH));
    let senders = (0..SENDERS).map(|sender| {
        let (user, mesh) = (on(&nodes[sender % 2], &ada), &mesh);
        async move {
            for n in 0..EACH {
                user.send(mesh, "a", "all", &format!("{sender}-{n}")).await;
            }
        }
    });
    let (read, _) = tokio::join!(join_all(readers), join_all(senders));
    assert_eq!(read[0], read[1], "both see the same log");
    let ids: Vec<i64> = read[0].iter().map(|(id, _)| *id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "in the order of ids");
    for sender in 0..SENDERS {
        let prefix = format!("{sender}-");
        let own: Vec<&str> = read[0]
            .iter()
            .map(|(_, content)| content.as_str())
            .filter(|content| content.starts_with(&prefix))
            .collect();
        let expected: Vec<String> = (0..EACH).map(|n| format!("{sender}-{n}")).collect();
        assert_eq!(own, expected, "each sender's in its order, none lost, none twice");
    }
}

/// Reads the inbox of `b` by polls until it has seen so many.
async fn read_all(user: User<'_>, mesh: &MeshId, count: usize) -> Vec<(i64, String)> {
    let (mut read, mut after) = (Vec::new(), "earliest".to_owned());
    while read.len() < count {
        let page = user.inbox(mesh, "b", &format!("wait=20&ack=false&after={after}")).await;
        for message in page["messages"].as_array().unwrap() {
            let content = message["content"].as_str().unwrap().to_owned();
            read.push((message["id"].as_i64().unwrap(), content));
        }
        after = page["cursor"].to_string();
    }
    read
}

pub(crate) async fn a_revoked_token_is_dead_on_every_node(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let leaked = ada.with_token(first.token(&ada.row, |_| {}).await);
    let there = on(&second, &leaked);
    there.get("/me").await.expect(200);
    let polls = [park(&leaked, &mesh, "b").await, park(&there, &mesh, "a").await];
    leaked.delete("/tokens/current").await.expect(204);
    there.get("/me").await.problem(401, "token_revoked");
    for poll in polls {
        ended(poll).await.problem(401, "token_revoked");
    }
    on(&second, &ada).get("/me").await.expect(200);
}

pub(crate) async fn who_was_removed_is_refused_on_every_node(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let bob = first.user("bob").await;
    bob.post(&format!("/mesh/{mesh}/join"), json!({})).await.expect(202);
    let approve = json!({"accept": true});
    ada.post(&format!("/mesh/{mesh}/requests/bob"), approve).await.expect(200);
    bob.agent(&mesh, "bobs").await;
    let (there, bob_there) = (on(&second, &ada), on(&second, &bob));
    let inbox = format!("/mesh/{mesh}/agents/bobs/messages");
    bob_there.get(&inbox).await.expect(200);

    let of_agent = park(&there, &mesh, "b").await;
    ada.delete(&format!("/mesh/{mesh}/agents/b")).await.expect(204);
    there.get(&format!("/mesh/{mesh}/agents/b/messages")).await.problem(404, "agent_not_found");
    ended(of_agent).await.problem(404, "agent_not_found");

    let of_member = park(&bob_there, &mesh, "bobs").await;
    ada.delete(&format!("/mesh/{mesh}/members/bob")).await.expect(204);
    bob_there.get(&inbox).await.problem(403, "not_a_member");
    ended(of_member).await.problem(403, "not_a_member");

    let of_mesh = park(&there, &mesh, "a").await;
    ada.delete(&format!("/mesh/{mesh}")).await.expect(204);
    there.get(&format!("/mesh/{mesh}/agents/a/messages")).await.problem(404, "mesh_not_found");
    ended(of_mesh).await.problem(404, "mesh_not_found");
}

/// A send under an idempotency key.
async fn send(user: &User<'_>, mesh: &MeshId, key: &str, content: &str) -> Answer {
    let body = json!({"from": "a", "to": "b", "content": content}).to_string();
    let request = user.request(Method::POST, &format!("/mesh/{mesh}/messages"));
    Answer::of(request.header("Idempotency-Key", key).body(body)).await
}

pub(crate) async fn a_retry_on_another_node_is_the_same_message(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let there = on(&second, &ada);
    let sent = send(&ada, &mesh, "key", "once").await.expect(201);
    assert_eq!(send(&there, &mesh, "key", "once").await.expect(200)["id"], sent["id"]);
    // Also when the receiver has another name by now, or nobody may send.
    ada.patch(&format!("/mesh/{mesh}/agents/b"), json!({"name": "bee"})).await.expect(200);
    assert_eq!(send(&there, &mesh, "key", "once").await.expect(200)["id"], sent["id"]);
    ada.patch(&format!("/mesh/{mesh}"), json!({"paused": true})).await.expect(200);
    assert_eq!(send(&there, &mesh, "key", "once").await.expect(200)["id"], sent["id"]);
    send(&there, &mesh, "key", "something else").await.problem(422, "idempotency_key_reused");
}

pub(crate) async fn a_key_raced_on_two_nodes_gives_one_message(place: Place) {
    let nodes = two(place, &[]).await;
    let (ada, mesh) = nodes[0].mesh_of_two().await;
    let users = nodes.each_ref().map(|node| on(node, &ada));
    for round in 0..10 {
        let key = format!("key {round}");
        let racing = (0..6).map(|n| send(&users[n % 2], &mesh, &key, &key));
        let answers = join_all(racing).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{answers:?}");
        let ids: BTreeSet<String> =
            answers.into_iter().map(|answer| answer.body["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    let page = users[1].inbox(&mesh, "b", "").await;
    assert_eq!(contents(&page), (0..10).map(|n| format!("key {n}")).collect::<Vec<_>>());
}

pub(crate) async fn who_is_on_one_node_is_active_on_the_other(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    ada.agent(&mesh, "c").await;
    // What the first has seen itself is long ago for it.
    first.clock.shift(40_000_000);
    let there = on(&second, &ada);
    let poll = park(&there, &mesh, "b").await;
    there.send(&mesh, "c", "a", "a sign of life").await;
    let limit = Instant::now() + LIMIT;
    loop {
        let agents = ada.get(&format!("/mesh/{mesh}/agents")).await.expect(200);
        let agents = agents["agents"].as_array().unwrap().clone();
        let active = |name: &str| {
            agents.iter().any(|agent| agent["name"] == name && agent["active"] == true)
        };
        assert!(!active("a"), "that one has not been seen for 40 s");
        if active("b") && active("c") {
            break;
        }
        assert!(Instant::now() < limit, "b or c is shown as away: {agents:?}");
        // What was looked up is not looked up again for a moment of the node's clock.
        first.clock.shift(1_000_000);
        tokio::task::yield_now().await;
    }
    let body = json!({"from": "a", "to": "all", "content": "the end"});
    let sent = ada.post(&format!("/mesh/{mesh}/messages"), body).await.expect(201);
    assert_eq!(sent["recipients"], json!({"total": 2, "active": 2}), "{sent}");
    ended(poll).await.expect(200);
}

/// What a look has found stands for a moment of the node's clock, so one that was of no use hides who comes after it.
pub(crate) async fn a_send_looks_who_is_on_other_nodes_and_a_poll_does_not(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let id = ada.send(&mesh, "b", "a", "from long ago").await;
    // Both agents have gone, and any look is out of date.
    first.clock.shift(200_000_000);
    let page = ada.inbox(&mesh, "a", "").await;
    assert_eq!(contents(&page), ["from long ago"]);
    ada.inbox(&mesh, "a", &format!("wait=1&after={id}")).await;
    let log = format!("/mesh/{mesh}/messages");
    for path in [log.clone(), format!("{log}/{id}"), format!("/mesh/{mesh}/members")] {
        ada.get(&path).await.expect(200);
    }
    let agent = format!("/mesh/{mesh}/agents/a");
    ada.post(&format!("{agent}/heartbeat"), json!({})).await.expect(204);
    ada.put(&format!("{agent}/cursor"), json!({"cursor": "latest"})).await.expect(200);

    let there = on(&second, &ada);
    let nodes = first.app.store.nodes().unwrap();
    let mut sent = Value::Null;
    // A look of more than a second is given up, and then who has come is not seen: the next send looks again.
    for _ in 0..10 {
        let poll = park(&there, &mesh, "b").await;
        let limit = Instant::now() + LIMIT;
        while nodes.present(&mesh).await.unwrap().polling.is_empty() {
            assert!(Instant::now() < limit, "the second never tells of the poll");
        }
        // Had there been a look since, the next one would be far off.
        first.clock.shift(-100_000_000);
        let body = json!({"from": "a", "to": "b", "content": "to who has just come"});
        sent = ada.post(&log, body).await.expect(201);
        let page = ended(poll).await.expect(200);
        if sent["recipients"] == json!({"total": 1, "active": 1}) {
            return;
        }
        there.inbox(&mesh, "b", &format!("after={}", page["cursor"])).await;
        first.clock.shift(102_000_000);
    }
    panic!("no send saw who had just come: {sent}");
}

pub(crate) async fn limits_that_can_be_counted_are_exact_on_two_nodes(place: Place) {
    let limits = ["--limit-agents", "5", "--limit-meshes", "3", "--limit-tokens", "6"];
    let nodes = two(place, &limits).await;
    let ada = nodes[0].user("ada").await;
    let users = nodes.each_ref().map(|node| on(node, &ada));
    let count = |answers: &[Answer]| {
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!(answer.body["code"], "limit_reached", "{answer:?}");
        }
        answers.iter().filter(|answer| answer.status == 201).count()
    };
    let meshes = (0..8).map(|n| users[n % 2].post("/mesh", json!({"name": format!("m{n}")})));
    let meshes = join_all(meshes).await;
    assert_eq!(count(&meshes), 3);
    let mesh = meshes.iter().find(|answer| answer.status == 201).unwrap();
    let mesh: MeshId = mesh.body["mesh_id"].as_str().unwrap().parse().unwrap();
    let path = format!("/mesh/{mesh}/agents");
    let agents = (0..12).map(|n| users[n % 2].post(&path, json!({"name": format!("a{n}")})));
    assert_eq!(count(&join_all(agents).await), 5);
    let token = json!({"name": "t", "scopes": [Scope::Read]});
    let tokens = (0..12).map(|n| users[n % 2].post("/tokens", token.clone()));
    assert_eq!(count(&join_all(tokens).await), 5, "with the one that asks");
}

pub(crate) async fn a_paused_mesh_is_paused_on_every_node(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let there = on(&second, &ada);
    there.send(&mesh, "a", "b", "before").await;
    ada.patch(&format!("/mesh/{mesh}"), json!({"paused": true})).await.expect(200);
    let message: Value = json!({"from": "a", "to": "b", "content": "while it is paused"});
    let path = format!("/mesh/{mesh}/messages");
    there.post(&path, message.clone()).await.problem(409, "mesh_paused");
    there.patch(&format!("/mesh/{mesh}"), json!({"paused": false})).await.expect(200);
    ada.post(&path, message).await.expect(201);
}

pub(crate) async fn a_cursor_moves_for_every_node(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let there = on(&second, &ada);
    for n in 0..3 {
        ada.send(&mesh, "a", "b", &n.to_string()).await;
    }
    let page = there.inbox(&mesh, "b", "limit=2").await;
    ada.inbox(&mesh, "b", &format!("after={}", page["cursor"])).await;
    assert_eq!(contents(&there.inbox(&mesh, "b", "").await), ["2"]);
    let rewound = json!({"cursor": "earliest"});
    there.put(&format!("/mesh/{mesh}/agents/b/cursor"), rewound).await.expect(200);
    assert_eq!(contents(&ada.inbox(&mesh, "b", "").await), ["0", "1", "2"]);
}

/// A call of a tool over `/mcp`; its result.
async fn tool(user: &User<'_>, path: &str, id: u32, name: &str, arguments: Value) -> Value {
    let params = json!({"name": format!("meshwire_{name}"), "arguments": arguments});
    let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    user.post(path, call).await.expect(200)["result"].clone()
}

fn shown(result: &Value) -> Vec<String> {
    let messages = result["structuredContent"]["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn a_model_sees_each_message_once_whichever_nodes_its_calls_come_to(place: Place) {
    let nodes = two(place, &[]).await;
    let (ada, mesh) = nodes[0].mesh_of_two().await;
    let users = nodes.each_ref().map(|node| on(node, &ada));
    let path = format!("/mcp?mesh={mesh}&agent=b");
    let mut seen = Vec::new();
    for round in 0..8u32 {
        ada.send(&mesh, "a", "b", &format!("message {round}")).await;
        // Each node twice, so that what one of them had kept for itself would come again, or be lost.
        let user = &users[usize::try_from(round / 2 % 2).unwrap()];
        seen.extend(shown(&tool(user, &path, round, "get_messages", json!({})).await));
    }
    assert_eq!(seen, (0..8).map(|n| format!("message {n}")).collect::<Vec<_>>());

    // Who begins anew on one node acknowledges nothing on another.
    let hello = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    });
    users[0].post(&path, hello).await.expect(200);
    let again = shown(&tool(&users[1], &path, 1, "get_messages", json!({})).await);
    assert_eq!(again, ["message 7"]);
}

pub(crate) async fn a_call_that_is_cancelled_over_another_node_swallows_nothing(place: Place) {
    let [first, second] = two(place, &[]).await;
    let (ada, mesh) = first.mesh_of_two().await;
    let there = on(&second, &ada);
    let path = format!("/mcp?mesh={mesh}&agent=b");
    let before = open_polls(&second).await;
    let waiting = {
        let params = json!({"name": "meshwire_get_messages", "arguments": {"wait_seconds": 50}});
        let call = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params});
        tokio::spawn(Answer::of(there.request(Method::POST, &path).body(call.to_string())))
    };
    let limit = Instant::now() + LIMIT;
    while open_polls(&second).await <= before {
        assert!(Instant::now() < limit, "the call never waited");
        tokio::task::yield_now().await;
    }
    let cancel = json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5},
    });
    let told = ada.post(&path, cancel).await;
    assert_eq!(told.status, 202, "{told:?}");
    ada.send(&mesh, "a", "b", "for whoever asks next").await;
    ended(waiting).await.expect(200);
    for (user, id) in [(&there, 6), (&ada, 7)] {
        let shown = shown(&tool(user, &path, id, "get_messages", json!({})).await);
        let expected: &[&str] = if id == 6 { &["for whoever asks next"] } else { &[] };
        assert_eq!(shown, expected);
    }
}

pub(crate) async fn the_set_up_link_of_each_node_is_good(place: Place) {
    let key = "the key of all nodes of these tests";
    let [first, second] = two(place, &["--secret-key", key]).await;
    let mut links = Vec::new();
    for server in [&first, &second, &first] {
        let link = meshwire_server::sign_in::first_start(&server.app).await.unwrap();
        let link = link.expect("nobody is there yet");
        links.push(link.split_once("/setup?").expect("a path").1.to_owned());
    }
    for link in &links {
        for server in [&first, &second] {
            let page = Answer::of(server.request(Method::GET, &format!("/setup?{link}"))).await;
            page.expect(200);
        }
    }
    let other = "another key, which a stranger may guess";
    let [third, _] = two(first.app.settings.store.clone(), &["--secret-key", other]).await;
    let link = meshwire_server::sign_in::first_start(&third.app).await.unwrap().unwrap();
    assert!(!link.ends_with(&links[0]), "it follows from the key");
}
