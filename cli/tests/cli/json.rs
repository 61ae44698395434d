//! `--json` on every command that prints data, and the commands of members and tokens as scripts use them.

use serde_json::{Value, json};

use crate::support::{
    AGENT, Computer, MESH, Reply, Request, Server, agent, me, mesh, message, token,
};

const AT: &str = "2026-01-02T09:41:23Z";

fn invite(login: Option<&str>) -> Value {
    json!({"id": "invite", "login": login, "expires_at": AT, "max_uses": 1, "uses": 0, "created_at": AT,
        "created_by": "ada", "code": "the-code", "url": format!("http://x/join/{MESH}?invite=the-code")})
}

fn token_row() -> Value {
    let mut row = me()["token"].clone();
    row["suffix"] = json!("abcdef");
    row["created_at"] = json!(AT);
    row["last_used_at"] = Value::Null;
    row
}

fn answer(request: &Request) -> Reply {
    let mut sent = message(7, "hello");
    sent["recipients"] = json!({"total": 1, "active": 1});
    let mut created = token_row();
    created["token"] = json!(token());
    let member = json!({"login": "bob", "name": "Bob", "role": "member", "joined_at": AT});
    let line = request.line.replace(MESH, "MESH").replace(AGENT, "AGENT");
    let (status, body) = match line.as_str() {
        "GET /health" => {
            (200, json!({"status": "ok", "uptime": 1, "version": "0.1.0", "region": "here"}))
        }
        "GET /ready" => (200, json!({"status": "ready"})),
        "GET /me" => (200, me()),
        "GET /tokens" => (200, json!({"tokens": [token_row()]})),
        "POST /tokens" => (201, created),
        "DELETE /tokens/tttttttttttt" | "DELETE /mesh/MESH" => (204, Value::Null),
        "GET /mesh" => (200, json!({"meshes": [mesh()]})),
        "POST /mesh" => (201, mesh()),
        "GET /mesh/MESH" => (200, mesh()),
        "GET /mesh/MESH/members" => (200, json!({"members": [member]})),
        "POST /mesh/MESH/invites" => (201, invite(request.body["login"].as_str())),
        "POST /mesh/MESH/join" => (200, json!({"status": "member", "mesh_id": MESH})),
        "GET /mesh/MESH/requests" => {
            (200, json!({"requests": [{"login": "eve", "name": "Eve", "requested_at": AT}]}))
        }
        "GET /mesh/MESH/agents" => (200, json!({"agents": [agent("worker")]})),
        "GET /mesh/MESH/agents/worker" => (200, agent("worker")),
        "POST /mesh/MESH/agents" => {
            (201, json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}))
        }
        "GET /mesh/MESH/integrate" => (200, json!("# Guide")),
        "POST /mesh/MESH/messages" => (201, sent),
        line if line.starts_with("GET /mesh/MESH/messages?") => {
            (200, json!({"messages": [message(7, "hello")], "before": null}))
        }
        line if line.starts_with("GET /mesh/MESH/agents/") && line.contains("/messages?") => {
            (200, json!({"messages": [message(7, "hello")], "cursor": 7, "more": false}))
        }
        _ => return Reply::problem(404, "not_found"),
    };
    Reply::Json(status, body)
}

#[test]
fn every_command_that_prints_data_prints_json() {
    let server = Server::start(answer);
    for (args, key) in [
        (&["whoami"][..], "/user/login"),
        (&["mesh", "create", "x"], "/mesh_id"),
        (&["mesh", "list"], "/meshes/0/mesh_id"),
        (&["mesh", "members"], "/members/0/login"),
        (&["mesh", "invite"], "/url"),
        (&["mesh", "invite", "bob"], "/login"),
        (&["mesh", "join", MESH], "/status"),
        (&["mesh", "requests"], "/requests/0/login"),
        (&["token", "create"], "/token"),
        (&["token", "list"], "/tokens/0/id"),
        (&["init", "--harness", "generic"], "/agent_id"),
        (&["send", "hello"], "/recipients/total"),
        (&["reply", "5", "hello"], "/id"),
        (&["inbox"], "/messages/0/content"),
        (&["history"], "/messages/0/content"),
        (&["agents"], "/agents/0/agent_id"),
        (&["status"], "/mesh/mesh_id"),
        (&["doctor"], "/checks/0/topic"),
        (&["integrate"], "/markdown"),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        let done = computer.run(&[args, &["--json"]].concat());
        assert_eq!(done.out.lines().count(), 1, "{args:?}: {done:?}");
        let printed: Value = serde_json::from_str(&done.out).unwrap();
        assert!(printed.pointer(key).is_some(), "{args:?}: {printed}");
        // Only `doctor` finds something wrong: a credentials file that others may read.
        assert_eq!(done.code, Some(i32::from(args[0] == "doctor")), "{args:?}: {done:?}");
        if *args != ["token", "create"] {
            assert!(!done.out.contains(&token()), "{args:?}: a token");
        }
    }
}

