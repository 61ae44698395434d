//! There and back.

use axum::http::StatusCode;
use axum::http::header::LOCATION;

use crate::browser::{Answer, Browser, HTTP, HTTPS, Server, path_of};
use crate::github::{Fault, StandIn};

const LOGIN: &str = "mw_login";
const SESSION: &str = "mw_session";

/// Leaves for GitHub, confirms there, and gives the path that GitHub sends the browser back to.
async fn confirm(browser: &mut Browser, path: &str) -> String {
    let answer = browser.get(path).await;
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let confirmed = http.get(answer.location()).send().await.expect("the stand-in answers");
    assert_eq!(confirmed.status(), StatusCode::FOUND, "{}", confirmed.text().await.expect("text"));
    let back = confirmed.headers()[LOCATION].to_str().expect("ASCII");
    path_of(back).to_owned()
}

async fn sign_in(browser: &mut Browser, path: &str) -> Answer {
    let back = confirm(browser, path).await;
    browser.get(&back).await
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let github = StandIn::start().await;
    github.register_callback("https://mesh.example.com/auth/github/callback");
    let server = Server::with_github(HTTPS, &github).await;
    let mut browser = server.browser();

    let welcome = browser.get("/").await;
    assert!(welcome.body.contains("Sign in with GitHub"));
    let back = confirm(&mut browser, "/auth/github?return_to=/auth/cli%3Fport%3D4000&from=x").await;
    assert!(browser.cookie("__Host-mw_login").is_some());
    let answer = browser.get(&back).await;
    assert_eq!(answer.location(), "/auth/cli?port=4000");
    let cookie = answer.set_cookie("__Host-mw_session");
    for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.split("; ").any(|it| it == attribute), "{attribute} in {cookie}");
    }
    assert!(!cookie.contains("Domain"));
    assert!(browser.cookie("__Host-mw_login").is_none());

    let home = browser.get("/account").await;
    assert!(home.body.contains("octocat") && home.body.contains("Mona Octocat"));
    assert!(home.body.contains("Firefox on Linux"));
    assert_eq!(home.header("strict-transport-security"), "max-age=31536000");
    assert_eq!(home.header("cache-control"), "no-store");

    let out = browser.post("/auth/logout", &[("ticket", home.ticket())]).await;
    assert_eq!(out.location(), "/");
    assert!(browser.cookies.is_empty());
}

#[tokio::test]
async fn a_session_ends_on_the_server_too() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    let mut browser = server.browser();
    let answer = sign_in(&mut browser, "/auth/github").await;
    let cookie = answer.set_cookie(SESSION);
    assert!(!cookie.contains("Secure") && cookie.contains("HttpOnly"), "{cookie}");

    let mut copy = browser.clone();
    assert!(copy.get("/").await.body.contains("Sign out"));
    browser.post("/auth/logout", &[]).await;
    assert!(!copy.get("/").await.body.contains("Sign out"));
}

#[tokio::test]
async fn a_new_sign_in_ends_the_old_session_of_the_browser() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    let mut browser = server.browser();
    sign_in(&mut browser, "/auth/github").await;
    let mut old = browser.clone();
    sign_in(&mut browser, "/auth/github").await;
    assert_ne!(old.cookie(SESSION), browser.cookie(SESSION));
    assert!(!old.get("/").await.body.contains("Sign out"));
    assert!(browser.get("/").await.body.contains("Sign out"));
}

#[tokio::test]
async fn a_state_works_once_and_in_its_browser_only() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;

    // Replayed, by the browser itself and by one that has kept the cookie.
    let mut browser = server.browser();
    let back = confirm(&mut browser, "/auth/github").await;
    let mut keeper = browser.clone();
    browser.get(&back).await;
    browser.get(&back).await.assert_error(400, "invalid_grant");
    let replayed = keeper.get(&back).await;
    replayed.assert_error(400, "invalid_grant");
    assert!(replayed.body.contains("finished already"));
    assert!(keeper.cookies.is_empty());

    // Swapped between two browsers: neither is signed in as the other.
    let (mut ann, mut bob) = (server.browser(), server.browser());
    let back_for_ann = confirm(&mut ann, "/auth/github").await;
    let back_for_bob = confirm(&mut bob, "/auth/github").await;
    for (browser, back) in [(&mut ann, &back_for_bob), (&mut bob, &back_for_ann)] {
        let refused = browser.get(back).await;
        refused.assert_error(400, "invalid_grant");
        // By its state, before its verifier would be.
        assert!(refused.body.contains("does not belong"), "{}", refused.body);
    }
    assert!(ann.cookies.is_empty() && bob.cookies.is_empty());

    // No cookie; no state; too late.
    let mut stranger = server.browser();
    stranger.get("/auth/github/callback?code=x&state=y").await.assert_error(400, "invalid_grant");
    let mut browser = server.browser();
    let back = confirm(&mut browser, "/auth/github").await;
    let without = back.split("&state").next().unwrap();
    browser.get(without).await.assert_error(400, "invalid_grant");
    let back = confirm(&mut browser, "/auth/github").await;
    server.app.clock.shift(10 * 60 * 1_000_000);
    browser.get(&back).await.assert_error(400, "invalid_grant");
    assert!(browser.cookie(SESSION).is_none());
}

