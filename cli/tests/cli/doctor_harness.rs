//! `doctor` on the files of harnesses.

use std::fs;

use serde_json::{Value, json};

use crate::support::{AGENT, Computer, Reply, Server, me, mesh};

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

/// State, detail and mend of each line about harnesses.
fn harness(computer: &Computer) -> Vec<(String, String, String)> {
    let done = computer.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .filter(|check| check["topic"] == "harness")
        .map(|check| (text(&check["state"]), text(&check["detail"]), text(&check["mend"])))
        .collect()
}

#[test]
fn it_knows_what_init_wrote_and_how_to_mend_it() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    for name in ["codex", "gemini", "copilot"] {
        assert_eq!(computer.run(&["init", "--harness", name]).code, Some(0));
    }
    let found = harness(&computer);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].1.contains("codex has its 2 files as they should be"), "{found:?}");
    assert!(found[1].1.contains("gemini has its file as it should be"), "{found:?}");
    assert!(found[2].0 == "warning" && found[2].1.contains("gemini does not trust"), "{found:?}");
    assert!(found[3].1.contains("copilot has its 3 files"), "{found:?}");
    let trusted =
        json!({computer.project("").to_str().unwrap().trim_end_matches('/'): "TRUST_FOLDER"});
    fs::write(computer.home(".gemini/trustedFolders.json"), trusted.to_string()).unwrap();
    assert!(harness(&computer).iter().all(|(state, ..)| state == "ok"));

    let settings = computer.home(".copilot/settings.json");
    fs::write(&settings, fs::read_to_string(&settings).unwrap().replace("true", "false")).unwrap();
    fs::remove_file(computer.home(".gemini/settings.json")).unwrap();
    fs::write(computer.home(".codex/config.toml"), "broken").unwrap();
    let found = harness(&computer);
    for (name, told) in
        [("codex", "line 1 column"), ("gemini", "settings.json"), ("copilot", "settings.json")]
    {
        let line =
            found.iter().find(|(state, detail, _)| state == "wrong" && detail.contains(name));
        let (_, detail, mend) = line.unwrap_or_else(|| panic!("{name}: {found:?}"));
        assert!(detail.contains(told) && !mend.is_empty(), "{found:?}");
    }
    fs::remove_file(computer.home(".codex/config.toml")).unwrap();
    for name in ["codex", "gemini", "copilot"] {
        assert_eq!(computer.run(&["init", "--harness", name]).code, Some(0));
    }
    assert!(harness(&computer).iter().all(|(state, ..)| state == "ok"));
}

#[test]
fn it_knows_when_the_program_has_moved() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let copy = computer.home("copy");
    fs::copy(env!("CARGO_BIN_EXE_meshwire"), &copy).unwrap();
    let mut command = std::process::Command::new(&copy);
    let done = command
        .args(["init", "--harness", "claude"])
        .env_clear()
        .env("HOME", computer.home(""))
        .current_dir(computer.project(""))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    // Another copy does as well.
    assert_eq!(harness(&computer)[0].0, "ok", "{:?}", harness(&computer));
    fs::remove_file(&copy).unwrap();
    let found = harness(&computer);
    assert!(found[0].0 == "wrong" && found[0].1.contains("which is not there"), "{found:?}");
    assert!(found[0].2.contains("meshwire init --harness claude"), "{found:?}");
    assert_eq!(computer.run(&["init"]).code, Some(0));
    assert_eq!(harness(&computer)[0].0, "ok", "{:?}", harness(&computer));
}
