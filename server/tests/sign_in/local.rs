//! Accounts of the server's own.

use std::net::IpAddr;

use axum::http::StatusCode;

use crate::browser::{Browser, PASSWORD, Server, path_of};

const SESSION: &str = "mw_session";
const MINUTE: i64 = 60 * 1_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

async fn log_in(browser: &mut Browser, login: &str, password: &str) -> crate::browser::Answer {
    let page = browser.get("/login?return_to=/x").await;
    browser
        .post("/login", &[("ticket", page.ticket()), ("login", login), ("password", password)])
        .await
}

#[tokio::test]
async fn a_set_up_link_makes_one_account() {
    let server = Server::local().await;
    let mut browser = server.browser();
    assert!(browser.get("/").await.body.contains("Nobody has an account here yet"));
    assert!(browser.get("/login").await.body.contains("Nobody has an account here yet"));
    let first = meshwire_server::sign_in::first_start(&server.app).await.unwrap().unwrap();
    let second = meshwire_server::sign_in::first_start(&server.app).await.unwrap().unwrap();

    // A restart ends the link before.
    browser.get(path_of(&first)).await.assert_error(400, "invalid_grant");
    browser.get("/setup").await.assert_error(400, "invalid_grant");
    let page = browser.get(path_of(&second)).await;
    let form = |login, password, again| {
        [
            ("ticket", page.ticket()),
            ("login", login),
            ("name", "Ann"),
            ("password", password),
            ("password_again", again),
        ]
    };
    for (login, password, again, reason) in [
        ("ann", "short", "short", "at least 10 characters"),
        ("ann", PASSWORD, "another battery", "not the same"),
        ("Ann!", PASSWORD, PASSWORD, "1 to 39 characters"),
        ("annannannann", "annannannann", "annannannann", "must not be the login"),
    ] {
        let answer = browser.post("/setup", &form(login, password, again)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains(reason), "{reason} in {}", answer.body);
        assert!(login == password || !answer.body.contains(password), "it is never sent back");
    }
    let answer = browser.post("/setup", &form("ann", PASSWORD, PASSWORD)).await;
    assert_eq!(answer.location(), "/");
    assert!(answer.set_cookie(SESSION).contains("HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000"));
    assert!(browser.get("/").await.body.contains("Hello, Ann"));

    // Spent.
    browser
        .post("/setup", &form("bob", PASSWORD, PASSWORD))
        .await
        .assert_error(400, "invalid_grant");
    browser.get(path_of(&second)).await.assert_error(400, "invalid_grant");
    assert_eq!(meshwire_server::sign_in::first_start(&server.app).await.unwrap(), None);
}

#[tokio::test]
async fn a_set_up_link_ends_after_a_day() {
    let server = Server::local().await;
    let link = meshwire_server::sign_in::first_start(&server.app).await.unwrap().unwrap();
    server.app.clock.shift(DAY);
    let answer = server.browser().get(path_of(&link)).await;
    answer.assert_error(400, "invalid_grant");
    assert!(answer.body.contains("Restart <code>meshwire-server</code>"), "{}", answer.body);
}

