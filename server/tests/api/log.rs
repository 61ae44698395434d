//! The log: enough to find out what happened, and nothing that a client wrote or that opens a door.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use meshwire_server::{secret, sign_in};
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::log::{CANARY, start};
use crate::server::{Answer, Server};

/// What this process has logged so far.
fn logged() -> String {
    std::fs::read_to_string(start()).unwrap()
}

/// The lines with one of these secrets in them.
fn leaks<'l>(log: &'l str, secrets: &[String]) -> Vec<&'l str> {
    let leaks = |line: &&str| secrets.iter().any(|secret| line.contains(secret.as_str()));
    log.lines().filter(leaks).collect()
}

/// The log line of the request with this id.
fn line_of(headers: &HeaderMap) -> String {
    let id = headers["x-request-id"].to_str().unwrap();
    let log = logged();
    let mut lines = log.lines().filter(|line| line.contains(id) && line.contains("request{"));
    lines.next_back().unwrap_or_else(|| panic!("no line for {id}")).to_owned()
}

#[tokio::test]
async fn a_line_says_who_asked_what_and_how_it_ended() {
    let server = Server::start().await;
    let (ada, mesh) = server.mesh_of_two().await;
    let me = ada.get("/me").await;
    let line = line_of(&me.headers);
    let token = me.expect(200)["token"]["id"].as_str().unwrap().to_owned();
    for part in [
        "INFO",
        "method=\"GET\"",
        "route=\"/me\"",
        "status=200",
        "ms=",
        "client=127.0.0.1",
        &format!("user=\"{}\"", ada.row.id),
        &format!("token=\"{token}\""),
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    // A poll that begins late, on a machine that stood still, sleeps for the rest of its second alone.
    let (mut polls, mut waited) = (0, 0);
    while waited < 500 {
        polls += 1;
        assert!(polls <= 3, "none of these polls waited");
        let poll = ada.get(&format!("/mesh/{mesh}/agents/b/messages?wait=1")).await;
        let line = line_of(&poll.headers);
        assert!(line.contains(&format!("mesh=\"{mesh}\"")), "{line}");
        let (_, rest) = line.split_once(" waited_ms=").unwrap_or_else(|| panic!("{line}"));
        waited = rest.split(' ').next().unwrap().parse::<u64>().unwrap();
    }
    assert!(waited < 30_000, "{waited} is more than a second in milliseconds");

    // A refusal says which field, scope or limit it was about, in words of ours.
    let narrow = server.token(&ada.row, |row| row.scopes = vec![meshwire_protocol::Scope::Read]);
    let narrow = ada.with_token(narrow.await);
    let path = format!("/mesh/{mesh}/messages");
    for (answer, parts) in [
        (
            ada.post(&path, json!({"content": ""})).await,
            "code=\"invalid_request\" reason=\"content\"",
        ),
        (ada.post(&path, json!({"made-up": ""})).await, "code=\"invalid_request\" ms="),
        (
            narrow.post("/mesh", json!({"name": "x"})).await,
            "code=\"insufficient_scope\" reason=\"admin\"",
        ),
        (ada.with_token("mw_x".into()).get("/me").await, "reason=\"no token of this form\""),
    ] {
        let line = line_of(&answer.headers);
        assert!(line.contains(parts), "{parts} in {line}");
    }
}

#[tokio::test]
async fn an_error_of_the_store_carries_the_id_of_its_request() {
    let server = Server::start().await;
    server.app.store.close().await;
    let answer = Answer::of(server.request(Method::GET, "/ready")).await;
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let log = logged();
    let found =
        |line: &&str| line.contains("ERROR") && line.contains(id) && line.contains("cause=");
    assert_eq!(log.lines().filter(found).count(), 1);
}

/// A browser's session on a server with local accounts: every secret that one meets there.
async fn sign_in(server: &Server, secrets: &mut Vec<String>) {
    let browser = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url = |path: &str| format!("{}{path}", server.url);
    let ticket = |page: &str| {
        let after = page.split("name=\"ticket\" value=\"").nth(1).expect("a form");
        after.split('"').next().unwrap().to_owned()
    };
    let cookie_of = |headers: &HeaderMap| {
        let cookie = headers[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    };
    let link = sign_in::first_start(&server.app).await.unwrap().unwrap();
    secrets.push(link.split("code=").nth(1).unwrap().to_owned());
    let page = browser.get(&link).send().await.unwrap().text().await.unwrap();
    let password = format!("my {CANARY} password");
    let ticket_of_form = ticket(&page);
    secrets.push(ticket_of_form.clone());
    let post = |path: &str, cookie: &str, form: &BTreeMap<&str, String>| {
        let request = browser.post(url(path)).header("Origin", &server.url);
        request.header("Cookie", cookie).form_body(form)
    };
    let mut form = BTreeMap::from([
        ("ticket", ticket_of_form),
        ("login", "ann".to_owned()),
        ("name", "Ann".to_owned()),
        ("password", password.clone()),
        ("password_again", format!("{CANARY} not the same")),
    ]);
    assert_eq!(post("/setup", "", &form).send().await.unwrap().status(), 400);
    form.insert("password_again", password.clone());
    let answer = post("/setup", "", &form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    secrets.push(cookie_of(answer.headers()).split('=').nth(1).unwrap().to_owned());

    // A wrong password, a right one.
    let page = browser.get(url("/login")).send().await.unwrap().text().await.unwrap();
    let mut form = BTreeMap::from([
        ("ticket", ticket(&page)),
        ("login", CANARY.to_owned()),
        ("password", format!("{CANARY} guess")),
    ]);
    assert_eq!(post("/login", "", &form).send().await.unwrap().status(), 403);
    form.extend([("login", "ann".to_owned()), ("password", password)]);
    let answer = post("/login", "", &form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = cookie_of(answer.headers());
    secrets.push(cookie.split('=').nth(1).unwrap().to_owned());

    // The command line.
    let (verifier, state) = (secret::one_time(), secret::one_time());
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let page = url(&format!(
        "/auth/cli?port=51234&state={state}&code_challenge={challenge}&code_challenge_method=S256&host={CANARY}"
    ));
    let page = browser.get(page).header("Cookie", &cookie).send().await.unwrap();
    let page = page.text().await.unwrap();
    let mut form: BTreeMap<&str, String> = page
        .split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|input| {
            let (name, rest) = input.split_once("\" value=\"").unwrap();
            (name, rest.split('"').next().unwrap().to_owned())
        })
        .collect();
    form.insert("allow", "yes".to_owned());
    let answer = post("/auth/cli", &cookie, &form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let location = answer.headers()[LOCATION].to_str().unwrap();
    let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    secrets.extend([code.clone(), verifier.clone(), state]);
    let exchange = json!({"code": code, "code_verifier": verifier});
    for expected in [200, 400] {
        // The second use ends the token that the first one got, which is worth a warning.
        let request = server.request(Method::POST, "/auth/cli/token").body(exchange.to_string());
        let answer = Answer::of(request).await.expect(expected);
        secrets.extend(answer["token"].as_str().map(str::to_owned));
    }
}

/// A member's work, with secrets wherever something can be written.
async fn work(server: &Server, secrets: &mut Vec<String>) {
    let (ada, mesh) = server.mesh_of_two().await;
    secrets.push(ada.token.clone());
    let stranger = secret::token();
    secrets.push(stranger.clone());
    let made = ada.post("/tokens", json!({"name": CANARY})).await.expect(201);
    secrets.push(made["token"].as_str().unwrap().to_owned());
    let invite = ada.post(&format!("/mesh/{mesh}/invites"), json!({})).await.expect(201);
    secrets.push(invite["code"].as_str().unwrap().to_owned());
    let bob = server.user("bob").await;
    secrets.push(bob.token.clone());
    let join = format!("/mesh/{mesh}/join");
    bob.post(&join, json!({"invite": secrets.last()})).await.problem(404, "invite_not_found");
    bob.post(&join, json!({"invite": invite["code"]})).await.expect(200);

    let messages = format!("/mesh/{mesh}/messages");
    let key = format!("key-{CANARY}");
    let send = |content: &str| {
        let body =
            json!({"from": "a", "to": "b", "content": content, "metadata": {CANARY: CANARY}});
        let request = ada.request(Method::POST, &messages).header("Idempotency-Key", &key);
        Answer::of(request.body(body.to_string()))
    };
    send(&format!("{CANARY}, the content")).await.expect(201);
    send(&format!("{CANARY}, another")).await.problem(422, "idempotency_key_reused");
    for body in [
        json!({"to": CANARY, "content": "x"}),
        json!({CANARY: "x"}),
        json!({"content": {CANARY: 1}}),
        json!({"content": "x", "from": CANARY}),
    ] {
        let answer = ada.post(&messages, body).await;
        assert!(answer.status.is_client_error(), "{}", answer.body);
    }
    ada.inbox(&mesh, "b", "wait=0").await;
    ada.get(&messages).await.expect(200);
    ada.patch(&format!("/mesh/{mesh}"), json!({"name": CANARY, "paused": true})).await.expect(200);
    ada.post(&messages, json!({"content": CANARY})).await.problem(409, "mesh_paused");

    // In every place where something can stand by mistake.
    for path in [
        format!("/{stranger}"),
        format!("/mesh/{stranger}"),
        format!("/mesh/{mesh}/agents/{stranger}"),
        format!("/tokens/{stranger}"),
        format!("/me?token={stranger}"),
        format!("/login?return_to=/{stranger}"),
        format!("/setup?code={stranger}"),
        format!("/join/{mesh}?invite={stranger}"),
        format!("/auth/github/callback?code={stranger}&state={stranger}"),
        format!("/static/{stranger}"),
    ] {
        for method in
            [Method::GET, Method::DELETE, Method::from_bytes(stranger.as_bytes()).unwrap()]
        {
            let request = ada
                .request(method, &path)
                .header("Cookie", format!("mw_session={stranger}; mw_login={stranger}"))
                .header("X-Request-Id", &stranger)
                .header("X-Forwarded-For", &stranger)
                .header("User-Agent", &stranger)
                .header("Origin", format!("https://{stranger}"));
            assert!(Answer::of(request.body(stranger.clone())).await.status.as_u16() < 500);
        }
    }
    for authorization in
        [format!("Basic {stranger}"), stranger.clone(), format!("Bearer {stranger}x")]
    {
        let request = server.request(Method::GET, "/me").header("Authorization", authorization);
        Answer::of(request).await.problem(401, "unauthorized");
    }
    // What never reaches a route.
    for bytes in [
        format!("GET /{stranger} HTTP/1.1\r\n\r\n"),
        format!("{stranger}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {stranger} {stranger}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{stranger}\r\n\r\n"),
        format!("POST /me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{stranger}\r\n"),
    ] {
        let address = server.url.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{bytes}");
    }
    server.app.store.close().await;
    let renamed = ada.patch(&format!("/mesh/{mesh}"), json!({"name": CANARY})).await;
    renamed.problem(503, "store_unavailable");
    assert!(ada.get(&format!("/mesh/{mesh}?{CANARY}")).await.status.as_u16() >= 400);
}

#[tokio::test]
async fn nothing_secret_is_ever_logged() {
    let server = Server::start().await;
    let mut secrets = vec![CANARY.to_owned(), "mw_session=".to_owned(), "$argon2".to_owned()];
    sign_in(&server, &mut secrets).await;
    work(&server, &mut secrets).await;
    assert!(secrets.len() > 15 && secrets.iter().all(|secret| secret.len() > 6), "{secrets:?}");

    // Other tests write into the same log; it must hold the requests of this one.
    let log = logged();
    for route in
        ["/setup", "/login", "/auth/cli", "/auth/cli/token", "/mesh/{mesh}/messages", "none"]
    {
        assert!(log.contains(&format!("route=\"{route}\"")), "{route}");
    }
    let leaks_now = leaks(&log, &secrets);
    assert!(leaks_now.is_empty(), "{leaks_now:#?}");
}

#[tokio::test]
async fn a_leak_would_be_found() {
    let _server = Server::start().await;
    let planted = format!("planted-{}", secret::base62(12));
    tracing::debug!(value = planted, "planted by a test");
    let patience = Instant::now() + Duration::from_secs(5);
    while leaks(&logged(), std::slice::from_ref(&planted)).is_empty() {
        assert!(Instant::now() < patience, "it was not found");
    }
}

/// A form's body; reqwest is built without its own.
trait FormBody {
    fn form_body(self, form: &BTreeMap<&str, String>) -> Self;
}

impl FormBody for reqwest::RequestBuilder {
    fn form_body(self, form: &BTreeMap<&str, String>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }
}
