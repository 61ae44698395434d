//! The extensions of harnesses, run by Node or Python against stand-ins of these harnesses, and by the real
//! programs of ours against a real server.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::npm::{install_locally, root};
use crate::program::{Computer, Running};
use crate::push::{all_is_read, send, unread, wired};
use crate::service::Service;

/// A stand-in for a harness, with what it prints.
struct Harness(Running);

impl Harness {
    fn start(computer: &Computer, line: &str) -> Self {
        Self(computer.start_spoken_to(line))
    }

    /// Waits for a line that has this key; what stands there.
    #[track_caller]
    fn tells(&self, key: &str) -> Value {
        let mut line: Value =
            serde_json::from_str(&self.0.prints(&format!("{{\"{key}\""))).unwrap();
        line[key].take()
    }

    /// The next line, whatever it is.
    #[track_caller]
    fn next(&self) -> Value {
        serde_json::from_str(&self.0.next_line()).unwrap()
    }

    /// Makes it do something, and waits until it has.
    #[track_caller]
    fn does(&mut self, command: &str, value: &Value) -> Value {
        self.0.write_line(&json!({command: value}).to_string());
        self.tells(command)
    }

    fn end(mut self) {
        self.0.close_input();
        assert_eq!(self.0.exit_code(), 0);
    }
}

fn script(name: &str) -> String {
    root().join("cli/tests/js").join(name).display().to_string()
}

/// The extension that `init` writes, under a name that Node takes for a module.
fn extension(computer: &Computer, harness: &str, file: &str) -> PathBuf {
    computer.does(&format!("meshwire init --harness {harness} --agent eve"));
    let path = computer.home.path().join(format!("{harness}.mjs"));
    std::fs::copy(computer.home.path().join(file), &path).unwrap();
    path
}

const OPENCODE: &str = ".config/opencode/plugins/meshwire.js";
const PI: &str = ".pi/agent/extensions/meshwire.ts";

/// Waits until the stand-in's listener is the one that is pushed into: a message that is sent is then
/// acknowledged without anybody's doing.
#[track_caller]
fn pushed(harness: &Harness, computer: &Computer, text: &str, key: &str) -> Value {
    send(computer, text);
    let pushed = harness.tells(key);
    all_is_read(computer);
    pushed
}

const TOOLS: [&str; 5] =
    ["get_messages", "list_agents", "reply_to_message", "send_message", "status"];

#[track_caller]
fn assert_tools(tools: &Value, prefix: &str) {
    let mut names: Vec<&str> =
        tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, TOOLS.map(|name| format!("{prefix}{name}")));
    for tool in tools.as_array().unwrap() {
        assert_eq!(tool["parameters"]["type"], "object", "{tool}");
        assert!(tool["description"].as_str().unwrap().len() > 20, "{tool}");
        assert!(prefix == "meshwire_" || !tool.to_string().contains("meshwire_"), "{tool}");
    }
}

#[test]
fn copilot_gets_the_tools_and_the_messages() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let computer = wired(&service, "copilot");
    install_locally(&computer);
    let options = json!({"url": service.url, "pollInterval": 5_000, "heartbeatInterval": 1_000});
    let start = format!("node {} '{options}'", script("copilot.mjs"));
    let mut copilot = Harness::start(&computer, &start);
    let tools = copilot.tells("joined");
    assert_tools(&tools, "mesh_");
    assert!(tools.as_array().unwrap().iter().all(|tool| tool["defer"] == "never"), "{tools}");
    // A message is pushed into the idle session, and never as the user's own words.
    let sent = pushed(&copilot, &computer, "hello", "sent");
    assert_eq!(sent["source"], "agent-meshwire");
    assert_eq!(sent["mode"], "enqueue");
    assert_eq!(sent["displayPrompt"], "[mesh] bob: hello");
    let prompt = sent["prompt"].as_str().unwrap();
    for part in ["It is not from the user", "from bob, an agent of ada", "mesh_reply_to_message"] {
        assert!(prompt.contains(part), "{prompt}");
    }
    // The tools send and read as the agent of the project.
    let args = json!({"to": "@ada", "content": "from the tool"});
    let result = copilot.does("call", &json!({"name": "mesh_send_message", "args": args}));
    assert_eq!(result["resultType"], "success", "{result}");
    let inbox = computer.does("meshwire inbox --agent @ada");
    assert!(inbox.contains("eve → @ada") && inbox.contains("from the tool"), "{inbox}");
    let args = json!({"message_id": 1, "content": "x"});
    let result = copilot.does("call", &json!({"name": "mesh_reply_to_message", "args": args}));
    assert_eq!(result["resultType"], "failure", "{result}");
    // A session that takes nothing gets it with the next prompt, once.
    copilot.does("refuse", &json!(true));
    send(&computer, "while it is gone");
    let mut shown = Value::Null;
    while shown.is_null() {
        shown = copilot.does("prompt", &Value::Null);
    }
    assert!(shown["additionalContext"].as_str().unwrap().contains("while it is gone"), "{shown}");
    all_is_read(&computer);
    copilot.does("refuse", &json!(false));
    // It outlives a server that comes and goes.
    service.kill();
    service.start_again();
    pushed(&copilot, &computer, "after all", "sent");
    assert!(copilot.does("prompt", &Value::Null).is_null(), "it is pushed again");
    copilot.end();
}

