//! Messages pushed into live sessions: each once, none lost.

use serde_json::{Value, json};

use crate::mcp::Client;
use crate::program::{Computer, Running, signed_in};
use crate::service::Service;

/// A project that is wired in as `eve` for the harness of the tests, whose agent is registered.
pub(crate) fn wired(service: &Service, harness: &str) -> Computer {
    let (computer, _) = signed_in(service);
    wire(&computer, harness);
    computer
}

fn wire(computer: &Computer, harness: &str) {
    let meshes: Value = serde_json::from_str(&computer.does("meshwire mesh list --json")).unwrap();
    let mesh = meshes["meshes"][0]["mesh_id"].as_str().unwrap();
    let file = json!({"mesh_id": mesh, "agent_name": "eve", "harness": harness});
    std::fs::write(computer.project.join(".mesh.json"), file.to_string()).unwrap();
    computer.does("meshwire send 'I am here' --as eve --to @ada");
}

pub(crate) fn send(computer: &Computer, text: &str) {
    computer.does(&format!("meshwire send '{text}' --as bob --to eve"));
}

/// What `eve` has not acknowledged.
pub(crate) fn unread(computer: &Computer) -> Vec<String> {
    let inbox = computer.does("meshwire inbox --agent eve --json");
    let inbox: Value = serde_json::from_str(&inbox).unwrap();
    let messages = inbox["messages"].as_array().unwrap();
    messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

/// Waits until `eve` has acknowledged all.
#[track_caller]
pub(crate) fn all_is_read(computer: &Computer) {
    let deadline = std::time::Instant::now() + crate::service::LIMIT;
    while !unread(computer).is_empty() {
        assert!(std::time::Instant::now() < deadline, "still unread: {:?}", unread(computer));
    }
}

fn extension(computer: &Computer) -> Running {
    computer.start_spoken_to("meshwire listen --harness pi --json")
}

/// A session that is pushed into.
fn live_extension(computer: &Computer) -> Running {
    let session = extension(computer);
    session.says("eve: messages are pushed into this session");
    session
}

#[track_caller]
fn next_push(session: &Running) -> Value {
    serde_json::from_str(&session.next_line()).unwrap()
}

#[test]
fn a_monitor_shows_a_message_with_its_sender() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "claude");
    send(&computer, "first\nline");
    let mut monitor = computer.start("meshwire listen --harness claude");
    assert!(monitor.next_line().contains("It is not from the user"));
    assert!(monitor.next_line().contains("from bob, an agent of ada, to eve:"));
    assert_eq!([monitor.next_line(), monitor.next_line()], ["| first", "| line"]);
    assert!(monitor.next_line().contains("meshwire_reply_to_message"));
    // While it runs and is idle.
    send(&computer, "second");
    monitor.prints("| second");
    all_is_read(&computer);
    assert_eq!(monitor.signal("-TERM"), 0);
    monitor.prints("meshwire_reply_to_message");
    assert!(monitor.is_silent());
    assert_eq!(monitor.errors(), "", "a harness may show what is written there to its model");
    let agents: Value = serde_json::from_str(&computer.does("meshwire agents --json")).unwrap();
    let eve = agents["agents"].as_array().unwrap().iter().find(|agent| agent["name"] == "eve");
    let eve = eve.unwrap();
    assert_eq!((&eve["harness"], &eve["wake"]), (&json!("claude"), &json!("live")));
    let list = computer.does("meshwire agents");
    let shown = list.lines().find(|line| line.contains("eve (you)")).unwrap();
    assert!(shown.contains("  live  "), "{list}");
}

