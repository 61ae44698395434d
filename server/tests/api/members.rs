//! Members, invites, requests to join.

use std::time::Duration;

use meshwire_protocol::{MeshId, Role, Scope, Via};
use meshwire_server::mesh::{Poll, Reader, Speaker, Step};
use meshwire_server::secret;
use reqwest::Method;
use serde_json::{Value, json};

use crate::inbox::park;
use crate::meshes::count;
use crate::server::{Answer, Server, User, contents};

const HOUR: i64 = 3_600_000_000;

/// Lets somebody in, with this role.
async fn admit(owner: &User<'_>, mesh: &MeshId, user: &User<'_>, role: &str) {
    let login = &user.row.login;
    let invite = json!({"login": login});
    owner.post(&format!("/mesh/{mesh}/invites"), invite).await.expect(201);
    let joined = user.post(&format!("/mesh/{mesh}/join"), json!({})).await.expect(200);
    assert_eq!(joined, json!({"status": "member", "mesh_id": mesh}));
    let member = format!("/mesh/{mesh}/members/{login}");
    owner.patch(&member, json!({"role": role})).await.expect(200);
}

fn logins(list: &Value, of: &str) -> Vec<String> {
    let rows = list[of].as_array().unwrap().iter();
    rows.map(|row| row["login"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_link_lets_in_as_many_as_it_says() {
    let server = Server::start().await;
    let (ada, bob, eve) =
        (server.user("ada").await, server.user("bob").await, server.user("eve").await);
    let mesh = ada.mesh().await;
    let (invites, join) = (format!("/mesh/{mesh}/invites"), format!("/mesh/{mesh}/join"));
    let made = ada.post(&invites, json!({})).await.expect(201);
    let code = made["code"].as_str().unwrap();
    let url = made["url"].as_str().unwrap();
    assert_eq!(url, format!("{}/join/{mesh}?invite={code}", server.url));
    for (field, value) in [("login", json!(null)), ("max_uses", json!(1)), ("uses", json!(0))] {
        assert_eq!(made[field], value, "{field}");
    }
    let expires: jiff::Timestamp = made["expires_at"].as_str().unwrap().parse().unwrap();
    let hours = (expires.as_microsecond() - server.clock.now()) / HOUR;
    assert!((166..=168).contains(&hours), "{hours}");

    // A browser is told what to run, and uses nothing up.
    let link = url.strip_prefix(&server.url).unwrap();
    let page = Answer::of(server.request(Method::GET, link)).await.expect(200);
    assert!(
        page.as_str().unwrap().contains(&format!("meshwire mesh join &#39;{url}&#39;")),
        "{page}"
    );
    for broken in ["/join/x", "/join/AAAAAAAAAAAA?invite=", "/join/AAAAAAAAAAAA?invite=%27;x"] {
        let answer = Answer::of(server.request(Method::GET, broken)).await;
        assert_eq!(answer.status.as_u16(), 404, "{broken}: {}", answer.body);
    }

    bob.post(&join, json!({"invite": code})).await.expect(200);
    bob.post(&join, json!({"invite": code})).await.expect(200);
    eve.post(&join, json!({"invite": code})).await.problem(410, "invite_expired");
    let listed = ada.get(&invites).await.expect(200);
    let row = &listed["invites"][0];
    assert_eq!((&row["id"], &row["uses"]), (&made["id"], &json!(1)));
    assert!(row["code"].is_null() && row["url"].is_null());
    assert!(!listed.to_string().contains(code));

    let members = ada.get(&format!("/mesh/{mesh}/members")).await.expect(200);
    assert_eq!(logins(&members, "members"), ["ada", "bob"]);
    let row = &members["members"][1];
    assert_eq!((&row["name"], &row["role"]), (&json!("bob"), &json!("member")));
    assert!(row["joined_at"].is_string());
}

#[tokio::test]
async fn an_invite_ends_with_its_hours_or_when_it_is_withdrawn() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    let (invites, join) = (format!("/mesh/{mesh}/invites"), format!("/mesh/{mesh}/join"));
    let body = json!({"expires_in_hours": 1, "max_uses": 1_000});
    let short = ada.post(&invites, body).await.expect(201);
    let long = ada.post(&invites, json!({"expires_in_hours": 8_760})).await.expect(201);
    server.clock.shift(HOUR + 1);
    bob.post(&join, json!({"invite": short["code"]})).await.problem(410, "invite_expired");
    let row = format!("{invites}/{}", long["id"].as_str().unwrap());
    ada.delete(&row).await.expect(204);
    ada.delete(&row).await.problem(404, "invite_not_found");
    for code in [&long["code"], &json!("nonsense"), &json!("")] {
        bob.post(&join, json!({"invite": code})).await.problem(404, "invite_not_found");
    }
}

#[tokio::test]
async fn bad_invites_name_their_field() {
    let server = Server::start().await;
    let ada = server.user("ada").await;
    let mesh = ada.mesh().await;
    for (body, field) in [
        (json!({"login": "bob", "max_uses": 1}), "max_uses"),
        (json!({"login": ""}), "login"),
        (json!({"login": "a b"}), "login"),
        (json!({"login": "@bob"}), "login"),
        (json!({"login": "ADA"}), "login"),
        (json!({"max_uses": 0}), "max_uses"),
        (json!({"max_uses": 1_001}), "max_uses"),
        (json!({"max_uses": -1}), "max_uses"),
        (json!({"expires_in_hours": 0}), "expires_in_hours"),
        (json!({"expires_in_hours": 8_761}), "expires_in_hours"),
        (json!({"hours": 1}), "hours"),
    ] {
        let answer = ada.post(&format!("/mesh/{mesh}/invites"), body.clone()).await;
        let problem = answer.problem(400, "invalid_request");
        assert!(problem["errors"][field].is_string(), "{body}: {problem}");
    }
    let join = format!("/mesh/{mesh}/join");
    ada.post(&join, json!({"code": "x"})).await.problem(400, "invalid_request");
    let role = format!("/mesh/{mesh}/members/ada");
    ada.patch(&role, json!({"role": "king"})).await.problem(400, "invalid_request");
}

#[tokio::test]
async fn a_request_is_seen_and_decided_once() {
    let server = Server::start().await;
    let (ada, bob, eve) =
        (server.user("ada").await, server.user("Bob").await, server.user("eve").await);
    let mesh = ada.mesh().await;
    let (join, requests) = (format!("/mesh/{mesh}/join"), format!("/mesh/{mesh}/requests"));
    // With a body, and without one.
    let asked = bob.post(&join, json!({})).await.expect(202);
    assert_eq!(asked, json!({"status": "requested", "mesh_id": mesh}));
    bob.post(&join, json!({"invite": null})).await.expect(202);
    Answer::of(eve.request(Method::POST, &join)).await.expect(202);
    bob.get(&format!("/mesh/{mesh}/members")).await.problem(403, "not_a_member");
    let listed = ada.get(&requests).await.expect(200);
    assert_eq!(logins(&listed, "requests"), ["Bob", "eve"]);
    assert!(listed["requests"][0]["requested_at"].is_string());
    assert_eq!(listed["requests"][0]["name"], "Bob");

    let of = |login: &str| format!("{requests}/{login}");
    ada.post(&of("bOB"), json!({"accept": true})).await.expect(200);
    ada.post(&of("bob"), json!({"accept": true})).await.problem(404, "request_not_found");
    ada.post(&of("nobody"), json!({"accept": true})).await.problem(404, "request_not_found");
    bob.get(&format!("/mesh/{mesh}/members")).await.expect(200);
    bob.post(&join, json!({})).await.expect(200);

    ada.post(&of("eve"), json!({})).await.problem(400, "invalid_request");
    ada.post(&of("eve"), json!({"accept": false})).await.expect(200);
    ada.post(&of("eve"), json!({"accept": true})).await.problem(404, "request_not_found");
    let answer = eve.post(&join, json!({})).await;
    let wait: i64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((86_000..=86_401).contains(&wait), "{wait}");
    answer.problem(429, "rate_limited");
    server.clock.shift(wait * 1_000_000);
    eve.post(&join, json!({})).await.expect(202);
}

#[tokio::test]
async fn each_role_may_do_its_own() {
    let server = Server::start().await;
    let owner = server.user("owner").await;
    let (admin, member, stranger) =
        (server.user("admin").await, server.user("member").await, server.user("stranger").await);
    let mesh = owner.mesh().await;
    admit(&owner, &mesh, &admin, "admin").await;
    admit(&owner, &mesh, &member, "member").await;
    let path = |rest: &str| format!("/mesh/{mesh}/{rest}");
    for (user, role) in [
        (&stranger, None),
        (&member, Some(Role::Member)),
        (&admin, Some(Role::Admin)),
        (&owner, Some(Role::Owner)),
    ] {
        let answers = [
            (Role::Member, user.get(&path("members")).await),
            (Role::Admin, user.get(&path("invites")).await),
            (Role::Admin, user.post(&path("invites"), json!({})).await),
            (Role::Admin, user.delete(&path("invites/none")).await),
            (Role::Admin, user.get(&path("requests")).await),
            (Role::Admin, user.post(&path("requests/none"), json!({"accept": true})).await),
            (Role::Admin, user.delete(&path("members/owner")).await),
            (Role::Owner, user.patch(&path("members/none"), json!({"role": "admin"})).await),
        ];
        for (least, answer) in answers {
            let status = answer.status.as_u16();
            let shown = format!("{role:?} {least:?}: {}", answer.body);
            match role {
                None => drop(answer.problem(403, "not_a_member")),
                Some(role) if role < least => drop(answer.problem(403, "forbidden")),
                // Allowed, and then there may be nothing of that name.
                Some(Role::Admin) if status == 403 => {
                    assert!(shown.contains("neither the owner"), "{shown}");
                }
                Some(_) => assert!(!matches!(status, 401 | 403), "{shown}"),
            }
        }
    }
    // Whom each may remove.
    let other = server.user("other").await;
    admit(&owner, &mesh, &other, "admin").await;
    admin.delete(&path("members/other")).await.problem(403, "forbidden");
    admin.delete(&path("members/nobody")).await.problem(404, "member_not_found");
    member.delete(&path("members/other")).await.problem(403, "forbidden");
    owner.delete(&path("members/OTHER")).await.expect(204);
    admin.delete(&path("members/member")).await.expect(204);
    admin.delete(&path("members/admin")).await.expect(204);
    admin.get(&path("members")).await.problem(403, "not_a_member");
    let left = owner.get(&path("members")).await.expect(200);
    assert_eq!(logins(&left, "members"), ["owner"]);
}

#[tokio::test]
async fn the_owner_must_hand_over_first() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    admit(&ada, &mesh, &bob, "member").await;
    let of = |login: &str| format!("/mesh/{mesh}/members/{login}");
    ada.delete(&of("ada")).await.problem(409, "owner_must_stay");
    for role in ["admin", "member"] {
        ada.patch(&of("ada"), json!({"role": role})).await.problem(409, "owner_must_stay");
    }
    assert_eq!(ada.patch(&of("ada"), json!({"role": "owner"})).await.expect(200)["role"], "owner");
    let handed = ada.patch(&of("bob"), json!({"role": "owner"})).await.expect(200);
    assert_eq!((&handed["login"], &handed["role"]), (&json!("bob"), &json!("owner")));
    assert_eq!(ada.get(&format!("/mesh/{mesh}")).await.expect(200)["role"], "admin");
    ada.patch(&of("bob"), json!({"role": "member"})).await.problem(403, "forbidden");
    ada.delete(&of("bob")).await.problem(403, "forbidden");
    bob.delete(&of("bob")).await.problem(409, "owner_must_stay");
    ada.delete(&of("ada")).await.expect(204);
}

#[tokio::test]
async fn scopes_and_bound_tokens_hold_for_members_too() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (mesh, other) = (ada.mesh().await, ada.mesh().await);
    for scope in Scope::ALL {
        let token = server.token(&ada.row, |token| token.scopes = vec![scope]).await;
        let user = ada.with_token(token);
        let path = |rest: &str| format!("/mesh/{mesh}/{rest}");
        for (needed, answer) in [
            (Scope::Read, user.get(&path("members")).await),
            (Scope::Read, user.get(&path("invites")).await),
            (Scope::Admin, user.post(&path("invites"), json!({})).await),
            (Scope::Read, user.get(&path("requests")).await),
            (Scope::Admin, user.delete(&path("members/nobody")).await),
            (Scope::Admin, user.patch(&path("members/nobody"), json!({"role": "admin"})).await),
            (Scope::Agents, user.post(&path("join"), json!({})).await),
        ] {
            if needed == scope {
                assert_ne!(answer.status.as_u16(), 403, "{scope:?}: {}", answer.body);
            } else {
                answer.problem(403, "insufficient_scope");
            }
        }
    }
    let bound = server.token(&ada.row, |token| token.mesh = Some(mesh.clone())).await;
    let bound = ada.with_token(bound);
    bound.post(&format!("/mesh/{mesh}/join"), json!({})).await.expect(200);
    for id in [other.as_str(), "AAAAAAAAAAAA", "x"] {
        bound.post(&format!("/mesh/{id}/join"), json!({})).await.problem(404, "mesh_not_found");
    }
    bob.post("/mesh/AAAAAAAAAAAA/join", json!({})).await.problem(404, "mesh_not_found");
    let token = server.token(&bob.row, |token| token.scopes = vec![Scope::Read]).await;
    bob.with_token(token)
        .post(&format!("/mesh/{mesh}/join"), json!({}))
        .await
        .problem(403, "insufficient_scope");
}

