//! The command line signs in.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use meshwire_protocol::{CliTokenAnswer, Scope};
use meshwire_server::secret;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::browser::{Answer, Browser, HTTP, PASSWORD, Server};

const STATE: &str = "state-0123456789_~.";
const VERIFIER: &str = "a-verifier-of-the-command-line-0123456789-abcdef";

fn challenge() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn path() -> String {
    format!("/auth/cli?port=4321&state={STATE}&code_challenge={}&host=laptop", challenge())
}

/// Confirms in the browser, and gives the code.
async fn code(browser: &mut Browser) -> String {
    let page = browser.get(&path()).await;
    let answer = browser.post("/auth/cli", &[("ticket", page.ticket())]).await;
    let (code, state) = answer
        .location()
        .strip_prefix("http://127.0.0.1:4321/callback?code=")
        .and_then(|rest| rest.split_once("&state="))
        .expect("the loopback address");
    assert_eq!(state, STATE);
    code.to_owned()
}

async fn exchange(browser: &Browser, code: &str, verifier: &str) -> Answer {
    let body = json!({"code": code, "code_verifier": verifier, "client_id": "ignored"});
    browser.json("/auth/cli/token", &body.to_string()).await
}

#[tokio::test]
async fn the_command_line_gets_a_token() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let page = browser.get(&path()).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in
        ["<strong>ann</strong>", "<strong>laptop</strong>", "Only continue if you have just run"]
    {
        assert!(page.body.contains(shown), "{shown}");
    }
    assert_eq!(page.body.matches("<button").count(), 1);
    assert_eq!(
        page.header("content-security-policy"),
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src \
         'self'; form-action 'self' http://127.0.0.1:4321; frame-ancestors 'none'; base-uri 'none'"
    );

    let code = code(&mut browser).await;
    let answer = exchange(&browser, &code, VERIFIER).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let answer: CliTokenAnswer = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer.user.login, "ann");
    meshwire_protocol::check_token(&answer.token).unwrap();
    let (token, user) =
        server.app.store.token(&secret::digest(&answer.token)).await.unwrap().unwrap();
    assert_eq!((user.login.as_str(), token.name.as_str()), ("ann", "cli on laptop"));
    assert_eq!(token.scopes, Scope::ALL);
    assert!(answer.token.ends_with(&token.suffix));
    assert_eq!((token.expires_at, token.mesh.as_ref(), token.revoked_at), (None, None, None));

    // A second use ends what the first one got.
    exchange(&browser, &code, VERIFIER).await.assert_error(400, "invalid_grant");
    let (token, _) = server.app.store.token(&secret::digest(&answer.token)).await.unwrap().unwrap();
    assert!(token.revoked_at.is_some());
}

