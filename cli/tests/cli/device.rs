//! `login --device`, against a stand-in for the server.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::{Computer, Reply, Server, token};

/// Answers polls with these, and then with the last one for ever.
fn server(expires_in: u64, polls: Vec<(u16, Value)>) -> Server {
    let polls = Mutex::new(polls);
    Server::start(move |request| match request.line.as_str() {
        "POST /auth/device/code" => Reply::Json(
            200,
            json!({"device_code": "the-device-code", "user_code": "BCDF-\u{1b}[31mGHJK",
                "verification_uri": "https://mesh.example/device", "expires_in": expires_in,
                "interval": 1, "of_the_future": 1}),
        ),
        "POST /auth/device/token" => {
            let mut polls = polls.lock().unwrap();
            let (status, body) = if polls.len() > 1 { polls.remove(0) } else { polls[0].clone() };
            match status {
                0 => Reply::Hang,
                302 => Reply::With(302, "Location: /elsewhere", body),
                status => Reply::Json(status, body),
            }
        }
        _ => Reply::problem(404, "not_found"),
    })
}

fn error(name: &str) -> (u16, Value) {
    (400, json!({"error": name, "error_description": format!("detail of {name}")}))
}

fn issued() -> (u16, Value) {
    (200, json!({"access_token": token(), "token_type": "Bearer", "user": {"login": "ada"}}))
}

fn is_signed_in(computer: &Computer) -> bool {
    computer.home(".meshwire/credentials.json").exists()
}

#[test]
fn it_polls_until_somebody_agrees() {
    let of_proxy = (502, json!({"error": "bad gateway"}));
    let polls = vec![error("authorization_pending"), (0, Value::Null), of_proxy, issued()];
    let server = server(60, polls);
    let computer = Computer::new();
    let done = computer.run(&["login", "--device", "--url", &server.url]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("✓ Signed in as ada!") && !done.out.contains(&token()), "{done:?}");
    assert!(done.err.contains("  https://mesh.example/device\n"), "{done:?}");
    // Nothing that the server says reaches the terminal as it is.
    assert!(done.err.contains("  BCDF-GHJK\n"), "{done:?}");
    assert!(done.err.contains("trying again"), "{done:?}");
    let kept = std::fs::read_to_string(computer.home(".meshwire/credentials.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["profiles"]["default"]["token"], token());
    assert_eq!(kept["profiles"]["default"]["url"], server.url);

    let seen = server.seen();
    assert_eq!(seen[0].body["client_id"], "meshwire");
    assert_eq!(
        seen[1].body,
        json!({"grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": "the-device-code", "client_id": "meshwire"})
    );
    assert_eq!(seen.len(), 5);
}

#[test]
fn it_is_slowed_down_by_five_seconds() {
    let server = server(60, vec![error("slow_down"), error("authorization_pending"), issued()]);
    let started = std::time::Instant::now();
    let done = Computer::new().run(&["login", "--device", "--url", &server.url]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(started.elapsed().as_secs() >= 13, "1 s, then 6 s twice");
}

#[test]
fn a_refusal_ends_it() {
    for name in ["access_denied", "expired_token", "invalid_grant", "of_the_future"] {
        let server = server(60, vec![error("authorization_pending"), error(name)]);
        let computer = Computer::new();
        let done = computer.run(&["login", "--device", "--url", &server.url]);
        assert_eq!(done.code, Some(3), "{name}: {done:?}");
        assert!(done.err.contains(&format!("error: detail of {name}\nhint: ")), "{done:?}");
        assert_eq!(server.lines().len(), 3);
        assert!(!is_signed_in(&computer));
    }
}

#[test]
fn it_ends_with_its_code() {
    let server = server(3, vec![error("authorization_pending")]);
    let done = Computer::new().run(&["login", "--device", "--url", &server.url]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("the code has run out"), "{done:?}");
}

#[test]
fn a_server_out_of_reach_is_told() {
    let gone = Computer::new().run(&["login", "--device", "--url", "http://127.0.0.1:1"]);
    assert_eq!(gone.code, Some(5), "{gone:?}");
    let server = server(4, vec![(0, Value::Null)]);
    let done = Computer::new().run(&["login", "--device", "--url", &server.url]);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert_eq!(done.err.matches("trying again").count(), 1, "{done:?}");
}

#[test]
fn no_redirect_is_followed_and_no_other_sign_in_mixed_in() {
    let server = server(60, vec![(302, json!({}))]);
    let computer = Computer::new();
    let done = computer.run(&["login", "--device", "--url", &server.url]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(server.lines(), ["POST /auth/device/code", "POST /auth/device/token"]);
    assert!(!is_signed_in(&computer));
    let both = computer.run(&["login", "--device", "--token", "-"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[test]
fn an_answer_that_cannot_be_ends_it_in_order() {
    let strange = Server::start(|_| {
        Reply::Json(
            200,
            json!({"device_code": "x", "user_code": "y", "verification_uri": "z",
                "expires_in": u64::MAX, "interval": u64::MAX}),
        )
    });
    let computer = Computer::new();
    let mut child = computer.spawn(&["login", "--device", "--url", &strange.url]);
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("Waiting for you") {
        assert_ne!(std::io::BufRead::read_line(&mut stderr, &mut said).unwrap(), 0, "{said}");
    }
    crate::support::terminate(&child);
    assert_eq!(child.wait().unwrap().code(), None, "ended by the signal, not by a panic");

    let broken = server(
        60,
        vec![(
            200,
            json!({"access_token": "no token", "token_type": "Bearer",
        "user": {"login": "ada"}}),
        )],
    );
    let done = computer.run(&["login", "--device", "--url", &broken.url]);
    assert!(done.code.is_some_and(|code| code != 0), "{done:?}");
    assert!(!is_signed_in(&computer));
}
