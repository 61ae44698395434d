//! VS Code. It starts the servers of a workspace in it, those of the user's profile elsewhere, so ours is the
//! workspace's.

use meshwire_protocol::Harness;

use super::places::{Places, in_project};
use super::{NAME, Wiring, mcp};
use crate::wiring::{Content, Edit, Format, Value};

pub(super) fn wiring(places: &Places) -> Wiring {
    let server = Value::object([
        ("type", "stdio".into()),
        ("command", places.program.as_str().into()),
        ("args", Value::texts(mcp(Harness::Vscode))),
    ]);
    let edits = vec![Edit::is(&["servers", NAME], server)];
    Wiring {
        files: vec![in_project(
            places,
            ".vscode/mcp.json",
            Content::Settings { format: Format::Json, edits },
        )],
        notes: vec![
            ".vscode/mcp.json holds the path of meshwire on this computer: your teammates run this command, too, \
             rather than taking that file from you."
                .into(),
        ],
        steps: vec![
            "Open .vscode/mcp.json in VS Code, press Start above meshwire, and trust it when it asks.".into(),
        ],
    }
}
