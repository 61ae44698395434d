//! `init --harness hermes` and `pi`: the environment file with a token of the agent's own.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{AGENT, Computer, MESH, Reply, Server, me, mesh, token};

/// A token that is the agent's own.
pub(crate) fn own(number: usize) -> String {
    meshwire_protocol::finish_token(&format!("own{number:027}")).unwrap()
}

/// A server that makes tokens, and on which each works until it is ended.
pub(crate) fn server() -> Server {
    server_that(true)
}

/// The same, which may fail to end one.
fn server_that(ends: bool) -> Server {
    let made = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::new());
    Server::start(move |request| {
        let bearer = request.header("authorization").unwrap_or_default().replace("Bearer ", "");
        if ended.lock().unwrap().contains(&bearer) {
            return Reply::problem(401, "token_revoked");
        }
        match request.line.as_str() {
            "GET /me" if bearer == token() => Reply::Json(200, me()),
            "GET /me" => {
                let mut me = me();
                me["token"]["agent_id"] = json!(AGENT);
                Reply::Json(200, me)
            }
            "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
            "POST /mesh/kR9xQpLmW3aZ/agents" => Reply::Json(
                201,
                json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}),
            ),
            "POST /tokens" => {
                let number = made.fetch_add(1, Ordering::SeqCst);
                Reply::Json(
                    201,
                    json!({"id": format!("tok{number:09}"), "name": "n", "suffix": "abcdef",
                        "scopes": ["read"], "mesh_id": MESH, "agent_id": AGENT,
                        "created_at": "2026-01-02T09:41:23Z", "last_used_at": null,
                        "expires_at": null, "token": own(number)}),
                )
            }
            "DELETE /tokens/current" if !ends => Reply::problem(500, "internal_error"),
            "DELETE /tokens/current" => {
                ended.lock().unwrap().push(bearer);
                Reply::Json(204, Value::Null)
            }
            _ => Reply::problem(404, "not_found"),
        }
    })
}

fn tokens_made(server: &Server) -> usize {
    server.lines().iter().filter(|line| *line == "POST /tokens").count()
}

#[test]
fn the_token_is_made_once_kept_while_it_works_and_ended() {
    for harness in ["hermes", "pi"] {
        let server = server();
        let computer = Computer::new().signed_in(&server.url);
        fs::write(computer.project(".gitignore"), "target").unwrap();
        let done = computer.run(&["init", "--harness", harness]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(!done.out.contains("mw_") && !done.err.contains("mw_"), "{done:?}");
        let path = computer.project(".env.meshwire");
        let text = fs::read_to_string(&path).unwrap();
        for line in [
            format!("MESHWIRE_TOKEN={}", own(0)),
            format!("MESHWIRE_URL={}", server.url),
            format!("MESHWIRE_MESH_ID={MESH}"),
            format!("MESHWIRE_AGENT_NAME={harness}-agent"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let ignored = fs::read_to_string(computer.project(".gitignore")).unwrap();
        assert_eq!(ignored, "target\n.env.meshwire\n");
        assert!(computer.project("MESHWIRE_SKILL.md").exists());
        let request = server.seen().into_iter().find(|seen| seen.line == "POST /tokens").unwrap();
        assert_eq!(
            (&request.body["mesh_id"], &request.body["agent_id"]),
            (&json!(MESH), &json!(AGENT))
        );

        let ledger = fs::read_to_string(computer.home(".meshwire/wiring.json")).unwrap();
        assert!(!ledger.contains("mw_"), "{ledger}");
        assert_eq!(computer.run(&["init"]).code, Some(0));
        assert_eq!(tokens_made(&server), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);

        if harness == "hermes" {
            let compiled = computer.home(".hermes/plugins/meshwire/__pycache__");
            fs::create_dir(&compiled).unwrap();
            fs::write(compiled.join("__init__.cpython-313.pyc"), [0]).unwrap();
        }
        let done = computer.run(&["init", "--undo"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(!computer.home(&format!(".{harness}")).exists());
        let last = server.seen().pop().unwrap();
        assert_eq!(last.line, "DELETE /tokens/current");
        assert_eq!(last.header("authorization"), Some(format!("Bearer {}", own(0)).as_str()));
        assert!(!path.exists() && !computer.project("MESHWIRE_SKILL.md").exists());
        assert_eq!(fs::read_to_string(computer.project(".gitignore")).unwrap(), "target");
        assert!(!computer.home(".meshwire/wiring.json").exists());
    }
}

#[test]
fn a_token_that_works_no_more_is_replaced() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    let path = computer.project(".env.meshwire");
    // Ended elsewhere.
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    client.delete(format!("{}/tokens/current", server.url)).bearer_auth(own(0)).send().unwrap();
    let done = computer.run(&["init"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(fs::read_to_string(&path).unwrap().contains(&own(1)));
    assert_eq!(tokens_made(&server), 2);
}

#[test]
fn a_second_harness_leaves_the_environment_file_to_the_first() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    let text = fs::read_to_string(computer.project(".env.meshwire")).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "pi"]).code, Some(0));
    assert_eq!(tokens_made(&server), 1);
    assert_eq!(computer.run(&["init", "--harness", "pi", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(computer.project(".env.meshwire")).unwrap(), text);
    assert!(computer.project("MESHWIRE_SKILL.md").exists());
}

#[test]
fn a_token_that_cannot_be_ended_now_is_named_and_no_longer_kept() {
    let server = server_that(false);
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "pi"]).code, Some(0));
    let done = computer.run(&["init", "--undo"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("meshwire token revoke tok000000000"), "{done:?}");
    assert!(!computer.project(".env.meshwire").exists());
}

#[test]
fn a_skill_that_a_teammate_has_committed_stays() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "pi"]).code, Some(0));
    let path = computer.project("MESHWIRE_SKILL.md");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    fs::write(&path, &text).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "pi"]).code, Some(0));
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // Also when another version wrote it, or they have changed it.
    let theirs = format!("{text}Ask ada before you deploy.\n");
    fs::write(&path, &theirs).unwrap();
    for _ in 0..2 {
        let done = computer.run(&["init", "--harness", "pi"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(format!("{done:?}").contains("was there before and stays as it is"), "{done:?}");
    }
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
}

#[test]
fn what_somebody_has_put_into_a_file_of_ours_is_neither_replaced_nor_shown() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    let (secret, skill) =
        (computer.project(".env.meshwire"), computer.project("MESHWIRE_SKILL.md"));
    let plugin = computer.home(".hermes/plugins/meshwire/plugin.yaml");
    for path in [&secret, &skill, &plugin] {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, format!("{text}OPENAI_API_KEY=sk-secret-1\n")).unwrap();
    }
    let done = computer.run(&["init", "--undo"]);
    assert_eq!(done.err.matches("was changed since, and stays").count(), 3, "{done:?}");
    // That one may be everybody's, and then it stays and is in nobody's way.
    fs::remove_file(&skill).unwrap();
    for path in [&plugin, &secret] {
        let text = fs::read_to_string(path).unwrap();
        for more in [&[][..], &["--dry-run"]] {
            let done = computer.run(&[&["init", "--harness", "hermes"], more].concat());
            assert!(
                done.code == Some(1) && done.err.contains("somebody has changed it"),
                "{done:?}"
            );
            assert!(done.err.contains(&path.display().to_string()), "{done:?}");
            assert!(done.err.contains("move it away"), "{done:?}");
            assert!(!format!("{done:?}").contains("sk-secret-1"), "{done:?}");
        }
        assert_eq!(fs::read_to_string(path).unwrap(), text);
        fs::remove_file(path).unwrap();
    }
    assert_eq!(tokens_made(&server), 1);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    assert_eq!(tokens_made(&server), 2);
}

