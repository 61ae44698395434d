//! `init` and the project's `.mesh.json`: it changes what it must, and takes out what it put in.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Computer, MESH};
use crate::wiring::{json_of, server};

fn text_of(computer: &Computer) -> String {
    fs::read_to_string(computer.project(".mesh.json")).unwrap()
}

#[test]
fn however_it_is_written_it_comes_back() {
    let server = server();
    let keys = format!(r#""mesh_id":"{MESH}","agent_name":"a","harness":"copilot""#);
    let lines = format!("{{{}}}\n", keys.replace(',', ",\n").replace(':', ": "));
    for text in [
        format!("{{{keys}}}"),
        lines.replace('\n', "\r\n"),
        lines.replace('\n', "\n\t"),
        lines.replace('\n', "\n    "),
        format!("\u{feff}{lines}"),
        format!("{{{keys},\"agents\": {{}}, \"x\": [1,  2]}}\n\n"),
        format!("{{\"mesh_id\":\"AAAAAAAAAAAA\",{keys},\"url\":\"{}/\"}}", server.url),
    ] {
        let computer = Computer::new().env("MESHWIRE_URL", &server.url).signed_in(&server.url);
        let computer = computer.mesh_file(&text);
        for harness in ["copilot", "codex", "gemini"] {
            let done = computer.run(&["init", "--harness", harness]);
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        let new = text_of(&computer);
        // Others may stand on lines of their own, and are as they were.
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        let kept = bare(&text);
        let kept = kept.split("},\"x\"").next().unwrap().trim_end_matches('}');
        assert!(bare(&new).starts_with(kept), "{text}: {new}");
        assert_eq!(new.contains("\r\n"), text.contains("\r\n"), "{new:?}");
        assert_eq!(new.contains("\n\t\""), text.contains("\n\t\""), "{new:?}");
        for harness in ["copilot", "codex", "gemini"] {
            let done = computer.run(&["init", "--harness", harness, "--undo"]);
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        assert_eq!(text_of(&computer), text);
    }
}

#[test]
fn what_somebody_has_edited_stays() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    let text = text_of(&computer).replace("codex-agent", "mine").replace("\"project\"", "\"w\"");
    fs::write(computer.project(".mesh.json"), text).unwrap();
    let done = computer.run(&["init", "--undo"]);
    assert!(done.code == Some(0) && done.err.contains("agent_name was changed since"), "{done:?}");
    let left = json_of(&computer.project(".mesh.json"));
    assert_eq!(left, json!({"workspace_name": "w", "agent_name": "mine"}));
}

#[test]
fn harnesses_that_are_wired_in_at_once_all_are() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let harnesses = ["codex", "cursor", "gemini", "copilot"];
    let running =
        harnesses.map(|harness| computer.spawn(&["init", "--harness", harness, "--mesh", MESH]));
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let file = json_of(&computer.project(".mesh.json"));
    let mut found: Vec<_> = file["agents"].as_object().unwrap().keys().cloned().collect();
    found.push(file["harness"].as_str().unwrap().to_owned());
    found.sort();
    assert_eq!(found, ["codex", "copilot", "cursor", "gemini"]);
    let running =
        harnesses.map(|harness| computer.spawn(&["init", "--undo", "--harness", harness]));
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(!computer.project(".mesh.json").exists());
}

#[test]
fn a_teammates_harness_keeps_its_place() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    // As it comes from somebody else.
    let text = text_of(&computer).replace("\n}", ",\n  \"agents\": {\"cursor\": \"theirs\"}\n}");
    fs::write(computer.project(".mesh.json"), text).unwrap();
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    let left = json_of(&computer.project(".mesh.json"));
    assert_eq!((&left["harness"], &left["agent_name"]), (&json!("cursor"), &json!("theirs")));
    assert_eq!(left["mesh_id"], MESH);
    let done = computer.run(&["init", "--undo", "--harness", "cursor"]);
    assert!(done.code == Some(2) && done.err.contains("nothing to undo"), "{done:?}");
    assert!(!done.err.contains("curl"), "{done:?}");
}

#[test]
fn the_environment_names_the_agent_before_the_file_does() {
    let server = server();
    let text = format!(r#"{{"mesh_id":"{MESH}","agent_name":"a","harness":"codex"}}"#);
    let computer = Computer::new().env("MESHWIRE_URL", &server.url).signed_in(&server.url);
    let computer = computer.mesh_file(&text).env("MESHWIRE_AGENT_NAME", "of-env");
    let done = computer.run(&["init"]);
    assert!(done.code == Some(0) && done.out.contains("Registered as of-env"), "{done:?}");
    let done = computer.run(&["init", "--agent", "of-flag"]);
    assert!(done.out.contains("Registered as of-flag"), "{done:?}");
    assert_eq!(json_of(&computer.project(".mesh.json"))["agent_name"], "of-flag");
}

#[test]
fn a_folder_that_is_named_like_a_token_gives_the_file_no_name() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let folder = format!("mw_{}", "a".repeat(36));
    for args in [&["init", "--harness", "codex"][..], &["init"], &["init", "--undo"]] {
        let done = crate::wiring::run_in(&computer, &folder, args);
        assert_eq!(done.code, Some(0), "{done:?}");
        let path = computer.home(&folder).join(".mesh.json");
        assert!(!path.exists() || json_of(&path)["workspace_name"] == "workspace");
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_project_is_read_and_never_written_through() {
    let server = server();
    let computer = Computer::new().env("MESHWIRE_URL", &server.url).signed_in(&server.url);
    let text = json!({"mesh_id": MESH, "agent_name": "a", "harness": "codex"}).to_string();
    fs::write(computer.home("elsewhere.json"), &text).unwrap();
    std::os::unix::fs::symlink(computer.home("elsewhere.json"), computer.project(".mesh.json"))
        .unwrap();
    let done = computer.run(&["init", "--harness", "gemini"]);
    assert!(done.code == Some(1) && done.err.contains("symbolic link"), "{done:?}");
    let _: Value = json_of(&computer.home("elsewhere.json"));
    assert_eq!(fs::read_to_string(computer.home("elsewhere.json")).unwrap(), text);
}