#[tokio::test]
async fn a_removal_ends_all_access_and_open_polls() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "helper").await;
    admit(&ada, &mesh, &bob, "member").await;
    bob.agent(&mesh, "worker").await;
    let bound = server.token(&bob.row, |token| token.mesh = Some(mesh.clone())).await;
    let bound = bob.with_token(bound);
    bob.inbox(&mesh, "@bob", "").await;
    let polls = [
        park(&bob, &mesh, "worker", "wait=60").await,
        park(&bob, &mesh, "@bob", "wait=60").await,
        park(&bound, &mesh, "worker", "wait=60").await,
    ];
    let going_on = park(&ada, &mesh, "helper", "wait=60").await;
    ada.delete(&format!("/mesh/{mesh}/members/bob")).await.expect(204);
    let mut ended = Vec::new();
    for poll in polls {
        ended.push(tokio::time::timeout(Duration::from_secs(20), poll).await.unwrap().unwrap());
    }
    ended.pop().unwrap().problem(401, "token_revoked");
    for answer in ended {
        answer.problem(403, "not_a_member");
    }
    // The poll of who stays goes on, and gets what is sent.
    assert!(!going_on.is_finished());
    ada.post(&format!("/mesh/{mesh}/messages"), json!({"content": "hello"})).await.expect(201);
    let page = tokio::time::timeout(Duration::from_secs(20), going_on).await.unwrap().unwrap();
    assert_eq!(contents(&page.expect(200)), ["hello"]);

    bound.get("/me").await.problem(401, "token_revoked");
    bob.get("/me").await.expect(200);
    let messages = format!("/mesh/{mesh}/messages");
    bob.post(&messages, json!({"content": "x"})).await.problem(403, "not_a_member");
    bob.get(&messages).await.problem(403, "not_a_member");
    let agents = ada.get(&format!("/mesh/{mesh}/agents")).await.expect(200);
    let names: Vec<&Value> =
        agents["agents"].as_array().unwrap().iter().map(|agent| &agent["name"]).collect();
    assert_eq!(names, ["@ada", "helper"]);
    ada.post(&messages, json!({"content": "x", "to": "worker"}))
        .await
        .problem(404, "agent_not_found");
    assert_eq!(bob.get("/mesh").await.expect(200)["meshes"], json!([]));

    // They may ask again, and begin anew.
    bob.post(&format!("/mesh/{mesh}/join"), json!({})).await.expect(202);
}