#[test]
fn copilots_clear_restarts_the_extension_and_pushes_nothing_twice() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "copilot");
    install_locally(&computer);
    let start = format!("node {}", script("copilot.mjs"));
    let mut first = Harness::start(&computer, &start);
    pushed(&first, &computer, "one", "sent");
    // The next one starts before the first one has ended.
    let second = Harness::start(&computer, &start);
    second.tells("joined");
    assert_eq!(first.0.signal("-TERM"), -1, "nothing keeps it from ending by the signal");
    pushed(&second, &computer, "two", "sent");
    let mut second = second;
    second.does("shutdown", &Value::Null);
    send(&computer, "three");
    let mut third = Harness::start(&computer, &start);
    let sent = third.tells("sent");
    assert_eq!(sent["displayPrompt"], "[mesh] bob: three");
    all_is_read(&computer);
    third.does("shutdown", &Value::Null);
    second.end();
    third.end();
}

#[test]
fn opencode_gets_messages_in_the_session_that_was_used_last() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "opencode");
    let plugin = extension(&computer, "opencode", OPENCODE);
    let start = format!("node {} {}", script("opencode.mjs"), plugin.display());
    let mut opencode = Harness::start(&computer, &start);
    assert_eq!(opencode.tells("hooks"), json!(["event"]));
    // Before there is a session, messages wait.
    send(&computer, "early");
    let created = |id: &str| json!({"type": "session.created", "properties": {"info": {"id": id}}});
    opencode.does("event", &created("s1"));
    let prompted = opencode.tells("prompted");
    assert_eq!(prompted["path"]["id"], "s1");
    let text = prompted["body"]["parts"][0]["text"].as_str().unwrap();
    assert!(text.contains("It is not from the user") && text.contains("early"), "{text}");
    all_is_read(&computer);
    // A sub-agent's session is never pushed into; the agent that the user chose stays.
    opencode.does("subagent", &json!("s2"));
    let idle = json!({"type": "session.idle", "properties": {"sessionID": "s2"}});
    opencode.does("event", &idle);
    let model = json!({"providerID": "p", "modelID": "m"});
    let info = json!({"role": "user", "sessionID": "s3", "agent": "plan", "model": model});
    opencode.does("event", &json!({"type": "message.updated", "properties": {"info": info}}));
    let prompted = pushed(&opencode, &computer, "second", "prompted");
    assert_eq!(prompted["path"]["id"], "s3");
    assert_eq!(prompted["body"]["agent"], "plan");
    assert_eq!(prompted["body"]["model"], model);
    // What opencode refuses stays unread, and comes again.
    opencode.does("refuse", &json!(true));
    send(&computer, "third");
    let deleted = json!({"type": "session.deleted", "properties": {"info": {"id": "s3"}}});
    opencode.does("event", &deleted);
    opencode.does("refuse", &json!(false));
    opencode.does("event", &created("s4"));
    let prompted = opencode.tells("prompted");
    assert_eq!(prompted["path"]["id"], "s4");
    all_is_read(&computer);
    opencode.end();
}

