//! Computers without a browser sign in.

use std::net::IpAddr;

use axum::http::StatusCode;
use meshwire_protocol::Scope;
use meshwire_server::secret;
use serde_json::{Value, json};

use crate::browser::{Answer, Browser, HTTP, PASSWORD, Server};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a computer got when it began.
struct Begun {
    device_code: String,
    user_code: String,
}

fn value(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
}

/// Asserts an error of RFC 6749 section 5.2; what it says.
#[track_caller]
fn refused(answer: &Answer, error: &str) -> String {
    let body = value(answer);
    assert_eq!((answer.status.as_u16(), body["error"].as_str()), (400, Some(error)), "{body}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("pragma"), "no-cache");
    let said = body["error_description"].as_str().expect("a text").to_owned();
    assert!(!said.is_empty() && said.bytes().all(|b| (0x20..0x7f).contains(&b)), "{said}");
    assert!(!said.contains(['"', '\\']), "{said}");
    said
}

async fn begin(computer: &Browser, body: &str) -> Begun {
    let answer = computer.json("/auth/device/code", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let body = value(&answer);
    let text = |name: &str| body[name].as_str().expect("a text").to_owned();
    Begun { device_code: text("device_code"), user_code: text("user_code") }
}

async fn poll(computer: &Browser, code: &str) -> Answer {
    let body = json!({"grant_type": GRANT, "device_code": code, "client_id": "meshwire"});
    computer.json("/auth/device/token", &body.to_string()).await
}

/// Types a code, and gives the page that follows.
async fn typed(browser: &mut Browser, code: &str) -> Answer {
    let page = browser.get("/device").await;
    browser.post("/device", &[("ticket", page.ticket()), ("user_code", code)]).await
}

async fn decided(browser: &mut Browser, code: &str, decision: &str) -> Answer {
    let page = typed(browser, code).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let form = [("ticket", page.ticket()), ("decision", decision)];
    browser.post("/device/decide", &form).await
}

/// Another account, in a browser of its own.
async fn bob(server: &Server) -> Browser {
    let link = meshwire_server::store::AccountLink {
        hash: secret::digest("bob"),
        purpose: meshwire_server::store::LinkPurpose::Add("bob".to_owned()),
        expires_at: server.app.clock.now() + MINUTE,
    };
    server.app.store.put_account_link(link).await.expect("the store answers");
    let mut browser = server.browser();
    let page = browser.get("/setup?code=bob").await;
    let form = [("ticket", page.ticket()), ("password", PASSWORD), ("password_again", PASSWORD)];
    assert_eq!(browser.post("/setup", &form).await.location(), "/");
    browser
}

#[tokio::test]
async fn a_computer_without_a_browser_gets_a_token() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let computer = server.browser();
    let answer = computer
        .json("/auth/device/code", "client_id=meshwire&host=build-7&scope=all&x=1&x=2")
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = value(&answer);
    assert_eq!((&body["expires_in"], &body["interval"]), (&json!(600), &json!(5)));
    assert_eq!(body["verification_uri"], format!("{HTTP}/device"));
    assert!(body.get("verification_uri_complete").is_none());
    let (device, user) =
        (body["device_code"].as_str().unwrap(), body["user_code"].as_str().unwrap());
    assert_eq!(device.len(), 43);
    let (first, second) = user.split_once('-').unwrap();
    let of_alphabet =
        |half: &str| half.len() == 4 && half.bytes().all(|b| b"BCDFGHJKLMNPQRSTVWXZ".contains(&b));
    assert!(of_alphabet(first) && of_alphabet(second), "{user}");

    refused(&poll(&computer, device).await, "authorization_pending");
    // A code in the address is not taken: it must be typed.
    let page = ann.get(&format!("/device?user_code={user}")).await;
    assert!(!page.body.contains(user) && page.body.contains("value=\"\""), "{}", page.body);
    let page = typed(&mut ann, &format!(" {} ", user.to_lowercase().replace('-', ""))).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in [
        "<strong>ann</strong>",
        "<strong>build-7</strong>",
        "<strong>127.0.0.1</strong>",
        "<time datetime=",
        "Did someone send you this code? Deny.",
        user,
    ] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    assert!(!page.body.contains("another network"), "{}", page.body);
    assert!(!page.body.contains("<script>"));
    let form = [("ticket", page.ticket()), ("decision", "approve")];
    let done = ann.post("/device/decide", &form).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(done.body.contains("Done."), "{}", done.body);

    let answer = poll(&computer, device).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = value(&answer);
    let token = body["access_token"].as_str().unwrap();
    meshwire_protocol::check_token(token).unwrap();
    assert_eq!(
        (&body["token_type"], &body["scope"]),
        (&json!("Bearer"), &json!("read send agents admin"))
    );
    assert_eq!(body["user"], json!({"login": "ann"}));
    let (token, user) = server.app.store.token(&secret::digest(token)).await.unwrap().unwrap();
    assert_eq!((user.login.as_str(), token.name.as_str()), ("ann", "cli on build-7"));
    assert_eq!(token.scopes, Scope::ALL);
    assert_eq!((token.expires_at, token.mesh.as_ref(), token.revoked_at), (None, None, None));

    // One success only, and nobody decides again.
    for _ in 0..2 {
        refused(&poll(&computer, device).await, "invalid_grant");
    }
    ann.post("/device/decide", &form).await.assert_error(400, "invalid_grant");
    assert_eq!(server.app.store.tokens(&user.id, server.app.clock.now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_person_may_say_no() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let computer = server.browser();
    let begun = begin(&computer, "{}").await;
    let page = typed(&mut ann, &begun.user_code).await;
    assert!(page.body.contains("It has not said its name."), "{}", page.body);
    let form = |decision| [("ticket", page.ticket()), ("decision", decision)];
    ann.post("/device/decide", &form("perhaps")).await.assert_error(400, "decision");
    ann.post("/device/decide", &form("")).await.assert_error(400, "decision");
    assert!(ann.post("/device/decide", &form("deny")).await.body.contains("Denied."));
    ann.post("/device/decide", &form("approve")).await.assert_error(400, "invalid_grant");
    for _ in 0..2 {
        refused(&poll(&computer, &begun.device_code).await, "access_denied");
    }
    // The code is spent for whoever types it.
    typed(&mut ann, &begun.user_code).await.assert_error(400, "No computer waits");
}

#[tokio::test]
async fn forms_and_json_are_taken_and_slips_are_told() {
    let server = Server::local().await;
    let computer = server.browser();
    for body in [
        "",
        "{}",
        "client_id=another",
        "{\"client_id\":\"meshwire\",\"scope\":[1],\"more\":{\"a\":1}}",
        " {\"client_id\":null,\"host\":null}",
        "client_id=&host=",
    ] {
        begin(&computer, body).await;
    }
    let long = "x".repeat(65);
    for (body, field) in [
        ("{\"client_id\":1}", "client_id"),
        ("{\"host\":[]}", "host"),
        ("client_id=a&client_id=a", "client_id"),
        ("{\"client_id\":\"a\",\"client_id\":\"a\"}", "client_id"),
        ("client_id=%00", "client_id"),
        ("client_id=%C3%A4", "client_id"),
        (&format!("client_id={long}"), "client_id"),
        ("{\"client_id\":", "JSON"),
        ("[]", "JSON"),
    ] {
        let said = refused(&computer.json("/auth/device/code", body).await, "invalid_request");
        assert!(said.contains(field), "{body}: {said}");
    }

    let begun = begin(&computer, "client_id=one").await;
    let code = &begun.device_code;
    let form = |grant: &str, more: &str| format!("grant_type={grant}&device_code={code}{more}");
    for (body, error) in [
        (String::new(), "invalid_request"),
        (format!("device_code={code}"), "invalid_request"),
        (form("", ""), "invalid_request"),
        (format!("grant_type={GRANT}"), "invalid_request"),
        (format!("grant_type={GRANT}&device_code="), "invalid_request"),
        (form(GRANT, "&device_code=x"), "invalid_request"),
        (form(GRANT, &format!("&client_id={long}")), "invalid_request"),
        ("{\"grant_type\":7}".to_owned(), "invalid_request"),
        (form("device_code", ""), "unsupported_grant_type"),
        (form("authorization_code", ""), "unsupported_grant_type"),
        (form("%22%5C%E2%80%AE", ""), "unsupported_grant_type"),
        (form(GRANT, "&client_id=two"), "invalid_grant"),
        (format!("grant_type={GRANT}&device_code=x"), "invalid_grant"),
        (format!("grant_type={GRANT}&device_code={}", begun.user_code), "invalid_grant"),
        (format!("grant_type={GRANT}&device_code={}", secret::one_time()), "invalid_grant"),
        (form(GRANT, "&client_id=one&client_secret=x"), "authorization_pending"),
    ] {
        refused(&computer.json("/auth/device/token", &body).await, error);
    }
    // Beyond the standard's words, in ours.
    let huge = "x".repeat(200_000);
    let answer = computer.json("/auth/device/code", &huge).await;
    answer.assert_error(413, "payload_too_large");
    for path in ["/auth/device/code", "/auth/device/token"] {
        assert_eq!(server.browser().get(path).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn who_polls_too_fast_is_slowed_down() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let computer = server.browser();
    let begun = begin(&computer, "{}").await;
    let poll = async || poll(&computer, &begun.device_code).await;
    refused(&poll().await, "authorization_pending");
    let polled = server.app.clock.now();
    refused(&poll().await, "slow_down");
    // Ten seconds now, and six of them have passed, however long that poll took.
    server.app.clock.shift(polled + 6 * SECOND - server.app.clock.now());
    refused(&poll().await, "slow_down");
    server.app.clock.shift(15 * SECOND);
    refused(&poll().await, "authorization_pending");
    server.app.clock.shift(15 * SECOND);
    refused(&poll().await, "authorization_pending");
    decided(&mut ann, &begun.user_code, "approve").await;
    assert_eq!(poll().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_is_good_for_ten_minutes() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let computer = server.browser();
    let (late, approved) = (begin(&computer, "{}").await, begin(&computer, "{}").await);
    let page = typed(&mut ann, &late.user_code).await;
    let form = [("ticket", page.ticket()), ("decision", "approve")];
    server.app.clock.shift(10 * MINUTE - 30 * SECOND);
    decided(&mut ann, &approved.user_code, "approve").await;
    server.app.clock.shift(30 * SECOND);
    typed(&mut ann, &late.user_code).await.assert_error(400, "No computer waits");
    // The page that was open has run out with it.
    let answer = ann.post("/device/decide", &form).await;
    assert!(answer.status.is_client_error(), "{}", answer.body);
    for begun in [&late, &approved] {
        refused(&poll(&computer, &begun.device_code).await, "expired_token");
    }
}

#[tokio::test]
async fn guessing_codes_is_slowed_down() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let computer = server.browser();
    let begun = begin(&computer, "{}").await;
    for wrong in ["BCDF-GHJK", "", "x", "1234-5678"] {
        let answer = typed(&mut ann, wrong).await;
        answer.assert_error(400, "No computer waits with this code");
    }
    // A right one of one's own buys no more guesses.
    let own = begin(&computer, "{}").await;
    assert_eq!(typed(&mut ann, &own.user_code).await.status, StatusCode::OK);
    typed(&mut ann, "BCDF-GHJL").await.assert_error(400, "No computer waits");
    let answer = typed(&mut ann, &begun.user_code).await;
    // Ten minutes after the first one, which a slow machine may have taken a while ago.
    let seconds = answer.retry_after();
    assert!((300..=600).contains(&seconds), "{seconds}");
    let told = format!("Too many wrong codes. Try again in {} minutes.", seconds.div_ceil(60));
    answer.assert_error(429, &told);
    // The account is counted wherever it is, and the address whoever is there.
    ann.address = IpAddr::from([192, 0, 2, 7]);
    typed(&mut ann, &begun.user_code).await.assert_error(429, "Too many");
    let mut bob = bob(&server).await;
    typed(&mut bob, &begun.user_code).await.assert_error(429, "Too many");
    bob.address = IpAddr::from([198, 51, 100, 7]);
    assert_eq!(typed(&mut bob, &begun.user_code).await.status, StatusCode::OK);
    server.app.clock.shift(10 * MINUTE);
    let fresh = begin(&computer, "{}").await;
    assert_eq!(typed(&mut ann, &fresh.user_code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_address_cannot_fill_the_store_with_codes() {
    let server = Server::local().await;
    let mut computer = server.browser();
    for _ in 0..100 {
        begin(&computer, "{}").await;
    }
    let answer = computer.json("/auth/device/code", "client_id=meshwire").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    assert_eq!(value(&answer)["error"], "slow_down");
    // Ten minutes after the first one, which a slow machine may have taken a while ago.
    assert!((300..=600).contains(&answer.retry_after()), "{}", answer.retry_after());
    computer.address = IpAddr::from([192, 0, 2, 7]);
    begin(&computer, "{}").await;
    server.app.clock.shift(10 * MINUTE);
    computer.address = IpAddr::from([127, 0, 0, 1]);
    begin(&computer, "{}").await;
}

#[tokio::test]
async fn only_the_person_who_saw_the_page_may_decide() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let mut bob = bob(&server).await;
    let computer = server.browser();
    let begun = begin(&computer, "{}").await;
    let login = server.browser().get("/device").await;
    assert_eq!(login.location(), "/login?return_to=%2Fdevice");

    // Typing: from our own page, of this session.
    let entry = ann.get("/device").await;
    let code = begun.user_code.as_str();
    let entry = [("ticket", entry.ticket()), ("user_code", code)];
    server.browser().post("/device", &entry).await.assert_error(401, "unauthorized");
    bob.post("/device", &entry).await.assert_error(403, "origin_refused");
    ann.post("/device", &[("user_code", code)]).await.assert_error(403, "origin_refused");

    let page = typed(&mut ann, code).await;
    let form = [("ticket", page.ticket()), ("decision", "approve")];
    server.browser().post("/device/decide", &form).await.assert_error(401, "unauthorized");
    bob.post("/device/decide", &form).await.assert_error(403, "origin_refused");
    for ticket in [entry[0].1, "", "x"] {
        let form = [("ticket", ticket), ("decision", "approve")];
        ann.post("/device/decide", &form).await.assert_error(403, "origin_refused");
    }
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[],
    ] {
        ann.post_from("/device/decide", &form, headers).await.assert_error(403, "origin_refused");
        ann.post_from("/device", &entry, headers).await.assert_error(403, "origin_refused");
    }
    // A link decides nothing.
    let query = format!("/device/decide?decision=approve&ticket={}", page.ticket());
    assert_eq!(ann.get(&query).await.status, StatusCode::METHOD_NOT_ALLOWED);
    refused(&poll(&computer, &begun.device_code).await, "authorization_pending");

    // Two people with the same page: the first decides, and it is their account.
    let of_bob = typed(&mut bob, code).await;
    assert!(of_bob.body.contains("<strong>bob</strong>"), "{}", of_bob.body);
    let of_bob = [("ticket", of_bob.ticket()), ("decision", "approve")];
    assert_eq!(ann.post("/device/decide", &form).await.status, StatusCode::OK);
    bob.post("/device/decide", &of_bob).await.assert_error(400, "invalid_grant");
    let answer = poll(&computer, &begun.device_code).await;
    assert_eq!(value(&answer)["user"]["login"], "ann");
}

#[tokio::test]
async fn what_the_computer_says_is_only_shown() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let mut computer = server.browser();
    computer.address = IpAddr::from([203, 0, 113, 9]);
    let host = format!("<b>lap\u{202e}top</b>\n\0{}", "x".repeat(100));
    let begun = begin(&computer, &json!({"host": host}).to_string()).await;
    let page = typed(&mut ann, &begun.user_code).await;
    assert!(page.body.contains("&#60;b&#62;laptop&#60;/b&#62;xxx"), "{}", page.body);
    assert!(!page.body.contains(&"x".repeat(65)));
    // From far away.
    assert!(page.body.contains("another network than this browser"), "{}", page.body);
    assert!(page.body.contains("<strong>203.0.113.9</strong>"), "{}", page.body);
    // What was typed is escaped too.
    let answer = typed(&mut ann, "\"><script>").await;
    assert!(!answer.body.contains("<script>"), "{}", answer.body);
    ann.address = IpAddr::from([203, 0, 113, 200]);
    let page = typed(&mut ann, &begun.user_code).await;
    assert!(!page.body.contains("another network"), "{}", page.body);
}

#[tokio::test]
async fn a_person_with_many_tokens_is_told() {
    let server = Server::start(HTTP, None, 1).await;
    let mut ann = server.ann().await;
    let computer = server.browser();
    let begun = begin(&computer, "{}").await;
    decided(&mut ann, &begun.user_code, "approve").await;
    let answer = poll(&computer, &begun.device_code).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // She is told, and the computer goes on waiting.
    let second = begin(&computer, "{}").await;
    let told = decided(&mut ann, &second.user_code, "approve").await;
    assert_eq!(told.status, StatusCode::CONFLICT);
    assert!(told.body.contains("You have 1 live tokens"), "{}", told.body);
    refused(&poll(&computer, &second.device_code).await, "authorization_pending");
    // It may still say no.
    decided(&mut ann, &second.user_code, "deny").await;
    refused(&poll(&computer, &second.device_code).await, "access_denied");
}

#[tokio::test]
async fn codes_are_kept_as_hashes_only() {
    let server = Server::local().await;
    let meshwire_server::settings::Place::Sqlite(file) = &server.app.settings.store else { return };
    let computer = server.browser();
    let begun = begin(&computer, "{}").await;
    let folder = file.parent().unwrap();
    let typed = begun.user_code.replace('-', "");
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
        assert!(!holds(&begun.device_code) && !holds(&begun.user_code) && !holds(&typed));
    }
}
