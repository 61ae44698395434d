//! Claude Code: a folder below `~/.claude/skills` that is a plugin, and is loaded without being asked for.

use super::Wiring;
use super::places::{Places, own};
use crate::harness_files;

pub(super) fn wiring(places: &Places) -> Wiring {
    let files = harness_files::claude_plugin(&places.program).into_iter().map(|file| {
        let path = format!("skills/meshwire/{}", file.path);
        own(places.home(places.vars.claude_config.as_deref(), ".claude", &path), file.text)
    });
    Wiring {
        files: files.collect(),
        notes: Vec::new(),
        steps: vec![
            "Restart Claude Code in this folder; `claude mcp list` shows plugin:meshwire:meshwire."
                .into(),
        ],
    }
}
