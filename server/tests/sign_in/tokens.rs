//! The page on which a person makes and revokes tokens.

use std::sync::Arc;

use axum::http::StatusCode;
use meshwire_protocol::{AgentKind, MeshId, Scope};
use meshwire_server::secret;
use meshwire_server::store::{
    AgentChange, AgentRow, NewAgent, NewMesh, NewUser, Register, TokenMade, TokenRow, UserRow,
};

use crate::browser::{Answer, Browser, HTTP, Server};

const PAGE: &str = "/account/tokens";
const DAY: i64 = 24 * 60 * 60 * 1_000_000;

async fn user(server: &Server) -> UserRow {
    server.app.store.user_by_login("ann").await.expect("the store answers").expect("she is there")
}

async fn mesh(server: &Server, owner: &UserRow, name: &str) -> MeshId {
    let id = secret::mesh_id();
    let mesh =
        NewMesh { id: id.clone(), name: name.to_owned(), owner: owner.id.clone(), created_at: 1 };
    assert!(server.app.store.create_mesh(mesh, 0).await.expect("the store answers"));
    id
}

async fn agent(server: &Server, owner: &UserRow, mesh: &MeshId, name: &str) -> AgentRow {
    let agent = NewAgent {
        mesh: mesh.clone(),
        id: secret::agent_id(),
        name: name.to_owned(),
        kind: AgentKind::Agent,
        user: owner.id.clone(),
        fields: AgentChange::default(),
        now: 1,
    };
    match server.app.store.register_agent(agent, 0).await.expect("the store answers") {
        Register::Created(agent) => agent,
        other => panic!("the name is free, but {other:?}"),
    }
}

async fn stranger(server: &Server) -> UserRow {
    let new = NewUser {
        id: secret::user_id(),
        identity: "github:7".to_owned(),
        login: "eve".to_owned(),
        name: "Eve".to_owned(),
        password: None,
        now: 1,
    };
    server.app.store.sign_in_github(new).await.expect("the store answers")
}

/// Fills in the form of a page that was opened for it.
async fn make(browser: &mut Browser, fields: &[(&str, &str)]) -> Answer {
    let page = browser.get(PAGE).await;
    browser.post(PAGE, &filled(&page, fields)).await
}

/// The form of a page with these fields, and the others as a page has them where nobody chooses.
fn filled<'a>(page: &'a Answer, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("ticket", page.ticket_for(PAGE))];
    let others = [("for", ""), ("expires", "")];
    form.extend(others.iter().filter(|(name, _)| fields.iter().all(|(given, _)| given != name)));
    form.extend(fields);
    form
}

/// The token that a page shows.
#[track_caller]
fn shown_token(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let (_, rest) = answer.body.split_once("class=\"secret\">").expect("a token");
    let token = rest.split('<').next().expect("an end");
    meshwire_protocol::check_token(token).expect("a real one");
    assert_eq!(answer.body.matches(token).count(), 1, "it is shown once");
    token.to_owned()
}

async fn kept(server: &Server, token: &str) -> Arc<TokenRow> {
    server
        .app
        .store
        .token(&secret::digest(token))
        .await
        .expect("the store answers")
        .expect("it is kept")
        .0
}

async fn live(server: &Server) -> usize {
    let ann = user(server).await;
    server.app.store.tokens(&ann.id, server.app.clock.now()).await.expect("the store answers").len()
}

