//! GitHub Copilot CLI: an extension, which it loads with experimental features on only, and an MCP server, which
//! works without them.

use meshwire_protocol::Harness;

use super::places::{Places, own, settings};
use super::{NAME, Wiring, mcp};
use crate::harness_files;
use crate::wiring::{Edit, Format, Value};

pub(super) fn wiring(places: &Places) -> Wiring {
    let home = |path: &str| places.home(places.vars.copilot_home.as_deref(), ".copilot", path);
    let server = Value::object([
        ("type", "local".into()),
        ("command", places.program.as_str().into()),
        ("args", Value::texts(mcp(Harness::Copilot))),
        ("tools", Value::texts(["*"])),
    ]);
    Wiring {
        files: vec![
            own(
                home("extensions/meshwire/extension.mjs"),
                harness_files::copilot_extension(&places.program),
            ),
            settings(home("settings.json"), Format::Json, vec![Edit::is(&["experimental"], true)]),
            settings(
                home("mcp-config.json"),
                Format::Json,
                vec![Edit::is(&["mcpServers", NAME], server)],
            ),
        ],
        notes: vec![
            "Copilot CLI loads extensions with \"experimental\": true only, which turns on its other \
             experimental features, too."
                .into(),
        ],
        steps: vec!["Restart Copilot CLI in this folder.".into()],
    }
}
