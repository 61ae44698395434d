//! What each harness needs to reach a mesh: which files, and what is to stand in them.
//!
//! A file below the home folder serves all projects, so it says neither mesh nor agent: the program takes both from
//! the folder's `.mesh.json`. Only clients that do not start programs in the project are told them.

mod claude;
mod claude_desktop;
mod codex;
mod copilot;
mod cursor;
mod gemini;
pub(crate) mod headless;
mod hermes;
mod kiro;
mod opencode;
mod pi;
mod places;
pub(crate) mod trust;
mod vscode;
mod windsurf;

use meshwire_protocol::Harness;

pub(crate) use places::Places;

use crate::mesh_file::harness_name;
use crate::wiring::{FileEdit, Value};

/// The name under which every harness knows us.
pub(crate) const NAME: &str = "meshwire";

/// What a harness needs.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// The files.
    pub(crate) files: Vec<FileEdit>,
    /// What this turns on besides, and whatever else one should know.
    pub(crate) notes: Vec<String>,
    /// What only the user can do, in this order.
    pub(crate) steps: Vec<String>,
}

/// What a harness needs here.
pub(crate) fn wiring(harness: Harness, places: &Places) -> Wiring {
    match harness {
        Harness::Claude => claude::wiring(places),
        Harness::ClaudeDesktop => claude_desktop::wiring(places),
        Harness::Codex => codex::wiring(places),
        Harness::Copilot => copilot::wiring(places),
        Harness::Cursor => cursor::wiring(places),
        Harness::Gemini => gemini::wiring(places),
        Harness::Hermes => hermes::wiring(places),
        Harness::Kiro => kiro::wiring(places),
        Harness::Opencode => opencode::wiring(places),
        Harness::Pi => pi::wiring(places),
        Harness::Vscode => vscode::wiring(places),
        Harness::Windsurf => windsurf::wiring(places),
        // What to do is said, not done.
        Harness::Generic => Wiring { files: Vec::new(), notes: Vec::new(), steps: Vec::new() },
    }
}

/// The arguments of our MCP server where it is started in the project.
fn mcp(harness: Harness) -> [String; 3] {
    ["mcp".to_owned(), "--harness".to_owned(), harness_name(harness)]
}

/// `{"command", "args"}`, as most harnesses want it.
fn server(harness: Harness, places: &Places) -> Value {
    Value::object([
        ("command", places.program.as_str().into()),
        ("args", Value::texts(mcp(harness))),
    ])
}

/// The same for a client that does not start it in the project.
fn server_of_mesh(harness: Harness, places: &Places) -> Value {
    let mesh = ["--mesh", places.mesh.as_str(), "--agent", places.agent.as_str()];
    let args = mcp(harness).into_iter().chain(mesh.map(str::to_owned));
    Value::object([("command", places.program.as_str().into()), ("args", Value::texts(args))])
}

#[cfg(test)]
mod tests;
