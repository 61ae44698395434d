//! The README's own lines, typed word for word.

use crate::browser::Browser;
use crate::program::{Computer, has_file};
use crate::service::Service;

const README: &str = include_str!("../../../README.md");

/// The lines of the block that is marked as tested under this name.
fn lines(name: &str) -> Vec<&'static str> {
    let (_, rest) = README.split_once(&format!("<!-- tested: {name} -->\n```sh\n")).unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    block.lines().collect()
}

#[test]
fn the_first_exchange_works_as_written() {
    // What `cargo run --release` starts, with an empty environment; but on a free port, so that several
    // tests can run. The command line would find the default port by itself.
    assert!(README.contains("```sh\ncargo run --release\n```"));
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut computer = Computer::new();
    computer.set("MESHWIRE_URL", &service.url);
    let mut browser = Browser::new(&service.url);
    browser.set_up(service.set_up.as_deref().unwrap(), "ada", "correct horse CaNaRy5f1e");

    let setup = lines("setup");
    assert_eq!(
        setup[0], "cargo install --locked --path cli",
        "what the programs here were built from"
    );
    for line in &setup[1..] {
        if line.starts_with("meshwire login") {
            let said = computer.sign_in(line, &mut browser);
            assert!(said.contains("ada"), "{said}");
        } else {
            computer.does(line);
        }
    }
    assert!(has_file(&computer.project, ".mesh.json"));

    let [listen_line] = lines("listen")[..] else { panic!("one line") };
    let [send_line] = lines("send")[..] else { panic!("one line") };
    let mut listening = computer.start(listen_line);
    listening.says("agent-b");
    let sent = computer.does(send_line);
    assert!(sent.starts_with("✓ Sent → agent-b [id: "), "{sent}");
    listening.prints("hello");

    // "Stop `listen`, send again, start it again: what came meanwhile is printed, once."
    assert_eq!(listening.interrupt(), 0);
    computer.does("meshwire send 'while you were away' --to agent-b");
    let mut listening = computer.start(listen_line);
    let mut lines = Vec::new();
    while !lines.iter().any(|line: &String| line.contains("while you were away")) {
        lines.push(listening.next_line());
    }
    assert!(!lines.iter().any(|line| line.contains("hello")), "{lines:?}");
    assert_eq!(listening.interrupt(), 0);
    let unread = computer.does("meshwire inbox --json");
    assert!(!unread.contains("while you were away"), "{unread}");
}