#[test]
fn an_environment_file_that_is_not_remembered_is_not_gone_on_with() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "pi"]).code, Some(0));
    let text = fs::read_to_string(computer.project(".env.meshwire")).unwrap();
    fs::remove_file(computer.home(".meshwire/wiring.json")).unwrap();
    let done = computer.run(&["init"]);
    assert!(done.code == Some(1) && done.err.contains(".env.meshwire is not as"), "{done:?}");
    assert_eq!(fs::read_to_string(computer.project(".env.meshwire")).unwrap(), text);
    assert_eq!(tokens_made(&server), 1);
}

#[cfg(unix)]
#[test]
fn no_token_is_written_where_git_would_show_it() {
    let server = server();
    let git = |computer: &Computer, args: &[&str]| {
        let folder = computer.project("");
        let done =
            std::process::Command::new("git").args(args).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    let computer = Computer::new().signed_in(&server.url);
    fs::write(computer.project("ignored"), "target\n").unwrap();
    std::os::unix::fs::symlink("ignored", computer.project(".gitignore")).unwrap();
    let done = computer.run(&["init", "--harness", "hermes"]);
    assert!(done.code == Some(1) && done.err.contains(".gitignore is a symbolic link"), "{done:?}");
    assert!(done.err.contains("put the file itself there"), "{done:?}");
    fs::remove_file(computer.project(".gitignore")).unwrap();

    git(&computer, &["init", "-q"]);
    fs::write(computer.project(".env.meshwire"), "").unwrap();
    git(&computer, &["add", ".env.meshwire"]);
    for there in [true, false] {
        if !there {
            fs::remove_file(computer.project(".env.meshwire")).unwrap();
        }
        let done = computer.run(&["init", "--harness", "hermes"]);
        assert!(done.code == Some(1) && done.err.contains("is in the repository"), "{done:?}");
        assert!(done.err.contains("git rm --cached .env.meshwire"), "{done:?}");
        assert!(!computer.home(".hermes").exists());
    }
    assert_eq!(tokens_made(&server), 0);
    git(&computer, &["rm", "-q", "--cached", ".env.meshwire"]);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
}

#[test]
fn a_token_of_the_server_before_is_named_and_not_ended_at_the_new_one() {
    let (old, new) = (server(), server());
    let computer = Computer::new().signed_in(&old.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    let path = computer.home(".meshwire/credentials.json");
    let text = fs::read_to_string(&path).unwrap().replace(&old.url, &new.url);
    fs::write(&path, text).unwrap();
    let done = computer.run(&["init", "--harness", "hermes", "--url", &new.url]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = format!("meshwire token revoke tok000000000 --url {}", old.url);
    assert!(done.out.contains(&told), "{done:?}");
    assert!(!new.lines().iter().any(|line| line.starts_with("DELETE")), "{:?}", new.lines());
    let done = computer.run(&["init"]);
    assert!(done.code == Some(0) && !done.out.contains("token revoke"), "{done:?}");
}
