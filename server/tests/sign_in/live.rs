//! The page of a mesh that is kept up to date while it is open.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use meshwire_protocol::MessageId;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::board::{Board, PATIENCE, user};
use crate::browser::Browser;

/// More than a slow machine takes, and less than the 15 s between two signs of life: it has not come with one of these.
const SOON: Duration = Duration::from_secs(10);

/// A server-sent event.
#[derive(Debug, Default)]
struct Event {
    name: String,
    data: String,
    id: String,
}

/// An open stream of them.
struct Events {
    body: Body,
    buffer: String,
}

impl Events {
    async fn open(browser: &Browser, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = browser.listen(path, headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!(header("cache-control"), "no-store");
        assert!(header("content-security-policy").contains("default-src 'none'"));
        Self { body: response.into_body(), buffer: String::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let event = read(block);
                self.buffer = String::from(rest);
                match event {
                    Some(event) => return Some(event),
                    // A comment, so that the connection lives.
                    None => continue,
                }
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("something comes")?;
            let data = frame.expect("a whole body").into_data().expect("no trailers");
            self.buffer.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    }

    /// The next event of this name, whatever others come before it.
    async fn named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("it goes on");
            if event.name == name {
                return event;
            }
        }
    }

    /// All that comes until the stream ends.
    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn read(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut data = Vec::new();
    for line in block.lines() {
        match line.split_once(':')? {
            ("event", name) => event.name = String::from(name.trim()),
            ("id", id) => event.id = String::from(id.trim()),
            ("data", text) => data.push(text.strip_prefix(' ').unwrap_or(text)),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (!event.name.is_empty()).then_some(event)
}

#[tokio::test]
async fn what_is_sent_comes_at_once() {
    let board = Board::new().await;
    let worker = board.agent(&board.bob_token, "worker").await;
    let first = board.send(&board.bob_token, &json!({"content": "before"})).await;
    let page = board.ann.clone().get(&board.at("")).await;
    let live = format!("data-live=\"{}?agents=0\" data-after=\"{first}\"", board.at("/live"));
    assert!(page.body.contains(&live), "{}", page.body);
    assert!(page.body.contains("Reload the page to see new messages."), "without a script");

    let mut events =
        Events::open(&board.ann, &board.at(&format!("/live?after={first}")), &[]).await;
    let content = "<script>alert(1)</script>\r\ntwo\n\nlines";
    let message = json!({"content": content, "from": "worker"});
    let sent = Instant::now();
    let id = board.send(&board.bob_token, &message).await;
    let event = events.named("message").await;
    assert!(sent.elapsed() < SOON, "{:?}", sent.elapsed());
    assert_eq!(event.id, id.to_string());
    assert!(event.data.contains(&format!("id=\"m{id}\"")), "{}", event.data);
    assert!(event.data.contains("&#60;script&#62;alert(1)&#60;/script&#62;\ntwo\n\nlines"));
    assert!(event.data.contains("worker") && !event.data.contains("<script>"));
    // It is the very HTML of the page.
    let page = board.ann.clone().get(&board.at("")).await;
    let (_, of_page) = page.body.split_once(&format!("id=\"m{id}\"")).expect("it is there");
    let (_, of_event) = event.data.split_once(&format!("id=\"m{id}\"")).expect("it is there");
    let head = of_event.split("<div class=\"row small\">").next().unwrap();
    assert!(of_page.starts_with(head), "{head} in {of_page}");

    // What becomes of it comes too, and who is there.
    let inbox = format!("/mesh/{}/agents/{}/messages", board.mesh, worker);
    let to_worker = board.send(&board.ann_token, &json!({"content": "do", "to": "worker"})).await;
    let event = events.named("message").await;
    assert!(event.data.contains("Queued"), "{}", event.data);
    let browser = board.server.browser();
    let read = browser.api("GET", &format!("{inbox}?ack=false"), &board.bob_token, "").await;
    assert_eq!(read.status, StatusCode::OK);
    let of = |id| format!("id=\"d{id}\"");
    loop {
        let event = events.named("delivery").await;
        if event.data.contains(&of(to_worker)) && event.data.contains("Delivered") {
            break;
        }
    }
    let path = format!("{inbox}?after={to_worker}");
    browser.api("GET", &path, &board.bob_token, "").await;
    loop {
        let event = events.named("delivery").await;
        if event.data.contains(&of(to_worker)) && event.data.contains("Acknowledged") {
            break;
        }
    }
    board.agent(&board.bob_token, "newcomer").await;
    loop {
        let event = events.named("agents").await;
        if event.data.contains("newcomer") {
            assert!(event.data.starts_with("<section id=\"agents\""), "{}", event.data);
            assert!(event.data.contains("role=\"img\""));
            break;
        }
    }
}

#[tokio::test]
async fn a_browser_that_comes_back_gets_what_it_has_missed() {
    let board = Board::new().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let content = format!("number {n}");
        ids.push(board.send(&board.ann_token, &json!({ "content": content })).await.to_string());
    }
    // What the browser says goes before what the page had said.
    let path = board.at(&format!("/live?after={}", ids[0]));
    let mut events = Events::open(&board.ann, &path, &[("last-event-id", &ids[1])]).await;
    for id in &ids[2..] {
        assert_eq!(events.named("message").await.id, *id);
    }
    drop(events);
    // From now on, when nothing is said.
    let mut events = Events::open(&board.ann, &board.at("/live"), &[]).await;
    events.named("agents").await;
    let next = board.send(&board.ann_token, &json!({"content": "next"})).await;
    assert_eq!(events.named("message").await.id, next.to_string());

    // So many that a new page is better.
    for n in 0..101 {
        board.send(&board.ann_token, &json!({ "content": n.to_string() })).await;
    }
    let path = board.at(&format!("/live?after={next}"));
    let mut events = Events::open(&board.ann, &path, &[]).await;
    events.named("missed").await;
    let event = events.named("message").await;
    assert!(event.data.contains("\">1</div>"), "the newest hundred: {}", event.data);
}

#[tokio::test]
async fn nobody_sees_what_is_not_for_them() {
    let mut board = Board::new().await;
    board.agent(&board.ann_token, "hers").await;
    board.agent(&board.bob_token, "his").await;
    let secret = json!({"content": "a SECRET", "to": "hers", "from": "hers"});
    board.send(&board.ann_token, &secret).await;
    let mut events = Events::open(&board.bob, &board.at("/live?after=0"), &[]).await;
    let id = board.send(&board.ann_token, &secret).await;
    let hers = board.send(&board.ann_token, &json!({"content": "for his", "to": "his"})).await;
    let answer = json!({"content": "to all", "to": "all", "reply_to": id});
    board.send(&board.ann_token, &answer).await;
    let mut seen = Vec::new();
    loop {
        let event = events.next().await.expect("it goes on");
        let is_last = event.data.contains("to all");
        seen.push(event);
        if is_last {
            break;
        }
    }
    assert!(seen.iter().all(|event| !event.data.contains("SECRET")), "{seen:?}");
    assert!(seen.iter().all(|event| !event.data.contains(&id.to_string())), "nor its id");
    assert!(seen.iter().any(|event| event.id == hers.to_string()));
    assert!(seen.last().unwrap().data.contains("a message that is not for you"));
    // Nor by any other page.
    let page = board.bob.get(&board.at("")).await;
    assert!(!page.body.contains("SECRET") && page.body.contains("for his"));
    let path = board.at(&format!("/messages/{id}"));
    board.bob.get(&path).await.assert_error(404, "message_not_found");
    let page = board.bob.get(&board.at(&format!("?reply_to={id}"))).await;
    assert!(!page.body.contains("SECRET") && !page.body.contains("name=\"reply_to\""));
    let page = board.bob.get(&board.at(&format!("/messages/{hers}"))).await;
    assert!(page.body.contains("for his"));
}

#[tokio::test]
async fn it_ends_with_the_session() {
    let board = Board::new().await;
    let mut events = Events::open(&board.bob, &board.at("/live"), &[]).await;
    events.named("agents").await;
    let bob = user(&board.server, "bob").await;
    let store = &board.server.app.store;
    let sessions = store.sessions(&bob, board.server.app.clock.now()).await.unwrap();
    store.end_session(&bob, &sessions[0].id).await.unwrap();
    let ended = Instant::now();
    let rest = events.rest().await;
    assert!(ended.elapsed() < SOON, "{:?}", ended.elapsed());
    let last = rest.last().expect("it says why");
    assert_eq!(
        (last.name.as_str(), last.data.as_str()),
        ("ended", "You are signed out in this browser.")
    );
    assert_eq!(board.bob.listen(&board.at("/live"), &[]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn it_ends_with_the_membership_and_shows_nothing_after_it() {
    let board = Board::new().await;
    let mut events = Events::open(&board.bob, &board.at("/live"), &[]).await;
    events.named("agents").await;
    board.remove("bob").await;
    board.send(&board.ann_token, &json!({"content": "now that bob is gone"})).await;
    let removed = Instant::now();
    let rest = events.rest().await;
    assert!(removed.elapsed() < SOON, "{:?}", removed.elapsed());
    assert!(rest.iter().all(|event| !event.data.contains("bob is gone")), "{rest:?}");
    let last = rest.last().expect("it says why");
    assert_eq!(last.name, "ended");
    assert!(last.data.contains("not a member of this mesh any more"), "{last:?}");
    assert_eq!(board.bob.listen(&board.at("/live"), &[]).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn it_ends_with_the_mesh_and_with_the_server() {
    let board = Board::new().await;
    let mut of_mesh = Events::open(&board.bob, &board.at("/live"), &[]).await;
    of_mesh.named("agents").await;
    board.server.app.meshes.delete(&board.mesh).await.unwrap();
    let rest = of_mesh.rest().await;
    assert_eq!(rest.last().map(|last| last.data.as_str()), Some("This mesh was deleted."));

    let board = Board::new().await;
    let mut events = Events::open(&board.ann, &board.at("/live"), &[]).await;
    events.named("agents").await;
    board.server.stop.send_replace(true);
    // Without a farewell: the browser comes back by itself, to whoever answers then.
    assert!(events.rest().await.iter().all(|event| event.name != "ended"));
}

#[tokio::test]
async fn strangers_hear_nothing() {
    let mut board = Board::new().await;
    let status = async |browser: &Browser, path: &str| browser.listen(path, &[]).await.status();
    let path = board.at("/live?after=0");
    assert_eq!(status(&board.server.browser(), &path).await, StatusCode::UNAUTHORIZED);
    let eve = board.stranger().await;
    assert_eq!(status(&eve, &path).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&board.ann, "/meshes/AAAAAAAAAAAA/live").await, StatusCode::NOT_FOUND);
}

/// What has become of a message for `@bob`, as the API says it.
async fn state_for_bob(board: &Board, id: MessageId) -> String {
    let path = format!("/mesh/{}/messages/{id}", board.mesh);
    let answer = board.server.browser().api("GET", &path, &board.ann_token, "").await;
    let message: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(message["deliveries"][0]["name"], "@bob", "{message}");
    message["deliveries"][0]["state"].as_str().expect("a state").to_owned()
}

/// Whether `@bob` is there, as the API says it.
async fn bob_is_active(board: &Board) -> bool {
    let path = format!("/mesh/{}/agents/@bob", board.mesh);
    let answer = board.server.browser().api("GET", &path, &board.ann_token, "").await;
    let agent: Value = serde_json::from_str(&answer.body).expect("JSON");
    agent["active"].as_bool().unwrap_or_else(|| panic!("{agent}"))
}

#[tokio::test]
async fn what_a_person_sees_is_delivered_and_they_are_there_while_they_look_on() {
    let mut board = Board::new().await;
    let to_bob = json!({"content": "for bob", "to": "@bob"});
    let first = board.send(&board.ann_token, &to_bob).await;
    assert_eq!(state_for_bob(&board, first).await, "queued");
    assert!(!bob_is_active(&board).await, "a message to him is no sign of him");
    // Whoever asks without having the page has seen nothing.
    let head = board.bob.head(&board.at("")).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(state_for_bob(&board, first).await, "queued");
    // Nor what is older.
    board.bob.get(&board.at("?before=9")).await;
    assert_eq!(state_for_bob(&board, first).await, "queued");
    board.ann.get(&board.at("")).await;
    assert_eq!(state_for_bob(&board, first).await, "queued", "it was shown to another person");
    board.bob.get(&board.at("")).await;
    assert_eq!(state_for_bob(&board, first).await, "delivered");

    let mut events =
        Events::open(&board.bob, &board.at(&format!("/live?after={first}")), &[]).await;
    events.named("agents").await;
    assert!(bob_is_active(&board).await);
    let second = board.send(&board.ann_token, &to_bob).await;
    assert_eq!(events.named("message").await.id, second.to_string());
    assert_eq!(state_for_bob(&board, second).await, "delivered", "and not acknowledged");
}

#[tokio::test]
async fn a_pause_is_told_to_who_looks_on() {
    let board = Board::new().await;
    let mut events = Events::open(&board.bob, &board.at("/live"), &[]).await;
    events.named("agents").await;
    let path = format!("/mesh/{}", board.mesh);
    for (paused, told) in [(true, "paused just now: nothing can be sent"), (false, "goes on")] {
        let body = json!({ "paused": paused }).to_string();
        let answer = board.server.browser().api("PATCH", &path, &board.ann_token, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let notice = timeout(PATIENCE, events.named("notice")).await.expect("it is told");
        assert!(notice.data.contains(told), "{notice:?}");
    }
    // A page that is opened in a pause shows it, and needs no notice of it.
    let body = json!({"paused": true}).to_string();
    board.server.browser().api("PATCH", &path, &board.ann_token, &body).await;
    let mut late = Events::open(&board.bob, &board.at("/live"), &[]).await;
    let first = late.next().await.expect("it goes on");
    assert_eq!(first.name, "agents", "{first:?}");
}

#[tokio::test]
async fn the_way_of_the_newest_hundred_messages_is_followed() {
    let board = Board::new().await;
    let worker = board.agent(&board.bob_token, "worker").await;
    let mut events = Events::open(&board.ann, &board.at("/live?after=0"), &[]).await;
    events.named("agents").await;
    let mut ids = Vec::new();
    // Not more at once than are made up for.
    for count in [60, 41] {
        let before = ids.len();
        for n in 0..count {
            let message = json!({"content": format!("number {n}"), "to": "worker"});
            ids.push(board.send(&board.ann_token, &message).await);
        }
        for id in &ids[before..] {
            assert_eq!(events.named("message").await.id, id.to_string());
        }
    }
    let inbox = format!("/mesh/{}/agents/{worker}/messages", board.mesh);
    let browser = board.server.browser();
    browser.api("GET", &format!("{inbox}?limit=1000&ack=false"), &board.bob_token, "").await;
    let mut missing: Vec<String> = ids[1..].iter().map(|id| format!("id=\"d{id}\"")).collect();
    let followed = async {
        while !missing.is_empty() {
            let event = events.named("delivery").await;
            assert!(!event.data.contains(&format!("id=\"d{}\"", ids[0])), "that is too old");
            if event.data.contains("Delivered") {
                missing.retain(|id| !event.data.contains(id.as_str()));
            }
        }
    };
    timeout(PATIENCE, followed).await.expect("all of them have come");
    // Nothing of the oldest comes after them.
    let last = board.send(&board.ann_token, &json!({"content": "the last"})).await;
    loop {
        let event = events.next().await.expect("it goes on");
        assert!(!event.data.contains(&format!("id=\"d{}\"", ids[0])), "{event:?}");
        if event.id == last.to_string() {
            break;
        }
    }
}

#[tokio::test]
async fn a_long_list_of_agents_is_shown_in_pieces_also_in_the_stream() {
    let mut board = Board::new().await;
    let names: Vec<String> = (0..60).map(|n| format!("agent-{n:02}")).collect();
    for name in &names {
        board.agent(&board.bob_token, name).await;
    }
    let listed = |html: &str| -> Vec<String> {
        let is_there = |name: &&String| html.contains(&format!("data-name=\"{name}\""));
        names.iter().filter(is_there).cloned().collect()
    };
    let mut all = Vec::new();
    for (first, count, more) in [(0, 16, Some((16, 44))), (16, 32, Some((48, 12))), (48, 12, None)]
    {
        let page = board.bob.get(&board.at(&format!("?agents={first}"))).await;
        let piece = listed(&page.body);
        assert_eq!(piece.len(), count, "{}", page.body);
        let next = |(next, more)| {
            format!(
                "<a href=\"{}\">and {more} more</a>",
                board.at(&format!("?agents={next}#agents"))
            )
        };
        match more {
            Some(more) => assert!(page.body.contains(&next(more)), "{}", page.body),
            None => assert!(!page.body.contains(" more</a>"), "{}", page.body),
        }
        assert_eq!(page.body.contains("To the first of them"), first > 0);
        // The open page is kept up to date with the same piece.
        let live = board.at(&format!("/live?agents={first}"));
        assert!(page.body.contains(&format!("data-live=\"{live}\"")), "{}", page.body);
        let mut events = Events::open(&board.bob, &live, &[]).await;
        assert_eq!(listed(&events.named("agents").await.data), piece);
        all.extend(piece);
    }
    all.sort_unstable();
    assert_eq!(all, names);
    for (wanted, count) in [("none", 16), ("-1", 16), ("1000", 0)] {
        let page = board.bob.get(&board.at(&format!("?agents={wanted}"))).await;
        assert_eq!((page.status, listed(&page.body).len()), (StatusCode::OK, count), "{wanted}");
    }
}

#[tokio::test]
async fn a_session_with_an_id_that_none_has_is_asked_to_sign_in_again() {
    use meshwire_server::secret;
    use meshwire_server::store::SessionRow;

    let board = Board::new().await;
    let now = board.server.app.clock.now();
    // As an import takes it from a file that somebody has edited.
    let code = secret::one_time();
    let session = SessionRow {
        hash: secret::digest(&code),
        id: "edited".to_owned(),
        user: user(&board.server, "bob").await,
        client: "Firefox".to_owned(),
        created_at: now,
        last_seen: now,
        expires_at: now + 60_000_000,
    };
    board.server.app.store.create_session(session).await.unwrap();
    let mut bob = board.server.browser();
    bob.cookies.insert("mw_session".to_owned(), code);
    let page = bob.get(&board.at("")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert_eq!(bob.listen(&board.at("/live"), &[]).await.status(), StatusCode::UNAUTHORIZED);
    let path = board.at("/messages");
    let form = [("ticket", page.ticket_for(&path)), ("to", "all"), ("content", "x")];
    let answer = bob.post(&path, &form).await;
    answer.assert_error(401, "unauthorized");
    assert!(answer.body.contains("Sign out and in again."), "{}", answer.body);
}
