//! Further accounts on a server of one's own.

use std::process::Output;

use crate::browser::Browser;
use crate::program::{Computer, signed_in};
use crate::service::Service;

const PASSWORD: &str = "a battery of horses";

/// The link in what the command printed.
#[track_caller]
fn link(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let link = text.lines().find(|line| line.contains("/setup?code=")).expect("a link");
    link.trim().to_owned()
}

#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
    assert!(output.stdout.is_empty());
}

fn log_in(service: &Service, login: &str, password: &str) -> String {
    let mut browser = Browser::new(&service.url);
    let page = browser.open(&format!("{}/login", service.url));
    browser.submit(&page, "/login", &[("login", login), ("password", password)]).html
}

#[test]
fn the_operator_adds_accounts_and_resets_passwords() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, mut ada) = signed_in(&service);

    // While the server runs.
    let add = link(&service.command(&["user", "add", "bob"]));
    assert!(add.starts_with(&format!("{}/setup?code=", service.url)), "{add}");
    let mut bob = Browser::new(&service.url);
    bob.set_up(&add, "bob", PASSWORD);
    refused(&service.command(&["user", "add", "bob"]), 1, "there is an account bob");
    refused(&service.command(&["user", "reset", "eve"]), 1, "there is no account eve");
    for wrong in ["Bob", "-bob", "a b", "", "../x", "0123456789012345678901234567890123456789"] {
        let output = service.command(&["user", "add", "--", wrong]);
        refused(&output, 2, "1 to 39 characters");
    }
    refused(&service.command(&["user", "add"]), 2, "LOGIN");
    refused(&service.command(&["user", "remove", "bob"]), 2, "remove");

    // While it does not run; another link from before counts no more.
    let before = link(&service.command(&["user", "reset", "ada"]));
    service.terminate();
    let reset = link(&service.command(&["user", "reset", "ada"]));
    service.start_again();
    let page = ada.open(&before);
    assert_eq!(page.status, 400, "{}", page.html);
    assert!(log_in(&service, "ada", crate::chromium::PASSWORD).contains("Hello, ada"));
    let mut elsewhere = Browser::new(&service.url);
    let page = elsewhere.open(&reset);
    let fields = [("password", PASSWORD), ("password_again", PASSWORD)];
    let page = elsewhere.submit(&page, "/setup", &fields);
    assert!(page.html.contains("Hello, ada"), "{}", page.html);
    assert!(!ada.open(&service.url).html.contains("Sign out"), "signed out everywhere else");
    assert!(log_in(&service, "ada", crate::chromium::PASSWORD).contains("do not fit together"));
    assert!(log_in(&service, "ada", PASSWORD).contains("Hello, ada"));
    // Her agents go on.
    assert!(computer.does("meshwire whoami").starts_with("ada"));
    assert_eq!(service.logged(&["/setup?code="]), 0);
}

#[test]
fn links_are_added_under_a_server_at_work() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let sending = computer.start(
        "sh -c 'i=0; while [ $i -lt 20 ]; do meshwire send --json \"$i\" || exit 1; i=$((i+1)); done'",
    );
    for n in 0..20 {
        let made = link(&service.command(&["user", "add", &format!("user{n}")]));
        assert_eq!(Browser::new(&service.url).open(&made).status, 200);
    }
    for n in 0..20 {
        let line = sending.next_line();
        assert!(line.contains(&format!("\"content\":\"{n}\"")), "{line}");
    }
    assert_eq!(service.logged(&["ERROR"]), 0);
}

#[test]
fn a_link_of_an_invite_makes_an_account_in_the_mesh() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let said = computer.run("meshwire mesh invite");
    let said = String::from_utf8(said.stdout).unwrap() + &String::from_utf8(said.stderr).unwrap();
    let link = said.split_whitespace().find(|word| word.contains("/join/")).expect("a link");
    let mut bob = Browser::new(&service.url);
    bob.take_invite(link, "bob", PASSWORD);
    assert!(computer.does("meshwire mesh members").contains("bob"));

    let mut laptop = Computer::new();
    laptop.set("MESHWIRE_URL", &service.url);
    laptop.sign_in("meshwire login", &mut bob);
    laptop.does("meshwire send hello");
}

#[test]
fn there_is_nothing_to_add_without_a_server_or_with_github() {
    let data = tempfile::tempdir().unwrap();
    let run = |environment: &[(&str, &str)], arguments: &[&str]| {
        std::process::Command::new(crate::service::programs().join("meshwire-server"))
            .args(arguments)
            .env_clear()
            .env("HOME", data.path())
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    };
    refused(&run(&[], &["user", "add", "bob"]), 1, "start the server once");
    let github = [("MESHWIRE_GITHUB_CLIENT_ID", "id"), ("MESHWIRE_GITHUB_CLIENT_SECRET", "secret")];
    refused(&run(&github, &["user", "add", "bob"]), 1, "sign in to this server with GitHub");
    let file = data.path().join("other.db");
    std::fs::write(&file, "this is no database, but long enough to be looked at").unwrap();
    let store = format!("sqlite:{}", file.display());
    refused(&run(&[], &["user", "add", "bob", "--store", &store]), 1, "other.db");
    refused(
        &run(&[("MESHWIRE_BIND", "127.0.0.1:0")], &["user", "add", "x"]),
        1,
        "MESHWIRE_PUBLIC_URL",
    );
}
