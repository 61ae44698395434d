//! What everyone may read: the landing page, the setup guide, the docs, the state of the server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use axum::http::StatusCode;
use futures_util::future::join_all;
use meshwire_protocol::{ErrorCode, MeshId};
use meshwire_server::secret;
use meshwire_server::store::{NewMesh, NewUser, UserRow};
use serde_json::Value;

use crate::browser::{Answer, Browser, HTTPS, Server};
use crate::github::StandIn;

/// Most bytes of a page with all that it loads.
const LARGEST: usize = 100_000;
const STARTS: [&str; 4] = ["/", "/guide", "/docs", "/status"];
const OURS: [&str; 15] = [
    "/",
    "/guide",
    "/docs",
    "/docs/api",
    "/docs/api/service",
    "/docs/api/sign-in",
    "/docs/api/account-and-tokens",
    "/docs/api/meshes-and-members",
    "/docs/api/agents",
    "/docs/api/messages",
    "/docs/cli",
    "/docs/errors",
    "/docs/limits",
    "/docs/self-hosting",
    "/docs/security",
];

/// What an attribute says, wherever it stands.
fn attributes<'p>(page: &'p str, name: &str) -> impl Iterator<Item = &'p str> {
    let start = format!(" {name}=\"");
    let rest: Vec<&str> = page.split(&*start).skip(1).collect();
    rest.into_iter().filter_map(|rest| rest.split('"').next())
}

fn ids(page: &str) -> BTreeSet<&str> {
    attributes(page, "id").collect()
}

async fn user(server: &Server, login: &str, identity: &str) -> UserRow {
    if let Some(user) = server.app.store.user_by_login(login).await.expect("the store answers") {
        return user;
    }
    let new = NewUser {
        id: secret::user_id(),
        identity: identity.to_owned(),
        login: login.to_owned(),
        name: login.to_owned(),
        password: None,
        now: 1,
    };
    server.app.store.sign_in_github(new).await.expect("the store answers")
}

async fn mesh(server: &Server, owner: &UserRow, name: &str) -> MeshId {
    let id = secret::mesh_id();
    let mesh =
        NewMesh { id: id.clone(), name: name.to_owned(), owner: owner.id.clone(), created_at: 1 };
    assert!(server.app.store.create_mesh(mesh, 0).await.expect("the store answers"));
    id
}

/// Every page that links lead to from the pages for everyone, and the pages that link to it.
async fn crawl(browser: &mut Browser) -> BTreeMap<String, (Answer, BTreeSet<String>)> {
    let mut found = BTreeMap::<String, (Answer, BTreeSet<String>)>::new();
    let mut left: VecDeque<(String, String)> =
        STARTS.iter().map(|path| ((*path).to_owned(), "the start".to_owned())).collect();
    while let Some((path, from)) = left.pop_front() {
        if let Some((_, linked)) = found.get_mut(&path) {
            linked.insert(from);
            continue;
        }
        let answer = browser.get(&path).await;
        if answer.header("content-type").starts_with("text/html") {
            let links = attributes(&answer.body, "href").chain(attributes(&answer.body, "src"));
            let inner = links.filter(|link| link.starts_with('/'));
            left.extend(
                inner.map(|link| {
                    (link.split('#').next().unwrap_or_default().to_owned(), path.clone())
                }),
            );
        }
        found.insert(path, (answer, BTreeSet::from([from])));
    }
    found
}

