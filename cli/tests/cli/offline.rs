//! What needs no server, and what must never reach one.

use std::net::TcpListener;
use std::process::Stdio;

use crate::support::{Computer, MESH, Reply, Server, me, token};

/// An address where nobody listens: no program is given this port by chance.
const NOBODY: &str = "http://127.0.0.1:1";

const IN_A_MESH: &[&[&str]] = &[
    &["whoami"],
    &["mesh", "list"],
    &["mesh", "create", "x"],
    &["mesh", "use", MESH],
    &["mesh", "delete", MESH],
    &["token", "create"],
    &["token", "list"],
    &["token", "revoke", "tttttttttttt"],
    &["send", "hello"],
    &["reply", "7", "hello"],
    &["listen"],
    &["inbox"],
    &["history"],
    &["agents"],
    &["status"],
    &["integrate"],
    &["mesh", "members"],
    &["mesh", "invite"],
    &["mesh", "join", MESH],
    &["mesh", "leave"],
    &["mesh", "requests"],
    &["mesh", "approve", "bob"],
    &["mesh", "remove", "bob"],
    &["mesh", "pause"],
    &["mesh", "resume"],
    &["init", "--harness", "generic"],
];

#[test]
fn wrong_usage_is_2() {
    let computer = Computer::new().signed_in(NOBODY);
    for args in [
        &["nonsense"][..],
        &[],
        &["send"],
        &["send", ""],
        &["send", &"x".repeat(10_241)],
        &["send", "x", "--to", "a b"],
        &["send", "x", "--to", "role:coder"],
        &["send", "x", "--as", "all"],
        &["send", "x", "--metadata", "[]"],
        &["send", "x", "--reply-to", "seven"],
        &["send", "x", "--mesh", "short"],
        &["send", "x", "--url", "ftp://x"],
        &["reply", "-1", "x"],
        &["listen", "--from", "yesterday"],
        &["history", "--limit", "0"],
        &["mesh", "create", " "],
        &["mesh", "use", "short"],
        &["token", "create", "--expires", "366d"],
        &["token", "create", "--scope", "everything"],
        &["token", "revoke", "mw_x"],
        &["init"],
        &["init", "--harness", "vim"],
        &["completions", "cmd"],
    ] {
        let done = computer.run(args);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert!(done.out.is_empty() && !done.err.is_empty(), "{args:?}: {done:?}");
    }
}

#[test]
fn input_that_is_no_text_is_2() {
    let computer = Computer::new().signed_in(NOBODY);
    assert_eq!(computer.run_with_input(&["send", "-"], &[0xFF, 0xFE]).code, Some(2));
    assert_eq!(computer.run_with_input(&["send", "-"], &vec![b'x'; 2_000_000]).code, Some(2));
    assert_eq!(computer.run_with_input(&["send", "-"], b"\n").code, Some(2));
}

#[test]
fn not_signed_in_is_3() {
    for args in IN_A_MESH.iter().chain(&[&["logout"][..]]) {
        let done = Computer::new().run(args);
        assert_eq!(done.code, Some(3), "{args:?}: {done:?}");
        assert!(done.err.contains("meshwire login") || args[0] == "logout", "{args:?}: {done:?}");
    }
}

#[test]
fn what_cannot_be_a_token_is_3_and_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let computer =
        Computer::new().env("MESHWIRE_TOKEN", "the-secret-of-another").env("MESHWIRE_URL", &url);
    for args in [&["whoami"][..], &["login", "--token", "the-secret-of-another"]] {
        let done = computer.run(args);
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(!done.err.contains("secret"), "{done:?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "something was sent");
}

#[test]
fn out_of_reach_is_5() {
    std::thread::scope(|scope| {
        for args in [&["send", "hello"][..], &["whoami"], &["status"], &["logout"], &["login"]] {
            let computer = Computer::new().signed_in(NOBODY);
            scope.spawn(move || {
                let done = computer.run(args);
                assert_eq!(done.code, Some(5), "{args:?}: {done:?}");
                assert!(done.err.contains(NOBODY), "{done:?}");
            });
        }
    });
}

#[test]
fn a_cloned_project_cannot_lure_a_token() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let file = format!("{{\"mesh_id\":\"{MESH}\",\"url\":\"{url}\"}}");
    let with_token = Computer::new().env("MESHWIRE_TOKEN", &token()).mesh_file(&file);
    let signed_in = Computer::new().signed_in(NOBODY).mesh_file(&file);
    for args in IN_A_MESH {
        assert_eq!(with_token.run(args).code, Some(3), "{args:?}");
        if *args != ["status"] {
            assert_eq!(signed_in.run(args).code, Some(3), "{args:?}");
        }
    }
    assert_eq!(with_token.run_with_input(&["login", "--token", "-"], b"x").code, Some(3));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "something was sent");
}

#[test]
fn a_redirect_is_not_followed() {
    let target = Server::start(|_| Reply::Json(200, me()));
    let location: &'static str = format!("Location: {}/me", target.url).leak();
    let server = Server::start(move |_| Reply::With(307, location, me()));
    let done = Computer::new().signed_in(&server.url).run(&["whoami"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("redirect"), "{done:?}");
    assert!(target.seen().is_empty());
}

#[test]
fn broken_files_are_named() {
    let computer = Computer::new().signed_in(NOBODY);
    std::fs::write(computer.home(".meshwire/credentials.json"), "{\"profiles\":").unwrap();
    let done = computer.run(&["whoami"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("credentials.json"), "{done:?}");

    let file = format!("{{\"api_key\":\"{}\"}}", token());
    let done = Computer::new().mesh_file(&file).run(&["whoami"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("api_key"), "{done:?}");
}

#[test]
fn help_version_and_completions_need_nothing() {
    let computer = Computer::new();
    for args in [&["--help"][..], &["--version"], &["send", "--help"], &["completions", "zsh"]] {
        let done = computer.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        assert!(done.out.contains("meshwire") && done.err.is_empty(), "{args:?}: {done:?}");
        assert!(!done.out.contains('\u{1b}'), "colour in a pipe");
    }
}

#[test]
fn completions_are_there_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = Computer::new().run(&["completions", shell]);
        assert_eq!(done.code, Some(0), "{done:?}");
        for word in ["doctor", "listen", "exec", "harness"] {
            assert!(done.out.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Computer::new()
        .command(&["completions", "bash"])
        .stdout(Stdio::from(writer))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{output:?}");
}
