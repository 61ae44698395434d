//! `init` against the real server: a token of an agent's own, and a teammate who has cloned the project.

use crate::browser::Browser;
use crate::program::{Computer, signed_in};
use crate::service::Service;

#[test]
fn a_headless_agent_lives_from_its_environment_file() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _ada) = signed_in(&service);
    let done = computer.does("meshwire init --harness hermes");
    assert!(!done.contains("mw_"), "{done}");
    computer.does("meshwire init --harness hermes");
    let tokens = computer.does("meshwire token list");
    assert_eq!(tokens.matches("hermes-agent").count(), 1, "{tokens}");

    // Elsewhere, where nobody is signed in.
    let container = Computer::new();
    let file = std::fs::read(computer.project.join(".env.meshwire")).unwrap();
    std::fs::write(container.project.join(".env.meshwire"), file).unwrap();
    let with = |line: &str| format!("set -a; . ./.env.meshwire; set +a; {line}");
    let me = container.does(&with("meshwire whoami --json"));
    let me: serde_json::Value = serde_json::from_str(&me).unwrap();
    assert!(me["token"]["agent_id"].is_string(), "{me}");
    let agents = container.does(&with("meshwire agents --json"));
    let agents: serde_json::Value = serde_json::from_str(&agents).unwrap();
    let agent = agents["agents"].as_array().unwrap().iter();
    let agent = agent.clone().find(|agent| agent["name"] == "hermes-agent").unwrap();
    assert_eq!((&agent["wake"], &agent["harness"]), (&"live".into(), &"hermes".into()));

    computer.does("meshwire init --undo");
    let output = container.run(&with("meshwire whoami"));
    assert_eq!(output.status.code(), Some(3), "its token has ended");
    assert!(computer.does("meshwire agents").contains("hermes-agent"), "the agent stays");
}

#[test]
fn a_teammate_asks_in_and_has_a_name_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (ada, _browser) = signed_in(&service);
    ada.does("meshwire init --harness copilot");

    let output = service.command(&["user", "add", "bob"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let link = text.lines().find(|line| line.contains("/setup?code=")).unwrap().trim().to_owned();
    let mut browser = Browser::new(&service.url);
    browser.set_up(&link, "bob", "a battery of horses");
    let mut bob = Computer::new();
    bob.set("MESHWIRE_URL", &service.url);
    // Not signed in: told what to do, and nothing is written.
    let committed = std::fs::read(ada.project.join(".mesh.json")).unwrap();
    std::fs::write(bob.project.join(".mesh.json"), &committed).unwrap();
    let output = bob.run("meshwire init --harness copilot");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("meshwire login"), "{said}");
    assert!(!bob.home.path().join(".copilot").exists());

    bob.sign_in("meshwire login", &mut browser);
    let output = bob.run("meshwire init --harness copilot");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(3) && said.contains("we have asked to let you in"),
        "{said}"
    );
    assert!(!bob.home.path().join(".copilot").exists());

    ada.does("meshwire mesh approve bob");
    let done = bob.does("meshwire init --harness copilot");
    assert!(done.contains("Registered as copilot-agent-bob"), "{done}");
    assert!(bob.home.path().join(".copilot/extensions/meshwire/extension.mjs").exists());
    assert_eq!(std::fs::read(bob.project.join(".mesh.json")).unwrap(), committed);
    let agents = ada.does("meshwire agents");
    assert!(agents.contains("copilot-agent (") || agents.contains("copilot-agent "), "{agents}");
    assert!(agents.contains("copilot-agent-bob"), "{agents}");
}