#[test]
fn a_monitor_announces_what_would_be_cut_and_the_hook_of_its_session_shows_it() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut computer = wired(&service, "claude");
    let hook = "meshwire hook --harness claude UserPromptSubmit";
    computer.set("CLAUDE_PID", "1001");
    let monitor = computer.start("meshwire listen --harness claude");
    let long = "x".repeat(4_000);
    send(&computer, &long);
    let line = monitor.next_line();
    assert!(line.len() < 500 && line.contains("[mesh] bob: xxx"), "{line}");
    assert!(line.contains("read it with meshwire_get_messages"), "{line}");
    assert_eq!(unread(&computer), [long.as_str()]);
    // Not in another session, which nobody has woken.
    computer.set("CLAUDE_PID", "1002");
    assert_eq!(computer.does_with(hook, "{}"), "");
    computer.set("CLAUDE_PID", "1001");
    assert!(computer.does_with(hook, "{}").contains(&long));
    all_is_read(&computer);
    // It is announced once; what comes later is shown as ever.
    send(&computer, "short");
    assert!(monitor.next_line().contains("a message from another agent"));
    monitor.prints("| short");
    all_is_read(&computer);
    // A message behind one that was not read yet is announced with it.
    send(&computer, &long);
    assert!(monitor.prints("unread").contains("[mesh] bob: xxx"));
    send(&computer, "behind it");
    assert!(monitor.next_line().contains("2 messages"));
    assert_eq!(unread(&computer).len(), 2);
}

#[test]
fn a_monitor_waits_in_silence_until_it_has_something_to_do() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    // Signed in, with a mesh of the profile, in a folder that is not wired in: a monitor that ends would wake
    // the model.
    let (computer, _) = signed_in(&service);
    let mut monitor = computer.start("meshwire listen --harness claude");
    wire(&computer, "claude");
    send(&computer, "hello");
    monitor.prints("| hello");
    assert_eq!(monitor.signal("-TERM"), 0);
    assert_eq!(monitor.errors(), "");
}

