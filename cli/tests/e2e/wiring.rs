//! What people do once harnesses are wired in: teammates, several repos, a container.

use serde_json::Value;

use crate::program::{Computer, signed_in};
use crate::service::Service;
use crate::with_github::{World, field, refused, two_people};

fn agents(computer: &Computer) -> Vec<Value> {
    let list: Value = serde_json::from_str(&computer.does("meshwire agents --json")).unwrap();
    list["agents"].as_array().unwrap().clone()
}

#[test]
fn teammates_with_one_committed_file_talk_each_as_their_own() {
    let world = two_people();
    let World { octocat, hubot, .. } = &world;
    octocat.does("meshwire mesh create fleet");
    octocat.does("meshwire init --harness copilot");
    let committed = std::fs::read(octocat.project.join(".mesh.json")).unwrap();
    let (theirs, sub) = (hubot.project.join(".mesh.json"), hubot.project.join("deep/inside"));
    std::fs::write(&theirs, &committed).unwrap();
    std::fs::create_dir_all(&sub).unwrap();

    assert_eq!(refused(hubot, "meshwire init").0, Some(3));
    octocat.does("meshwire mesh approve hubot");

    // In, from a folder of the project, without a word about harness, mesh or name.
    let said = hubot.does("cd deep/inside && meshwire init");
    assert!(said.contains("Registered as copilot-agent-hubot"), "{said}");
    assert_eq!(std::fs::read(&theirs).unwrap(), committed, "the committed file is everybody's");
    assert_eq!(std::fs::read_dir(&sub).unwrap().count(), 0);
    assert!(hubot.home.path().join(".copilot/extensions/meshwire/extension.mjs").exists());

    let all = agents(octocat);
    for (name, owner) in [("copilot-agent", "octocat"), ("copilot-agent-hubot", "hubot")] {
        let agent = all.iter().find(|agent| agent["name"] == name).unwrap();
        assert_eq!((&agent["owner"], &agent["harness"]), (&owner.into(), &"copilot".into()));
        assert_eq!(agent["wake"], "live");
    }

    // Each speaks and reads as its own agent in the shells of its harness.
    let sent =
        octocat.does("COPILOT_CLI=1 meshwire send --to copilot-agent-hubot 'whose is it?' --json");
    assert_eq!(field(&sent, "from"), "copilot-agent");
    let read = hubot.does("COPILOT_CLI=1 meshwire inbox --ack");
    assert!(read.contains("copilot-agent → copilot-agent-hubot") && read.contains("whose is it?"));
    let id = serde_json::from_str::<Value>(&sent).unwrap()["id"].to_string();
    let sent = hubot.does(&format!("COPILOT_CLI=1 meshwire reply {id} mine --json"));
    assert_eq!(field(&sent, "from"), "copilot-agent-hubot");
    assert!(octocat.does("COPILOT_CLI=1 meshwire inbox").contains("mine"));

    // Again, and undone: the teammate's own things go, the committed file stays.
    hubot.does("meshwire init");
    hubot.does("meshwire init --undo");
    assert_eq!(std::fs::read(&theirs).unwrap(), committed);
    assert!(!hubot.home.path().join(".copilot").exists());
}

#[test]
fn several_harnesses_and_repos_of_one_person() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness gemini");
    computer.does("meshwire init --harness claude --agent reviewer");
    let other = field(&computer.does("meshwire mesh create other --json"), "mesh_id");
    computer.does(&format!(
        "mkdir ../other && cd ../other && meshwire init --harness claude --mesh {other}"
    ));
    for (mark, folder, from) in [
        ("GEMINI_CLI", "project", "gemini-agent"),
        ("CLAUDECODE", "project", "reviewer"),
        ("CLAUDECODE", "other", "claude-agent"),
    ] {
        let sent = computer.does(&format!("cd ../{folder} && {mark}=1 meshwire send x --json"));
        assert_eq!(field(&sent, "from"), from);
    }
    // What one repo takes out, the other one still has.
    let plugin = computer.home.path().join(".claude/skills/meshwire/.mcp.json");
    computer.does("meshwire init --harness claude --undo");
    assert!(plugin.exists());
    let sent = computer.does("cd ../other && CLAUDECODE=1 meshwire send x --json");
    assert_eq!(field(&sent, "from"), "claude-agent");
    computer.does("cd ../other && meshwire init --undo");
    assert!(!plugin.exists());
}

#[test]
fn a_container_talks_with_nothing_but_the_token_of_its_agent() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("git init -q .");
    computer.does("meshwire init --harness hermes");
    let status = computer.does("git status --porcelain --untracked-files=all");
    assert!(status.contains(".gitignore") && !status.contains(".env.meshwire"), "{status}");

    // A container: another home, and only what the harness's own files say.
    let container = Computer::new();
    for file in [".env.meshwire", "MESHWIRE_SKILL.md"] {
        std::fs::copy(computer.project.join(file), container.project.join(file)).unwrap();
    }
    let run = |line: &str| format!("set -a; . ./.env.meshwire; set +a; {line}");
    computer.does("meshwire send --to hermes-agent 'for the container'");
    let sent = container.does(&run("meshwire send --to @ada done --json"));
    assert_eq!(field(&sent, "from"), "hermes-agent");
    assert_eq!(field(&sent, "via"), "agent");
    let unread = container.does(&run("meshwire inbox --ack --json"));
    assert!(unread.contains("for the container"), "{unread}");
    // It is that agent and no more.
    let (code, said) = refused(&container, &run("meshwire token create more"));
    assert_eq!(code, Some(3), "{said}");
    assert!(!container.home.path().join(".meshwire").exists(), "it leaves nothing behind");

    computer.does("meshwire init --harness hermes --undo");
    assert_eq!(std::fs::read_dir(&computer.project).unwrap().count(), 1, "only .git is left");
}

#[test]
fn a_workflow_sends_with_a_token_that_can_do_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness claude");
    computer.does("meshwire send --as ci 'here I am'");
    let token = computer.does("meshwire token create ci --agent ci --scope send --expires 90d");

    let mut runner = Computer::new();
    runner.set("MESHWIRE_URL", &service.url);
    runner.set("MESHWIRE_TOKEN", token.trim());
    // The checked-out project, and no other setting: mesh and agent are the token's own.
    let file = computer.project.join(".mesh.json");
    for with_project in [false, true] {
        if with_project {
            std::fs::copy(&file, runner.project.join(".mesh.json")).unwrap();
        }
        let sent = runner.does("meshwire send --to claude-agent 'the tests failed' --json");
        assert_eq!((field(&sent, "from"), field(&sent, "via")), ("ci".into(), "agent".into()));
    }
    assert_eq!(refused(&runner, "meshwire inbox").0, Some(3), "it reads nothing");
    assert!(!runner.home.path().join(".meshwire").exists());
    let unread = computer.does("CLAUDECODE=1 meshwire inbox");
    assert_eq!(unread.matches("the tests failed").count(), 2, "{unread}");
}