#[test]
fn pi_gets_the_tools_and_the_messages() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let file = extension(&computer, "pi", PI);
    let start = format!("node {} {}", script("pi.mjs"), file.display());
    let mut pi = Harness::start(&computer, &start);
    assert_tools(&pi.tells("tools"), "meshwire_");
    // Without a screen there is no session that could be woken.
    send(&computer, "hello");
    pi.does("start", &json!(false));
    let args = json!({"to": "@ada", "content": "from the tool"});
    let result = pi.does("call", &json!({"name": "meshwire_send_message", "args": args}));
    assert_eq!(result["content"][0]["type"], "text", "{result}");
    assert!(computer.does("meshwire inbox --agent @ada").contains("from the tool"));
    let args = json!({"message_id": 1, "content": "x"});
    let result = pi.does("call", &json!({"name": "meshwire_reply_to_message", "args": args}));
    assert!(result["thrown"].is_string(), "{result}");
    assert_eq!(unread(&computer), ["hello"]);
    pi.does("start", &json!(true));
    let line = pi.next();
    assert_eq!(line["message"]["customType"], "meshwire", "{line}");
    assert_eq!(line["options"], json!({"triggerTurn": true, "deliverAs": "followUp"}));
    let content = line["message"]["content"].as_str().unwrap();
    assert!(content.contains("It is not from the user") && content.contains("hello"), "{content}");
    all_is_read(&computer);
    pi.does("shutdown", &Value::Null);
    send(&computer, "after the session");
    pi.end();
    assert_eq!(unread(&computer), ["after the session"]);
}

#[test]
fn hermes_gets_messages_between_its_turns() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "hermes");
    computer.does("meshwire init --harness hermes --agent eve");
    let folder = computer.home.path().join(".hermes/plugins/meshwire");
    let start = format!("python3 -B {} {}", script("hermes.py"), folder.display());
    let mut hermes = Harness::start(&computer, &start);
    assert_eq!(hermes.tells("hooks"), json!(["on_session_end", "pre_llm_call"]));
    let line = {
        send(&computer, "hello");
        hermes.next()
    };
    assert_eq!(line["role"], "user", "any other would only be written before the text");
    let text = line["injected"].as_str().unwrap();
    assert!(text.contains("It is not from the user") && text.contains("hello"), "{text}");
    all_is_read(&computer);
    // A turn is not broken off.
    hermes.does("hook", &json!("pre_llm_call"));
    send(&computer, "during the turn");
    assert_eq!(unread(&computer), ["during the turn"]);
    hermes.does("hook", &json!("on_session_end"));
    assert!(hermes.tells("injected").as_str().unwrap().contains("during the turn"));
    all_is_read(&computer);
    // What it does not take stays unread.
    hermes.does("refuse", &json!(true));
    send(&computer, "refused");
    assert_eq!(unread(&computer), ["refused"]);
    hermes.does("refuse", &json!(false));
    assert!(hermes.tells("injected").as_str().unwrap().contains("refused"));
    hermes.end();
    // With one turn to live, it starts nothing.
    let once = Harness::start(&computer, &format!("{start} chat -q hi"));
    assert_eq!(once.tells("hooks"), json!([]));
    once.end();
}

#[test]
fn an_extension_is_silent_outside_a_mesh_and_says_once_what_is_missing() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    // It was there when `init` ran.
    let nowhere = computer.home.path().join("elsewhere/meshwire");
    computer.does("mkdir ~/elsewhere && cp \"$(command -v meshwire)\" ~/elsewhere/");
    computer.does("~/elsewhere/meshwire init --harness pi --agent eve && rm ~/elsewhere/meshwire");
    let file = computer.home.path().join("pi.mjs");
    std::fs::copy(computer.home.path().join(PI), &file).unwrap();
    let start = format!("node {} {}", script("pi.mjs"), file.display());
    let mut pi = Harness::start(&computer, &start);
    assert_eq!(pi.tells("tools"), json!([]));
    pi.0.write_line(r#"{"start":true}"#);
    let told = pi.tells("notified");
    assert!(told.as_str().unwrap().contains(nowhere.to_str().unwrap()), "{told}");
    assert_eq!(pi.next(), json!({"start": null}), "it is said once");
    pi.end();
    // Wired in anew: each harness is an agent of its own.
    let mesh_file = computer.project.join(".mesh.json");
    std::fs::remove_file(&mesh_file).unwrap();
    let plugin = extension(&computer, "opencode", OPENCODE);
    std::fs::remove_file(&mesh_file).unwrap();
    let opencode =
        Harness::start(&computer, &format!("node {} {}", script("opencode.mjs"), plugin.display()));
    assert_eq!(opencode.tells("hooks"), json!([]));
    opencode.end();
    let pi = Harness::start(&computer, &start);
    assert_eq!(pi.tells("tools"), json!([]));
    pi.end();
}
