//! Every file of every harness, as it is written into nothing and into what somebody had before.

use std::fmt::Write as _;
use std::path::Path;

pub(super) use super::places::Os;
use super::places::{Places, Vars};
use super::*;
use crate::credentials::Token;
use crate::wiring::ledger::User;
use crate::wiring::{Content, try_out};

const ALL: [Harness; 12] = [
    Harness::Copilot,
    Harness::Claude,
    Harness::ClaudeDesktop,
    Harness::Cursor,
    Harness::Codex,
    Harness::Gemini,
    Harness::Kiro,
    Harness::Opencode,
    Harness::Vscode,
    Harness::Windsurf,
    Harness::Hermes,
    Harness::Pi,
];

pub(super) fn places(os: Os) -> Places {
    let (home, project, program) = match os {
        Os::Linux => ("/home/ada", "/home/ada/project", "/usr/local/bin/meshwire"),
        Os::Mac => ("/Users/ada", "/Users/ada/project", "/opt/homebrew/bin/meshwire"),
        Os::Windows => (r"C:\Users\ada", r"C:\Users\ada\project", r"C:\Program Files\meshwire.exe"),
    };
    let token = meshwire_protocol::finish_token("abcdefghijklmnopqrstuvwxyz0123").unwrap();
    Places {
        os,
        home: home.to_owned(),
        vars: Vars::default(),
        project: project.to_owned(),
        program: program.to_owned(),
        mesh: "kR9xQpLmW3aZ".parse().unwrap(),
        server: NAME.to_owned(),
        url: "https://mesh.example".to_owned(),
        agent: "worker".to_owned(),
        token: Some(Token::parse(&token, "it").unwrap()),
        exists: |_| false,
    }
}

/// What somebody had in a file before.
fn existing(path: &Path) -> &'static str {
    match path.extension().and_then(|end| end.to_str()) {
        Some("json") => include_str!("tests/existing.json"),
        Some("jsonc") => include_str!("tests/existing.jsonc"),
        Some("toml") => include_str!("tests/existing.toml"),
        Some("yaml") => include_str!("tests/existing.yaml"),
        _ if path.ends_with(".gitignore") => "/target\n# secrets\n.env",
        _ => "",
    }
}

#[test]
fn the_files_of_each_harness_on_each_platform() {
    let mut text = String::new();
    for harness in ALL {
        let _ = writeln!(text, "{}", harness_name(harness));
        for os in [Os::Linux, Os::Mac, Os::Windows] {
            for file in wiring(harness, &places(os)).files {
                let _ = writeln!(text, "  {}", file.path.display());
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn variables_move_the_files() {
    let mut places = places(Os::Linux);
    places.vars = Vars {
        copilot_home: Some("/c/copilot/".to_owned()),
        codex_home: Some("/c/codex".to_owned()),
        claude_config: Some("/c/claude".to_owned()),
        xdg_config: Some("/c/xdg".to_owned()),
        gemini_home: Some("/c/gemini".to_owned()),
        hermes_home: Some("/c/hermes".to_owned()),
        pi_agent: Some("/c/pi".to_owned()),
        app_data: Some("/c/ignored".to_owned()),
        local_app_data: Some("/c/ignored".to_owned()),
    };
    let mut text = String::new();
    for harness in [
        Harness::Copilot,
        Harness::Codex,
        Harness::Claude,
        Harness::ClaudeDesktop,
        Harness::Opencode,
        Harness::Gemini,
        Harness::Hermes,
        Harness::Pi,
    ] {
        for file in wiring(harness, &places).files {
            let _ = writeln!(text, "{}", file.path.display());
        }
    }
    places.os = Os::Windows;
    places.home = r"C:\Users\ada".to_owned();
    places.vars = Vars { app_data: Some(r"D:\Roaming".to_owned()), ..Vars::default() };
    for file in wiring(Harness::ClaudeDesktop, &places).files {
        let _ = writeln!(text, "{}", file.path.display());
    }
    insta::assert_snapshot!(text);
}

#[test]
fn each_file_from_nothing() {
    for harness in ALL {
        let mut text = String::new();
        for file in wiring(harness, &places(Os::Linux)).files {
            let user = User::new(Path::new("/home/ada/project"), &harness_name(harness));
            let (new, _) = try_out(&file, None, &user).unwrap();
            let _ = writeln!(text, "=== {}\n{new}", file.path.display());
        }
        // The sources of plugins stand in the repository as they are.
        let token = places(Os::Linux).token.unwrap();
        let text = shortened(&text)
            .replace(token.secret(), "mw_TOKEN")
            .replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(format!("nothing_{}", harness_name(harness)), text);
    }
}

#[test]
fn each_file_of_settings_from_what_was_there_and_back() {
    for harness in ALL {
        let mut text = String::new();
        let mut places = places(Os::Linux);
        // opencode writes this one itself.
        places.exists = |path| path.extension().is_some_and(|end| end == "jsonc");
        for file in wiring(harness, &places).files {
            if matches!(file.content, Content::Own { .. }) {
                continue;
            }
            let old = existing(&file.path);
            for old in [old.to_owned(), old.replace('\n', "\r\n")] {
                let user = User::new(Path::new("/home/ada/project"), &harness_name(harness));
                // It was tried twice, too.
                let (new, [back, taken]) = try_out(&file, Some(&old), &user).unwrap();
                assert_eq!(back, old, "{}", file.path.display());
                assert_eq!(meant(&file.content, &taken), meant(&file.content, &old));
                let lf = new.replace("\r\n", "\n");
                if old.contains("\r\n") {
                    assert_eq!(new.matches('\n').count(), new.matches("\r\n").count());
                    assert!(text.ends_with(&format!("{lf}\n")), "{text}\n{lf}");
                } else {
                    let _ = writeln!(text, "=== {}\n{new}", file.path.display());
                }
            }
        }
        if !text.is_empty() {
            insta::assert_snapshot!(format!("existing_{}", harness_name(harness)), text);
        }
    }
}

/// What a text says, and its comments.
fn meant(content: &Content, text: &str) -> (String, Vec<String>) {
    let comment = |line: &str| {
        ["# ", "// ", "/* "]
            .iter()
            .find_map(|mark| Some(line[line.find(mark)?..].trim().to_owned()))
    };
    let comments = text.lines().filter_map(comment);
    let said = match content {
        Content::Settings { format, .. } => format.said(text),
        // The end that the last line got stays.
        _ => text.trim_end().to_owned(),
    };
    (said, comments.collect())
}

/// Long files by their first lines.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(head) = lines.next() {
        short.push_str(head);
        let mut file = Vec::new();
        // In a source, the same may stand within a line.
        while let Some(line) = lines.next_if(|line| !line.starts_with("=== ")) {
            file.push(line);
        }
        let shown = if file.len() > 60 { 8 } else { file.len() };
        short.extend(file[..shown].iter().copied());
        if shown < file.len() {
            let _ = writeln!(short, "… and so on");
        }
    }
    short
}