#[test]
fn a_push_counts_when_the_extension_says_so() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut session = live_extension(&computer);
    send(&computer, "hello");
    let push = next_push(&session);
    assert_eq!(push["push"], 1);
    assert_eq!(push["summary"], "[mesh] bob: hello");
    assert!(push["text"].as_str().unwrap().contains("\n  hello\n"), "{push}");
    assert_eq!(unread(&computer), ["hello"]);
    session.write_line(r#"{"ok":1}"#);
    all_is_read(&computer);
    // The next one fails: it stays unread, and comes again.
    send(&computer, "again");
    let push = next_push(&session);
    session.write_line(r#"{"failed":2,"why":"no session"}"#);
    session.says("a push failed: no session");
    assert_eq!(unread(&computer), ["again"]);
    let repeated = next_push(&session);
    assert_eq!(repeated["push"], 3);
    assert_eq!(repeated["messages"], push["messages"]);
    session.write_line(r#"{"ok":3}"#);
    all_is_read(&computer);
    session.close_input();
    assert_eq!(session.exit_code(), 0);
}

#[test]
fn a_tool_does_not_wait_for_a_session_that_is_slow_to_take_a_push() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut session = live_extension(&computer);
    send(&computer, "hello");
    assert_eq!(next_push(&session)["summary"], "[mesh] bob: hello");
    // It holds the inbox, and lets nobody in until it goes on.
    let stopped = computer.run(&format!("kill -STOP {}", session.id()));
    assert!(stopped.status.success());
    let mut client = Client::begun(&computer, "meshwire mcp");
    let answer = client.tool("get_messages", &json!({}));
    assert_eq!(answer["structuredContent"]["messages"], json!([]));
    assert!(answer["content"][0]["text"].as_str().unwrap().contains("another session"), "{answer}");
    computer.does(&format!("kill -CONT {}", session.id()));
    session.write_line(r#"{"ok":1}"#);
    all_is_read(&computer);
}

#[test]
fn a_line_that_is_no_answer_is_passed_over() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut session = live_extension(&computer);
    session.write_bytes(b"\xff\xfe\n");
    session.says("passed over");
    send(&computer, "hello");
    assert_eq!(next_push(&session)["push"], 1);
    session.write_line(r#"{"ok":1}"#);
    all_is_read(&computer);
}

#[cfg(target_os = "linux")]
#[test]
fn a_monitor_that_cannot_make_its_lock_says_so() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut computer = wired(&service, "claude");
    let token = computer.does("meshwire token create monitor");
    computer.set("MESHWIRE_TOKEN", token.trim());
    // A folder in which nothing can be made.
    computer.set("HOME", "/proc");
    let monitor = computer.start("meshwire listen --harness claude");
    assert!(monitor.says("/proc/.meshwire").contains("cannot"));
}

#[test]
fn a_session_that_dies_before_it_has_the_text_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut first = live_extension(&computer);
    let mut second = extension(&computer);
    send(&computer, "hello");
    let push = next_push(&first);
    first.kill();
    // The second one takes over, and gets what the first one did not take.
    second.says("eve: messages are pushed into this session");
    let again = next_push(&second);
    assert_eq!(again["messages"], push["messages"]);
    second.write_line(r#"{"ok":1}"#);
    all_is_read(&computer);
}

#[test]
fn one_of_two_sessions_is_pushed_into() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut first = live_extension(&computer);
    let mut second = extension(&computer);
    for number in 1..=3 {
        send(&computer, &format!("message {number}"));
        let push = next_push(&first);
        assert_eq!(push["summary"], format!("[mesh] bob: message {number}"));
        first.write_line(&format!("{{\"ok\":{number}}}"));
        all_is_read(&computer);
    }
    first.close_input();
    assert_eq!(first.exit_code(), 0);
    second.says("eve: messages are pushed into this session");
    send(&computer, "to the second");
    assert_eq!(next_push(&second)["summary"], "[mesh] bob: to the second");
    second.write_line(r#"{"ok":1}"#);
    all_is_read(&computer);
    second.close_input();
    assert!(second.is_silent(), "it saw nothing of what the first one got");
}

#[test]
fn a_burst_is_one_push_and_a_large_one_several() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    for number in 0..20 {
        send(&computer, &format!("message {number}"));
    }
    let mut session = live_extension(&computer);
    let push = next_push(&session);
    assert_eq!(push["messages"].as_array().unwrap().len(), 20);
    assert_eq!(push["summary"], "[mesh] bob: 20 messages");
    // What comes while a push is being delivered is one push after it.
    let large = "x".repeat(6_000);
    for _ in 0..5 {
        send(&computer, &large);
    }
    session.write_line(r#"{"ok":1}"#);
    let mut sizes = Vec::new();
    for number in 2..=3 {
        let push = next_push(&session);
        assert!(push["text"].as_str().unwrap().len() < 20_000);
        sizes.push(push["messages"].as_array().unwrap().len());
        session.write_line(&format!("{{\"ok\":{number}}}"));
    }
    assert_eq!(sizes, [3, 2]);
    all_is_read(&computer);
}

#[test]
fn what_was_shown_while_the_server_went_away_is_not_shown_again() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut session = live_extension(&computer);
    send(&computer, "hello");
    assert_eq!(next_push(&session)["push"], 1);
    service.kill();
    session.write_line(r#"{"ok":1}"#);
    session.says("trying again until it works");
    session.kill();
    service.start_again();
    let mut session = live_extension(&computer);
    all_is_read(&computer);
    send(&computer, "more");
    assert_eq!(next_push(&session)["summary"], "[mesh] bob: more");
    // And a session outlives a server that comes and goes.
    session.write_line(r#"{"ok":1}"#);
    all_is_read(&computer);
    service.kill();
    session.says("trying again until it works");
    service.start_again();
    send(&computer, "after all");
    assert_eq!(next_push(&session)["summary"], "[mesh] bob: after all");
}

#[test]
fn outside_a_mesh_it_ends_in_silence_and_signed_out_it_says_why() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    // Signed in, with a mesh of the profile, in a folder that is not wired in.
    let (computer, _) = signed_in(&service);
    let output = computer.run("meshwire listen --harness pi --json </dev/zero");
    assert!(output.status.success());
    assert_eq!((output.stdout.len(), output.stderr.len()), (0, 0));
    wire(&computer, "pi");
    computer.does("rm -r ~/.meshwire");
    let mut session = extension(&computer);
    let line: Value = serde_json::from_str(&session.next_line()).unwrap();
    assert!(line["error"].as_str().unwrap().starts_with("not signed in to"), "{line}");
    assert!(line["hint"].as_str().unwrap().contains("meshwire login"), "{line}");
    assert_eq!(session.exit_code(), 3);
}

#[cfg(unix)]
#[test]
fn a_monitor_ends_when_nobody_reads_it_any_more() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "claude");
    // The reader dies at once, the monitor would wait for a message; a second session takes over.
    computer.start("sh -c 'meshwire listen --harness claude | true'").exit_code();
    send(&computer, "hello");
    let second = computer.start("meshwire listen --harness claude");
    second.prints("| hello");
}
