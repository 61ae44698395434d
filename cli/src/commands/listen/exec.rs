//! Runs the user's command for a message.

use std::process::Stdio;
use std::time::Duration;

use meshwire_protocol::Message;
use meshwire_protocol::clean::clean_line;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::output::note;

/// Pauses before a command that failed is tried again.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// Runs the command until it ends with 0; the reason when it never does.
pub(super) async fn run(command: &str, message: &Message, json: &str) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    loop {
        let why = match attempt(command, message, json).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        let Some(pause) = pauses.next() else {
            return Err(why);
        };
        note(&format!("message {}: {why}, trying again in {} s", message.id, pause.as_secs()));
        tokio::time::sleep(*pause).await;
    }
}

async fn attempt(command: &str, message: &Message, json: &str) -> Result<(), String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut shell = Command::new(shell);
    // A group of its own, so that what the command has started ends with it.
    #[cfg(unix)]
    shell.process_group(0);
    let mut child = shell
        .arg(flag)
        .arg(command)
        .env_remove("MESHWIRE_TOKEN")
        .env("MESHWIRE_MESSAGE_ID", message.id.to_string())
        .env("MESHWIRE_FROM", clean_line(&message.from))
        .env("MESHWIRE_TO", clean_line(&message.to))
        .stdin(Stdio::piped())
        // When we end, it ends.
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the command cannot be started: {error}"))?;
    #[cfg(unix)]
    let group = Group::of(&child);
    let stdin = child.stdin.take();
    let writing = async {
        if let Some(mut stdin) = stdin {
            // A command need not read it.
            let _ = stdin.write_all(json.as_bytes()).await;
            let _ = stdin.write_all(b"\n").await;
            let _ = stdin.shutdown().await;
        }
    };
    // A command may end without having read it all.
    let mut writing = std::pin::pin!(writing);
    let mut written = false;
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            () = &mut writing, if !written => written = true,
        }
    };
    #[cfg(unix)]
    group.ended();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the command ended with {status}")),
        Err(error) => Err(format!("the command was lost: {error}")),
    }
}

/// The processes of a command; killed when it is dropped before the command has ended.
#[cfg(unix)]
struct Group(Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(rustix::process::Pid::from_raw))
    }

    /// What it leaves running on purpose goes on.
    fn ended(mut self) {
        self.0 = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
