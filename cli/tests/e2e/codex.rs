//! Messages pushed into Codex by the MCP server that it has started, and the tool beside a push.

use std::time::Instant;

use serde_json::{Value, json};

use crate::hooks::shown;
use crate::program::{Computer, Running};
use crate::push::{all_is_read, send, unread, wired};
use crate::service::{LIMIT, Service, programs};

/// An MCP client of ours.
struct Client(Running);

impl Client {
    fn start(computer: &Computer, harness: &str) -> Self {
        let line = format!("meshwire mcp --harness {harness}");
        let mut client = Self(computer.start_spoken_to(&line));
        client.request(
            0,
            "initialize",
            &json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            }),
        );
        client.0.prints("\"id\":0");
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        client.0.write_line(&initialized.to_string());
        client
    }

    fn request(&mut self, id: u64, method: &str, params: &Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.0.write_line(&request.to_string());
    }

    /// The text of a tool's answer.
    #[track_caller]
    fn answer(&self, id: u64) -> String {
        let line = self.0.prints(&format!("\"id\":{id}"));
        let answer: Value = serde_json::from_str(&line).unwrap();
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

/// Puts a `codex` on the path that writes down how it was called, and fails while a file `refuse` is there.
fn install_codex(computer: &mut Computer) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = computer.home.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let script = "#!/bin/sh\n[ -e ~/refuse ] && { : > ~/refused; exit 1; }\n\
        printf '%s\\n' \"$1 $2 $3 $4 ${MESHWIRE_TOKEN-none}\" \"$5\" >> ~/queued\n";
    std::fs::write(folder.join("codex"), script).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.join("codex"), mode).unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", folder.display(), programs().display());
    computer.set("PATH", &path);
}

#[track_caller]
fn queued(computer: &Computer, text: &str) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let queued = std::fs::read_to_string(computer.home.path().join("queued"));
        if let Some(queued) = queued.ok().filter(|queued| queued.contains(text)) {
            return queued;
        }
        assert!(Instant::now() < deadline, "not queued: {text}");
        std::thread::yield_now();
    }
}

#[test]
fn codex_is_pushed_into_by_the_thread_of_its_tool_calls() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut computer = wired(&service, "codex");
    install_codex(&mut computer);
    let mut client = Client::start(&computer, "codex");
    // Until a thread is known, messages wait.
    send(&computer, "hello");
    assert_eq!(unread(&computer), ["hello"]);
    let call = json!({
        "name": "meshwire_status",
        "arguments": {},
        "_meta": {"threadId": "0199f1c2-7a5e-7b31-8d1c-3f1d5a0c9e11"},
    });
    client.request(1, "tools/call", &call);
    client.answer(1);
    let told = queued(&computer, "hello");
    let call = "queue --thread 0199f1c2-7a5e-7b31-8d1c-3f1d5a0c9e11 --message none\n";
    assert!(told.starts_with(call), "{told}");
    assert!(told.contains("It is not from the user") && told.contains("from bob"), "{told}");
    all_is_read(&computer);
    // What it refuses stays unread for a tool or a hook, and is tried again.
    let refuse = computer.home.path().join("refuse");
    std::fs::write(&refuse, "").unwrap();
    send(&computer, "refused at first");
    let deadline = Instant::now() + LIMIT;
    while !computer.home.path().join("refused").exists() {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(unread(&computer), ["refused at first"]);
    std::fs::remove_file(refuse).unwrap();
    queued(&computer, "refused at first");
    all_is_read(&computer);
    client.0.close_input();
    assert_eq!(client.0.exit_code(), 0);
    let told = queued(&computer, "refused at first");
    assert_eq!(told.matches("queue --thread").count(), 2, "each once: {told}");
}

#[test]
fn codex_is_pushed_into_by_what_its_hook_has_left() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut computer = wired(&service, "codex");
    install_codex(&mut computer);
    let _client = Client::start(&computer, "codex");
    send(&computer, "hello");
    let hook = "meshwire hook --harness codex SessionStart";
    // What could be a flag is no thread.
    let first = shown(&computer, "codex", "SessionStart", r#"{"session_id":"--help"}"#);
    assert!(first.contains("hello"), "{first}");
    send(&computer, "second");
    let second = computer.does_with(hook, r#"{"session_id":"thread-1"}"#);
    send(&computer, "third");
    let told = queued(&computer, "third");
    assert!(told.starts_with("queue --thread thread-1 --message none\n"), "{told}");
    // What the hook has shown itself is not pushed. (The push may begin while the second one still runs.)
    let all = first + &second + &told;
    for text in ["hello", "second", "third"] {
        assert_eq!(all.matches(text).count(), 1, "{text}: {all}");
    }
    all_is_read(&computer);
}

#[test]
fn the_tool_and_a_push_never_show_the_same_message() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let computer = wired(&service, "pi");
    let mut session = computer.start_spoken_to("meshwire listen --harness pi --json");
    session.says("messages are pushed into this session");
    let mut client = Client::start(&computer, "pi");
    let get = json!({"name": "meshwire_get_messages", "arguments": {}});
    send(&computer, "pushed");
    let push = session.next_line();
    assert!(push.contains("pushed"), "{push}");
    // The tool waits for what is just being handed over.
    client.request(1, "tools/call", &get);
    client.request(2, "ping", &json!({}));
    client.0.prints("\"id\":2");
    session.write_line(r#"{"ok":1}"#);
    let answer = client.answer(1);
    assert!(!answer.contains("pushed"), "{answer}");
    all_is_read(&computer);
    // What the tool has shown is not pushed: many messages, whichever is faster.
    let mut shown = String::new();
    let hand_over = |session: &mut Running, line: &str| {
        let push: Value = serde_json::from_str(line).unwrap();
        session.write_line(&json!({"ok": push["push"]}).to_string());
        push["text"].as_str().unwrap().to_owned()
    };
    for number in 0..20 {
        send(&computer, &format!("[{number}]"));
        client.request(10 + number, "tools/call", &get);
        let deadline = Instant::now() + LIMIT;
        let answer = loop {
            if let Some(line) = session.line_now() {
                shown.push_str(&hand_over(&mut session, &line));
            }
            if let Some(line) = client.0.line_now() {
                break line;
            }
            assert!(Instant::now() < deadline, "no answer");
            std::thread::yield_now();
        };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        shown.push_str(answer["result"]["content"][0]["text"].as_str().unwrap());
    }
    while !unread(&computer).is_empty() {
        if let Some(line) = session.line_now() {
            shown.push_str(&hand_over(&mut session, &line));
        }
    }
    for number in 0..20 {
        assert_eq!(shown.matches(&format!("[{number}]")).count(), 1, "[{number}] in {shown}");
    }
}
