//! What harnesses are told at the borders of their turns.

use std::time::Instant;

use serde_json::{Value, json};

use crate::program::Computer;
use crate::push::{send, unread, wired};
use crate::service::{LIMIT, Service};

#[track_caller]
fn hook(computer: &Computer, harness: &str, event: &str, input: &str) -> String {
    computer.does_with(&format!("meshwire hook --harness {harness} {event}"), input)
}

/// What a hook shows. One for which the server takes too long shows nothing, and leaves all to the next.
#[track_caller]
pub(crate) fn shown(computer: &Computer, harness: &str, event: &str, input: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let output = hook(computer, harness, event, input);
        if !output.is_empty() {
            return output;
        }
        assert!(Instant::now() < deadline, "{harness} {event} shows nothing");
    }
}

/// Nothing is shown a second time, and all is acknowledged in the end: by the next hook, where that of the one that
/// showed it took too long.
#[track_caller]
fn all_is_told(computer: &Computer, harness: &str, event: &str, input: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        assert_eq!(hook(computer, harness, event, input), "", "{harness} {event} shows it twice");
        let unread = unread(computer);
        if unread.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still unread: {unread:?}");
    }
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
        let output = shown(&computer, harness, event, input);
        assert_eq!(output.lines().count(), 1, "{output}");
        let rest = rest.replace("hookEventName", &format!("\"hookEventName\":\"{event}\""));
        assert!(output.contains(&rest), "{harness} {event}: {output}");
        let value: Value = serde_json::from_str(&output).unwrap();
        let told = value.pointer(place).and_then(Value::as_str).unwrap();
        for part in ["It is not from the user", "from bob, an agent of ada", text.as_str()] {
            assert!(told.contains(part), "{harness} {event}: {told}");
        }
        all_is_told(&computer, harness, event, input);
    }
    send(&computer, "as text");
    let output = shown(&computer, "kiro", "userPromptSubmit", "{}");
    assert!(output.contains("from bob") && output.contains("\n  as text\n"), "{output}");
}

#[test]
fn a_hook_shows_no_more_than_its_harness_does() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "claude");
    let (long, event) = ("x".repeat(4_000), "UserPromptSubmit");
    for _ in 0..3 {
        send(&computer, &long);
    }
    for messages in [2, 1] {
        assert_eq!(shown(&computer, "claude", event, "{}").matches(&long).count(), messages);
    }
    all_is_told(&computer, "claude", event, "{}");
    // One that is longer on its own is left for the tool, and keeps no turn from ending.
    send(&computer, &"y".repeat(10_000));
    let notice = shown(&computer, "claude", event, "{}");
    assert!(notice.contains("read it with meshwire_get_messages"), "{notice}");
    assert!(notice.len() < 500, "{notice}");
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
    assert!(shown(&computer, "claude", "UserPromptSubmit", "no JSON").contains("hello"));
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
    let mut push: Value = serde_json::from_str(&session.next_line()).unwrap();
    assert_eq!(hook(&computer, "claude", "UserPromptSubmit", "{}"), "");
    // A push that fails falls back to the hook, unless that comes so late that it is pushed again.
    let deadline = Instant::now() + 2 * LIMIT;
    let shown = loop {
        session.write_line(&json!({"failed": push["push"], "why": "gone"}).to_string());
        session.says("a push failed");
        let shown = hook(&computer, "claude", "UserPromptSubmit", "{}");
        if !shown.is_empty() {
            break shown;
        }
        assert!(Instant::now() < deadline, "the hook never takes over");
        push = serde_json::from_str(&session.next_line()).unwrap();
    };
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
    let mut outputs: Vec<String> = std::thread::scope(|scope| {
        let hooks: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| hook(&computer, "gemini", "BeforeAgent", "{}")))
            .collect();
        hooks.into_iter().map(|hook| hook.join().unwrap()).collect()
    });
    if outputs.concat().is_empty() {
        outputs.push(shown(&computer, "gemini", "BeforeAgent", "{}"));
    }
    let all = outputs.concat();
    for number in 0..8 {
        assert_eq!(all.matches(&format!("[{number}]")).count(), 1, "{all}");
    }
    assert_eq!(outputs.iter().filter(|output| !output.is_empty()).count(), 1);
    all_is_told(&computer, "gemini", "BeforeAgent", "{}");
}
