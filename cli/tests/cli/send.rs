//! `send`, `reply`, and what happens when it does not work at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::{Computer, MESH, Reply, Request, Server, message, token};

fn sent(content: &str, to: &str, total: u32) -> Reply {
    let mut sent = message(1_748_123_456_789_000, content);
    sent["to"] = json!(to);
    sent["recipients"] = json!({"total": total, "active": 0});
    Reply::Json(201, sent)
}

fn is_send(request: &Request) -> bool {
    request.line == format!("POST /mesh/{MESH}/messages")
}

#[test]
fn a_send_is_one_request() {
    let server = Server::start(|_| sent("hello", "all", 1));
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["send", "hello", "--metadata", "{\"a\":1}"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.out, "✓ Sent → all agents [id: 1748123456789000]\n");
    assert_eq!(done.err, "");
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(is_send(&seen[0]));
    assert_eq!(seen[0].body, json!({"content": "hello", "metadata": {"a": 1}}));

    let done = computer.run_with_input(&["reply", "7", "-", "--json"], b"two\nlines\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("\"of_the_future\":{"), "{done:?}");
    assert_eq!(server.seen()[1].body, json!({"content": "two\nlines", "reply_to": 7}));
}

#[test]
fn an_empty_mesh_is_told() {
    let server = Server::start(|_| sent("hello", "all", 0));
    let done = Computer::new().signed_in(&server.url).run(&["send", "hello"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("nobody else") && done.err.contains("meshwire listen"), "{done:?}");
}

#[test]
fn a_retry_is_no_second_message() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Hang,
        1 => Reply::With(503, "Retry-After: 0", json!({"code": "store_unavailable"})),
        2 => Reply::With(429, "Retry-After: 0", json!({"code": "rate_limited"})),
        _ => sent("hello", "all", 1),
    });
    let done = Computer::new().signed_in(&server.url).run(&["send", "hello"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    let key = seen[0].header("idempotency-key").unwrap();
    assert!(seen.iter().all(|request| request.header("idempotency-key") == Some(key)));
}

#[test]
fn a_limit_is_waited_for_as_long_as_the_server_says() {
    for args in [&["send", "hello"][..], &["mesh", "create", "x"]] {
        let count = AtomicUsize::new(0);
        let server = Server::start(move |request| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::With(429, "Retry-After: 1", json!({"code": "rate_limited"})),
            _ if is_send(request) => sent("hello", "all", 1),
            _ => Reply::Json(201, crate::support::mesh()),
        });
        let started = std::time::Instant::now();
        let done = Computer::new().signed_in(&server.url).run(args);
        assert_eq!((done.code, server.seen().len()), (Some(0), 2), "{args:?}: {done:?}");
        assert!(started.elapsed() >= std::time::Duration::from_secs(1), "{:?}", started.elapsed());
        assert!(done.err.contains("trying again in 1 s"), "{done:?}");
    }
    // Longer than anybody waits at a prompt: said instead.
    let server = Server::start(|_| {
        Reply::With(
            429,
            "Retry-After: 3600",
            json!({"code": "rate_limited", "detail": "d", "title": "t",
            "type": "x", "status": 429}),
        )
    });
    let done = Computer::new().signed_in(&server.url).run(&["send", "hello"]);
    assert_eq!((done.code, server.seen().len()), (Some(1), 1), "{done:?}");
    assert!(done.err.contains("hint: try again in 3600 s"), "{done:?}");
}

#[test]
fn a_refusal_is_not_repeated() {
    for (status, code, exit) in [
        (400, "message_too_large", 2),
        (401, "token_revoked", 3),
        (403, "not_a_member", 3),
        (404, "mesh_not_found", 4),
        (409, "mesh_paused", 1),
        (422, "idempotency_key_reused", 2),
        (429, "loop_suspected", 1),
        (500, "internal_error", 1),
    ] {
        let server = Server::start(move |_| Reply::problem(status, code));
        let done = Computer::new().signed_in(&server.url).run(&["send", "hello"]);
        assert_eq!(done.code, Some(exit), "{code}: {done:?}");
        assert!(done.err.contains(&format!("error: detail of {code}\n")), "{done:?}");
        assert_eq!(server.seen().len(), 1, "{code}");
    }
}

