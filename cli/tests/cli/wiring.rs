//! `init --harness`: what it puts into a harness's files, and takes out again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{AGENT, Computer, MESH, Reply, Server, me, mesh};

/// A server that lets everything be.
fn server() -> Server {
    Server::start(|request| match request.line.as_str() {
        "GET /me" => Reply::Json(200, me()),
        "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        line if line.starts_with("POST /mesh/kR9xQpLmW3aZ/agents") => {
            Reply::Json(201, json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}))
        }
        _ => Reply::problem(404, "not_found"),
    })
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every file below a folder, with its bytes and the time of its last change.
fn all(folder: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let changed = fs::metadata(&path).unwrap().modified().unwrap();
                found.push((path.display().to_string(), fs::read(&path).unwrap(), changed));
            }
        }
    }
    found.sort();
    found
}

/// The same without what the program remembers for itself.
fn others(computer: &Computer) -> Vec<(String, Vec<u8>)> {
    let own = computer.home(".meshwire").display().to_string();
    all(&computer.home(""))
        .into_iter()
        .filter(|(path, ..)| !path.starts_with(&own))
        .map(|(path, bytes, _)| (path, bytes))
        .collect()
}

const HARNESSES: [&str; 10] = [
    "copilot",
    "claude",
    "claude-desktop",
    "cursor",
    "codex",
    "gemini",
    "kiro",
    "opencode",
    "vscode",
    "windsurf",
];

#[test]
fn every_harness_is_wired_in_once_and_out_again() {
    let server = server();
    for harness in HARNESSES {
        let computer = Computer::new().signed_in(&server.url);
        let before = others(&computer);
        let done = computer.run(&["init", "--harness", harness]);
        assert_eq!(done.code, Some(0), "{harness}: {done:?}");
        let first = all(&computer.home(""));
        assert!(first.len() > 3, "{harness} wrote nothing: {first:?}");
        let again = computer.run(&["init", "--harness", harness]);
        assert_eq!(again.code, Some(0), "{harness}: {again:?}");
        assert_eq!(all(&computer.home("")), first, "{harness}: the second run changed something");
        let undone = computer.run(&["init", "--harness", harness, "--undo"]);
        assert_eq!(undone.code, Some(0), "{harness}: {undone:?}");
        assert_eq!(others(&computer), before, "{harness}: {undone:?}");
        let folders: Vec<_> = fs::read_dir(computer.home(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".meshwire" && name != "project")
            .collect();
        assert!(folders.is_empty(), "{harness} left {folders:?}");
    }
}

#[test]
fn no_file_of_a_harness_holds_a_token_or_below_home_the_mesh() {
    let server = server();
    for harness in HARNESSES {
        let computer = Computer::new().signed_in(&server.url);
        assert_eq!(computer.run(&["init", "--harness", harness]).code, Some(0));
        for (path, bytes) in others(&computer) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("mw_a"), "{path}: {text}");
            let names_mesh = text.contains(MESH);
            let may =
                path.contains("/project/") || ["claude-desktop", "windsurf"].contains(&harness);
            assert!(!names_mesh || may, "{path}: {text}");
        }
    }
}
