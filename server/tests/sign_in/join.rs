//! The link of an invite in a browser.

use std::net::IpAddr;

use axum::http::StatusCode;
use meshwire_protocol::MeshId;
use meshwire_server::secret;
use meshwire_server::store::{InviteRow, NewMesh, UserRow};

use crate::browser::{Answer, Browser, HTTPS, PASSWORD, Server};
use crate::github::StandIn;

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;

/// A mesh of ann's, who is there already.
async fn mesh_of(server: &Server, ann: &UserRow) -> MeshId {
    let id = secret::mesh_id();
    let mesh = NewMesh {
        id: id.clone(),
        name: "mesh".to_owned(),
        owner: ann.id.clone(),
        created_at: server.app.clock.now(),
    };
    assert!(server.app.store.create_mesh(mesh, 0).await.expect("the store answers"));
    id
}

/// The path of an invite's link.
async fn invite(
    server: &Server,
    mesh: &MeshId,
    by: &UserRow,
    login: Option<&str>,
    uses: u32,
) -> String {
    let code = secret::one_time();
    let now = server.app.clock.now();
    let row = InviteRow {
        id: secret::base62(12),
        mesh: mesh.clone(),
        hash: secret::digest(&code),
        login: login.map(str::to_owned),
        created_by: by.id.clone(),
        created_at: now,
        expires_at: now + HOUR,
        max_uses: uses,
        uses: 0,
    };
    let store = &server.app.store;
    let head = store.head(mesh).await.expect("the store answers").expect("the mesh is there");
    store.create_invite(row, head.epoch, 0).await.expect("the store answers");
    format!("/join/{mesh}?invite={code}")
}

async fn with_mesh() -> (Server, Browser, UserRow, MeshId) {
    let server = Server::local().await;
    let browser = server.ann().await;
    let ann = server.app.store.user_by_login("ann").await.expect("the store answers").expect("ann");
    let mesh = mesh_of(&server, &ann).await;
    (server, browser, ann, mesh)
}

async fn members(server: &Server, mesh: &MeshId) -> Vec<String> {
    let roster = server.app.store.roster(mesh).await.expect("the store answers").expect("the mesh");
    roster.members.into_iter().map(|member| member.login).collect()
}

async fn make(browser: &mut Browser, mesh: &MeshId, page: &Answer, login: &str) -> Answer {
    let form = [
        ("ticket", page.ticket()),
        ("login", login),
        ("name", ""),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    browser.post(&format!("/join/{mesh}"), &form).await
}

#[tokio::test]
async fn an_invite_makes_an_account_and_lets_it_in() {
    let (server, _, ann, mesh) = with_mesh().await;
    let link = invite(&server, &mesh, &ann, None, 1).await;
    let mut bob = server.browser();
    // Looking at it uses nothing up.
    for _ in 0..20 {
        assert_eq!(bob.get(&link).await.status, StatusCode::OK);
    }
    let page = bob.get(&link).await;
    assert!(page.body.contains("Make the account and join"), "{}", page.body);
    for (login, reason) in [("ann", "This login is taken."), ("Bob!", "1 to 39 characters")] {
        let answer = make(&mut bob, &mesh, &page, login).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains(reason), "{}", answer.body);
        assert!(!answer.body.contains(PASSWORD), "it is never sent back");
    }
    let answer = make(&mut bob, &mesh, &page, "bob").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(answer.body.contains("You are in."), "{}", answer.body);
    assert!(answer.set_cookie("mw_session").contains("HttpOnly; SameSite=Lax"));
    assert!(bob.get("/").await.body.contains("Hello, bob"));
    assert_eq!(members(&server, &mesh).await, ["ann", "bob"]);

    // Used up: no second account, by the open page or by the link.
    make(&mut server.browser(), &mesh, &page, "eve").await.assert_error(410, "invite_expired");
    server.browser().get(&link).await.assert_error(410, "invite_expired");
    assert!(server.app.store.user_by_login("eve").await.unwrap().is_none());
}

#[tokio::test]
async fn who_has_an_account_signs_in_and_joins() {
    let (server, mut ann, row, mesh) = with_mesh().await;
    let first = invite(&server, &mesh, &row, None, 1).await;
    let page = server.browser().get(&first).await;
    make(&mut server.browser(), &mesh, &page, "bob").await;
    let other = mesh_of(&server, &row).await;
    let link = invite(&server, &other, &row, None, 1).await;

    let mut bob = server.browser();
    let page = bob.get(&link).await;
    let path = format!("/login?return_to=%2Fjoin%2F{other}%3Finvite%3D");
    assert!(page.body.contains(&path), "{path} in {}", page.body);
    let login = bob.get(&format!("/login?return_to={}", link.replace('?', "%3F"))).await;
    let form = [("ticket", login.ticket()), ("login", "bob"), ("password", PASSWORD)];
    assert_eq!(bob.post("/login", &form).await.location(), link);
    let page = bob.get(&link).await;
    assert!(page.body.contains("Join as bob"), "{}", page.body);
    assert_eq!(members(&server, &other).await, ["ann"], "opening it joins nothing");

    let form = [("ticket", page.ticket())];
    let path = format!("/join/{other}");
    for headers in [&[("origin", "https://evil.example")][..], &[("origin", "null")], &[]] {
        bob.post_from(&path, &form, headers).await.assert_error(403, "origin_refused");
    }
    ann.post(&path, &form).await.assert_error(403, "origin_refused");
    server.browser().post(&path, &form).await.assert_error(401, "unauthorized");
    bob.post(&format!("/join/{mesh}"), &form).await.assert_error(403, "origin_refused");
    bob.post(&path, &[]).await.assert_error(403, "origin_refused");
    assert_eq!(members(&server, &other).await, ["ann"]);
    assert!(bob.post(&path, &form).await.body.contains("You are in."));
    assert!(bob.post(&path, &form).await.body.contains("You are in."));
    assert_eq!(members(&server, &other).await, ["ann", "bob"]);

    // Without an invite one asks.
    let third = mesh_of(&server, &row).await;
    let page = bob.get(&format!("/join/{third}")).await;
    assert!(page.body.contains("Ask to join as bob"), "{}", page.body);
    let answer = bob.post(&format!("/join/{third}"), &[("ticket", page.ticket())]).await;
    assert!(answer.body.contains("You have asked to join."), "{}", answer.body);
    assert_eq!(members(&server, &third).await, ["ann"]);
}