#[tokio::test]
async fn a_token_is_made_shown_once_and_revoked() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    assert!(browser.get("/").await.body.contains("href=\"/account/tokens\""));
    let empty = browser.get(PAGE).await;
    assert!(empty.body.contains("You have none yet. Make one below"), "{}", empty.body);

    let fields = [("name", " CI of the shop "), ("send", "on"), ("for", ""), ("expires", "30")];
    let answer = make(&mut browser, &fields).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = shown_token(&answer);
    assert!(answer.body.contains(&format!("MESHWIRE_URL={HTTP}")));
    assert!(answer.body.contains("meshwire send --mesh MESH_ID"), "{}", answer.body);
    let row = kept(&server, &token).await;
    assert_eq!((row.name.as_str(), &row.scopes[..]), ("CI of the shop", &[Scope::Send][..]));
    assert_eq!((row.mesh.as_ref(), row.agent.as_ref()), (None, None));
    assert_eq!(row.expires_at, Some(row.created_at + 30 * DAY));

    let page = browser.get(PAGE).await;
    assert!(!page.body.contains(&token), "only masked from now on");
    let masked = format!("mw_••••••••••••{}", &token[token.len() - 6..]);
    for text in ["CI of the shop", &masked, "the whole account", "never"] {
        assert!(page.body.contains(text), "no {text} in {}", page.body);
    }

    let path = format!("{PAGE}/{}/revoke", row.id);
    assert_eq!(browser.get(&path).await.status, StatusCode::METHOD_NOT_ALLOWED);
    browser.post(&path, &[]).await.assert_error(403, "origin_refused");
    assert_eq!(kept(&server, &token).await.revoked_at, None);
    let answer = browser.post(&path, &[("ticket", page.ticket_for(&path))]).await;
    assert_eq!(answer.location(), PAGE);
    assert!(kept(&server, &token).await.revoked_at.is_some());
    assert!(browser.get(PAGE).await.body.contains("You have none yet"));
    let again = browser.post(&path, &[("ticket", page.ticket_for(&path))]).await;
    again.assert_error(404, "token_not_found");
}

#[tokio::test]
async fn what_a_form_leaves_out_makes_no_wider_token() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    for (missing, error) in [("for", "for-error"), ("expires", "expires-error")] {
        let page = browser.get(PAGE).await;
        let mut form = filled(&page, &[("name", "typed"), ("read", "on")]);
        form.retain(|(name, _)| *name != missing);
        let answer = browser.post(PAGE, &form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert!(answer.body.contains(&format!("id=\"{error}\">It is missing.")), "{}", answer.body);
        assert!(answer.body.contains("value=\"typed\""));
    }
    assert_eq!(live(&server).await, 0);
}

#[tokio::test]
async fn a_form_that_is_sent_again_makes_no_second_token() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let page = browser.get(PAGE).await;
    let form = filled(&page, &[("name", "once"), ("read", "on")]);
    let first = browser.post(PAGE, &form).await;
    let token = shown_token(&first);
    let again = browser.post(PAGE, &form).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.body.contains("made its token already"), "{}", again.body);
    assert!(!again.body.contains(&token) && !again.body.contains("class=\"secret\""));
    assert_eq!(live(&server).await, 1);
    // The form on that page is a new one.
    let next = filled(&again, &[("name", "twice"), ("read", "on")]);
    assert_ne!(shown_token(&browser.post(PAGE, &next).await), token);
    assert_eq!(live(&server).await, 2);
}