#[test]
fn a_fault_of_the_server_names_its_request() {
    let server = Server::start(|_| {
        let mut problem =
            json!({"type": "/docs/errors#internal_error", "title": "t", "status": 500});
        problem["code"] = json!("internal_error");
        problem["detail"] = json!("Something went wrong on our side.");
        problem["request_id"] = json!("WH3Fjnhfggqb1EH3R5a7");
        Reply::With(500, "X-Request-Id: WH3Fjnhfggqb1EH3R5a7", problem)
    });
    let done = Computer::new().signed_in(&server.url).run(&["send", "hello"]);
    let said = "error: Something went wrong on our side (request id WH3Fjnhfggqb1EH3R5a7)\n";
    assert!(done.err.contains(said), "{done:?}");
    assert_eq!(done.code, Some(1), "it was reached");
}

#[test]
fn a_speaker_is_registered_on_first_use() {
    let known = AtomicUsize::new(0);
    let server = Server::start(move |request| match request.line.as_str() {
        line if line == format!("POST /mesh/{MESH}/agents") => {
            known.store(1, Ordering::SeqCst);
            Reply::Json(201, json!({"agent_id": "abc123xyz", "name": "worker", "cursor": 0}))
        }
        _ if is_send(request) && known.load(Ordering::SeqCst) == 1 => sent("hello", "bob", 1),
        _ => Reply::problem(404, "agent_not_found"),
    });
    let computer =
        Computer::new().signed_in(&server.url).env("MESHWIRE_AGENT_NAME", "not-this-one");
    let done = computer.run(&["send", "hello", "--to", "bob", "--as", "worker"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "✓ Sent → bob [id: 1748123456789000]\n"));
    let lines = server.lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(server.seen()[3].body["from"], "worker");
}

#[test]
fn an_unknown_receiver_registers_nobody() {
    let server = Server::start(|request| {
        if request.line.starts_with("GET") {
            Reply::Json(200, crate::support::agent("worker"))
        } else {
            Reply::problem(404, "agent_not_found")
        }
    });
    let done =
        Computer::new().signed_in(&server.url).run(&["send", "x", "--to", "eve", "--as", "worker"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn only_a_harness_speaks_as_the_agent_of_the_project() {
    let server = Server::start(|_| sent("hello", "all", 1));
    let file = format!(
        "{{\"mesh_id\":\"{MESH}\",\"url\":\"{}\",\"agent_name\":\"claude-agent\",\"harness\":\"claude\",
          \"agents\":{{\"gemini\":\"gem\"}}}}",
        server.url
    );
    for (mark, speaker) in
        [("TERM", None), ("CLAUDECODE", Some("claude-agent")), ("GEMINI_CLI", Some("gem"))]
    {
        let computer = Computer::new().signed_in(&server.url).mesh_file(&file).env(mark, "1");
        assert_eq!(computer.run(&["send", "hello"]).code, Some(0));
        let said = server.seen().last().unwrap().body.get("from").cloned();
        assert_eq!(said, speaker.map(|name| json!(name)), "{mark}");
    }
}

#[test]
fn a_token_of_the_environment_is_used_and_not_shown() {
    let server = Server::start(|_| sent("hello", "\u{1b}[31mbob", 1));
    let computer = Computer::new()
        .env("MESHWIRE_TOKEN", &token())
        .env("MESHWIRE_URL", &server.url)
        .env("MESHWIRE_MESH_ID", MESH);
    let done = computer.run(&["send", "hello"]);
    assert_eq!(done.out, "✓ Sent → bob [id: 1748123456789000]\n");
}
