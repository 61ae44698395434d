//! Kiro: an MCP server, and an agent with hooks at the start of a turn, since hooks are an agent's there.

use meshwire_protocol::Harness;
use serde_json::json;

use super::places::{Places, own, settings};
use super::{NAME, Wiring, server};
use crate::harness_files::hook_command;
use crate::wiring::{Edit, Format};

pub(super) fn wiring(places: &Places) -> Wiring {
    let home = |path: &str| places.home(None, ".kiro", path);
    Wiring {
        files: vec![
            settings(
                home("settings/mcp.json"),
                Format::Json,
                vec![Edit::is(&["mcpServers", NAME], server(Harness::Kiro, places))],
            ),
            own(home("agents/meshwire.json"), agent(places)),
        ],
        notes: Vec::new(),
        steps: vec![
            "Start Kiro CLI in this folder with `kiro-cli chat --agent meshwire`: this agent has all tools, \
             and is told at the start of a turn what is unread. Other agents have the tools only."
                .into(),
        ],
    }
}

fn agent(places: &Places) -> String {
    let hook = |event: &str| {
        json!([{
            "command": hook_command(&places.program, Harness::Kiro, event),
            "timeout_ms": 10_000,
        }])
    };
    let agent = json!({
        "name": NAME,
        "description": "All tools, and the messages of other agents. Written by `meshwire init`.",
        "tools": ["*"],
        "includeMcpJson": true,
        "hooks": {"agentSpawn": hook("agentSpawn"), "userPromptSubmit": hook("userPromptSubmit")},
    });
    format!("{agent:#}\n")
}
