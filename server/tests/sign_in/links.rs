//! One-time links that the operator makes: another account, a new password.

use axum::http::StatusCode;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use meshwire_server::secret;
use meshwire_server::store::{AccountLink, LinkPurpose};

use crate::browser::{Answer, Browser, PASSWORD, Server};
use crate::github::StandIn;

const NEW_PASSWORD: &str = "another battery of horses";
const MINUTE: i64 = 60 * 1_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// The path of a link, as `meshwire-server user` makes it.
async fn link(server: &Server, purpose: LinkPurpose) -> String {
    let code = secret::one_time();
    let expires_at = server.app.clock.now() + DAY;
    let link = AccountLink { hash: secret::digest(&code), purpose, expires_at };
    server.app.store.put_account_link(link).await.expect("the store answers");
    format!("/setup?code={code}")
}

fn add(login: &str) -> LinkPurpose {
    LinkPurpose::Add(login.to_owned())
}

fn reset(login: &str) -> LinkPurpose {
    LinkPurpose::Reset(login.to_owned())
}

async fn log_in(server: &Server, login: &str, password: &str) -> Answer {
    let mut browser = server.browser();
    let page = browser.get("/login").await;
    let form = [("ticket", page.ticket()), ("login", login), ("password", password)];
    browser.post("/login", &form).await
}

async fn choose(browser: &mut Browser, page: &Answer, login: &str, password: &str) -> Answer {
    let form = [
        ("ticket", page.ticket()),
        ("login", login),
        ("name", ""),
        ("password", password),
        ("password_again", password),
    ];
    browser.post("/setup", &form).await
}

#[tokio::test]
async fn a_link_makes_the_account_that_it_is_for() {
    let server = Server::local().await;
    server.ann().await;
    let link = link(&server, add("bob")).await;
    let mut bob = server.browser();
    let page = bob.get(&link).await;
    assert!(
        page.body.contains("value=\"bob\" autocomplete=\"username\" readonly"),
        "{}",
        page.body
    );
    let answer = choose(&mut bob, &page, "eve", "short").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("at least 10 characters"), "{}", answer.body);
    // The login is that of the link, whatever the form says.
    assert_eq!(choose(&mut bob, &page, "eve", PASSWORD).await.location(), "/");
    assert!(bob.get("/").await.body.contains("Hello, bob"));
    assert!(server.app.store.user_by_login("eve").await.unwrap().is_none());
    choose(&mut bob, &page, "bob", PASSWORD).await.assert_error(400, "invalid_grant");
    server.browser().get(&link).await.assert_error(400, "ask whoever runs this server");
}

#[tokio::test]
async fn a_new_password_ends_the_old_one_and_every_session() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let link = link(&server, reset("ann")).await;
    // Nothing happens before the link is used.
    assert_eq!(log_in(&server, "ann", PASSWORD).await.location(), "/");
    let mut other = server.browser();
    let page = other.get(&link).await;
    assert!(!page.body.contains("name=\"name\""), "{}", page.body);
    let answer = choose(&mut other, &page, "ann", "ann").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(ann.get("/").await.body.contains("Sign out"));
    assert_eq!(choose(&mut other, &page, "ann", NEW_PASSWORD).await.location(), "/");
    assert!(other.get("/").await.body.contains("Hello, Ann"));
    assert!(!ann.get("/").await.body.contains("Sign out"));
    assert_eq!(log_in(&server, "ann", PASSWORD).await.status, StatusCode::FORBIDDEN);
    assert_eq!(log_in(&server, "ann", NEW_PASSWORD).await.location(), "/");
    choose(&mut other, &page, "ann", PASSWORD).await.assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_link_ends_after_a_day_or_with_the_next_one() {
    let server = Server::local().await;
    server.ann().await;
    for purpose in [add("bob"), reset("ann")] {
        let first = link(&server, purpose.clone()).await;
        let page = server.browser().get(&first).await;
        let second = link(&server, purpose).await;
        server.browser().get(&first).await.assert_error(400, "invalid_grant");
        let answer = choose(&mut server.browser(), &page, "bob", PASSWORD).await;
        answer.assert_error(400, "invalid_grant");
        server.app.clock.shift(DAY - MINUTE);
        assert_eq!(server.browser().get(&second).await.status, StatusCode::OK);
        server.app.clock.shift(MINUTE);
        server.browser().get(&second).await.assert_error(400, "invalid_grant");
    }
    assert!(server.app.store.user_by_login("bob").await.unwrap().is_none());
    assert_eq!(log_in(&server, "ann", PASSWORD).await.location(), "/");
}

#[tokio::test]
async fn there_are_none_where_people_sign_in_with_github() {
    let github = StandIn::start().await;
    let server = Server::with_github(crate::browser::HTTPS, &github).await;
    let link = link(&server, add("bob")).await;
    server.browser().get(&link).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn no_session_of_the_old_password_outlives_a_reset() {
    let server = Server::local().await;
    server.ann().await;
    let ann = server.app.store.user_by_login("ann").await.unwrap().unwrap();
    let link = link(&server, reset("ann")).await;
    let code = secret::digest(link.split_once('=').unwrap().1);
    // Two passwords are looked at at a time: when the first is through, the others have been found in the
    // store and wait for their turn.
    let mut logins: FuturesUnordered<_> =
        (0..6).map(|_| log_in(&server, "ann", PASSWORD)).collect();
    assert_eq!(logins.next().await.unwrap().location(), "/");
    let now = server.app.clock.now();
    let phc = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g";
    assert!(server.app.store.reset_password(&code, phc, now).await.unwrap().is_some());
    let mut refused = 0;
    while let Some(answer) = logins.next().await {
        refused += u32::from(answer.status == StatusCode::FORBIDDEN);
    }
    assert!(refused > 0);
    assert_eq!(server.app.store.sessions(&ann.id, now).await.unwrap(), []);
}
