//! `init` and secrets: what is on the disk when it is killed, what git sees, what a server may make it write.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::headless;
use crate::support::{Computer, Reply, Server, me, mesh};
use crate::wiring::json_of;

fn git(computer: &Computer, args: &[&str]) -> bool {
    let mut command = Command::new("git");
    command.args(args).current_dir(computer.project("")).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", computer.home(""));
    command.output().unwrap().status.success()
}

fn is_ignored(computer: &Computer, path: &str) -> bool {
    git(computer, &["check-ignore", "--quiet", "--", path])
}

#[test]
fn what_a_killed_run_leaves_is_ignored_and_swept_away() {
    let server = headless::server();
    for last in [&["init"][..], &["init", "--undo"]] {
        let computer = Computer::new().signed_in(&server.url);
        assert!(git(&computer, &["init", "-q", "."]));
        let done = computer.run(&["init", "--harness", "hermes"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let left = [".meshwire-tmp-a/.env.meshwire", "../.hermes/.meshwire-tmp-b/config.yaml"]
            .map(|path| computer.project(path));
        for path in &left {
            fs::create_dir(path.parent().unwrap()).unwrap();
            fs::write(path, "secret").unwrap();
        }
        assert!(is_ignored(&computer, ".meshwire-tmp-a/.env.meshwire"));
        assert_eq!(computer.run(last).code, Some(0));
        assert!(left.iter().all(|path| !path.parent().unwrap().exists()), "{last:?}");
    }
}

#[test]
fn a_token_that_never_came_to_its_file_is_ended() {
    let server = headless::server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    fs::remove_file(computer.project(".env.meshwire")).unwrap();
    assert_eq!(computer.run(&["init"]).code, Some(0));
    let lines = server.lines();
    assert!(lines.contains(&"DELETE /tokens/tok000000000".to_owned()), "{lines:?}");
    assert!(
        fs::read_to_string(computer.home(".meshwire/wiring.json"))
            .unwrap()
            .contains("tok000000001")
    );
}

#[test]
fn git_ignores_the_token_whatever_was_written_before() {
    let server = headless::server();
    for text in [".env.meshwire\n!.env*\n", ".env.meshwire\t\n", " .env.meshwire\n", "# none"] {
        let computer = Computer::new().signed_in(&server.url);
        assert!(git(&computer, &["init", "-q", "."]));
        fs::write(computer.project(".gitignore"), text).unwrap();
        assert_eq!(computer.run(&["init", "--harness", "pi"]).code, Some(0));
        assert!(is_ignored(&computer, ".env.meshwire"), "{text:?}");
        let new = fs::read_to_string(computer.project(".gitignore")).unwrap();
        assert_eq!(computer.run(&["init"]).code, Some(0));
        assert_eq!(fs::read_to_string(computer.project(".gitignore")).unwrap(), new);
        assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
        assert_eq!(fs::read_to_string(computer.project(".gitignore")).unwrap(), text);
    }
}

#[test]
fn a_file_that_stays_stays_ignored() {
    let server = headless::server();
    let computer = Computer::new().signed_in(&server.url);
    assert!(git(&computer, &["init", "-q", "."]));
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    let path = computer.project(".env.meshwire");
    let text = fs::read_to_string(&path).unwrap() + "OPENAI_API_KEY=sk-1\n";
    fs::write(&path, &text).unwrap();
    let done = computer.run(&["init", "--undo"]);
    assert!(done.code == Some(0) && done.err.contains("keeps .env.meshwire"), "{done:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert!(is_ignored(&computer, ".env.meshwire"));
}

#[test]
fn no_name_of_a_server_comes_to_where_a_shell_reads_it() {
    for name in ["x$(touch PWN)\nB=1", "a b", "", "--flag", "@ada"] {
        let server = Server::start(move |request| match request.line.as_str() {
            "GET /me" => Reply::Json(200, me()),
            "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
            _ => Reply::Json(201, json!({"agent_id": "abc123xyz", "name": name, "cursor": 0})),
        });
        for harness in ["hermes", "windsurf"] {
            let computer = Computer::new().signed_in(&server.url);
            let done = computer.run(&["init", "--harness", harness]);
            assert_eq!(done.code, Some(1), "{done:?}");
            assert!(done.err.contains("the server named the agent"), "{done:?}");
            assert_eq!(fs::read_dir(computer.project("")).unwrap().count(), 0);
            assert!(!computer.home(".codeium").exists() && !computer.home(".hermes").exists());
        }
    }
}

#[test]
fn the_last_undo_forgets_the_names_of_this_computer() {
    let server = Server::start(|request| match request.line.as_str() {
        "GET /me" => Reply::Json(200, me()),
        "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        _ if request.body["name"] == "codex-agent" => Reply::problem(409, "agent_name_taken"),
        _ => Reply::Json(
            201,
            json!({"agent_id": "abc123xyz", "name": request.body["name"], "cursor": 0}),
        ),
    });
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    let names = computer.home(".meshwire/agents.json");
    assert_eq!(json_of(&names)["kR9xQpLmW3aZ"]["codex-agent"], "codex-agent-ada");
    let done = computer.run(&["init", "--undo"]);
    assert!(done.err.contains("The agent codex-agent-ada is still"), "{done:?}");
    assert!(!names.exists());
}

/// Runs as somebody who may not write everywhere.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_seen_before_the_server_is_asked() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;

    let server = headless::server();
    let is_root = rustix::process::geteuid().is_root();
    for folder in ["project", ".hermes/plugins"] {
        let computer = Computer::new().signed_in(&server.url);
        fs::create_dir_all(computer.home(folder)).unwrap();
        let mut command = computer.command(&["init", "--harness", "hermes"]);
        if is_root {
            for path in [
                "",
                "project",
                ".hermes",
                ".hermes/plugins",
                ".meshwire",
                ".meshwire/credentials.json",
            ] {
                if computer.home(path).exists() {
                    chown(computer.home(path), Some(65534), Some(65534)).unwrap();
                }
            }
            command.uid(65534).gid(65534);
        }
        fs::set_permissions(computer.home(folder), fs::Permissions::from_mode(0o555)).unwrap();
        let asked = server.seen().len();
        let done: crate::support::Done = command.output().unwrap().into();
        fs::set_permissions(computer.home(folder), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(done.code == Some(1) && done.err.contains("no file can be made in"), "{done:?}");
        assert!(done.err.contains("nothing was changed"), "{done:?}");
        assert_eq!(server.seen().len(), asked);
        assert!(!computer.home(".hermes/config.yaml").exists());
    }
}
