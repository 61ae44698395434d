//! Codex CLI: an MCP server in `config.toml`, and hooks in `hooks.json`.

use meshwire_protocol::Harness;

use super::places::{Places, settings};
use super::{NAME, Wiring, server};
use crate::harness_files::hook_command;
use crate::wiring::{Edit, Format, Value};

const EVENTS: [&str; 3] = ["SessionStart", "UserPromptSubmit", "Stop"];

pub(super) fn wiring(places: &Places) -> Wiring {
    let home = |path: &str| places.home(places.vars.codex_home.as_deref(), ".codex", path);
    let hooks = EVENTS.map(|event| {
        let command = hook_command(&places.program, Harness::Codex, event);
        let hook = Value::object([
            ("type", "command".into()),
            ("command", command.into()),
            ("timeout", 10.into()),
        ]);
        let element = Value::object([("hooks", Value::List(vec![hook]))]);
        Edit::has(&["hooks", event], element, &format!("hook --harness codex {event}"))
    });
    Wiring {
        files: vec![
            settings(
                home("config.toml"),
                Format::Toml,
                vec![Edit::is(&["mcp_servers", NAME], server(Harness::Codex, places))],
            ),
            settings(home("hooks.json"), Format::Json, hooks.into()),
        ],
        notes: Vec::new(),
        steps: vec![
            "Start Codex in this folder, and trust the folder when it asks.".into(),
            "Trust the hooks of meshwire when Codex asks, or with /hooks there: it runs none before that.".into(),
        ],
    }
}