/// That all links lead somewhere, and that each page is sound in itself.
fn assert_sound(found: &BTreeMap<String, (Answer, BTreeSet<String>)>) {
    for (path, (answer, linked)) in found {
        let fine = answer.status == StatusCode::OK || answer.status == StatusCode::SEE_OTHER;
        assert!(fine, "{path} is {}, and linked from {linked:?}", answer.status);
        if answer.status != StatusCode::OK
            || !answer.header("content-type").starts_with("text/html")
        {
            continue;
        }
        let page = &answer.body;
        let all: Vec<&str> = attributes(page, "id").collect();
        assert_eq!(ids(page).len(), all.len(), "{path}: an id stands there twice");
        for link in attributes(page, "href") {
            let Some((target, anchor)) = link.split_once('#') else { continue };
            let there = if target.is_empty() { page } else { &found[target].0.body };
            assert!(ids(there).contains(anchor), "{path}: {link} leads to no anchor");
        }
        let labels = attributes(page, "aria-labelledby").chain(attributes(page, "for"));
        for named in labels.flat_map(str::split_whitespace) {
            assert!(all.contains(&named), "{path}: {named} is not there");
        }
        let plain = ["style=", "onclick=", "<style", "javascript:"];
        assert!(!plain.iter().any(|word| page.contains(word)), "{path}: not under our CSP");
        assert_eq!(page.matches("<script").count(), 1, "{path}: one script, from a file");
        assert_eq!(page.matches("<h1").count(), 1, "{path}: one first heading");
        assert!(!page.lines().any(|line| line.ends_with(' ')), "{path}: spaces at a line's end");
        let loaded = attributes(page, "src").chain(attributes(page, "href"));
        let files: BTreeSet<&str> = loaded.filter(|link| link.starts_with("/static/")).collect();
        let size: usize =
            page.len() + files.iter().map(|file| found[*file].0.body.len()).sum::<usize>();
        assert!(size < LARGEST, "{path} has {size} bytes with all that it loads");
    }
}

#[tokio::test]
async fn every_page_and_link_is_there_for_strangers_and_for_who_is_signed_in() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    for browser in [&mut server.browser(), &mut ann] {
        let found = crawl(browser).await;
        assert_sound(&found);
        for path in OURS {
            assert!(found.contains_key(path), "nothing leads to {path}");
        }
    }
    assert!(ann.get("/docs").await.body.contains("Sign out"));
    server.browser().get("/docs/api/nothing").await.assert_error(404, "not_found");
}

#[tokio::test]
async fn every_code_has_its_place_where_errors_lead() {
    let server = Server::local().await;
    let page = server.browser().get("/docs/errors").await;
    let there = ids(&page.body);
    for code in ErrorCode::ALL {
        assert!(there.contains(code.as_str()), "{} has no place", code.as_str());
    }
    let problem = server.browser().json("/auth/cli/token", "{}").await;
    let problem: Value = serde_json::from_str(&problem.body).unwrap();
    let (path, anchor) = problem["type"].as_str().unwrap().split_once('#').unwrap();
    assert_eq!(anchor, problem["code"]);
    let page = server.browser().get(path).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(ids(&page.body).contains(anchor));
    // The page about an error leads there, too.
    let page = server.browser().get("/nothing").await;
    assert!(page.body.contains("href=\"/docs/errors#not_found\""), "{}", page.body);
}

#[tokio::test]
async fn the_guide_names_a_mesh_of_ones_own_and_no_other() {
    let server = Server::local().await;
    let mut browser = server.ann().await;
    assert!(browser.get("/guide").await.body.contains("--mesh MESH_ID"));
    let ann = user(&server, "ann", "").await;
    let eve = user(&server, "eve", "github:7").await;
    let hostile = "</option><script>alert('x')</script>\" onfocus=\"x";
    let first = mesh(&server, &ann, hostile).await;
    let page = browser.get("/guide").await;
    assert!(page.body.contains(&format!("meshwire init --harness codex --mesh {first}")));
    let second = mesh(&server, &ann, "second").await;
    let other = mesh(&server, &eve, "hers").await;

    let page = browser.get(&format!("/guide?mesh={second}")).await;
    assert!(page.body.contains(&format!("meshwire mesh use {second}")));
    assert!(!page.body.contains(&format!("--mesh {first}")));
    for body in [&page.body, &browser.get("/guide").await.body] {
        assert_eq!(body.matches("<script").count(), 1, "{body}");
        assert!(!body.contains("\" onfocus"), "{body}");
        assert!(!body.contains(other.as_str()));
    }
    let page = browser.get(&format!("/guide?mesh={other}")).await;
    assert!(page.body.contains("a mesh that you are not in"), "{}", page.body);
    assert!(page.body.contains("--mesh MESH_ID"));
    assert!(!page.body.contains(other.as_str()));
    for wanted in [first.as_str(), "%22%3E%3Cscript%3E"] {
        let page = server.browser().get(&format!("/guide?mesh={wanted}")).await;
        assert!(page.body.contains("--mesh MESH_ID"));
        assert!(!page.body.contains(first.as_str()) && !page.body.contains("\"><script>"));
    }
}

