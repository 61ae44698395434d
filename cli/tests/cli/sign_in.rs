//! `login`, `logout`, `whoami`, tokens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::support::{Computer, MESH, Reply, Server, me, token};

fn sign_in_server() -> Server {
    Server::start(|request| match request.line.as_str() {
        "GET /health" => {
            Reply::Json(200, json!({"status": "ok", "uptime": 1, "version": "1", "region": "here"}))
        }
        "POST /auth/cli/token" => {
            Reply::Json(200, json!({"token": token(), "user": {"login": "ada"}}))
        }
        "GET /me" => Reply::Json(200, me()),
        "DELETE /tokens/current" => Reply::Json(204, Value::Null),
        _ => Reply::problem(404, "not_found"),
    })
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
}

fn kept(computer: &Computer) -> Value {
    let text = std::fs::read(computer.home(".meshwire/credentials.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn a_browser_signs_in() {
    let server = sign_in_server();
    let computer = Computer::new().env("BROWSER", "true");
    let mut child = computer.spawn(&["login", "--url", &server.url]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("http") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0);
    }
    let page: Url = line.trim().parse().unwrap();
    assert!(page.as_str().starts_with(&format!("{}/auth/cli?", server.url)), "{page}");
    assert_eq!(parameter(&page, "code_challenge_method"), "S256");
    let (port, state) = (parameter(&page, "port"), parameter(&page, "state"));

    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(
        stream,
        "GET /callback?code=the-code&state={state} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("✓ Signed in as ada!"), "{out}");
    assert!(!out.contains(&token()), "{out}");

    let exchange = server.seen().into_iter().find(|seen| seen.line.starts_with("POST")).unwrap();
    assert_eq!(exchange.body["code"], "the-code");
    let verifier = exchange.body["code_verifier"].as_str().unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    assert_eq!(challenge, parameter(&page, "code_challenge"));
    let entry = &kept(&computer)["profiles"]["default"];
    assert_eq!((&entry["token"], &entry["url"]), (&json!(token()), &json!(server.url)));

    // The mesh of a profile stays when its user signs in again.
    let done = computer.run_with_input(&["login", "--token", "-"], token().as_bytes());
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = computer.run(&["logout"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(server.lines().last().unwrap(), "DELETE /tokens/current");
    assert_eq!(kept(&computer)["profiles"], json!({}));
    assert_eq!(computer.run(&["whoami"]).code, Some(3));
}

#[test]
fn a_given_token_is_checked_first() {
    let server = Server::start(|_| Reply::problem(401, "token_revoked"));
    let computer = Computer::new();
    let done = computer
        .run_with_input(&["login", "--url", &server.url, "--token", "-"], token().as_bytes());
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("error: detail of token_revoked\nhint: "), "{done:?}");
    assert!(!computer.home(".meshwire/credentials.json").exists());
}

#[test]
fn logging_out_keeps_what_it_could_not_revoke() {
    let server = Server::start(|request| match request.line.as_str() {
        "DELETE /tokens/current" => Reply::problem(500, "internal_error"),
        _ => Reply::problem(404, "not_found"),
    });
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["logout"]).code, Some(1));
    assert_eq!(kept(&computer)["profiles"]["default"]["login"], "ada");
    assert_eq!(computer.run(&["logout", "--local"]).code, Some(0));
    assert_eq!(kept(&computer)["profiles"], json!({}));
}

#[test]
fn whoami_masks_the_token() {
    let server = Server::start(|_| Reply::Json(200, me()));
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["whoami"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.starts_with("ada (Ada)\n") && done.out.contains("mw_••••"), "{done:?}");
    assert!(!done.out.contains(&token()), "{done:?}");
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), Some(format!("Bearer {}", token()).as_str()));
    assert!(seen[0].header("user-agent").unwrap().starts_with("meshwire/"));
}

#[test]
fn a_new_token_alone_goes_to_standard_output() {
    let server = Server::start(|request| {
        assert_eq!(request.line, "POST /tokens");
        let mut row = me()["token"].clone();
        row["token"] = json!(token());
        row["suffix"] = json!("abcdef");
        row["created_at"] = json!("2026-01-02T09:41:23Z");
        row["last_used_at"] = Value::Null;
        Reply::Json(201, row)
    });
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&[
        "token",
        "create",
        "ci",
        "--mesh",
        MESH,
        "--scope",
        "read,send",
        "--expires",
        "30d",
    ]);
    assert_eq!((done.code, done.out), (Some(0), format!("{}\n", token())));
    assert_eq!(
        server.seen()[0].body,
        json!({"name": "ci", "mesh_id": MESH, "scopes": ["read", "send"], "expires_in_days": 30})
    );
}
