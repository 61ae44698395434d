//! Claude Desktop. It starts servers anywhere, so ours is told the mesh and the agent.

use meshwire_protocol::Harness;

use super::places::{Places, settings};
use super::{Wiring, server_of_mesh};
use crate::wiring::{Edit, Format};

pub(super) fn wiring(places: &Places) -> Wiring {
    let server = server_of_mesh(Harness::ClaudeDesktop, places);
    Wiring {
        files: vec![settings(
            places.app_data("Claude/claude_desktop_config.json"),
            Format::Json,
            vec![Edit::is(&["mcpServers", &places.server], server)],
        )],
        notes: Vec::new(),
        steps: vec!["Quit Claude Desktop altogether, and start it again.".into()],
    }
}
