//! What git says of a project.

use std::path::Path;
use std::process::{Command, Stdio};

/// Asks git in a folder; `None` when it cannot be run, else what it exits with. Nothing that the repository's settings
/// name is run.
pub(crate) fn ask(folder: &Path, arguments: &[&str]) -> Option<i32> {
    Command::new("git")
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("MESHWIRE_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()
        .and_then(|status| status.code())
}

/// Whether a file of a folder is in the repository, so that no line of `.gitignore` holds for it.
pub(crate) fn tracks(folder: &Path, name: &str) -> bool {
    ask(folder, &["ls-files", "--error-unmatch", "--", name]) == Some(0)
}