#[tokio::test]
async fn a_password_opens_its_account_alone() {
    let server = Server::local().await;
    server.ann().await;
    let mut browser = server.browser();

    let wrong = log_in(&mut browser, "ann", "not my password").await;
    let unknown = log_in(&mut browser, "nobody", "not my password").await;
    let impossible = log_in(&mut browser, "../../etc", "not my password").await;
    for answer in [&wrong, &unknown, &impossible] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(answer.body.contains("Login and password do not fit together."));
    }
    assert!(browser.cookies.is_empty());

    assert_eq!(log_in(&mut browser, "Ann ", PASSWORD).await.location(), "/x");
    assert!(browser.cookie(SESSION).is_some());
    assert_eq!(browser.get("/login?return_to=/y").await.location(), "/y");
    assert_eq!(browser.get("/login?return_to=//evil.example").await.location(), "/");
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let server = Server::local().await;
    server.ann().await;
    let mut browser = server.browser();
    for _ in 0..10 {
        assert_eq!(log_in(&mut browser, "ann", "guess guess").await.status, StatusCode::FORBIDDEN);
    }
    let answer = log_in(&mut browser, "ann", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    // Ten minutes after the first one, which a slow machine may have taken a while ago.
    let seconds = answer.retry_after();
    assert!((300..=600).contains(&seconds), "{seconds}");
    let told = format!("Try again in {} minutes", seconds.div_ceil(60));
    assert!(answer.body.contains(&told), "{told}: {}", answer.body);
    // Whoever guesses keeps nobody out but themselves.
    let mut elsewhere = server.browser();
    elsewhere.address = IpAddr::from([192, 0, 2, 7]);
    assert_eq!(log_in(&mut elsewhere, "ann", PASSWORD).await.location(), "/x");
    assert_eq!(log_in(&mut browser, "ann", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    server.app.clock.shift(10 * MINUTE);
    assert_eq!(log_in(&mut browser, "ann", PASSWORD).await.location(), "/x");
}

#[tokio::test]
async fn an_old_page_asks_again() {
    let server = Server::local().await;
    server.ann().await;
    let mut browser = server.browser();
    let page = browser.get("/login").await;
    server.app.clock.shift(61 * MINUTE);
    let form = [("ticket", page.ticket()), ("login", "ann"), ("password", PASSWORD)];
    let answer = browser.post("/login", &form).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.body.contains("open for too long"));
    let form = [("ticket", answer.ticket()), ("login", "ann"), ("password", PASSWORD)];
    assert_eq!(browser.post("/login", &form).await.location(), "/");
}

#[tokio::test]
async fn sessions_end_by_themselves_and_from_elsewhere() {
    let server = Server::local().await;
    let mut first = server.ann().await;
    let mut second = server.browser();
    log_in(&mut second, "ann", PASSWORD).await;

    // The newest stands first: its own, and then the other.
    let home = second.get("/account").await;
    assert_eq!(home.body.matches("/sessions/").count(), 2);
    assert_eq!(home.body.matches("this browser").count(), 1);
    let other = home.body.split("action=\"/sessions/").nth(2).unwrap().split('/').next().unwrap();
    let path = format!("/sessions/{other}/end");
    second.post(&path, &[]).await.assert_error(403, "origin_refused");
    let theirs = first.get("/account").await;
    second.post(&path, &[("ticket", theirs.ticket())]).await.assert_error(403, "origin_refused");
    assert_eq!(second.post(&path, &[("ticket", home.ticket())]).await.location(), "/account");
    second.post(&path, &[("ticket", home.ticket())]).await.assert_error(404, "not_found");
    assert!(!first.get("/").await.body.contains("Sign out"));
    first.post(&path, &[("ticket", home.ticket())]).await.assert_error(401, "unauthorized");

    // Seen every week it lives for thirty days, unseen for two weeks it does not.
    let mut third = server.browser();
    log_in(&mut third, "ann", PASSWORD).await;
    for _ in 0..4 {
        server.app.clock.shift(7 * DAY);
        assert!(third.get("/").await.body.contains("Sign out"));
    }
    assert!(!second.get("/").await.body.contains("Sign out"));
    server.app.clock.shift(2 * DAY);
    assert!(!third.get("/").await.body.contains("Sign out"));
}

#[tokio::test]
async fn one_ends_the_own_session_too() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let home = browser.get("/account").await;
    let own = home.body.split("action=\"/sessions/").nth(1).unwrap().split('/').next().unwrap();
    let answer = browser.post(&format!("/sessions/{own}/end"), &[("ticket", home.ticket())]).await;
    assert_eq!(answer.location(), "/");
    assert!(browser.cookies.is_empty());
}

#[tokio::test]
async fn github_is_not_there() {
    let server = Server::local().await;
    server.browser().get("/auth/github").await.assert_error(404, "not_found");
    server.browser().get("/auth/github/callback?code=x").await.assert_error(404, "not_found");
}