#[tokio::test]
async fn an_invite_for_a_login_makes_that_one() {
    let (server, _, ann, mesh) = with_mesh().await;
    let link = invite(&server, &mesh, &ann, Some("bob"), 1).await;
    let mut browser = server.browser();
    let page = browser.get(&link).await;
    assert!(
        page.body.contains("value=\"bob\" autocomplete=\"username\" readonly"),
        "{}",
        page.body
    );
    // Whatever the form says.
    make(&mut browser, &mesh, &page, "eve").await;
    assert_eq!(members(&server, &mesh).await, ["ann", "bob"]);
    assert!(server.app.store.user_by_login("eve").await.unwrap().is_none());
}

#[tokio::test]
async fn without_a_valid_invite_nobody_makes_an_account() {
    let (server, _, ann, mesh) = with_mesh().await;
    let other = mesh_of(&server, &ann).await;
    let link = invite(&server, &mesh, &ann, None, 1).await;
    let code = link.split_once('=').unwrap().1;
    let mut browser = server.browser();
    let page = browser.get(&link).await;

    // No code, another mesh, another code.
    let without = browser.get(&format!("/join/{mesh}")).await;
    assert!(!without.body.contains("name=\"password\""), "{}", without.body);
    let elsewhere = format!("/join/{other}?invite={code}");
    browser.get(&elsewhere).await.assert_error(404, "invite_not_found");
    let wrong = format!("/join/{mesh}?invite={}", secret::one_time());
    browser.get(&wrong).await.assert_error(404, "invite_not_found");
    make(&mut browser, &other, &page, "eve").await.assert_error(403, "origin_refused");
    let form = [("login", "eve"), ("password", PASSWORD), ("password_again", PASSWORD)];
    browser.post(&format!("/join/{mesh}"), &form).await.assert_error(403, "origin_refused");
    let setup = [("ticket", page.ticket()), form[0], form[1], form[2]];
    browser.post("/setup", &setup).await.assert_error(403, "origin_refused");

    // Run out while the page was open.
    server.app.clock.shift(HOUR - MINUTE);
    assert_eq!(browser.get(&link).await.status, StatusCode::OK);
    let page = browser.get(&link).await;
    server.app.clock.shift(MINUTE);
    make(&mut browser, &mesh, &page, "eve").await.assert_error(410, "invite_expired");
    assert!(server.app.store.user_by_login("eve").await.unwrap().is_none());
}

#[tokio::test]
async fn guessing_invites_is_slowed_down() {
    let (server, _, ann, mesh) = with_mesh().await;
    let link = invite(&server, &mesh, &ann, None, 1).await;
    let mut browser = server.browser();
    for _ in 0..10 {
        let wrong = format!("/join/{mesh}?invite={}", secret::one_time());
        browser.get(&wrong).await.assert_error(404, "invite_not_found");
    }
    let answer = browser.get(&link).await;
    answer.assert_error(429, "rate_limited");
    // A minute after the first one, which a slow machine may have taken a while ago.
    assert!((1..=60).contains(&answer.retry_after()), "{}", answer.retry_after());
    browser.address = IpAddr::from([192, 0, 2, 7]);
    assert_eq!(browser.get(&link).await.status, StatusCode::OK);
    browser.address = IpAddr::from([127, 0, 0, 1]);
    server.app.clock.shift(MINUTE);
    assert_eq!(browser.get(&link).await.status, StatusCode::OK);
}

#[tokio::test]
async fn with_github_there_is_only_github() {
    let github = StandIn::start().await;
    let server = Server::with_github(HTTPS, &github).await;
    let mesh = secret::mesh_id();
    let link = format!("/join/{mesh}?invite={}", secret::one_time());
    let mut browser = server.browser();
    let page = browser.get(&link).await;
    assert_eq!(page.status, StatusCode::OK);
    let button = format!("/auth/github?return_to=%2Fjoin%2F{mesh}%3Finvite%3D");
    assert!(page.body.contains(&button), "{}", page.body);
    assert!(
        !page.body.contains("name=\"password\"") && !page.body.contains("<form"),
        "{}",
        page.body
    );
    let form = [("login", "eve"), ("password", PASSWORD), ("password_again", PASSWORD)];
    browser.post(&format!("/join/{mesh}"), &form).await.assert_error(403, "origin_refused");
}
