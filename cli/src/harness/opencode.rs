//! opencode: an MCP server, and a plugin that pushes.

use meshwire_protocol::Harness;

use super::places::{Places, own, settings};
use super::{NAME, Wiring, mcp};
use crate::harness_files;
use crate::wiring::{Edit, Format, Value};

/// It reads all of them; the first that is there is the one that the user keeps.
const NAMES: [&str; 3] = ["opencode.json", "opencode.jsonc", "config.json"];

pub(super) fn wiring(places: &Places) -> Wiring {
    let home = |path: &str| {
        let path = format!("opencode/{path}");
        // On every platform.
        places.home(places.vars.xdg_config.as_deref(), ".config", &path)
    };
    let config = NAMES.map(home).into_iter().find(|path| (places.exists)(path));
    let command = std::iter::once(places.program.clone()).chain(mcp(Harness::Opencode));
    let server = Value::object([
        ("type", "local".into()),
        ("command", Value::texts(command)),
        ("enabled", true.into()),
    ]);
    Wiring {
        files: vec![
            settings(
                config.unwrap_or_else(|| home(NAMES[0])),
                Format::Json,
                vec![Edit::is(&["mcp", NAME], server)],
            ),
            own(home("plugins/meshwire.js"), harness_files::opencode_plugin(&places.program)),
        ],
        notes: Vec::new(),
        steps: vec![
            "Restart opencode in this folder. The first start with a plugin takes longer: opencode \
             downloads what plugins need."
                .into(),
        ],
    }
}
