//! The start page, a mesh's settings, and who may see them.

use axum::http::StatusCode;
use meshwire_protocol::Role;
use serde_json::json;

use crate::board::{Board, make};
use crate::browser::Server;

/// What nobody may be able to do to a page.
const HOSTILE: &str = "\"><script>alert('1')</script>&";

#[tokio::test]
async fn a_mesh_is_made_and_listed() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let home = ann.get("/").await;
    assert!(home.body.contains("You are in no mesh yet."), "{}", home.body);
    for step in ["meshwire login", "meshwire mesh create", "meshwire init --harness claude<"] {
        assert!(home.body.contains(step), "no {step} in {}", home.body);
    }
    let mesh = make(&mut ann, " my shop ").await;
    let page = ann.get(&format!("/meshes/{mesh}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("<h1>my shop</h1>") && page.body.contains("its owner"));
    assert!(page.body.contains(&format!("meshwire init --harness claude --mesh {mesh}")));
    let home = ann.get("/").await;
    assert!(home.body.contains(&format!("<a href=\"/meshes/{mesh}\">my shop</a>")));
    assert!(home.body.contains("No agents yet") && home.body.contains("owner"));

    let long = "x".repeat(65);
    for name in ["", "   ", "a\u{202e}b", "a\nb", &long] {
        let form = [("ticket", home.ticket_for("/meshes")), ("name", name)];
        let answer = ann.post("/meshes", &form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name:?}");
        assert!(answer.body.contains("id=\"name-error\">It must be 1 to 64"), "{}", answer.body);
    }
    ann.post("/meshes", &[("name", "x")]).await.assert_error(403, "origin_refused");
    let form = [("ticket", home.ticket_for("/meshes")), ("name", "x")];
    server.browser().post("/meshes", &form).await.assert_error(401, "unauthorized");
    let evil = [("origin", "https://evil.example")];
    ann.post_from("/meshes", &form, &evil).await.assert_error(403, "origin_refused");
    assert_eq!(ann.get("/").await.body.matches("<li class=\"card\">").count(), 1);
}

#[tokio::test]
async fn the_start_page_says_what_goes_on() {
    let mut board = Board::new().await;
    board.agent(&board.ann_token, "worker").await;
    let home = board.ann.get("/").await;
    assert!(home.body.contains("1 agent, 1 active"), "{}", home.body);
    let mut eve = board.stranger().await;
    let path = format!("/join/{}", board.mesh);
    let page = eve.get(&path).await;
    eve.post(&path, &[("ticket", page.ticket())]).await;
    let home = board.ann.get("/").await;
    assert!(home.body.contains("1 asks to join"), "{}", home.body);
    assert!(!board.bob.get("/").await.body.contains("to join"), "a member does not decide");
}

#[tokio::test]
async fn who_may_not_is_told_what_to_do() {
    let mut board = Board::new().await;
    let mut nobody = board.server.browser();
    let answer = nobody.get(&board.at("?before=7")).await;
    let login = format!("/login?return_to=%2Fmeshes%2F{}%3Fbefore%3D7", board.mesh);
    assert_eq!(answer.location(), login);
    let mut eve = board.stranger().await;
    for rest in ["", "/people", "/settings", "/messages/1"] {
        assert!(nobody.get(&board.at(rest)).await.location().starts_with("/login?return_to="));
        let answer = eve.get(&board.at(rest)).await;
        answer.assert_error(403, "not_a_member");
        assert!(answer.body.contains(&format!("href=\"/join/{}\"", board.mesh)), "{rest}");
        assert!(!answer.body.contains("shop"), "{rest}");
        for mesh in ["AAAAAAAAAAAA", "x", "%3Cscript%3E"] {
            let answer = board.ann.get(&format!("/meshes/{mesh}{rest}")).await;
            answer.assert_error(404, "mesh_not_found");
        }
    }
    // Every form, of every kind of visitor that it is not for.
    let page = board.ann.get(&board.at("/settings")).await;
    let anns = page.ticket().to_owned();
    let eves = eve.get("/account").await.ticket().to_owned();
    let bobs = board.bob.get("/account").await.ticket().to_owned();
    for (rest, for_members) in [
        ("/messages", true),
        ("/agents/remove", true),
        ("/people/remove", true),
        ("/people/role", false),
        ("/requests", false),
        ("/invites", false),
        ("/invites/withdraw", false),
        ("/settings", false),
        ("/settings/pause", false),
        ("/settings/delete", false),
    ] {
        let path = board.at(rest);
        let form = |ticket| [("ticket", ticket), ("name", "shop"), ("which", "ann"), ("to", "all")];
        nobody.post(&path, &form(&anns)).await.assert_error(401, "unauthorized");
        eve.post(&path, &form(&eves)).await.assert_error(403, "not_a_member");
        let (status, code) = if for_members { (403, "origin_refused") } else { (403, "forbidden") };
        board.bob.post(&path, &form(&anns)).await.assert_error(status, code);
        if !for_members {
            board.bob.post(&path, &form(&bobs)).await.assert_error(403, "forbidden");
        }
        board.ann.post(&path, &form(&bobs)).await.assert_error(403, "origin_refused");
        board.ann.post(&path, &form("")).await.assert_error(403, "origin_refused");
        for headers in [&[("origin", "https://evil.example")][..], &[("origin", "null")], &[]] {
            let answer = board.ann.post_from(&path, &form(&anns), headers).await;
            answer.assert_error(403, "origin_refused");
        }
        assert!(board.ann.get(&path).await.status.is_client_error() || rest == "/settings");
    }
    assert_eq!(board.role("bob").await, Some(Role::Member));
    assert_eq!(board.role("ann").await, Some(Role::Owner));
    assert_eq!(board.history().await.len(), 0);

    // A member who is removed is a stranger from then on.
    let ticket = board.bob.get(&board.at("/people")).await.ticket().to_owned();
    board.remove("bob").await;
    board.bob.get(&board.at("")).await.assert_error(403, "not_a_member");
    let form = [("ticket", ticket.as_str()), ("which", "ann")];
    board.bob.post(&board.at("/people/remove"), &form).await.assert_error(403, "not_a_member");
}

#[tokio::test]
async fn a_mesh_is_renamed_paused_and_deleted() {
    let mut board = Board::new().await;
    let settings = board.at("/settings");
    let page = board.ann.get(&settings).await;
    assert!(page.body.contains(&format!("meshwire mesh use {}", board.mesh)));
    let ticket = page.ticket_for(&settings);
    for name in ["", "a\u{200b}b"] {
        let answer = board.ann.post(&settings, &[("ticket", ticket), ("name", name)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains("id=\"name-error\""), "{}", answer.body);
    }
    let form = [("ticket", ticket), ("name", HOSTILE)];
    assert_eq!(board.ann.post(&settings, &form).await.location(), settings);
    for path in ["/", &board.at(""), &board.at("/people"), &settings] {
        let page = board.ann.get(path).await;
        assert!(page.body.contains("&#34;&#62;&#60;script&#62;alert("), "{}", page.body);
        assert!(!page.body.contains("<script>"), "{path}");
    }

    let pause = board.at("/settings/pause");
    let form = |paused| [("ticket", ticket), ("paused", paused)];
    board.ann.post(&pause, &form("maybe")).await.assert_error(400, "invalid_request");
    assert_eq!(board.ann.post(&pause, &form("yes")).await.location(), settings);
    let page = board.ann.get(&board.at("")).await;
    assert!(page.body.contains("This mesh is paused"), "{}", page.body);
    let send = board.at("/messages");
    let message =
        [("ticket", page.ticket_for(&send)), ("to", "all"), ("content", "kept while paused")];
    let answer = board.ann.post(&send, &message).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.body.contains("The mesh is paused: nothing can be sent."));
    assert!(answer.body.contains("kept while paused</textarea>"), "{}", answer.body);
    assert!(board.ann.get("/").await.body.contains("paused"));
    assert_eq!(board.ann.post(&pause, &form("no")).await.location(), settings);

    // An admin changes it, and does not delete it.
    board.set_role("bob", Role::Admin).await;
    let page = board.bob.get(&settings).await;
    assert!(page.body.contains("Pause the mesh") && !page.body.contains("Delete the mesh"));
    let delete = board.at("/settings/delete");
    let bobs = [("ticket", page.ticket()), ("name", HOSTILE)];
    board.bob.post(&delete, &bobs).await.assert_error(403, "forbidden");

    for name in ["", "shop", "yes"] {
        let answer = board.ann.post(&delete, &[("ticket", ticket), ("name", name)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.body.contains("nothing was deleted"), "{}", answer.body);
    }
    board.send(&board.ann_token, &json!({"content": "it is still there"})).await;
    let form = [("ticket", ticket), ("name", HOSTILE)];
    assert_eq!(board.ann.post(&delete, &form).await.location(), "/");
    board.ann.get(&settings).await.assert_error(404, "mesh_not_found");
    assert!(board.ann.get("/").await.body.contains("You are in no mesh yet."));
}
