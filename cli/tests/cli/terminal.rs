//! What a terminal gets: colour where it is wanted, and nothing that moves its cursor.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::support::{Computer, Reply, Server, me};

/// Runs a command whose output is a terminal; what the terminal got.
fn on_a_terminal(computer: &Computer, args: &[&str]) -> String {
    let terminal: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let other = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = computer.command(args);
    let mut child = command.stdout(other).spawn().unwrap();
    // Its copies of the other end are closed with it, and then reading ends.
    drop(command);
    let mut shown = Vec::new();
    let mut terminal = File::from(terminal);
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = terminal.read(&mut piece) {
        shown.extend_from_slice(&piece[..read]);
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap()
}

#[test]
fn colour_is_for_terminals_and_can_be_declined() {
    let server = Server::start(|_| Reply::Json(200, me()));
    let computer = || Computer::new().signed_in(&server.url);
    assert!(on_a_terminal(&computer(), &["whoami"]).contains("\u{1b}[1mada\u{1b}[0m"));
    for (name, value, colour) in [
        ("NO_COLOR", "1", false),
        ("NO_COLOR", "", true),
        ("TERM", "dumb", false),
        ("TERM", "xterm", true),
    ] {
        let shown = on_a_terminal(&computer().env(name, value), &["whoami"]);
        assert_eq!(shown.contains('\u{1b}'), colour, "{name}={value}: {shown:?}");
    }
    assert!(!computer().run(&["whoami"]).out.contains('\u{1b}'), "not in a pipe");
}

#[test]
fn json_on_a_terminal_is_safe_and_means_the_same() {
    let hostile = "\u{1b}]0;gotcha\u{7}\u{202e}eve";
    let server = Server::start(move |_| {
        let mut me = me();
        me["user"]["name"] = json!(hostile);
        Reply::Json(200, me)
    });
    let computer = Computer::new().signed_in(&server.url);
    let shown = on_a_terminal(&computer, &["whoami", "--json"]);
    assert!(shown.trim_end().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{shown:?}");
    let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(read["user"]["name"], hostile);
    let text = on_a_terminal(&computer.env("NO_COLOR", "1"), &["whoami"]);
    assert!(text.starts_with("ada (eve)"), "{text:?}");
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
}
