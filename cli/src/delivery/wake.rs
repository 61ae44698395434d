//! How soon an agent notices a message, by the harness that runs it.

use meshwire_protocol::{Harness, Wake};

/// What a harness allows: to be woken while it is idle, to be told at the borders of its turns, or neither.
pub(crate) fn wake_of(harness: Harness) -> Wake {
    match harness {
        Harness::Copilot
        | Harness::Claude
        | Harness::Codex
        | Harness::Opencode
        | Harness::Hermes
        | Harness::Pi => Wake::Live,
        Harness::Gemini | Harness::Cursor | Harness::Kiro => Wake::Turn,
        Harness::ClaudeDesktop | Harness::Vscode | Harness::Windsurf | Harness::Generic => {
            Wake::Poll
        }
    }
}
