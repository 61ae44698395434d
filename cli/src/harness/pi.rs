//! Pi: an extension with the tools and the push, since it takes no MCP, and what it needs where it runs without a
//! person.

use super::places::{Places, own};
use super::{Wiring, headless};
use crate::harness_files;

pub(super) fn wiring(places: &Places) -> Wiring {
    let home = |path: &str| places.home(places.vars.pi_agent.as_deref(), ".pi/agent", path);
    let extension = harness_files::pi_extension(&places.program);
    let mut files = vec![
        own(home("extensions/meshwire.ts"), extension),
        own(home("skills/meshwire/SKILL.md"), harness_files::skill().to_owned()),
    ];
    files.extend(headless::files(places));
    let mut steps = vec!["Restart Pi in this folder.".into()];
    steps.extend(headless::step(places));
    Wiring { files, notes: Vec::new(), steps }
}
