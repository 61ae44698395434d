//! What keeps other sites out, and the looks of every answer.

use axum::http::StatusCode;

use crate::browser::{HTTP, HTTPS, PASSWORD, Server};
use crate::github::StandIn;

#[tokio::test]
async fn forms_from_elsewhere_are_refused() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let home = browser.get("/").await;
    let ticket = home.ticket();
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("origin", "http://localhost:4200")],
        &[("origin", "http://127.0.0.1:4201")],
        &[("origin", "https://127.0.0.1:4200")],
        &[("origin", HTTP), ("origin", "https://evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("authorization", "Bearer mw_x")],
        &[],
    ] {
        for path in [
            "/auth/logout",
            "/login",
            "/setup",
            "/auth/cli",
            "/sessions/x/end",
            "/account/tokens",
            "/device",
            "/device/decide",
            "/join/AAAAAAAAAAAA",
            "/meshes",
        ] {
            let answer = browser.post_from(path, &[("ticket", ticket)], headers).await;
            let twice = headers.len() == 2 && headers[1].0 == "origin";
            let (status, code) =
                if twice { (400, "invalid_request") } else { (403, "origin_refused") };
            answer.assert_error(status, code);
        }
    }
    assert!(browser.get("/").await.body.contains("Sign out"));
    let same_origin = [("sec-fetch-site", "same-origin")];
    let answer = browser.post_from("/auth/logout", &[("ticket", ticket)], &same_origin).await;
    assert_eq!(answer.location(), "/");
}

#[tokio::test]
async fn a_ticket_of_another_session_or_kind_is_refused() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let mut other = server.browser();
    let login = other.get("/login").await;
    let form = [("ticket", login.ticket()), ("login", "ann"), ("password", PASSWORD)];
    other.post("/login", &form).await;
    let theirs = other.get("/account").await;
    for ticket in [theirs.ticket(), login.ticket(), "x"] {
        ann.post("/auth/logout", &[("ticket", ticket)]).await.assert_error(403, "origin_refused");
        ann.post("/auth/cli", &[("ticket", ticket)]).await.assert_error(403, "origin_refused");
    }
    assert!(ann.get("/").await.body.contains("Sign out"));
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    let github = StandIn::start().await;
    let servers = [Server::local().await, Server::with_github(HTTPS, &github).await];
    for server in &servers {
        for path in [
            "/",
            "/login",
            "/auth/cli?port=1",
            "/join/AAAAAAAAAAAA",
            "/meshes/AAAAAAAAAAAA",
            "/static/style.css",
            "/static/none",
        ] {
            let answer = server.browser().get(path).await;
            assert_eq!(
                answer.header("content-security-policy"),
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                 connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            );
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
            assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
            assert!(answer.header("permissions-policy").contains("camera=()"));
            let is_https = server.app.url("").starts_with("https");
            assert_eq!(!answer.header("strict-transport-security").is_empty(), is_https);
            // Pages with forms need their own Origin to be told; nothing else does.
            let is_page = answer.header("content-type").starts_with("text/html");
            let policy = if is_page { "same-origin" } else { "no-referrer" };
            assert_eq!(answer.header("referrer-policy"), policy);
            let is_file = path == "/static/style.css";
            assert_eq!(answer.header("cache-control") == "no-store", !is_file, "{path}");
            // Scripts come as files alone, and styles too.
            let scripts = answer.body.matches("<script").count();
            assert_eq!(scripts, answer.body.matches("<script src=\"/static/").count(), "{path}");
            assert!(!answer.body.contains("style="), "{path}");
        }
    }
}

#[tokio::test]
async fn files_are_kept_by_browsers() {
    let server = Server::local().await;
    let mut browser = server.browser();
    let page = browser.get("/").await;
    let address = page.body.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next();
    let file = browser.get(address.unwrap()).await;
    assert_eq!(file.status, StatusCode::OK);
    assert_eq!(file.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
    let without = browser.get("/static/style.css").await;
    assert_eq!(without.header("cache-control"), "public, no-cache");
    assert!(!without.header("etag").is_empty());
    assert_eq!(browser.get("/static/logo.svg").await.header("content-type"), "image/svg+xml");
    browser.get("/static/..%2f..%2fCargo.toml").await.assert_error(404, "not_found");
}

#[tokio::test]
async fn another_name_of_this_computer_leads_to_the_public_one() {
    let server = Server::local().await;
    let mut browser = server.browser();
    for host in ["localhost:4200", "[::1]:4200", "127.0.0.2:4200"] {
        let answer = browser.get_at(host, "/login?return_to=/x").await;
        assert_eq!(answer.location(), format!("{HTTP}/login?return_to=/x"), "{host}");
    }
    for host in ["127.0.0.1:4200", "localhost:9999", "mesh.example.com", "evil.example:4200"] {
        assert_eq!(browser.get_at(host, "/login").await.status, StatusCode::OK, "{host}");
    }
    let github = StandIn::start().await;
    let public = Server::with_github(HTTPS, &github).await;
    assert_eq!(public.browser().get_at("localhost:443", "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_people_wrote_is_escaped() {
    let server = Server::local().await;
    let mut browser = server.browser();
    let page = browser.get("/login").await;
    let login = "\"><script>alert(1)</script>";
    let form = [("ticket", page.ticket()), ("login", login), ("password", "x")];
    let answer = browser.post("/login", &form).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!answer.body.contains("<script>"));
}

#[tokio::test]
async fn programs_get_problems_and_people_get_pages() {
    let server = Server::local().await;
    let mut browser = server.browser();
    let page = browser.get("/auth/cli?port=0").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let problem = browser.json("/auth/cli/token", "{}").await;
    problem.assert_error(400, "invalid_request");
    assert_eq!(problem.header("content-type"), "application/problem+json");
}
