//! Hermes Agent: an MCP server, a plugin that pushes, and what it needs where it runs without a person.

use meshwire_protocol::Harness;

use super::places::{Places, own, settings};
use super::{NAME, Wiring, headless, server};
use crate::failure::Outcome;
use crate::harness_files;
use crate::wiring::{Edit, Format};

pub(super) fn wiring(places: &Places) -> Outcome<Wiring> {
    let home = |path: &str| places.home(None, ".hermes", path);
    let mut files = vec![settings(
        home("config.yaml"),
        Format::Yaml,
        vec![
            Edit::is(&["mcp_servers", NAME], server(Harness::Hermes, places)),
            Edit::has(&["plugins", "enabled"], NAME, NAME),
        ],
    )];
    files.extend(
        harness_files::hermes_plugin(&places.program)
            .into_iter()
            .map(|file| own(home(&format!("plugins/meshwire/{}", file.path)), file.text)),
    );
    files.extend(headless::files(places));
    let mut steps = vec![
        "Restart Hermes in this folder; `hermes mcp test meshwire` tries the connection. It needs \
         `pip install 'hermes-agent[mcp]'`."
            .into(),
    ];
    steps.extend(headless::step(places));
    Ok(Wiring { files, notes: Vec::new(), steps })
}