#[tokio::test]
async fn a_token_is_bound_to_what_is_the_persons_own() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let ann = user(&server).await;
    let eve = stranger(&server).await;
    let (ours, theirs) = (mesh(&server, &ann, "ours").await, mesh(&server, &eve, "hers").await);
    let worker = agent(&server, &ann, &ours, "worker").await;
    let foreign = agent(&server, &eve, &theirs, "foreign").await;
    let page = browser.get(PAGE).await;
    assert!(page.body.contains("All of ours") && page.body.contains("Only the agent worker"));
    assert!(!page.body.contains("hers") && !page.body.contains("foreign"));

    let whole = ours.to_string();
    let fields = [("name", "mesh"), ("send", "on"), ("for", whole.as_str()), ("expires", "")];
    let answer = make(&mut browser, &fields).await;
    assert!(answer.body.contains("<code>meshwire send &#34;The build"), "{}", answer.body);
    let row = kept(&server, &shown_token(&answer)).await;
    assert_eq!((row.mesh.as_ref(), row.agent.as_ref(), row.expires_at), (Some(&ours), None, None));
    let one = format!("{ours}/{}", worker.id);
    let fields = [("name", "agent"), ("read", "on"), ("for", one.as_str()), ("expires", "7")];
    let answer = make(&mut browser, &fields).await;
    assert!(answer.body.contains("the agent worker in the mesh ours"), "{}", answer.body);
    let row = kept(&server, &shown_token(&answer)).await;
    assert_eq!((row.mesh.as_ref(), row.agent.as_ref()), (Some(&ours), Some(&worker.id)));

    for (wanted, reason) in [
        (theirs.to_string(), "You are not a member of the mesh"),
        (format!("{ours}/{}", foreign.id), "There is no agent"),
        (format!("{theirs}/{}", foreign.id), "You are not a member of the mesh"),
        ("nonsense".to_owned(), "There is no mesh"),
        ("/x".to_owned(), "There is no mesh"),
    ] {
        let fields = [("name", "kept text"), ("send", "on"), ("for", &wanted), ("expires", "7")];
        let answer = make(&mut browser, &fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wanted}");
        let (_, error) = answer.body.split_once("id=\"for-error\">").expect("beside the field");
        assert!(error.starts_with(reason), "{wanted}: {error}");
        assert!(answer.body.contains("value=\"kept text\""));
    }
    assert_eq!(live(&server).await, 2);
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_the_field_and_what_was_typed_stays() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let long = "x".repeat(65);
    for (fields, id, reason) in [
        (&[("name", ""), ("read", "on")][..], "name-error", "It must be"),
        (&[("name", &long), ("read", "on")], "name-error", "It must be"),
        (&[("name", "a\u{202e}b"), ("read", "on")], "name-error", "It must be"),
        (&[("name", "typed"), ("expires", "30")], "scopes-error", "Choose at least one."),
        (&[("name", "typed"), ("read", "on"), ("expires", "0")], "expires-error", "It must be 1"),
        (&[("name", "typed"), ("read", "on"), ("expires", "x")], "expires-error", "It must be a"),
        (&[("name", "typed"), ("read", "on"), ("expires", "366")], "expires-error", "It must be 1"),
    ] {
        let answer = make(&mut browser, fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fields:?}");
        let (_, error) = answer
            .body
            .split_once(&format!("id=\"{id}\">"))
            .unwrap_or_else(|| panic!("{fields:?} {}", answer.body));
        assert!(error.starts_with(reason), "{fields:?}: {error}");
        assert!(answer.body.contains(&format!("{id}\"")), "the field points to it");
        let typed = format!("name=\"name\" value=\"{}\"", fields[0].1);
        assert!(answer.body.contains(&typed), "{fields:?}: {}", answer.body);
        let read = answer.body.split_once("id=\"scope-read\"").unwrap().1;
        let checked = read.split('>').next().unwrap().contains("checked");
        assert_eq!(checked, fields.contains(&("read", "on")), "{fields:?}");
    }
    assert_eq!(live(&server).await, 0);
}

#[tokio::test]
async fn a_limit_is_said_on_the_page() {
    let server = Server::start(HTTP, None, 1).await;
    let mut browser = server.ann().await;
    shown_token(&make(&mut browser, &[("name", "one"), ("read", "on")]).await);
    let answer = make(&mut browser, &[("name", "two"), ("read", "on")]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("You have 1 live tokens"), "{}", answer.body);
    assert!(answer.body.contains("value=\"two\""));
}

