//! Hermes Agent: an MCP server, a plugin that pushes, and what it needs where it runs without a person.

use meshwire_protocol::Harness;

use super::places::{Os, Places, own, settings};
use super::{NAME, Wiring, headless, server};
use crate::harness_files;
use crate::wiring::{Edit, Format};

pub(super) fn wiring(places: &Places) -> Wiring {
    let vars = &places.vars;
    let home = |path: &str| match (places.os, &vars.hermes_home) {
        (Os::Windows, None) => {
            places.home(vars.local_app_data.as_deref(), "AppData/Local", &format!("hermes/{path}"))
        }
        (_, named) => places.home(named.as_deref(), ".hermes", path),
    };
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
    files.push(own(home("skills/meshwire/SKILL.md"), harness_files::skill().to_owned()));
    files.extend(headless::files(places));
    let mut steps = vec![
        "Restart Hermes in this folder; `hermes mcp test meshwire` tries the connection. It needs \
         `pip install 'hermes-agent[mcp]'`."
            .into(),
    ];
    steps.extend(headless::step(places));
    Wiring { files, notes: Vec::new(), steps }
}
