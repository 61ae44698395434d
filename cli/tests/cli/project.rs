//! `init`, `mesh`, `status`, `agents`, `history`, `integrate`.

use serde_json::{Value, json};

use crate::support::{AGENT, Computer, MESH, Reply, Server, agent, me, mesh, message, token};

/// A server where a teammate has the name `taken-agent`.
fn server() -> Server {
    Server::start(|request| match request.line.strip_prefix("GET ").unwrap_or("POST") {
        "/health" => {
            Reply::Json(200, json!({"status": "ok", "uptime": 1, "version": "1", "region": "here"}))
        }
        "/me" => Reply::Json(200, me()),
        "/mesh" => Reply::Json(200, json!({"meshes": [mesh()]})),
        "/mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        "/mesh/strangerMesh" => Reply::problem(403, "not_a_member"),
        "/mesh/kR9xQpLmW3aZ/integrate" => Reply::Json(200, json!("# Guide")),
        "/mesh/kR9xQpLmW3aZ/agents" => {
            Reply::Json(200, json!({"agents": [agent("generic-agent"), agent("other")]}))
        }
        "/mesh/kR9xQpLmW3aZ/agents/generic-agent" => Reply::Json(200, agent("generic-agent")),
        "/mesh/kR9xQpLmW3aZ/messages?limit=20" => Reply::Json(
            200,
            json!({"messages": [message(6, "new"), message(5, "old")], "before": null}),
        ),
        "POST" if request.line == "POST /mesh/strangerMesh/join" => {
            Reply::Json(202, json!({"status": "requested", "mesh_id": "strangerMesh"}))
        }
        "POST" if request.body["name"] == "taken-agent" => Reply::problem(409, "agent_name_taken"),
        "POST" => {
            Reply::Json(201, json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}))
        }
        _ => Reply::problem(404, "mesh_not_found"),
    })
}

fn mesh_file(computer: &Computer) -> String {
    std::fs::read_to_string(computer.project(".mesh.json")).unwrap()
}

#[test]
fn init_writes_the_file_and_registers_the_agent() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let first = computer.run(&["init", "--harness", "generic"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    for line in [
        "✓ .mesh.json written",
        "mesh_id: kR9xQpLmW3aZ",
        "✓ Registered as generic-agent (abc123xyz)",
        "✓ Generic harness ready!",
        "MESHWIRE_AGENT_NAME=generic-agent",
    ] {
        assert!(first.out.contains(line), "{line}: {first:?}");
    }
    assert!(!first.out.contains(&token()), "{first:?}");
    let text = mesh_file(&computer);
    assert_eq!(
        text,
        format!(
            "{{\n  \"mesh_id\": \"{MESH}\",\n  \"workspace_name\": \"project\",\n  \
             \"agent_name\": \"generic-agent\",\n  \"harness\": \"generic\",\n  \"url\": \"{}\"\n}}\n",
            server.url
        )
    );
    let again = computer.run(&["init"]);
    assert_eq!((again.code, mesh_file(&computer)), (Some(0), text));
}

#[test]
fn a_second_harness_leaves_the_first_one_alone() {
    let server = server();
    let file = format!(
        "{{\"x\":[1, 2],\"mesh_id\":\"{MESH}\",\"agent_name\":\"copilot-agent\",\"harness\":\"copilot\"}}"
    );
    let computer = Computer::new().env("MESHWIRE_URL", &server.url).signed_in(&server.url);
    let computer = computer.mesh_file(&file);
    assert_eq!(computer.run(&["init", "--harness", "generic"]).code, Some(0));
    let text = mesh_file(&computer);
    let bare: String = text.split_whitespace().collect();
    assert!(bare.starts_with(&file.trim_end_matches('}').replace(' ', "")), "{text}");
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["agent_name"], "copilot-agent");
    assert_eq!(file["agents"], json!({"generic": "generic-agent"}));
}

#[test]
fn a_name_that_a_teammate_has_is_changed_on_this_computer_only() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["init", "--harness", "generic", "--agent", "taken-agent"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("Registered as taken-agent-ada"), "{done:?}");
    let file: Value = serde_json::from_str(&mesh_file(&computer)).unwrap();
    assert_eq!(file["agent_name"], "taken-agent");
    // Remembered: the taken name is not asked for again.
    let before = server.seen().len();
    assert_eq!(computer.run(&["init"]).code, Some(0));
    let again = server.seen();
    assert!(again[before..].iter().all(|seen| seen.body["name"] != "taken-agent"));
}

