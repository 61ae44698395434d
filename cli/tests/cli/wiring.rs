//! `init --harness`: what it puts into a harness's files, and takes out again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{AGENT, Computer, MESH, Reply, Server, me, mesh};

/// A server that lets everything be.
pub(crate) fn server() -> Server {
    Server::start(|request| match request.line.as_str() {
        "GET /me" => Reply::Json(200, me()),
        "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        line if line.starts_with("POST /mesh/kR9xQpLmW3aZ/agents") => {
            Reply::Json(201, json!({"agent_id": AGENT, "name": request.body["name"], "cursor": 0}))
        }
        _ => Reply::problem(404, "not_found"),
    })
}

pub(crate) fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every file below a folder but locks, with its bytes and the time of its last change.
fn all(folder: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with(".lock") {
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

const CONFIG: &str = "# Mine.\nmodel = \"gpt\"  # fast\n\n[mcp_servers.other]\ncommand = \"x\"\n";

fn codex(computer: &Computer, text: &[u8]) -> std::path::PathBuf {
    fs::create_dir_all(computer.home(".codex")).unwrap();
    let path = computer.home(".codex/config.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn what_others_wrote_comes_back_byte_for_byte() {
    let server = server();
    for text in [
        CONFIG.to_owned(),
        CONFIG.replace('\n', "\r\n"),
        format!("\u{feff}{CONFIG}"),
        CONFIG.trim_end().to_owned(),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        let path = codex(&computer, text.as_bytes());
        assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
        let new = fs::read_to_string(&path).unwrap();
        assert!(new.contains("[mcp_servers.meshwire]") && new.contains("# fast"), "{new}");
        assert_eq!(new.starts_with('\u{feff}'), text.starts_with('\u{feff}'));
        assert_eq!(new.contains("\r\n"), text.contains("\r\n"), "{new:?}");
        assert_eq!(computer.run(&["init", "--harness", "codex", "--undo"]).code, Some(0));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_file_that_cannot_be_changed_stops_everything() {
    let server = server();
    for (text, told) in [
        (&b"model = \n"[..], "line 1 column"),
        (b"a = \"\xff\"", "is not UTF-8"),
        (b"mcp_servers = 7\n", "mcp_servers.meshwire cannot be set"),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        let path = codex(&computer, text);
        let before = all(&computer.home(""));
        let asked = server.seen().len();
        let done = computer.run(&["init", "--harness", "codex"]);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains(told) && done.err.contains("config.toml"), "{done:?}");
        assert!(done.err.contains("hint:") && done.err.contains("nothing was changed"), "{done:?}");
        assert_eq!(all(&computer.home("")), before);
        assert!(!server.lines()[asked..].iter().any(|line| line.starts_with("POST")));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let done = computer.run(&["init", "--harness", "codex"]);
        assert!(done.code == Some(1) && done.err.contains("is no file"), "{done:?}");
    }
}

#[test]
fn a_dry_run_shows_a_diff_and_changes_nothing() {
    let server = server();
    for harness in HARNESSES.iter().chain(&["hermes", "pi", "generic"]) {
        let computer = Computer::new().signed_in(&server.url);
        codex(&computer, CONFIG.as_bytes());
        let before = all(&computer.home(""));
        let asked = server.seen().len();
        let done = computer.run(&["init", "--harness", harness, "--dry-run"]);
        assert_eq!(done.code, Some(0), "{harness}: {done:?}");
        assert!(done.out.contains("+++ ") && done.out.contains("\n+  \"mesh_id\""), "{done:?}");
        assert_eq!(all(&computer.home("")), before, "{harness}");
        assert_eq!(server.seen().len(), asked, "{harness}: {:?}", server.lines());
    }
    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    let before = all(&computer.home(""));
    let done = computer.run(&["init", "--harness", "codex", "--dry-run"]);
    assert!(done.out.is_empty() && done.err.contains("Nothing would change"), "{done:?}");
    let done = computer.run(&["init", "--harness", "codex", "--undo", "--dry-run"]);
    assert!(done.out.contains("-[mcp_servers.meshwire]"), "{done:?}");
    assert!(done.out.contains("+++ /dev/null"), "{done:?}");
    assert_eq!(all(&computer.home("")), before);
}

#[cfg(unix)]
#[test]
fn links_and_modes_stay_and_no_link_leads_out_of_a_project() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    fs::create_dir_all(computer.home("dotfiles")).unwrap();
    fs::create_dir_all(computer.home(".codex")).unwrap();
    let (real, link) = (computer.home("dotfiles/codex.toml"), computer.home(".codex/config.toml"));
    fs::write(&real, CONFIG).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../dotfiles/codex.toml", &link).unwrap();
    // This one leads to nothing yet.
    symlink(computer.home("dotfiles/hooks.json"), computer.home(".codex/hooks.json")).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(&real).unwrap().contains("meshwire"));
    assert!(computer.home("dotfiles/hooks.json").exists());
    assert_eq!(computer.run(&["init", "--harness", "codex", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&real).unwrap(), CONFIG);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    fs::create_dir_all(computer.home("elsewhere")).unwrap();
    symlink(computer.home("elsewhere"), computer.project(".vscode")).unwrap();
    let done = computer.run(&["init", "--harness", "vscode"]);
    assert!(done.code == Some(1) && done.err.contains("leads out of the project"), "{done:?}");
    assert!(fs::read_dir(computer.home("elsewhere")).unwrap().next().is_none());
}

/// Another project on the same computer.
pub(crate) fn run_in(computer: &Computer, folder: &str, args: &[&str]) -> crate::support::Done {
    let folder = computer.home(folder);
    fs::create_dir_all(&folder).unwrap();
    computer.command(args).current_dir(folder).output().unwrap().into()
}

#[test]
fn what_projects_share_stays_until_the_last_one_goes() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let path = codex(&computer, CONFIG.as_bytes());
    for folder in ["project", "second"] {
        let done = run_in(&computer, folder, &["init", "--harness", "codex"]);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let wired = fs::read_to_string(&path).unwrap();
    assert_eq!(run_in(&computer, "project", &["init", "--undo"]).code, Some(0));
    assert!(!computer.project(".mesh.json").exists());
    assert_eq!(fs::read_to_string(&path).unwrap(), wired);
    assert_eq!(run_in(&computer, "second", &["init", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), CONFIG);
    assert!(!computer.home(".codex/hooks.json").exists());

    // A project that is there no more needs nothing.
    for folder in ["second", "third"] {
        assert_eq!(run_in(&computer, folder, &["init", "--harness", "codex"]).code, Some(0));
    }
    fs::remove_dir_all(computer.home("third")).unwrap();
    assert_eq!(run_in(&computer, "second", &["init", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&path).unwrap(), CONFIG);
}

#[test]
fn a_file_that_was_removed_by_hand_begins_anew() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    let path = codex(&computer, b"mcp_servers.meshwire.command = \"old\"\n");
    assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
    fs::remove_file(&path).unwrap();
    assert_eq!(computer.run(&["init"]).code, Some(0));
    assert!(fs::read_to_string(&path).unwrap().contains("meshwire"));
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    assert!(!path.exists());
}

#[test]
fn what_the_user_had_or_changed_is_the_users() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    fs::create_dir_all(computer.home(".copilot")).unwrap();
    let settings = computer.home(".copilot/settings.json");
    fs::write(&settings, "{\"experimental\":true}").unwrap();
    let servers = computer.home(".copilot/mcp-config.json");
    let mine = "{\"mcpServers\":{\"meshwire\":{\"command\":\"old\",\"timeout\":5}}}";
    fs::write(&servers, mine).unwrap();
    assert_eq!(computer.run(&["init", "--harness", "copilot"]).code, Some(0));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "{\"experimental\":true}");
    assert_eq!(json_of(&servers)["mcpServers"]["meshwire"]["timeout"], 5);
    // Somebody else writes there, so that the way back is none any more.
    let text = fs::read_to_string(&servers).unwrap().replacen('{', "{\"x\": 1,", 1);
    fs::write(&servers, text).unwrap();
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    assert_eq!(fs::read_to_string(&settings).unwrap(), "{\"experimental\":true}");
    let wanted: Value = serde_json::from_str(&mine.replacen('{', "{\"x\":1,", 1)).unwrap();
    assert_eq!(json_of(&servers), wanted);

    let computer = Computer::new().signed_in(&server.url);
    assert_eq!(computer.run(&["init", "--harness", "copilot"]).code, Some(0));
    let servers = computer.home(".copilot/mcp-config.json");
    let text = fs::read_to_string(&servers).unwrap().replace("\"mcp\"", "\"mine\"");
    fs::write(&servers, &text).unwrap();
    let extension = computer.home(".copilot/extensions/meshwire/extension.mjs");
    fs::write(&extension, "// mine\n").unwrap();
    let again = computer.run(&["init"]);
    assert!(again.code == Some(1) && again.err.contains("somebody has changed it"), "{again:?}");
    let done = computer.run(&["init", "--undo"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.err.matches("was changed since, and stays").count(), 2, "{done:?}");
    assert_eq!(fs::read_to_string(&servers).unwrap(), text);
    assert_eq!(fs::read_to_string(&extension).unwrap(), "// mine\n");
}

#[test]
fn several_harnesses_in_one_repo_come_and_go() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    for harness in ["claude", "codex", "gemini"] {
        assert_eq!(computer.run(&["init", "--harness", harness]).code, Some(0));
    }
    let file = json_of(&computer.project(".mesh.json"));
    assert_eq!((&file["harness"], &file["agent_name"]), (&json!("claude"), &json!("claude-agent")));
    assert_eq!(file["agents"], json!({"codex": "codex-agent", "gemini": "gemini-agent"}));
    let names: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|seen| {
            let body = &seen.body;
            Some((body["harness"].as_str()?.to_owned(), body["wake"].as_str()?.to_owned()))
        })
        .collect();
    let expected = [("claude", "live"), ("codex", "live"), ("gemini", "turn")];
    assert_eq!(names, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));

    let done = computer.run(&["init", "--harness", "claude", "--undo"]);
    assert!(done.err.contains("agents/claude-agent"), "how to remove the agent: {done:?}");
    let file = json_of(&computer.project(".mesh.json"));
    assert_eq!((&file["harness"], &file["agent_name"]), (&json!("codex"), &json!("codex-agent")));
    assert_eq!(file["agents"], json!({"gemini": "gemini-agent"}));
    assert_eq!(computer.run(&["init", "--harness", "gemini", "--undo"]).code, Some(0));
    assert!(json_of(&computer.project(".mesh.json")).get("agents").is_none());
    assert_eq!(computer.run(&["init", "--undo"]).code, Some(0));
    assert!(!computer.project(".mesh.json").exists());
    let done = computer.run(&["init", "--harness", "codex", "--undo"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(!server.lines().iter().any(|line| line.starts_with("DELETE")));
}

#[test]
fn a_teammate_leaves_the_committed_file_as_it_is() {
    let server = server();
    let text = format!(
        "{{\"mesh_id\":\"{MESH}\",\n\"workspace_name\":\"w\",\"agent_name\":\"copilot-agent\",\
         \"harness\":\"copilot\",\"url\":\"{}\"}}",
        server.url
    );
    let computer = Computer::new().signed_in(&server.url).mesh_file(&text);
    let done = computer.run(&["init", "--harness", "copilot"]);
    assert!(done.code == Some(0) && done.out.contains("is as it should be"), "{done:?}");
    assert!(computer.home(".copilot/extensions/meshwire/extension.mjs").exists());
    let done = computer.run(&["init", "--undo"]);
    assert!(done.code == Some(0) && done.err.contains("stays as it was"), "{done:?}");
    assert!(!computer.home(".copilot").exists());
    assert_eq!(fs::read_to_string(computer.project(".mesh.json")).unwrap(), text);
}

#[test]
fn the_place_of_a_harness_goes_to_one_that_everybody_knows() {
    let server = server();
    for (agents, heir) in [
        (json!({"zed": "z", "gemini": "g", "codex": "codex-agent"}), Some("codex")),
        (json!({"zed": "z", "gemini": "g"}), Some("gemini")),
        (json!({"zed": "z"}), None),
    ] {
        let computer = Computer::new().signed_in(&server.url);
        assert_eq!(computer.run(&["init", "--harness", "claude"]).code, Some(0));
        let path = computer.project(".mesh.json");
        let mut file = json_of(&path);
        file["agents"] = agents.clone();
        fs::write(&path, file.to_string()).unwrap();
        if heir == Some("codex") {
            assert_eq!(computer.run(&["init", "--harness", "codex"]).code, Some(0));
        }
        let done = computer.run(&["init", "--harness", "claude", "--undo"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        let left = json_of(&path);
        assert_eq!(left.get("harness").and_then(Value::as_str), heir, "{left}");
        assert_eq!(left["agents"]["zed"], "z", "{left}");
        let done = computer.run(&["send", "x"]);
        assert!(!done.err.contains("is no harness"), "{done:?}");
    }
}

#[test]
fn undo_tells_of_the_agent_of_its_own_harness() {
    let server = server();
    let computer = Computer::new().signed_in(&server.url);
    for harness in ["claude", "codex"] {
        assert_eq!(computer.run(&["init", "--harness", harness]).code, Some(0));
    }
    let path = computer.project(".mesh.json");
    let mut file = json_of(&path);
    file.as_object_mut().unwrap().remove("agents");
    fs::write(&path, file.to_string()).unwrap();
    let done = computer.run(&["init", "--harness", "codex", "--undo"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("agents/codex-agent"), "{done:?}");
    assert!(!done.err.contains("claude-agent"), "{done:?}");
}

#[test]
fn a_name_of_ones_own_is_forgotten_with_the_last_who_goes_by_it() {
    let server = Server::start(|request| match request.line.as_str() {
        "GET /me" => Reply::Json(200, me()),
        "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        _ => match request.body["name"].as_str() {
            Some(name) if name.ends_with("-ada") => {
                Reply::Json(201, json!({"agent_id": AGENT, "name": name, "cursor": 0}))
            }
            _ => Reply::problem(409, "agent_name_taken"),
        },
    });
    let computer = Computer::new().signed_in(&server.url);
    for (folder, harness) in
        [("project", "claude"), ("project", "codex"), ("second", "codex"), ("gone", "generic")]
    {
        let done = run_in(&computer, folder, &["init", "--harness", harness]);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let path = computer.home(".meshwire/agents.json");
    let names = || json_of(&path)[MESH].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(), ["claude-agent", "codex-agent", "generic-agent"]);
    fs::remove_dir_all(computer.home("gone")).unwrap();
    let undo = |folder: &str, harness: &str| {
        let done = run_in(&computer, folder, &["init", "--harness", harness, "--undo"]);
        assert!(done.err.contains(&format!("agents/{harness}-agent-ada")), "{done:?}");
    };
    undo("project", "claude");
    assert_eq!(names(), ["codex-agent"]);
    undo("project", "codex");
    assert_eq!(names(), ["codex-agent"], "the second project has it, too");
    undo("second", "codex");
    assert!(!path.exists() && !computer.home(".meshwire/wiring.json").exists());
}