#[tokio::test]
async fn only_who_is_signed_in_makes_and_revokes_and_only_from_our_page() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let mut nobody = server.browser();
    assert_eq!(nobody.get(PAGE).await.location(), "/login?return_to=/account/tokens");
    nobody.post(PAGE, &[("name", "x")]).await.assert_error(401, "unauthorized");
    nobody.post("/account/tokens/x/revoke", &[]).await.assert_error(401, "unauthorized");

    let page = ann.get(PAGE).await;
    let (making, session) = (page.ticket_for(PAGE), page.ticket_for("/auth/logout"));
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[],
    ] {
        let form = [("ticket", making), ("name", "x"), ("read", "on")];
        ann.post_from(PAGE, &form, headers).await.assert_error(403, "origin_refused");
        let path = "/account/tokens/AAAAAAAAAAAA/revoke";
        let form = [("ticket", session)];
        ann.post_from(path, &form, headers).await.assert_error(403, "origin_refused");
    }
    // The ticket of another form, of another session, or none.
    let mut other = server.browser();
    let login = other.get("/login").await;
    let form =
        [("ticket", login.ticket()), ("login", "ann"), ("password", crate::browser::PASSWORD)];
    other.post("/login", &form).await;
    let theirs = other.get(PAGE).await;
    for ticket in [session, theirs.ticket_for(PAGE), "x", ""] {
        let form = [("ticket", ticket), ("name", "x"), ("read", "on")];
        ann.post(PAGE, &form).await.assert_error(403, "origin_refused");
    }
    server.app.clock.shift(DAY + 1);
    let form = [("ticket", making), ("name", "x"), ("read", "on")];
    ann.post(PAGE, &form).await.assert_error(403, "origin_refused");
    assert_eq!(live(&server).await, 0);
}

#[tokio::test]
async fn nobody_revokes_what_is_another_persons() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let eve = stranger(&server).await;
    let row = TokenRow {
        hash: secret::digest("hers"),
        id: secret::token_id(),
        suffix: "abcdef".to_owned(),
        user: eve.id.clone(),
        name: "hers".to_owned(),
        scopes: Scope::ALL.to_vec(),
        mesh: None,
        agent: None,
        created_at: 1,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    assert_eq!(server.app.store.create_token(row.clone(), 0).await.unwrap(), TokenMade::Created);
    let page = browser.get(PAGE).await;
    assert!(!page.body.contains("hers"));
    for id in [row.id.as_str(), "nonsense", "%2e%2e"] {
        let form = [("ticket", page.ticket_for("/auth/logout"))];
        let answer = browser.post(&format!("{PAGE}/{id}/revoke"), &form).await;
        answer.assert_error(404, "token_not_found");
    }
    assert_eq!(kept(&server, "hers").await.revoked_at, None);
}

#[tokio::test]
async fn names_are_escaped() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    let ann = user(&server).await;
    let hostile = "\"><script>alert(1)</script>";
    let id = mesh(&server, &ann, hostile).await;
    let answer =
        make(&mut browser, &[("name", hostile), ("read", "on"), ("for", id.as_str())]).await;
    shown_token(&answer);
    let refused = make(&mut browser, &[("name", hostile), ("for", "<script>")]).await;
    for answer in [answer, refused, browser.get(PAGE).await] {
        assert!(answer.body.contains("&#60;script&#62;"), "{}", answer.body);
        assert!(!answer.body.contains("<script>"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_long_list_of_tokens_is_shown_in_pieces() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    for n in 0..35 {
        let name = format!("token number {n}");
        let fields = [("name", name.as_str()), ("read", "on"), ("for", ""), ("expires", "7")];
        assert_eq!(make(&mut browser, &fields).await.status, StatusCode::OK);
    }
    let shown = |page: &str| {
        let is_there = |n: &i32| {
            let name = format!("<h3>token number {n}");
            let rest = page.split(&name).skip(1);
            rest.into_iter().any(|rest| rest.starts_with([' ', '<']))
        };
        (0..35).filter(is_there).collect::<Vec<i32>>()
    };
    let first = browser.get("/account/tokens").await.body;
    assert_eq!(shown(&first).len(), 30);
    assert!(first.contains("href=\"/account/tokens?first=30\""), "{first}");
    let second = browser.get("/account/tokens?first=30").await.body;
    let mut all = [shown(&first), shown(&second)].concat();
    all.sort_unstable();
    assert_eq!(all, (0..35).collect::<Vec<_>>());
    assert!(!second.contains("?first=60"), "{second}");
}