#[test]
fn a_name_of_ones_own_has_room_and_is_free() {
    let server = Server::start(|request| match request.line.as_str() {
        "GET /me" => Reply::Json(200, me()),
        "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        _ => match request.body["name"].as_str().unwrap() {
            name if name.ends_with("-ada-3") || name.ends_with("x-ada") => {
                Reply::Json(201, json!({"agent_id": AGENT, "name": name, "cursor": 0}))
            }
            _ => Reply::problem(409, "agent_name_taken"),
        },
    });
    for (name, own) in [
        ("x".repeat(64), format!("{}-ada", "x".repeat(60))),
        ("x".repeat(62), format!("{}-ada", "x".repeat(60))),
        ("y".repeat(64), format!("{}-ada-3", "y".repeat(58))),
        ("y".to_owned(), "y-ada-3".to_owned()),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        let done = computer.run(&["init", "--harness", "generic", "--agent", &name]);
        assert!(done.out.contains(&format!("Registered as {own} (")), "{done:?}");
        assert_eq!(computer.run(&["init"]).code, Some(0));
    }
}

#[test]
fn what_init_says_names_its_file_and_holds_no_control_characters() {
    let server = server();
    let text = format!(r#"{{"mesh_id":"{MESH}","url":"http://127.0.0.1:9"}}"#);
    let computer = Computer::new().env("MESHWIRE_TOKEN", &token()).mesh_file(&text);
    let done = computer.run(&["init", "--harness", "generic"]);
    assert!(done.code == Some(3) && done.err.contains("which only /"), "{done:?}");
    assert!(done.err.contains(".mesh.json names"), "{done:?}");
    let computer = Computer::new().signed_in(&server.url);
    let args = ["init", "--harness", "generic"];
    let done = crate::wiring::run_in(&computer, "a\u{1b}[31mb", &args);
    assert!(done.code == Some(0) && !done.err.contains('\u{1b}'), "{done:?}");
    assert!(!done.out.contains('\u{1b}'), "{done:?}");
}

#[test]
fn a_stranger_writes_nothing() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["init", "--harness", "generic", "--mesh", "strangerMesh"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("we have asked to let you in"), "{done:?}");
    assert!(done.err.contains("meshwire mesh approve ada --mesh strangerMesh"), "{done:?}");
    assert!(!computer.project(".mesh.json").exists());
}

#[test]
fn a_token_given_to_init_is_kept() {
    let server = server();
    let computer = Computer::new().env("MESHWIRE_URL", &server.url);
    let args = ["init", "--harness", "generic", "--token", "-"];
    let done = computer.run_with_input(&args, token().as_bytes());
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(computer.run(&["whoami"]).code, Some(0));
}

#[test]
fn what_is_refused_at_once_leaves_nothing_behind() {
    let server = server();
    let computer = Computer::new().env("MESHWIRE_URL", &server.url);
    for (args, code) in [
        (&["--harness", "bogus"][..], 2),
        (&[], 2),
        (&["--harness", "generic", "--agent", "a b"], 2),
        // It is read before the lock is taken.
        (&["--harness", "generic", "--token", "-"], 3),
    ] {
        let done = computer.run_with_input(&[&["init"], args].concat(), b"no token");
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(!computer.home(".meshwire").exists(), "{args:?}");
    }
}

#[test]
fn status_shows_what_it_can() {
    let server = server();
    let file = format!("{{\"mesh_id\":\"{MESH}\",\"agent_name\":\"generic-agent\"}}");
    let done = Computer::new().signed_in(&server.url).mesh_file(&file).run(&["status"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for text in [
        "🕸 MeshWire Status",
        "Token   : mw_••••••••••••",
        "Agent   : generic-agent (abc123xyz)",
        "Service : ✓ online",
        "Mesh    : ✓ exists \"my-fleet\"",
        "Agents  : 1 registered, 1 active",
    ] {
        assert!(done.out.contains(text), "{text}: {done:?}");
    }
    let done = Computer::new().mesh_file(&file).run(&["status", "--url", &server.url]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.out.contains("not signed in") && done.out.contains("✓ online"), "{done:?}");
    let done = Computer::new().signed_in(&server.url).run(&["status", "--mesh", "AAAAAAAAAAAA"]);
    assert_eq!(done.code, Some(4), "{done:?}");
}

#[test]
fn lists_are_shown() {
    let server = server();
    let computer =
        Computer::new().signed_in(&server.url).env("MESHWIRE_AGENT_NAME", "generic-agent");
    let done = computer.run(&["agents"]);
    assert!(done.out.starts_with(&format!("🕸 Agents in mesh {MESH} (2)\n\n● active")), "{done:?}");
    assert!(done.out.contains("generic-agent (you)  abc123xyz"), "{done:?}");
    let done = computer.run(&["history"]);
    let (old, new) = (done.out.find("  old"), done.out.find("  new"));
    assert!(old.is_some() && old < new, "{done:?}");
    let done = computer.run(&["mesh", "list"]);
    assert!(done.out.contains("● kR9xQpLmW3aZ \"my-fleet\" owner"), "{done:?}");
    let done = computer.run(&["mesh", "list", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap()["meshes"][0]["name"], "my-fleet");
    assert!(computer.run(&["integrate"]).out.contains("# Guide"));
}

#[test]
fn a_chosen_mesh_is_kept() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["mesh", "use", MESH]);
    assert_eq!(done.out, format!("✓ Active mesh set to: {MESH}\n"));
    assert_eq!(computer.run(&["mesh", "use", "strangerMesh"]).code, Some(3));
}