#[tokio::test]
async fn the_code_of_another_browser_is_refused_by_its_verifier() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    let (mut ann, mut bob) = (server.browser(), server.browser());
    let back_for_ann = confirm(&mut ann, "/auth/github").await;
    let back_for_bob = confirm(&mut bob, "/auth/github").await;
    // Ann's code under Bob's state: only PKCE tells.
    let code = back_for_ann.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let state = back_for_bob.split("state=").nth(1).unwrap();
    let answer = bob.get(&format!("/auth/github/callback?code={code}&state={state}")).await;
    answer.assert_error(400, "invalid_grant");
    assert!(bob.cookies.is_empty());
}

#[tokio::test]
async fn a_refusal_at_github_is_told() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    let mut browser = server.browser();
    let back = confirm(&mut browser, "/auth/github").await;
    let state = back.split("state=").nth(1).unwrap().to_owned();
    let answer =
        browser.get(&format!("/auth/github/callback?error=access_denied&state={state}")).await;
    answer.assert_error(403, "forbidden");
    assert!(browser.cookie(LOGIN).is_none());

    let back = confirm(&mut browser, "/auth/github").await;
    let state = back.split("state=").nth(1).unwrap().to_owned();
    let answer =
        browser.get(&format!("/auth/github/callback?error=%3Cscript%3E&state={state}")).await;
    answer.assert_error(400, "invalid_grant");
    assert!(!answer.body.contains("<script>"));
}

#[tokio::test]
async fn a_github_that_misbehaves_signs_nobody_in() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    for fault in [
        Fault::TokenFails,
        Fault::TokenIsHtml,
        Fault::TokenIsHuge,
        Fault::TokenRedirects,
        Fault::UserFails,
        Fault::UserIsHtml,
        Fault::UserIsHuge,
        Fault::UserIsStrange,
        Fault::HangsUp,
    ] {
        github.set_fault(Some(fault));
        let mut browser = server.browser();
        let answer = sign_in(&mut browser, "/auth/github").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fault:?}");
        assert!(answer.body.contains("GitHub does not answer as it should"), "{fault:?}");
        assert!(browser.cookies.is_empty(), "{fault:?}");
    }
    github.set_fault(None);
    assert_eq!(sign_in(&mut server.browser(), "/auth/github").await.location(), "/");
}

#[tokio::test]
async fn people_are_known_by_number_not_by_login() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    let user = async |login: &str| server.app.store.user_by_login(login).await.unwrap();

    sign_in(&mut server.browser(), "/auth/github").await;
    let first = user("octocat").await.unwrap();

    // Renamed: the same account.
    github.set_user(1, "monalisa", None);
    sign_in(&mut server.browser(), "/auth/github").await;
    assert_eq!(user("monalisa").await.unwrap().id, first.id);
    assert_eq!(user("monalisa").await.unwrap().name, "monalisa");
    assert!(user("octocat").await.is_none());

    // The login goes to somebody else: the one who held it keeps the account under another label.
    github.set_user(2, "Monalisa", Some("Another\u{202e} Person"));
    sign_in(&mut server.browser(), "/auth/github").await;
    let second = user("monalisa").await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(second.name, "Another Person");
    assert_eq!(user("monalisa~1").await.unwrap().id, first.id);
}

#[tokio::test]
async fn a_person_returns_to_a_path_of_ours_only() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    for (wanted, location) in [
        ("/", "/"),
        ("/login", "/login"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("%2f%2fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("/.//evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("https://evil.example", "/"),
        ("/%09/evil.example", "/"),
        ("", "/"),
    ] {
        let path = format!("/auth/github?return_to={wanted}");
        let answer = sign_in(&mut server.browser(), &path).await;
        assert_eq!(answer.location(), location, "{wanted}");
    }
}

#[tokio::test]
async fn there_are_no_passwords_beside_github() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTP, &github).await;
    assert_eq!(meshwire_server::sign_in::first_start(&server.app).await.unwrap(), None);
    let mut browser = server.browser();
    let page = browser.get("/login?return_to=/auth/cli%3Fport%3D4000").await;
    assert!(
        page.body.contains("/auth/github?return_to=%2Fauth%2Fcli%3Fport%3D4000"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("password"));
    browser
        .post("/login", &[("login", "x"), ("password", "y")])
        .await
        .assert_error(404, "not_found");
    browser.get("/setup?code=x").await.assert_error(404, "not_found");
}