/// A poll of a member's agent whose access was checked, and that nothing can wake yet.
async fn poll_about_to_wait(user: &User<'_>, mesh: &MeshId) -> Reader {
    let worker = user.agent(mesh, "worker").await;
    let meshes = &user.server.app.meshes;
    let revocations = meshes.revocations();
    let hash = secret::digest(&user.token);
    let token = user.server.app.store.token(&hash).await.unwrap().unwrap().0;
    let speaker = Speaker {
        user: user.row.id.clone(),
        login: user.row.login.clone(),
        token: token.id.clone(),
        via: Via::Account,
        agent: None,
        expires_at: None,
        revocations,
    };
    let poll = Poll {
        epoch: meshes.roster(mesh).await.unwrap().unwrap().epoch,
        after: None,
        ack: true,
        limit: 1,
        wait: Duration::from_mins(1),
    };
    meshes.reader(mesh, &worker, &speaker, poll).await.unwrap()
}

#[tokio::test]
async fn a_removal_or_a_revocation_just_before_a_poll_waits_ends_it_too() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    admit(&ada, &mesh, &bob, "member").await;
    let mut of_removed = poll_about_to_wait(&bob, &mesh).await;
    ada.delete(&format!("/mesh/{mesh}/members/bob")).await.expect(204);

    let leaked = ada.with_token(server.token(&ada.row, |_| {}).await);
    let mut of_revoked = poll_about_to_wait(&leaked, &mesh).await;
    leaked.delete("/tokens/current").await.expect(204);

    ada.post(&format!("/mesh/{mesh}/messages"), json!({"content": "secret"})).await.expect(201);
    for reader in [&mut of_removed, &mut of_revoked] {
        let step = tokio::time::timeout(Duration::from_secs(20), reader.next()).await.unwrap();
        assert!(matches!(step, Ok(Step::Ended)), "it asks access again before it reads");
    }
}

