//! Members, invites, and requests to join, as people decide them on a page.

use axum::http::StatusCode;
use meshwire_protocol::Role;

use crate::board::{Board, invite, join, link};
use crate::browser::{Answer, Browser};

async fn act(board: &Board, browser: &mut Browser, rest: &str, which: &str) -> Answer {
    let page = browser.get(&board.at("/people")).await;
    let ticket = page.ticket().to_owned();
    browser.post(&board.at(rest), &[("ticket", &ticket), ("which", which)]).await
}

#[tokio::test]
async fn roles_are_given_and_the_mesh_is_handed_over() {
    let mut board = Board::new().await;
    let people = board.at("/people");
    let mut ann = board.ann.clone();
    let page = ann.get(&people).await;
    for button in ["value=\"bob admin\"", "value=\"bob owner\"", "value=\"bob\""] {
        assert!(page.body.contains(button), "no {button} in {}", page.body);
    }
    assert!(!page.body.contains("value=\"ann"), "the owner stays as they are");
    let page = board.bob.get(&people).await;
    assert!(page.body.contains("Leave this mesh"), "{}", page.body);
    assert!(!page.body.contains("value=\"ann") && !page.body.contains("Invite someone"));

    assert_eq!(act(&board, &mut ann, "/people/role", "bob admin").await.location(), people);
    assert_eq!(board.role("bob").await, Some(Role::Admin));
    for (which, status, code) in [
        ("bob king", 400, "invalid_request"),
        ("bob", 400, "invalid_request"),
        ("eve admin", 404, "member_not_found"),
        ("ann member", 409, "owner_must_stay"),
    ] {
        act(&board, &mut ann, "/people/role", which).await.assert_error(status, code);
    }
    let mut bob = board.bob.clone();
    act(&board, &mut bob, "/people/role", "bob owner").await.assert_error(403, "forbidden");
    assert_eq!(act(&board, &mut ann, "/people/role", "bob owner").await.location(), people);
    assert_eq!(board.role("bob").await, Some(Role::Owner));
    assert_eq!(board.role("ann").await, Some(Role::Admin));
    act(&board, &mut ann, "/people/role", "bob member").await.assert_error(403, "forbidden");
}

#[tokio::test]
async fn members_are_removed_and_leave() {
    let mut board = Board::new().await;
    let mut ann = board.ann.clone();
    let mut bob = board.bob.clone();
    let mut cyd = join(&board.server, &mut ann, &board.mesh, "cyd").await;
    // Members remove nobody but themselves, admins no admins, and the owner stays.
    act(&board, &mut bob, "/people/remove", "cyd").await.assert_error(403, "forbidden");
    act(&board, &mut ann, "/people/remove", "ann").await.assert_error(409, "owner_must_stay");
    act(&board, &mut ann, "/people/remove", "nobody").await.assert_error(404, "member_not_found");
    board.set_role("bob", Role::Admin).await;
    act(&board, &mut bob, "/people/remove", "ann").await.assert_error(403, "forbidden");
    let page = bob.get(&board.at("/people")).await;
    assert!(page.body.contains("Remove cyd") && !page.body.contains("Remove ann"));
    let removed = act(&board, &mut bob, "/people/remove", "cyd").await;
    assert_eq!(removed.location(), board.at("/people"));
    assert_eq!(board.role("cyd").await, None);
    cyd.get(&board.at("")).await.assert_error(403, "not_a_member");
    assert_eq!(act(&board, &mut bob, "/people/remove", "bob").await.location(), "/");
    assert!(board.bob.get("/").await.body.contains("You are in no mesh yet."));
}