#[test]
fn scopes_and_agents_of_a_token_are_given_in_either_way() {
    let server = Server::start(answer);
    let computer = Computer::new().signed_in(&server.url);
    for (args, body) in [
        (&["token", "create"][..], json!({"name": "cli"})),
        (
            &["token", "create", "ci", "--scope", "read", "send"],
            json!({"name": "ci", "scopes": ["read", "send"]}),
        ),
        (
            &["token", "create", "--scope", "read", "--scope", "send", "--expires", "365"],
            json!({"name": "cli", "scopes": ["read", "send"], "expires_in_days": 365}),
        ),
        (
            &["token", "create", "w", "--agent", "worker"],
            json!({"name": "w", "mesh_id": MESH, "agent_id": AGENT}),
        ),
        (&["token", "create", "--mesh", MESH], json!({"name": "cli", "mesh_id": MESH})),
    ] {
        let done = computer.run(args);
        assert_eq!((done.code, done.out), (Some(0), format!("{}\n", token())), "{args:?}");
        assert_eq!(server.seen().last().unwrap().body, body, "{args:?}");
    }
}

#[test]
fn tokens_are_listed_by_their_ends_and_revoked_by_their_ids() {
    let server = Server::start(answer);
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["token", "list"]);
    assert!(done.out.starts_with("🕸 Your tokens (1)\n"), "{done:?}");
    assert!(done.out.contains("tttttttttttt mw_••••••••••••abcdef \"cli\""), "{done:?}");
    let done = computer.run(&["token", "revoke", "tttttttttttt"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "✓ Revoked token: tttttttttttt\n"));
    assert_eq!(server.lines().last().unwrap(), "DELETE /tokens/tttttttttttt");
    // A token is not taken for its id: it would stand in a URL.
    let before = server.seen().len();
    let done = computer.run(&["token", "revoke", &token()]);
    assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{done:?}");
    assert_eq!(server.seen().len(), before);
}

#[test]
fn a_deleted_mesh_is_kept_no_longer() {
    let server = Server::start(answer);
    let computer = Computer::new().signed_in(&server.url);
    let kept = || std::fs::read_to_string(computer.home(".meshwire/credentials.json")).unwrap();
    assert!(kept().contains(MESH));
    let done = computer.run(&["mesh", "delete", MESH]);
    assert_eq!((done.code, done.out), (Some(0), format!("✓ Deleted mesh: {MESH}\n")));
    assert_eq!(server.lines(), [format!("DELETE /mesh/{MESH}")]);
    assert!(!kept().contains(MESH), "{}", kept());
}

#[test]
fn an_invite_prints_its_link_alone_and_a_link_lets_one_in() {
    let server = Server::start(answer);
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["mesh", "invite", "--expires", "24", "--uses", "5"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), "http://x/join/kR9xQpLmW3aZ?invite=the-code\n")
    );
    assert_eq!(server.seen().last().unwrap().body, json!({"expires_in_hours": 24, "max_uses": 5}));
    let done = computer.run(&["mesh", "invite", "@bob"]);
    assert!(done.out.contains("✓ Invited bob"), "{done:?}");
    assert_eq!(server.seen().last().unwrap().body, json!({"login": "bob"}));

    let link = format!("{}/join/{MESH}?invite=the-code", server.url);
    assert_eq!(computer.run(&["mesh", "join", &link]).code, Some(0));
    assert_eq!(server.seen().last().unwrap().body, json!({"invite": "the-code"}));
    let before = server.seen().len();
    let foreign = format!("http://mesh.example/join/{MESH}?invite=the-code");
    assert_eq!(computer.run(&["mesh", "join", &foreign]).code, Some(2));
    assert_eq!(server.seen().len(), before, "the token stays with its server");
}

#[test]
fn a_folder_of_a_project_changes_the_projects_file_and_says_so() {
    let server = Server::start(answer);
    let file = json!({"mesh_id": MESH, "agent_name": "worker", "harness": "generic"}).to_string();
    let computer =
        Computer::new().env("MESHWIRE_URL", &server.url).signed_in(&server.url).mesh_file(&file);
    let deep = computer.project("src");
    std::fs::create_dir(&deep).unwrap();
    let output =
        computer.command(&["init", "--agent", "other"]).current_dir(&deep).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let path = std::fs::canonicalize(computer.project(".mesh.json")).unwrap();
    assert!(out.contains(&format!("✓ {} written", path.display())), "{out}");
    assert!(!deep.join(".mesh.json").exists());
    let kept: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(kept["agent_name"], "other");
}