#[tokio::test]
async fn nothing_that_a_member_sends_arrives_after_their_removal() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    admit(&ada, &mesh, &bob, "member").await;
    bob.agent(&mesh, "worker").await;
    let messages = format!("/mesh/{mesh}/messages");
    let send = async || {
        let mut sent = 0;
        loop {
            let answer = bob.post(&messages, json!({"content": "x", "from": "worker"})).await;
            if answer.status.as_u16() != 201 {
                answer.problem(403, "not_a_member");
                return sent;
            }
            sent += 1;
        }
    };
    let remove = async {
        while ada.get(&messages).await.expect(200)["messages"].as_array().unwrap().len() < 5 {
            tokio::task::yield_now().await;
        }
        ada.delete(&format!("/mesh/{mesh}/members/bob")).await.expect(204);
        count(&ada, &mesh).await
    };
    let (one, two, three, seen) = tokio::join!(send(), send(), send(), remove);
    assert_eq!(one + two + three, seen, "all that was answered, and nothing after the removal");
    assert_eq!(count(&ada, &mesh).await, seen);
}

#[tokio::test]
async fn who_joins_reads_the_broadcasts_of_before_and_nothing_else() {
    let server = Server::start().await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mesh = ada.mesh().await;
    ada.agent(&mesh, "a").await;
    ada.agent(&mesh, "b").await;
    ada.send(&mesh, "a", "all", "to everyone").await;
    let direct = ada.send(&mesh, "a", "b", "to b").await;
    admit(&ada, &mesh, &bob, "member").await;
    let history = bob.get(&format!("/mesh/{mesh}/messages")).await.expect(200);
    assert_eq!(contents(&history), ["to everyone"]);
    bob.get(&format!("/mesh/{mesh}/messages/{direct}")).await.problem(404, "message_not_found");
    bob.agent(&mesh, "worker").await;
    assert_eq!(contents(&bob.inbox(&mesh, "worker", "").await), [""; 0], "it starts at the head");
    let replay = bob.inbox(&mesh, "worker", "after=earliest").await;
    assert_eq!(contents(&replay), ["to everyone"]);
}
