//! Several sign-ins on one computer, and which mesh is meant when none is said.

use serde_json::{Value, json};

use crate::support::{Computer, MESH, Reply, Server, me, mesh, token};

fn server(login: &'static str) -> Server {
    Server::start(move |request| match request.line.as_str() {
        "GET /me" => {
            let mut me = me();
            me["user"]["login"] = json!(login);
            Reply::Json(200, me)
        }
        _ => Reply::problem(404, "not_found"),
    })
}

#[test]
fn each_profile_has_its_server() {
    let (home, work) = (server("ada"), server("lovelace"));
    let computer = Computer::new();
    for (url, profile) in [(&home.url, None), (&work.url, Some("work"))] {
        let mut args = vec!["login", "--url", url, "--token", "-"];
        args.extend(profile.iter().flat_map(|name| ["--profile", name]));
        let done = computer.run_with_input(&args, token().as_bytes());
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let who = |args: &[&str]| {
        let done = computer.run(&[&["whoami"], args].concat());
        (done.code, done.out.lines().next().unwrap_or_default().to_owned())
    };
    assert_eq!(who(&[]), (Some(0), "ada (Ada)".to_owned()));
    assert_eq!(who(&["--profile", "work"]), (Some(0), "lovelace (Ada)".to_owned()));
    assert_eq!(who(&["--profile", "none"]).0, Some(3));
    // The token of a profile is not for another server.
    assert_eq!(who(&["--profile", "work", "--url", &home.url]).0, Some(3));
    assert_eq!(home.seen().len(), 2);
    let computer = computer.env("MESHWIRE_PROFILE", "work");
    assert!(computer.run(&["whoami"]).out.starts_with("lovelace"));
    assert!(computer.run(&["whoami", "--profile", "default"]).out.starts_with("ada"));
    // Signing out of one leaves the other.
    assert_eq!(computer.run(&["logout", "--local"]).code, Some(0));
    assert_eq!(computer.run(&["whoami"]).code, Some(3));
    assert_eq!(computer.run(&["whoami", "--profile", "default"]).code, Some(0));
}

#[test]
fn the_mesh_of_the_token_then_the_only_one_else_a_list() {
    for (bound, meshes, code) in
        [(Some(MESH), 2, Some(0)), (None, 1, Some(0)), (None, 2, Some(2)), (None, 0, Some(2))]
    {
        let server = Server::start(move |request| match request.line.as_str() {
            "GET /me" => {
                let mut me = me();
                me["token"]["mesh_id"] = json!(bound);
                Reply::Json(200, me)
            }
            "GET /mesh" => Reply::Json(200, json!({"meshes": vec![mesh(); meshes]})),
            "GET /mesh/kR9xQpLmW3aZ/agents" => Reply::Json(200, json!({"agents": []})),
            _ => Reply::problem(404, "not_found"),
        });
        let computer =
            Computer::new().env("MESHWIRE_TOKEN", &token()).env("MESHWIRE_URL", &server.url);
        let done = computer.run(&["agents", "--json"]);
        assert_eq!(done.code, code, "{bound:?} {meshes}: {done:?}");
        match (code, meshes) {
            (Some(0), _) => assert!(serde_json::from_str::<Value>(&done.out).is_ok(), "{done:?}"),
            (_, 0) => assert!(done.err.contains("meshwire mesh create"), "{done:?}"),
            _ => {
                assert_eq!(
                    done.err.matches(&format!("{MESH} \"my-fleet\"")).count(),
                    2,
                    "{done:?}"
                );
            }
        }
    }
}
