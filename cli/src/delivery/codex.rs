//! Pushes into a session of Codex CLI: `codex queue` starts a turn in it.
//!
//! It is told the thread of the session by the calls of its tools, or by the hook at the start of a session,
//! which leaves it in a file for the MCP server that runs in the same folder.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use meshwire_protocol::Harness;
use tokio::process::Command;
use tokio::sync::watch;

use super::lock::file_name_of;
use super::{Deliver, Delivered, Inbox, Push, Pusher};
use crate::credentials::Home;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Readers};
use crate::link::Link;

/// How long `codex queue` may take. The inbox is locked meanwhile.
const HAND_OVER: Duration = Duration::from_secs(20);
/// How often it is looked for the file of the hook, until a thread is known.
const LOOK: Duration = Duration::from_secs(2);
/// The hook may run this much before the MCP server is up.
const BEFORE_US: Duration = Duration::from_secs(30);
/// Longest id or name of a thread that we hand to a command line.
const LONGEST_THREAD: usize = 200;

/// Leaves the thread of the session that begins for the MCP server of this folder.
pub(crate) fn remember_thread(home: &Home, thread: &str) -> Outcome<()> {
    if is_thread(thread) { files::write(&note_path(home)?, thread, Readers::Owner) } else { Ok(()) }
}

/// Pushes what is unread into the session of Codex that has started this program, for as long as it runs. The
/// thread is what the calls of tools say; until one has, what the hook has left. Ends at a clear no of the
/// server.
pub(crate) async fn push(
    home: Home,
    inbox: Inbox,
    mut thread: watch::Receiver<Option<String>>,
) -> Outcome<()> {
    let started = SystemTime::now();
    let first = tokio::select! {
        told = told(&mut thread) => told,
        noted = noted(&home, started) => noted,
    };
    // Whoever reads our errors is Codex, which shows them to nobody.
    let mut link = Link::new(inbox.client().url().to_string()).quiet();
    let mut way = Queue { thread, first };
    Pusher::new(home, inbox, Harness::Codex).run(&mut link, &mut way).await
}

async fn told(thread: &mut watch::Receiver<Option<String>>) -> String {
    loop {
        let known = thread.borrow_and_update().clone().filter(|thread| is_thread(thread));
        if let Some(known) = known {
            return known;
        }
        if thread.changed().await.is_err() {
            // Nobody is there to tell it any more.
            return std::future::pending().await;
        }
    }
}

async fn noted(home: &Home, started: SystemTime) -> String {
    loop {
        if let Ok(path) = note_path(home)
            && let Ok(changed) = std::fs::metadata(&path).and_then(|found| found.modified())
            && changed + BEFORE_US >= started
            && let Ok(Some(thread)) = files::read(&path)
            && is_thread(thread.trim())
        {
            return thread.trim().to_owned();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// By the folder: the hook knows nothing else that the MCP server knows too.
fn note_path(home: &Home) -> Outcome<PathBuf> {
    let folder = std::env::current_dir()
        .and_then(std::fs::canonicalize)
        .map_err(|error| Failure::failed(format!("cannot tell the current folder: {error}")))?;
    let name = file_name_of(folder.as_os_str().as_encoded_bytes());
    Ok(home.run_folder()?.join(format!("codex-{name}")))
}

/// What may stand in a command line: no flag, and nothing that is no id or name.
fn is_thread(thread: &str) -> bool {
    !thread.is_empty()
        && thread.len() <= LONGEST_THREAD
        && !thread.starts_with('-')
        && !thread.chars().any(char::is_control)
}

struct Queue {
    thread: watch::Receiver<Option<String>>,
    /// What was known when the pusher started.
    first: String,
}

impl Deliver for Queue {
    async fn deliver(&mut self, push: &Push) -> Outcome<Delivered> {
        let told = self.thread.borrow().clone().filter(|thread| is_thread(thread));
        let thread = told.unwrap_or_else(|| self.first.clone());
        Ok(if queue(&thread, &push.text).await { Delivered::Taken } else { Delivered::Failed })
    }
}

/// Whether Codex has taken it, which its exit code tells.
async fn queue(thread: &str, text: &str) -> bool {
    // On Windows npm installs it as a script, which is only found by its whole name.
    let mut command = Command::new(if cfg!(windows) { "codex.cmd" } else { "codex" });
    command
        .args(["queue", "--thread", thread, "--message", text])
        .env_remove("MESHWIRE_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(HAND_OVER, command.status()).await;
    matches!(ended, Ok(Ok(status)) if status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_never_a_flag() {
        for good in ["0199f1c2-7a5e-7b31-8d1c-3f1d5a0c9e11", "my session"] {
            assert!(is_thread(good), "{good}");
        }
        for bad in ["", "--message", "-x", "a\nb", &"x".repeat(201)] {
            assert!(!is_thread(bad), "{bad:?}");
        }
    }
}
