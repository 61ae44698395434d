//! Pi: an extension with the tools and the push, since it takes no MCP, and what it needs where it runs without a
//! person.

use super::places::{Places, own};
use super::{Wiring, headless};
use crate::failure::Outcome;
use crate::harness_files;

pub(super) fn wiring(places: &Places) -> Outcome<Wiring> {
    let path = places.home(None, ".pi", "agent/extensions/meshwire.ts");
    let mut files = vec![own(path, harness_files::pi_extension(&places.program))];
    files.extend(headless::files(places));
    let mut steps = vec!["Restart Pi in this folder.".into()];
    steps.extend(headless::step(places));
    Ok(Wiring { files, notes: Vec::new(), steps })
}
