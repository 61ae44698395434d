//! `init --harness` in folders and with clients of many kinds.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Computer, MESH};
use crate::wiring::{json_of, run_in, server};

#[test]
fn clients_that_start_nothing_in_a_project_get_a_server_for_each() {
    let server = server();
    for (harness, path) in [
        ("claude-desktop", ".config/Claude/claude_desktop_config.json"),
        ("windsurf", ".codeium/windsurf/mcp_config.json"),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        for (folder, agent) in [("project", "one"), ("second", "two"), ("second", "two")] {
            let args = ["init", "--harness", harness, "--agent", agent];
            assert_eq!(run_in(&computer, folder, &args).code, Some(0));
        }
        // Linux keeps it there, others elsewhere.
        if !computer.home(path).exists() {
            continue;
        }
        let args = |name: &str| json_of(&computer.home(path))["mcpServers"][name]["args"].clone();
        let wanted =
            |agent: &str| json!(["mcp", "--harness", harness, "--mesh", MESH, "--agent", agent]);
        assert_eq!(args("meshwire"), wanted("one"));
        assert_eq!(args("meshwire-second"), wanted("two"));
        assert_eq!(run_in(&computer, "project", &["init", "--undo"]).code, Some(0));
        assert_eq!(args("meshwire"), Value::Null);
        assert_eq!(run_in(&computer, "second", &["init"]).code, Some(0));
        assert_eq!(args("meshwire-second"), wanted("two"));
        assert_eq!(run_in(&computer, "second", &["init", "--undo"]).code, Some(0));
        assert!(!computer.home(path).exists());
    }
}

#[test]
fn a_sub_folder_is_the_project_and_a_lost_file_no_hindrance() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "vscode"]).code, Some(0));
    fs::remove_dir_all(computer.project(".vscode")).unwrap();
    let done = run_in(&computer, "project/deep/down", &["init"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(computer.project(".vscode/mcp.json").exists());
    assert!(!computer.project("deep/down/.mesh.json").exists());
    fs::remove_file(computer.project(".mesh.json")).unwrap();
    let done = computer.run(&["init", "--harness", "vscode", "--undo"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!computer.project(".vscode").exists());
    let done = computer.run(&["init", "--harness", "vscode", "--undo"]);
    assert!(done.code == Some(2) && done.err.contains("was not wired in here"), "{done:?}");
}

#[test]
fn a_new_file_in_a_strange_place_comes_with_a_word() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    fs::create_dir_all(computer.project(".git")).unwrap();
    let done = run_in(&computer, "project/sub", &["init", "--harness", "generic"]);
    assert!(done.code == Some(0) && done.err.contains("do not see the .mesh.json"), "{done:?}");
    let done = run_in(&computer, ".", &["init", "--harness", "generic"]);
    assert!(done.code == Some(0) && done.err.contains("this is your home folder"), "{done:?}");
    // Outside of git, and where nothing is above.
    let done = run_in(&computer, "plain", &["init", "--harness", "generic"]);
    assert_eq!(done.code, Some(0), "{done:?}");
}

#[test]
fn a_new_version_takes_over_what_an_older_one_wrote() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "gemini"]).code, Some(0));
    let path = computer.home(".gemini/settings.json");
    let (now, program) = (fs::read_to_string(&path).unwrap(), env!("CARGO_BIN_EXE_meshwire"));
    // As if an older version, of which nothing is remembered, had been elsewhere.
    fs::write(&path, now.replace(program, "/old/meshwire")).unwrap();
    fs::remove_file(computer.home(".meshwire/wiring.json")).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "gemini"]).code, Some(0));
    assert_eq!(json_of(&path), serde_json::from_str::<Value>(&now).unwrap());
}