#[tokio::test]
async fn a_wrong_verifier_ends_the_code() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let other = "b".repeat(43);
    for wrong in [other.as_str(), "too short", "", &"x".repeat(129), &format!("{VERIFIER} ")] {
        let code = code(&mut browser).await;
        exchange(&browser, &code, wrong).await.assert_error(400, "invalid_grant");
        exchange(&browser, &code, VERIFIER).await.assert_error(400, "invalid_grant");
    }
    let (_, user) = {
        let secret = browser.cookie("mw_session").unwrap();
        let now = server.app.clock.now();
        server.app.store.session(&secret::digest(secret), now).await.unwrap().unwrap()
    };
    assert!(server.app.store.tokens(&user.id, server.app.clock.now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let late = code(&mut browser).await;
    server.app.clock.shift(60 * 1_000_000);
    exchange(&browser, &late, VERIFIER).await.assert_error(400, "invalid_grant");
    let code = code(&mut browser).await;
    server.app.clock.shift(55 * 1_000_000);
    assert_eq!(exchange(&browser, &code, VERIFIER).await.status, StatusCode::OK);
    for unknown in [secret::one_time().as_str(), "", "x"] {
        exchange(&browser, unknown, VERIFIER).await.assert_error(400, "invalid_grant");
    }
    browser.json("/auth/cli/token", "{\"code\":\"x\"}").await.assert_error(400, "code_verifier");
}

#[tokio::test]
async fn a_person_with_many_tokens_is_told() {
    let server = Server::start(HTTP, None, 1).await;
    let mut browser = server.ann().await;
    for status in [200, 409] {
        let code = code(&mut browser).await;
        let answer = exchange(&browser, &code, VERIFIER).await;
        answer.assert_error(status, if status == 200 { "token" } else { "limit_reached" });
    }
}

#[tokio::test]
async fn parameters_are_checked() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let challenge = challenge();
    let query = |port: &str, state: &str, challenge: &str, more: &str| {
        format!("/auth/cli?port={port}&state={state}&code_challenge={challenge}{more}")
    };
    for port in [
        "0",
        "80",
        "1023",
        "65536",
        "1%40evil",
        "4321@evil",
        "4321/",
        "%2B4321",
        "04321",
        "-1",
        "0x1000",
        "",
        "4321.5",
    ] {
        browser.get(&query(port, STATE, &challenge, "")).await.assert_error(400, "port: must be");
    }
    for port in ["1024", "65535"] {
        assert_eq!(browser.get(&query(port, STATE, &challenge, "")).await.status, StatusCode::OK);
    }
    for state in [&"x".repeat(257), "a%20b%20c%20d%20e%20f%20g", "%22%3E%3Cscript%3E12345", ""] {
        browser
            .get(&query("4321", state, &challenge, ""))
            .await
            .assert_error(400, "state: must be");
    }
    for bad in [&challenge[1..], &format!("{challenge}A"), &challenge.replace(|_| true, "+"), ""] {
        let answer = browser.get(&query("4321", STATE, bad, "")).await;
        answer.assert_error(400, "code_challenge: must be");
    }
    for method in ["plain", "s256", ""] {
        let more = format!("&code_challenge_method={method}");
        let answer = browser.get(&query("4321", STATE, &challenge, &more)).await;
        answer.assert_error(400, "code_challenge_method: must be S256");
    }
    let more = "&code_challenge_method=S256&scope=all&redirect_uri=https://evil.example";
    let page = browser.get(&query("4321", STATE, &challenge, more)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("It has not said its name."));

    // The computer's name is only a name.
    let host = "&host=%3Cb%3Elap%E2%80%AEtop%3C/b%3E%0A%00".to_owned() + &"x".repeat(100);
    let page = browser.get(&query("4321", STATE, &challenge, &host)).await;
    assert!(page.body.contains("&#60;b&#62;laptop&#60;/b&#62;xxx"), "{}", page.body);
    assert!(!page.body.contains(&"x".repeat(65)));
}

#[tokio::test]
async fn who_is_not_signed_in_does_that_first() {
    let server = Server::local().await;
    server.ann().await;
    let mut browser = server.browser();
    let answer = browser.get(&path()).await;
    let login = answer.location().to_owned();
    assert!(login.starts_with("/login?return_to=%2Fauth%2Fcli%3Fport%3D4321"), "{login}");
    let page = browser.get(&login).await;
    let form = [("ticket", page.ticket()), ("login", "ann"), ("password", PASSWORD)];
    let back = browser.post("/login", &form).await;
    let again = browser.get(back.location()).await;
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.body.contains("<strong>laptop</strong>"));
    // Bad parameters are told before anyone signs in.
    server.browser().get("/auth/cli?port=1").await.assert_error(400, "port");
}

#[tokio::test]
async fn only_the_person_who_saw_the_page_may_agree() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let page = ann.get(&path()).await;
    let form = [("ticket", page.ticket())];

    let mut stranger = server.browser();
    stranger.post("/auth/cli", &form).await.assert_error(401, "unauthorized");
    let login = stranger.get("/login").await;
    let sign_in = [("ticket", login.ticket()), ("login", "ann"), ("password", PASSWORD)];
    stranger.post("/login", &sign_in).await;
    stranger.post("/auth/cli", &form).await.assert_error(403, "origin_refused");

    let evil = [("origin", "https://evil.example")];
    ann.post_from("/auth/cli", &form, &evil).await.assert_error(403, "origin_refused");
    server.app.clock.shift(10 * 60 * 1_000_000);
    ann.post("/auth/cli", &form).await.assert_error(403, "origin_refused");
}
