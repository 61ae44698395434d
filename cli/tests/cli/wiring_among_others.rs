//! `init --harness` beside what others did: servers of another kind, keys without a value,
//! agents of other harnesses.

use std::fs;

use serde_json::json;

use crate::headless;
use crate::support::Computer;
use crate::wiring::{json_of, server};

#[test]
fn a_server_of_another_kind_is_not_mixed_with_ours() {
    let server = server();
    for (harness, path, text, key) in [
        (
            "gemini",
            ".gemini/settings.json",
            r#"{"mcpServers":{"meshwire":{"httpUrl":"x"}}}"#,
            "httpUrl",
        ),
        ("codex", ".codex/config.toml", "[mcp_servers.meshwire]\nurl = \"x\"\n", "url"),
        ("hermes", ".hermes/config.yaml", "mcp_servers:\n  meshwire: {url: x}\n", "url"),
        (
            "opencode",
            ".config/opencode/opencode.jsonc",
            r#"{"mcp":{"meshwire":{"url":"x"}}}"#,
            "url",
        ),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        let path = computer.home(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let done = computer.run(&["init", "--harness", harness]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("meshwire is a server of another kind"), "{done:?}");
        assert!(done.err.contains(&format!("{key:?}")), "{done:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(!computer.project(".mesh.json").exists());
    }
}

#[test]
fn a_key_without_a_value_is_a_place_for_ours() {
    let server = headless::server();
    let computer = Computer::new().signed_in(&server.url);
    let text =
        "model: x\nmcp_servers:\n  # one: {command: y}\nplugins:\n  enabled: # none yet\nlast: 1\n";
    let path = computer.home(".hermes/config.yaml");
    fs::create_dir(computer.home(".hermes")).unwrap();
    fs::write(&path, text).unwrap();
    let done = computer.run(&["init", "--harness", "hermes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let new = fs::read_to_string(&path).unwrap();
    for line in text.lines() {
        assert!(new.contains(line.trim_end_matches(" # none yet")), "{line}: {new}");
    }
    assert!(new.contains("# none yet") && new.contains("command: \""), "{new}");
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let computer = Computer::new().signed_in(&server.url);
    let path = computer.home(".gemini/settings.json");
    fs::create_dir(computer.home(".gemini")).unwrap();
    fs::write(&path, r#"{"mcpServers": null, "hooks": {"AfterAgent": null}}"#).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "gemini"]).code, Some(0));
    let new = json_of(&path);
    assert_eq!(new["mcpServers"]["meshwire"]["args"], json!(["mcp", "--harness", "gemini"]));
    assert_eq!(new["hooks"]["AfterAgent"].as_array().unwrap().len(), 1);
}

#[test]
fn two_harnesses_are_never_one_agent() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "copilot", "--agent", "worker"]).code, Some(0));
    let file = fs::read_to_string(computer.project(".mesh.json")).unwrap();
    for args in [&["--agent", "Worker"][..], &["--agent", "worker", "--dry-run"]] {
        let done = computer.run(&[&["init", "--harness", "claude"], args].concat());
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains("worker is the agent of copilot"), "{done:?}");
    }
    assert_eq!(fs::read_to_string(computer.project(".mesh.json")).unwrap(), file);
    assert!(!computer.home(".claude").exists());
    // Its own name again is no other's.
    assert_eq!(computer.run(&["init", "--agent", "worker"]).code, Some(0));
}

#[test]
fn a_profile_that_harnesses_do_not_know_comes_with_a_word() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let done = computer.run(&["init", "--harness", "claude"]);
    assert!(!done.out.contains("MESHWIRE_PROFILE"), "{done:?}");
    let path = computer.home(".meshwire/credentials.json");
    let text = fs::read_to_string(&path).unwrap().replacen("default", "work", 1);
    fs::write(&path, text).unwrap();
    let done = computer.run(&["init", "--profile", "work"]);
    assert!(done.code == Some(0) && done.out.contains("set MESHWIRE_PROFILE"), "{done:?}");
}

#[test]
fn a_hook_of_somebody_that_only_mentions_ours_is_left_alone() {
    let server = server();
    let command = "/my/log.sh && '/opt/meshwire' hook --harness gemini AfterAgent | tee /tmp/l";
    let text = json!({"hooks": {"AfterAgent": [
        {"hooks": [{"type": "command", "command": command}]},
    ]}})
    .to_string();
    let computer = Computer::new().signed_in(&server.url);
    let path = computer.home(".gemini/settings.json");
    fs::create_dir(computer.home(".gemini")).unwrap();
    fs::write(&path, &text).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "gemini"]).code, Some(0));
    let list = json_of(&path)["hooks"]["AfterAgent"].clone();
    assert_eq!(
        (&list[0]["hooks"][0]["command"], list.as_array().unwrap().len()),
        (&json!(command), 2)
    );
    // Somebody else writes there, so that the way back is none any more.
    let changed = fs::read_to_string(&path).unwrap().replacen('{', "{\"x\": 1,", 1);
    fs::write(&path, changed).unwrap();
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    let mut before: serde_json::Value = serde_json::from_str(&text).unwrap();
    before["x"] = json!(1);
    assert_eq!(json_of(&path), before);
}
