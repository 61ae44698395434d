//! Locks between the programs of one computer. The kernel frees them when a program ends, however it does.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use meshwire_protocol::{AgentId, MeshId, MessageId};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::credentials::Home;
use crate::failure::{Failure, Outcome};
use crate::server_url::ServerUrl;

/// How soon a lock that somebody holds is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What of an agent is locked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Handing over what is unread.
    Inbox,
    /// Being the session that is pushed into.
    Session,
}

/// The path of a lock, below the folder for what runs.
pub(super) fn path(
    home: &Home,
    part: Part,
    server: &ServerUrl,
    mesh: &MeshId,
    agent: &AgentId,
) -> Outcome<PathBuf> {
    let part = match part {
        Part::Inbox => "inbox",
        Part::Session => "session",
    };
    Ok(home.run_folder()?.join(format!("{part}-{}.lock", name(server, mesh, agent))))
}

/// A name for an agent on this computer.
fn name(server: &ServerUrl, mesh: &MeshId, agent: &AgentId) -> String {
    file_name_of(format!("{server}\n{mesh}\n{agent}").as_bytes())
}

/// A name for something, of a form that every file system takes.
pub(super) fn file_name_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// Waits for a lock; it is held until the file is dropped. Who stops waiting leaves nothing behind.
pub(super) async fn acquire(path: PathBuf) -> Outcome<File> {
    tokio::task::spawn_blocking(move || {
        let file = open(&path)?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
    })
    .await
    .unwrap_or_else(|_| Err(Failure::failed("waiting for a lock broke off")))
}

/// Waits for a lock no longer than this. A thread that waits could not be called back, so it is asked for again and
/// again.
pub(super) async fn acquire_within(path: &PathBuf, patience: Duration) -> Outcome<Option<File>> {
    let until = Instant::now() + patience;
    loop {
        let file = try_acquire(path)?;
        if file.is_some() || Instant::now() >= until {
            return Ok(file);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Takes a lock if nobody has it.
pub(super) fn try_acquire(path: &PathBuf) -> Outcome<Option<File>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(path, &error)),
    }
}

// The file stays: removing it would let two programs hold two locks of one name.
fn open(path: &PathBuf) -> Outcome<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| failed(path, &error))
}

/// Up to where messages were handed over of which the server was not told yet. It stands in the locked file
/// itself, from the handing over until the server knows, so that a program that dies in between leaves it.
pub(super) fn mark(mut file: &File) -> Option<MessageId> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Sets or removes the mark. What goes wrong here costs at most that a message is shown twice.
pub(super) fn set_mark(mut file: &File, mark: Option<MessageId>) {
    let _ = file.set_len(0);
    let _ = file.rewind();
    if let Some(mark) = mark {
        let _ = file.write_all(mark.to_string().as_bytes());
    }
}

fn failed(path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot lock {}: {error}", path.display()))
        .hint("the folder ~/.meshwire must be on a file system that can lock files")
}

/// Held by the session of an agent that is pushed into, until it is dropped.
#[derive(Debug)]
pub(crate) struct SessionLock {
    _file: File,
}

impl SessionLock {
    /// Waits until no other session of this agent on this computer holds it.
    pub(crate) async fn acquire(
        home: &Home,
        server: &ServerUrl,
        mesh: &MeshId,
        agent: &AgentId,
    ) -> Outcome<Self> {
        let path = path(home, Part::Session, server, mesh, agent)?;
        let mut file = acquire(path).await?;
        // For its hooks. Who cannot read it takes it for another session's.
        let _ = file.set_len(0);
        let _ = file.write_all(session_name().unwrap_or_default().as_bytes());
        Ok(Self { _file: file })
    }

    /// Whether another session than the one that has started this program is pushed into.
    pub(crate) fn is_elsewhere(
        home: &Home,
        server: &ServerUrl,
        mesh: &MeshId,
        agent: &AgentId,
    ) -> Outcome<bool> {
        let path = path(home, Part::Session, server, mesh, agent)?;
        if try_acquire(&path)?.is_some() {
            return Ok(false);
        }
        let holder = std::fs::read_to_string(&path).unwrap_or_default();
        Ok(session_name().is_none_or(|mine| mine != holder))
    }
}

/// A name for the session of the harness that has started this program, if the harness gives it one that its
/// hooks have too: Claude Code's process.
fn session_name() -> Option<String> {
    std::env::var("CLAUDE_PID").ok().filter(|id| !id.is_empty()).map(|id| format!("claude {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> (ServerUrl, MeshId, AgentId) {
        (
            ServerUrl::parse("http://127.0.0.1:4200", "it").unwrap(),
            "kR9xQpLmW3aZ".parse().unwrap(),
            "abc123XYZ".parse().unwrap(),
        )
    }

    #[tokio::test]
    async fn one_session_has_it_and_the_next_takes_over() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join(".meshwire"));
        let (server, mesh, agent) = agent();
        let is_live = || SessionLock::is_elsewhere(&home, &server, &mesh, &agent).unwrap();
        assert!(!is_live());
        let first = SessionLock::acquire(&home, &server, &mesh, &agent).await.unwrap();
        assert!(is_live());
        let mut second =
            Box::pin(async { SessionLock::acquire(&home, &server, &mesh, &agent).await.unwrap() });
        let early = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
        assert!(early.is_err(), "both have it");
        drop(first);
        let second = second.await;
        assert!(is_live());
        drop(second);
        assert!(!is_live());
    }

    #[tokio::test]
    async fn another_agent_mesh_or_server_is_another_lock() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join(".meshwire"));
        let (server, mesh, agent) = agent();
        let _held = SessionLock::acquire(&home, &server, &mesh, &agent).await.unwrap();
        let other_server = ServerUrl::parse("http://127.0.0.1:4201", "it").unwrap();
        let other_mesh = "kR9xQpLmW3aY".parse().unwrap();
        let other_agent = "abc123XYz".parse().unwrap();
        for (server, mesh, agent) in [
            (&other_server, &mesh, &agent),
            (&server, &other_mesh, &agent),
            (&server, &mesh, &other_agent),
        ] {
            assert!(!SessionLock::is_elsewhere(&home, server, mesh, agent).unwrap());
        }
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join(".meshwire"));
        let (server, mesh, agent) = agent();
        let first = SessionLock::acquire(&home, &server, &mesh, &agent).await.unwrap();
        let waiting = SessionLock::acquire(&home, &server, &mesh, &agent);
        assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
        drop(first);
        let again = SessionLock::acquire(&home, &server, &mesh, &agent);
        tokio::time::timeout(Duration::from_secs(30), again).await.unwrap().unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_owner_sees_what_runs() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join(".meshwire"));
        let (server, mesh, agent) = agent();
        let _held = SessionLock::acquire(&home, &server, &mesh, &agent).await.unwrap();
        let run = home.run_folder().unwrap();
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&run), 0o700);
        for file in std::fs::read_dir(&run).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }
}
