//! Cursor: an MCP server, and a hook at the end of a turn.

use meshwire_protocol::Harness;

use super::places::{Places, settings};
use super::{NAME, Wiring, server};
use crate::harness_files::hook_command;
use crate::wiring::{Edit, Format, Value};

pub(super) fn wiring(places: &Places) -> Wiring {
    let home = |path: &str| places.home(None, ".cursor", path);
    let hook = Value::object([
        ("command", hook_command(&places.program, Harness::Cursor, "stop").into()),
        // How often in a row a message may make it go on.
        ("loop_limit", 10.into()),
    ]);
    Wiring {
        files: vec![
            settings(
                home("mcp.json"),
                Format::Json,
                vec![Edit::is(&["mcpServers", NAME], server(Harness::Cursor, places))],
            ),
            settings(
                home("hooks.json"),
                Format::Json,
                vec![
                    Edit::default(&["version"], 1),
                    Edit::has(&["hooks", "stop"], hook, "hook --harness cursor stop"),
                ],
            ),
        ],
        notes: Vec::new(),
        steps: vec![
            "Restart Cursor, open this folder, and switch meshwire on under Settings, MCP if it is off.".into(),
        ],
    }
}