#[tokio::test]
async fn the_guide_and_the_landing_page_name_this_server() {
    let local = Server::local().await;
    let page = local.browser().get("/").await;
    assert!(page.body.contains("Nobody has an account here yet"));
    assert!(page.body.contains("<code>meshwire login</code>"));
    local.ann().await;
    assert!(local.browser().get("/").await.body.contains("href=\"/login\""));
    let github = StandIn::start().await;
    let server = Server::with_github(HTTPS, &github).await;
    for path in ["/", "/guide"] {
        let page = server.browser().get(path).await;
        let login = format!("<code>meshwire login --url {HTTPS}</code>");
        assert!(page.body.contains(&login), "{path}: {}", page.body);
    }
    assert!(server.browser().get("/").await.body.contains("href=\"/auth/github\""));
}

#[tokio::test]
async fn the_docs_hold_every_call_command_and_setting() {
    let server = Server::local().await;
    let mut browser = server.browser();
    let document = browser.get("/openapi.json").await.body;
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut parts = String::new();
    for path in OURS.iter().filter(|path| path.starts_with("/docs/api/")) {
        parts.push_str(&browser.get(path).await.body);
    }
    let overview = browser.get("/docs/api").await.body;
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(parts.contains(&format!("<h2 id=\"{id}\">")), "{path}: {id} is not there");
            assert!(overview.contains(&format!("#{id}\"")), "{id} is not in the overview");
        }
    }
    let commands = browser.get("/docs/cli").await.body;
    for command in ["login", "mesh-create", "token-revoke", "listen", "doctor"] {
        assert!(ids(&commands).contains(command), "{command} is not there");
    }
    let settings = browser.get("/docs/self-hosting").await.body;
    for name in ["MESHWIRE_BIND", "MESHWIRE_STORE", "MESHWIRE_LIMIT_AGENTS", "--allow-insecure"] {
        assert!(settings.contains(&format!("<code>{name}</code>")), "{name} is not there");
    }
    let limits = browser.get("/docs/limits").await.body;
    assert!(limits.contains("MESHWIRE_LIMIT_OPEN_POLLS_TOTAL") && limits.contains("10,240 bytes"));
    assert!(limits.contains("counted by each server (node) for itself"), "{limits}");
}

#[tokio::test]
async fn the_status_needs_neither_a_sign_in_nor_the_store() {
    let server = Server::local().await;
    let mut ann = server.ann().await;
    let page = server.browser().get("/status").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("cache-control"), "no-store");
    for text in ["All is well", env!("CARGO_PKG_VERSION"), "<dd>test</dd>", "answers in "] {
        assert!(page.body.contains(text), "no {text} in {}", page.body);
    }
    assert!(page.body.contains("No message was waited for yet"));
    // A second later at the most, it knows that the store has gone.
    server.app.store.close().await;
    let gone = Instant::now();
    loop {
        let page = ann.get("/status").await;
        assert_eq!(page.status, StatusCode::OK);
        if page.body.contains("The store does not answer") {
            break;
        }
        assert!(gone.elapsed().as_secs() < 10, "{}", page.body);
        tokio::task::yield_now().await;
    }
    // Who is signed in is shown the docs as well, like a stranger.
    for path in ["/docs", "/guide"] {
        assert_eq!(ann.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_status_asks_the_store_once_a_second() {
    let server = Server::local().await;
    let begun = Instant::now();
    let pages = join_all((0..200).map(|_| async { server.browser().get("/status").await })).await;
    assert!(pages.iter().all(|page| page.status == StatusCode::OK));
    let asked = server.app.metrics.text();
    let asked = asked
        .lines()
        .find_map(|line| {
            line.strip_prefix("meshwire_store_duration_seconds_count{operation=\"ping\"} ")
        })
        .expect("it was asked");
    let most = 1 + begun.elapsed().as_secs();
    assert!(asked.parse::<u64>().unwrap() <= most, "{asked} times in {most} s");
}

#[tokio::test]
async fn a_slash_at_the_end_leads_to_the_page() {
    let server = Server::local().await;
    let mut browser = server.browser();
    for page in OURS.iter().chain(&["/status"]).filter(|page| **page != "/") {
        let answer = browser.get(&format!("{page}/?mesh=x")).await;
        assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT, "{page}: {}", answer.body);
        assert_eq!(answer.header("location"), format!("{page}?mesh=x"));
        assert_eq!(browser.get(page).await.status, StatusCode::OK);
    }
}
