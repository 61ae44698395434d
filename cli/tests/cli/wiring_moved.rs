//! `init --harness` when folders and programs move.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::headless;
use crate::support::Computer;
use crate::wiring::{json_of, run_in, server};

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

const HARNESSES: [&str; 4] = ["hermes", "vscode", "codex", "windsurf"];

#[test]
fn a_project_that_was_moved_can_be_undone() {
    for again in [true, false] {
        let server = headless::server();
        let computer = Computer::new().signed_in(&server.url);
        for harness in HARNESSES {
            let done = run_in(&computer, "repo", &["init", "--harness", harness]);
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        fs::rename(computer.home("repo"), computer.home("moved")).unwrap();
        for harness in HARNESSES.iter().filter(|_| again) {
            let done = run_in(&computer, "moved", &["init", "--harness", harness]);
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        for harness in HARNESSES {
            let done = run_in(&computer, "moved", &["init", "--undo", "--harness", harness]);
            assert_eq!(done.code, Some(0), "{done:?}");
        }
        assert_eq!(names(&computer.home("moved")), [""; 0]);
        for folder in [".hermes", ".codex", ".codeium"] {
            assert!(!computer.home(folder).exists(), "{folder}");
        }
        assert!(server.lines().contains(&"DELETE /tokens/current".to_owned()));
    }
}

#[test]
fn a_copy_of_a_project_takes_nothing_over() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(run_in(&computer, "repo", &["init", "--harness", "codex"]).code, Some(0));
    fs::create_dir(computer.home("copy")).unwrap();
    fs::copy(computer.home("repo/.mesh.json"), computer.home("copy/.mesh.json")).unwrap();
    let done = run_in(&computer, "copy", &["init", "--undo"]);
    assert!(done.code == Some(2) && done.err.contains("nothing to undo"), "{done:?}");
    assert!(computer.home(".codex/config.toml").exists());
}

#[test]
fn what_is_not_remembered_is_told_and_a_token_that_stays() {
    let server = headless::server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    fs::remove_file(computer.home(".meshwire/wiring.json")).unwrap();
    let done = computer.run(&["init", "--undo"]);
    assert!(done.code == Some(2) && done.err.contains("nothing to undo"), "{done:?}");
    assert!(done.err.contains(".env.meshwire holds a token"), "{done:?}");
    fs::write(computer.home(".meshwire/wiring.json"), "{").unwrap();
    let done = computer.run(&["init", "--undo"]);
    assert!(done.code == Some(1) && done.err.contains("wiring.json is damaged"), "{done:?}");
    assert!(!done.err.contains("login"), "{done:?}");
}

#[test]
fn a_program_that_was_moved_is_looked_for_where_it_is() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    for harness in ["copilot", "codex", "generic"] {
        for folder in ["project", "second"] {
            let done = run_in(&computer, folder, &["init", "--harness", harness]);
            assert_eq!(done.code, Some(0), "{done:?}");
        }
    }
    // As if all of it had been written by a program that is gone.
    let path = computer.home(".meshwire/wiring.json");
    let program = env!("CARGO_BIN_EXE_meshwire");
    let text = fs::read_to_string(&path).unwrap();
    let old =
        text.replace(&format!("\"program\": \"{program}\""), "\"program\": \"/old/meshwire\"");
    assert_ne!(old, text);
    fs::write(&path, old).unwrap();
    let done = run_in(&computer, "second", &["doctor"]);
    assert_eq!(done.out.matches("starts /old/meshwire, which is not there").count(), 2, "{done:?}");
    for harness in ["copilot", "codex"] {
        assert_eq!(computer.run(&["init", "--harness", harness]).code, Some(0));
    }
    let done = run_in(&computer, "second", &["doctor"]);
    assert!(!done.out.contains("/old/meshwire"), "{done:?}");
}

#[test]
fn what_somebody_put_into_an_element_of_ours_stays() {
    let server = server();
    let mine = json!({"type": "command", "command": "USER"});
    for (harness, path, list, event) in [
        ("gemini", ".gemini/settings.json", "hooks", "AfterAgent"),
        ("codex", ".codex/hooks.json", "hooks", "Stop"),
        ("cursor", ".cursor/hooks.json", "", "stop"),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        assert_eq!(computer.run(&["init", "--harness", harness]).code, Some(0));
        let path = computer.home(path);
        let mut file = json_of(&path);
        let element = &mut file["hooks"][event][0];
        element["matcher"] = json!("x");
        if !list.is_empty() {
            element[list].as_array_mut().unwrap().push(mine.clone());
        }
        let text = serde_json::to_string_pretty(&file).unwrap();
        fs::write(&path, &text).unwrap();
        assert_eq!(computer.run(&["init"]).code, Some(0));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        // Another program of ours.
        fs::write(&path, text.replace(env!("CARGO_BIN_EXE_meshwire"), "/old/meshwire")).unwrap();
        assert_eq!(computer.run(&["init"]).code, Some(0));
        assert_eq!(json_of(&path), file);
        let done = computer.run(&["init", "--undo"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        if list.is_empty() {
            assert!(!path.exists());
        } else {
            let left = json_of(&path);
            assert_eq!(left["hooks"][event], json!([{"matcher": "x", "hooks": [mine]}]));
            assert!(!left.to_string().contains("meshwire"), "{left}");
        }
    }
}

/// A clone beside `project`, with what is committed there.
fn cloned(computer: &Computer, files: &[&str]) {
    fs::create_dir(computer.home("clone")).unwrap();
    for file in files {
        fs::copy(computer.project(file), computer.home("clone").join(file)).unwrap();
    }
}

#[test]
fn a_clone_that_was_wired_in_takes_nothing_over_from_one_that_is_gone() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    cloned(&computer, &[".mesh.json"]);
    assert_eq!(run_in(&computer, "clone", &["init"]).code, Some(0));
    fs::remove_dir_all(computer.project("")).unwrap();
    let done = run_in(&computer, "clone", &["init", "--undo"]);
    assert!(done.code == Some(0) && done.err.contains("stays as it was"), "{done:?}");
    assert!(computer.home("clone/.mesh.json").exists());
    assert!(!computer.home(".codex").exists());
}

#[test]
fn a_clone_ends_its_own_token_when_another_one_is_gone() {
    let server = headless::server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "hermes"]).code, Some(0));
    cloned(&computer, &[".mesh.json", "MESHWIRE_SKILL.md"]);
    assert_eq!(run_in(&computer, "clone", &["init"]).code, Some(0));
    fs::remove_dir_all(computer.project("")).unwrap();
    assert_eq!(run_in(&computer, "clone", &["init"]).code, Some(0));
    let ledger = fs::read_to_string(computer.home(".meshwire/wiring.json")).unwrap();
    for token in ["tok000000000", "tok000000001"] {
        assert_eq!(ledger.matches(token).count(), 1, "{ledger}");
    }
    let done = run_in(&computer, "clone", &["init", "--undo"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let told = format!("meshwire token revoke tok000000000 --url {}", server.url);
    assert!(done.err.contains("project is there no more") && done.err.contains(&told), "{done:?}");
    assert!(!computer.home(".meshwire/wiring.json").exists());
    let ended = server.seen().pop().unwrap();
    assert_eq!(
        ended.header("authorization"),
        Some(format!("Bearer {}", headless::own(1)).as_str())
    );
}
