//! The examples of the integration guide, taken out of it and run as they stand.

use serde_json::Value;

use crate::program::{Computer, signed_in};
use crate::service::{Service, programs};

/// The guide as the server fills it in, on a computer with the environment that the guide asks for.
fn guide(service: &Service) -> (Computer, String) {
    let (mut computer, _) = signed_in(service);
    let list: Value = serde_json::from_str(&computer.does("meshwire mesh list --json")).unwrap();
    let token = computer.does("meshwire token create guide").trim().to_owned();
    computer.set("MESHWIRE_TOKEN", &token);
    computer.set("MESHWIRE_MESH_ID", list["meshes"][0]["mesh_id"].as_str().unwrap());
    computer.set("MESHWIRE_URL", &service.url);
    let guide = computer.does("meshwire integrate");
    (computer, guide)
}

/// The one example in a language.
fn example<'g>(guide: &'g str, language: &str) -> &'g str {
    let start = format!("```{language}\n");
    assert_eq!(guide.matches(&start).count(), 1, "one example in {language}");
    guide.split(&start).nth(1).unwrap().split("```").next().unwrap()
}

/// Lets an agent run, and holds it to what the guide says of it.
fn answers_ping(computer: &Computer, line: &str, service: &mut Service) {
    let agent = computer.start(line);
    agent.prints("listening as my-agent");
    computer.does("meshwire send ping --as bob --to my-agent");
    agent.prints("bob: ping");
    let wait = || {
        let deadline = std::time::Instant::now() + crate::service::LIMIT;
        loop {
            let inbox = computer.does("meshwire inbox --agent bob --json --ack");
            let inbox: Value = serde_json::from_str(&inbox).unwrap();
            if let [message] = &inbox["messages"].as_array().unwrap()[..] {
                return message.clone();
            }
            assert!(std::time::Instant::now() < deadline, "no answer");
        }
    };
    let pong = wait();
    assert_eq!((&pong["content"], &pong["from"]), (&"pong".into(), &"my-agent".into()));
    assert!(pong["metadata"]["reply_to"].is_i64(), "{pong}");
    // Over a restart of the server, with nothing shown twice.
    service.terminate();
    service.start_again();
    computer.does("meshwire send again --as bob --to my-agent");
    let printed = agent.prints("bob: again");
    assert!(!printed.contains("bob: ping"), "{printed}");
}

#[test]
fn the_agent_in_python_works() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, guide) = guide(&service);
    std::fs::write(computer.project.join("agent.py"), example(&guide, "python")).unwrap();
    answers_ping(&computer, "python3 agent.py", &mut service);
}

#[test]
fn the_agent_in_typescript_works() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, guide) = guide(&service);
    let version = computer.does("node --version");
    assert!(
        version.trim().trim_start_matches('v').split('.').next().unwrap().parse::<u32>().unwrap()
            >= 24,
        "Node {version} does not run TypeScript: `infra/test.sh -- cargo test …` has one that does"
    );
    std::fs::write(computer.project.join("agent.mts"), example(&guide, "ts")).unwrap();
    answers_ping(&computer, "node agent.mts", &mut service);
}

#[test]
fn the_agent_in_rust_works() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, guide) = guide(&service);
    // It is compiled with the tests, as an example of this package.
    let compiled = include_str!("../../../web/templates/examples/agent.rs");
    assert_eq!(example(&guide, "rust").trim_end(), compiled.trim_end());
    let program = programs().join("examples/agent");
    assert!(program.exists(), "build it first: cargo build -p meshwire --examples");
    answers_ping(&computer, &program.display().to_string(), &mut service);
}

#[test]
fn the_definitions_of_the_guide_are_those_of_the_tools() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (_, guide) = guide(&service);
    let blocks = guide.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
    let tools = blocks.iter().find_map(Value::as_array).unwrap();
    assert_eq!(tools.len(), 5);
    for tool in tools {
        assert!(tool["name"].as_str().unwrap().starts_with("meshwire_"), "{tool}");
        assert_eq!(tool["parameters"]["additionalProperties"], false, "{tool}");
    }
    let servers: Vec<&Value> =
        blocks.iter().filter_map(|block| block.pointer("/mcpServers/meshwire")).collect();
    assert_eq!(servers.len(), 2);
    assert!(servers[1]["url"].as_str().unwrap().starts_with(&format!("{}/mcp?mesh=", service.url)));
}
