//! What harnesses are told at the borders of their turns.

use serde_json::{Value, json};

use crate::program::Computer;
use crate::push::{send, unread, wired};
use crate::service::Service;

#[track_caller]
fn hook(computer: &Computer, harness: &str, event: &str, input: &str) -> String {
    computer.does_with(&format!("meshwire hook --harness {harness} {event}"), input)
}

#[test]
fn each_harness_is_told_in_its_own_form_and_once() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "gemini");
    let context = "/hookSpecificOutput/additionalContext";
    for (number, (harness, event, input, place, rest)) in [
        ("claude", "UserPromptSubmit", "{}", context, "hookEventName"),
        ("claude", "SessionStart", "{}", context, "hookEventName"),
        ("claude", "Stop", r#"{"stop_hook_active":false}"#, context, "hookEventName"),
        ("codex", "UserPromptSubmit", "{}", context, "hookEventName"),
        ("codex", "Stop", "{}", "/reason", r#""decision":"block""#),
        ("gemini", "BeforeAgent", "{}", context, "hookEventName"),
        ("gemini", "AfterAgent", "{}", "/reason", r#""decision":"deny""#),
        ("cursor", "stop", r#"{"status":"completed"}"#, "/followup_message", ""),
        ("copilot", "userPromptSubmitted", "{}", "/additionalContext", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("number {number}");
        send(&computer, &text);
        let output = hook(&computer, harness, event, input);
        assert_eq!(output.lines().count(), 1, "{output}");
        let rest = rest.replace("hookEventName", &format!("\"hookEventName\":\"{event}\""));
        assert!(output.contains(&rest), "{harness} {event}: {output}");
        let value: Value = serde_json::from_str(&output).unwrap();
        let shown = value.pointer(place).and_then(Value::as_str).unwrap();
        for part in ["It is not from the user", "from bob, an agent of ada", text.as_str()] {
            assert!(shown.contains(part), "{harness} {event}: {shown}");
        }
        assert_eq!(unread(&computer), Vec::<String>::new());
        assert_eq!(hook(&computer, harness, event, input), "", "{harness} {event} shows it twice");
    }
    send(&computer, "as text");
    let output = hook(&computer, "kiro", "userPromptSubmit", "{}");
    assert!(output.contains("from bob") && output.contains("\n  as text\n"), "{output}");
}

#[test]
fn a_hook_shows_no_more_than_its_harness_does() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "claude");
    for _ in 0..3 {
        send(&computer, &"x".repeat(4_000));
    }
    for left in [1, 0] {
        assert!(hook(&computer, "claude", "UserPromptSubmit", "{}").contains("xxxx"));
        assert_eq!(unread(&computer).len(), left);
    }
    // One that is longer on its own is left for the tool, and keeps no turn from ending.
    send(&computer, &"y".repeat(10_000));
    let shown = hook(&computer, "claude", "UserPromptSubmit", "{}");
    assert!(shown.contains("read it with meshwire_get_messages"), "{shown}");
    assert!(shown.len() < 500, "{shown}");
    assert_eq!(hook(&computer, "claude", "Stop", "{}"), "");
    assert_eq!(unread(&computer).len(), 1);
}

#[test]
fn a_hook_leaves_alone_what_it_cannot_show() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let computer = wired(&service, "claude");
    send(&computer, "hello");
    for (harness, event, input) in [
        ("claude", "Stop", r#"{"stop_hook_active":true}"#),
        ("claude", "PreToolUse", "{}"),
        ("cursor", "stop", r#"{"status":"aborted"}"#),
        ("windsurf", "Stop", "{}"),
        ("no-such-harness", "Stop", "{}"),
    ] {
        assert_eq!(hook(&computer, harness, event, input), "", "{harness} {event} {input}");
        assert_eq!(unread(&computer), ["hello"]);
    }
    // Even with what no harness would write.
    assert!(hook(&computer, "claude", "UserPromptSubmit", "no JSON").contains("hello"));
    // A server that is away stops nobody.
    service.kill();
    assert_eq!(hook(&computer, "claude", "UserPromptSubmit", "{}"), "");
    service.start_again();
    // Nor does a folder that belongs to no mesh.
    std::fs::remove_file(computer.project.join(".mesh.json")).unwrap();
    assert_eq!(hook(&computer, "claude", "UserPromptSubmit", "{}"), "");
}

#[test]
fn a_hook_is_quiet_while_a_live_session_is_pushed_into() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut session = computer.start_spoken_to("meshwire listen --harness pi --json");
    session.says("messages are pushed into this session");
    send(&computer, "hello");
    let push: Value = serde_json::from_str(&session.next_line()).unwrap();
    assert_eq!(hook(&computer, "claude", "UserPromptSubmit", "{}"), "");
    // A push that fails falls back to the hook.
    session.write_line(r#"{"failed":1,"why":"gone"}"#);
    session.says("a push failed");
    let shown = hook(&computer, "claude", "UserPromptSubmit", "{}");
    assert!(shown.contains(&push["messages"][0].to_string()), "{shown}");
    session.close_input();
    assert!(session.is_silent(), "it is not pushed any more");
}

#[test]
fn hooks_in_parallel_show_each_message_once() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "gemini");
    for number in 0..8 {
        send(&computer, &format!("[{number}]"));
    }
    let shown: Vec<String> = std::thread::scope(|scope| {
        let hooks: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| hook(&computer, "gemini", "BeforeAgent", "{}")))
            .collect();
        hooks.into_iter().map(|hook| hook.join().unwrap()).collect()
    });
    let all = shown.concat();
    for number in 0..8 {
        assert_eq!(all.matches(&format!("[{number}]")).count(), 1, "{all}");
    }
    assert_eq!(shown.iter().filter(|shown| !shown.is_empty()).count(), 1);
    assert_eq!(json!(unread(&computer)), json!([]));
}
