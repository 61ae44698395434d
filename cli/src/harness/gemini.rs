//! Gemini CLI: an MCP server, and hooks at the borders of a turn.

use std::path::PathBuf;

use meshwire_protocol::Harness;

use super::places::{Places, settings};
use super::{NAME, Wiring, server};
use crate::harness_files::hook_command;
use crate::wiring::{Edit, Format, Value};

const EVENTS: [&str; 3] = ["SessionStart", "BeforeAgent", "AfterAgent"];

/// A file of Gemini CLI's.
pub(super) fn file(places: &Places, name: &str) -> PathBuf {
    let home = places.vars.gemini_home.as_deref().unwrap_or(&places.home);
    places.home(Some(home), "", &format!(".gemini/{name}"))
}

pub(super) fn wiring(places: &Places) -> Wiring {
    let mut edits = vec![Edit::is(&["mcpServers", NAME], server(Harness::Gemini, places))];
    edits.extend(EVENTS.map(|event| {
        let hook = Value::object([
            ("type", "command".into()),
            ("command", hook_command(&places.program, Harness::Gemini, event).into()),
            // Milliseconds.
            ("timeout", 10_000.into()),
        ]);
        let element = Value::object([("hooks", Value::List(vec![hook]))]);
        Edit::has(&["hooks", event], element, &format!("hook --harness gemini {event}"))
    }));
    Wiring {
        files: vec![settings(file(places, "settings.json"), Format::Json, edits)],
        notes: Vec::new(),
        steps: vec![
            "Start Gemini CLI in this folder, and trust the folder when it asks: elsewhere it starts no \
             server and no hook."
                .into(),
        ],
    }
}
