//! `listen` and `inbox`: nothing lost, nothing twice, and a clear end.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use serde_json::{Value, json};

use crate::support::{
    AGENT, Computer, MESH, Reply, Request, Server, agent, message, terminate, token,
};

/// A server with one agent, whose polls are answered one after the other.
fn server(polls: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |request| {
        let line = request.line.as_str();
        if line.contains("/messages?") {
            polls(count.fetch_add(1, Ordering::SeqCst), request)
        } else if line.starts_with("PUT ") {
            Reply::Json(200, request.body.clone())
        } else if line == format!("GET /mesh/{MESH}/agents/worker") {
            Reply::Json(200, agent("worker"))
        } else {
            Reply::problem(404, "not_found")
        }
    })
}

fn page(messages: &[Value], cursor: i64) -> Reply {
    Reply::Json(200, json!({"messages": messages, "cursor": cursor, "more": false}))
}

fn worker(server: &Server) -> Computer {
    Computer::new().signed_in(&server.url).env("MESHWIRE_AGENT_NAME", "worker")
}

fn polls(server: &Server) -> Vec<String> {
    let prefix = format!("GET /mesh/{MESH}/agents/{AGENT}/messages?");
    server.lines().iter().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// Reads a line of output, which arrives while the command runs.
fn line(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn stdout(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    BufReader::new(child.stdout.take().unwrap())
}

#[test]
fn messages_are_acknowledged_after_they_are_printed() {
    let server = server(|count, _| match count {
        0 => page(&[message(5, "one\u{1b}[2J\r09:00 x"), message(6, "two")], 9),
        1 => page(&[message(11, "three")], 11),
        _ => Reply::Silence,
    });
    let computer = worker(&server);
    let mut child = computer.spawn(&["listen"]);
    let mut out = stdout(&mut child);
    let mut head = line(&mut out);
    assert!(head.ends_with("09:41:23 bob → all [id: 5]"), "{head}");
    assert_eq!((line(&mut out), line(&mut out)), ("  one".to_owned(), "  09:00 x".to_owned()));
    for _ in 0..4 {
        head = line(&mut out);
    }
    assert_eq!(head, "  three");
    // The third poll is what acknowledges the second page.
    while polls(&server).len() < 3 {
        std::thread::yield_now();
    }
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.contains(&format!("🕸 MeshWire listening on mesh {MESH}\nAgent: worker ({AGENT})\n"))
    );
    assert_eq!(
        polls(&server),
        ["wait=60&limit=100", "after=9&wait=60&limit=100", "after=11&wait=60&limit=100"]
    );
    let last = server.seen().pop().unwrap();
    assert_eq!(last.line, format!("PUT /mesh/{MESH}/agents/{AGENT}/cursor"));
    assert_eq!(last.body, json!({"cursor": 11}));
}

#[test]
fn a_restart_of_the_server_prints_nothing_twice() {
    let server = server(|count, _| match count {
        0 => page(&[message(5, "one")], 5),
        1 => Reply::Hang,
        // A server that lost the place, and shows the page again.
        2 => page(&[message(5, "one"), message(6, "two")], 6),
        3 => Reply::problem(404, "agent_not_found"),
        _ => Reply::Silence,
    });
    let done = worker(&server).run(&["listen", "--json"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    let ids: Vec<i64> = done
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [5, 6]);
    assert!(done.out.contains("\"of_the_future\":{"), "{done:?}");
    assert_eq!(done.err.matches("trying again until it works").count(), 1, "{done:?}");
    assert_eq!(done.err.matches("again\n").count(), 1, "{done:?}");
}

#[test]
fn a_refused_token_ends_it_and_a_stray_answer_does_not() {
    let server = server(|count, _| match count {
        // What something in between may say while the server restarts.
        0 => Reply::Json(404, json!("no such backend")),
        _ => Reply::problem(401, "token_revoked"),
    });
    let done = worker(&server).run(&["listen"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert_eq!(polls(&server).len(), 2);
}

#[test]
fn a_replay_acknowledges_nothing() {
    let server = server(|count, _| match count {
        0 => page(&[message(5, "old")], 5),
        1 => page(&[message(5, "old"), message(6, "new")], 6),
        _ => Reply::problem(403, "not_a_member"),
    });
    let done = worker(&server).run(&["listen", "--from", "earliest", "--json"]);
    assert_eq!((done.code, done.out.lines().count()), (Some(3), 2));
    assert_acknowledges_nothing(&server);
}

#[test]
fn a_replay_to_a_command_acknowledges_nothing() {
    let server = server(|count, _| match count {
        0 => page(&[message(5, "old"), message(6, "new")], 6),
        _ => Reply::problem(403, "not_a_member"),
    });
    let done = worker(&server).run(&[
        "listen",
        "--from",
        "earliest",
        "--exec",
        "echo $MESHWIRE_MESSAGE_ID",
    ]);
    assert_eq!((done.code, done.out.as_str()), (Some(3), "5\n6\n"), "{done:?}");
    assert_acknowledges_nothing(&server);
}

#[track_caller]
fn assert_acknowledges_nothing(server: &Server) {
    assert_eq!(polls(server)[0], "after=earliest&wait=60&limit=100&ack=false");
    assert!(polls(server).iter().all(|poll| poll.ends_with("&ack=false")));
    assert!(!server.lines().iter().any(|line| line.starts_with("PUT")));
}

#[test]
fn a_command_gets_each_message_and_no_token() {
    let server = server(|count, _| match count {
        0 => page(&[message(5, "one"), message(6, "two")], 6),
        _ => Reply::problem(404, "mesh_not_found"),
    });
    let computer = Computer::new()
        .env("MESHWIRE_TOKEN", &token())
        .env("MESHWIRE_URL", &server.url)
        .env("MESHWIRE_MESH_ID", MESH)
        .env("MESHWIRE_AGENT_NAME", "worker");
    let done = computer.run(&[
        "listen",
        "--exec",
        "echo \"$MESHWIRE_MESSAGE_ID $MESHWIRE_FROM $MESHWIRE_TO [$MESHWIRE_TOKEN]\"; \
         test $MESHWIRE_MESSAGE_ID = 5 || cat",
    ]);
    assert_eq!(done.code, Some(4), "{done:?}");
    let mut lines = done.out.lines();
    assert_eq!(lines.next(), Some("5 bob all []"));
    assert_eq!(lines.next(), Some("6 bob all []"));
    let message: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(message["content"], "two");
    // The first by itself, the last by the next poll.
    let acknowledged: Vec<String> = server
        .seen()
        .iter()
        .filter(|seen| seen.line.starts_with("PUT"))
        .map(|seen| seen.body.to_string())
        .collect();
    assert_eq!(acknowledged[0], "{\"cursor\":5}");
    assert_eq!(polls(&server)[1], "after=6&wait=60&limit=100");
}

#[test]
fn a_command_that_fails_is_tried_again_and_then_passed_over() {
    let server = server(|count, _| match count {
        0 => page(&[message(5, "one"), message(6, "two")], 6),
        _ => Reply::problem(404, "mesh_not_found"),
    });
    let computer = worker(&server);
    let done = computer.run(&[
        "listen",
        "--exec",
        "date \"+$MESHWIRE_MESSAGE_ID %s%3N\"; test $MESHWIRE_MESSAGE_ID = 6",
    ]);
    assert_eq!(done.code, Some(4), "{done:?}");
    let runs: Vec<(&str, i64)> = done
        .out
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(id, at)| (id, at.parse().unwrap()))
        .collect();
    let ids: Vec<&str> = runs.iter().map(|run| run.0).collect();
    assert_eq!(ids, ["5", "5", "5", "5", "6"], "one at a time, in order");
    let pauses: Vec<i64> = runs.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    for (pause, wanted) in pauses.iter().zip([2_000, 5_000, 15_000]) {
        assert!((wanted..10 * wanted).contains(pause), "{pauses:?}");
    }
    assert!(done.err.contains("error: message 5 from bob was passed over"), "{done:?}");
    // Passed over is done with: it does not come again.
    assert!(server.seen().iter().any(|seen| seen.body == json!({"cursor": 5})));
    assert_eq!(polls(&server)[1], "after=6&wait=60&limit=100");
}

#[test]
fn ctrl_c_ends_a_command_that_runs_for_long() {
    let server = server(|_, _| page(&[message(5, "one")], 5));
    let computer = worker(&server);
    let mut child = computer.spawn(&["listen", "--exec", "echo started; exec sleep 600"]);
    assert_eq!(line(&mut stdout(&mut child)), "started");
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!server.lines().iter().any(|line| line.starts_with("PUT")), "it was not done");
}

#[test]
fn a_missing_agent_is_registered_at_the_start() {
    let (tell, told) = mpsc::channel();
    let tell = Arc::new(std::sync::Mutex::new(tell));
    let server = Server::start(move |request| match request.line.as_str() {
        line if line == format!("POST /mesh/{MESH}/agents") => {
            Reply::Json(201, json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}))
        }
        line if line.contains("/messages?") => {
            tell.lock().unwrap().send(()).unwrap();
            Reply::Silence
        }
        _ => Reply::problem(404, "agent_not_found"),
    });
    let computer = worker(&server);
    let child = computer.spawn(&["listen"]);
    told.recv().unwrap();
    terminate(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(server.seen()[1].body["name"], "worker");
}

#[test]
fn a_name_of_the_project_that_a_teammate_has_gets_ones_login() {
    let server = Server::start(|request| match request.line.as_str() {
        "GET /me" => Reply::Json(200, crate::support::me()),
        line if line == format!("GET /mesh/{MESH}/agents/taken") => {
            let mut taken = agent("taken");
            taken["owner"] = json!("bob");
            Reply::Json(200, taken)
        }
        line if line == format!("GET /mesh/{MESH}/agents/taken-ada") => {
            Reply::Json(200, agent("taken-ada"))
        }
        line if line.starts_with("POST") && request.body["name"] == "taken" => {
            Reply::problem(409, "agent_name_taken")
        }
        line if line.starts_with("POST") => {
            Reply::Json(201, json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}))
        }
        _ => Reply::problem(404, "mesh_not_found"),
    });
    let file = json!({"mesh_id": MESH, "agent_name": "taken", "url": server.url}).to_string();
    let computer = Computer::new().signed_in(&server.url).mesh_file(&file);
    for _ in 0..2 {
        let done = computer.run(&["listen"]);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.err.contains(&format!("Agent: taken-ada ({AGENT})")), "{done:?}");
    }
    let lines = server.lines();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("POST")).count(),
        2,
        "remembered: {lines:?}"
    );
    // On this computer, and not in what is committed.
    assert_eq!(std::fs::read_to_string(computer.project(".mesh.json")).unwrap(), file);
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let server = server(|count, _| page(&[message(5 + i64::try_from(count).unwrap(), "x")], 5));
    let computer = worker(&server);
    let mut child = computer.spawn(&["listen"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(!err.contains("error"), "{err}");
}

#[test]
fn an_inbox_is_left_as_it_is_unless_told() {
    let server = server(|count, _| match count % 2 {
        0 => Reply::Json(200, json!({"messages": [message(5, "one")], "cursor": 5, "more": true})),
        _ => page(&[message(6, "two")], 8),
    });
    let computer = worker(&server);
    // An inbox is addressed by the agent's name.
    let done = computer.run(&["inbox", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let inbox: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((inbox["messages"].as_array().unwrap().len(), &inbox["cursor"]), (2, &json!(8)));
    assert_eq!(
        server.lines(),
        [
            format!("GET /mesh/{MESH}/agents/worker/messages?limit=100&ack=false"),
            format!("GET /mesh/{MESH}/agents/worker/messages?after=5&limit=99&ack=false"),
        ]
    );
    assert_eq!(computer.run(&["inbox", "--ack"]).code, Some(0));
    let last = server.seen().pop().unwrap();
    assert_eq!(last.line, format!("PUT /mesh/{MESH}/agents/worker/cursor"));
    assert_eq!(last.body, json!({"cursor": 8}));
}

#[test]
fn who_comes_too_late_is_told_of_the_gap_once() {
    let server = server(|count, _| match count {
        0 | 1 => {
            let left = [message(5, "what is left")];
            let page = json!({"messages": left, "cursor": 5, "more": false, "gap": true});
            Reply::Json(200, page)
        }
        _ => Reply::Silence,
    });
    let computer = worker(&server);
    let inbox = computer.run(&["inbox"]);
    assert!(inbox.out.contains("what is left"), "{inbox:?}");
    assert!(inbox.err.contains("older messages were removed"), "{inbox:?}");

    let mut child = computer.spawn(&["listen", "--json"]);
    assert!(line(&mut stdout(&mut child)).contains("what is left"));
    terminate(&child);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err.matches("older messages were removed").count(), 1, "{err}");
}