#[tokio::test]
async fn an_invite_is_shown_once_used_and_withdrawn() {
    let board = Board::new().await;
    let mut ann = board.ann.clone();
    let made = invite(&mut ann, &board.mesh, &[("hours", "24"), ("uses", "3")]).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let path = link(&made);
    assert!(made.body.contains("meshwire mesh join &#39;http"), "{}", made.body);
    let code = path.split_once("invite=").unwrap().1;
    let page = ann.get(&board.at("/people")).await;
    assert!(!page.body.contains(code) && page.body.contains("0 of 3 used"), "{}", page.body);

    let made =
        invite(&mut ann, &board.mesh, &[("login", " @Eve "), ("hours", "168"), ("uses", "5")])
            .await;
    assert!(made.body.contains("It lets eve in, and nobody else."), "{}", made.body);
    for (fields, id, reason) in [
        (&[("login", "not a login"), ("uses", "1")][..], "login-error", "It is not a login"),
        (&[("login", "bob"), ("uses", "1")], "login-error", "bob is a member already."),
        (&[("uses", "0")], "uses-error", "It must be 1 to 1000."),
        (&[("uses", "many")], "uses-error", "It must be a whole number."),
        (&[("hours", "9999")], "hours-error", "It must be 1 to 8760."),
    ] {
        let answer = invite(&mut ann, &board.mesh, fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields:?}");
        let error = format!("id=\"{id}\">{reason}");
        assert!(answer.body.contains(&error), "no {error} in {}", answer.body);
        assert!(answer.body.contains(&format!("value=\"{}\"", fields[0].1)) || id == "hours-error");
    }

    // The list is newest first: eve's, then the link, then the one that bob has used up.
    let page = ann.get(&board.at("/people")).await;
    assert!(page.body.contains("For eve") && page.body.contains("1 of 1 used"));
    let withdraw = board.at("/invites/withdraw");
    let (_, list) = page.body.split_once(&withdraw).unwrap();
    let id = list.split("name=\"which\" value=\"").nth(2).unwrap().split('"').next().unwrap();
    let answer = act(&board, &mut ann, "/invites/withdraw", id).await;
    assert_eq!(answer.location(), board.at("/people"));
    board.server.browser().get(&path).await.assert_error(404, "invite_not_found");
    let again = act(&board, &mut ann, "/invites/withdraw", id).await;
    again.assert_error(404, "invite_not_found");
}

#[tokio::test]
async fn requests_to_join_are_decided() {
    let mut board = Board::new().await;
    let mut eve = board.stranger().await;
    let ask = format!("/join/{}", board.mesh);
    let page = eve.get(&ask).await;
    let asked = eve.post(&ask, &[("ticket", page.ticket())]).await;
    assert!(asked.body.contains("You have asked to join."), "{}", asked.body);
    let mut ann = board.ann.clone();
    let page = ann.get(&board.at("/people")).await;
    // As a login stands on the page: an id may have the same letters.
    let shown = ["They ask to join", "<strong>eve</strong>", "accept eve"];
    assert!(shown.iter().all(|text| page.body.contains(text)), "{}", page.body);
    let page = board.bob.get(&board.at("/people")).await;
    assert!(!shown.iter().any(|text| page.body.contains(text)), "{}", page.body);

    let unclear = act(&board, &mut ann, "/requests", "eve").await;
    unclear.assert_error(400, "invalid_request");
    let nobody = act(&board, &mut ann, "/requests", "accept bob").await;
    nobody.assert_error(404, "request_not_found");
    let accepted = act(&board, &mut ann, "/requests", "accept eve").await;
    assert_eq!(accepted.location(), board.at("/people"));
    assert_eq!(board.role("eve").await, Some(Role::Member));
    assert_eq!(eve.get(&board.at("")).await.status, StatusCode::OK);
    let again = act(&board, &mut ann, "/requests", "accept eve").await;
    again.assert_error(404, "request_not_found");

    board.remove("eve").await;
    let page = eve.get(&ask).await;
    eve.post(&ask, &[("ticket", page.ticket())]).await;
    act(&board, &mut ann, "/requests", "refuse eve").await.location();
    assert_eq!(board.role("eve").await, None);
    eve.post(&ask, &[("ticket", page.ticket())]).await.assert_error(429, "rate_limited");
}
