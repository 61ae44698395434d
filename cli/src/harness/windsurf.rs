//! Windsurf. It starts servers anywhere, so ours is told the mesh and the agent.

use meshwire_protocol::Harness;

use super::places::{Places, settings};
use super::{Wiring, server_of_mesh};
use crate::wiring::{Edit, Format};

pub(super) fn wiring(places: &Places) -> Wiring {
    let server = server_of_mesh(Harness::Windsurf, places);
    Wiring {
        files: vec![settings(
            places.home(None, ".codeium", "windsurf/mcp_config.json"),
            Format::Json,
            vec![Edit::is(&["mcpServers", &places.server], server)],
        )],
        notes: Vec::new(),
        steps: vec!["Restart Windsurf, or press the refresh button of its MCP servers.".into()],
    }
}
