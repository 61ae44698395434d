//! What this computer remembers, in `~/.meshwire`: a token for each profile, and the names that agents got
//! when a teammate had theirs.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use meshwire_protocol::{MeshId, check_token, finish_token, mask_token};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::failure::{Failure, Outcome};
use crate::files::{self, Readers};
use crate::output::note;
use crate::wiring::ledger::Ledger;

/// The file in which [`Home::alias`] looks.
const AGENTS: &str = "agents.json";

/// The file in which [`Home::wiring`] is kept.
const WIRING: &str = "wiring.json";

/// A token. It shows itself only masked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Token(String);

impl Token {
    /// Checks the form of a token; `from` says where it stands, for the error, which never repeats it.
    /// What cannot be a token is refused here as the server would refuse it: it may be another secret.
    pub(crate) fn parse(text: &str, from: &str) -> Outcome<Self> {
        let text = text.trim();
        check_token(text).map_err(|error| {
            Failure::refused(format!("{from} is {error}")).hint("run `meshwire login` to get one")
        })?;
        Ok(Self(text.to_owned()))
    }

    /// One that stands for a token that is not made yet, and that no server takes.
    pub(crate) fn placeholder() -> Outcome<Self> {
        let token = finish_token(&"0".repeat(30));
        token.map(Self).map_err(|_| Failure::failed("cannot make the form of a token"))
    }

    /// The secret itself: for the Authorization header, and nothing else.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// As it may be shown.
    pub(crate) fn masked(&self) -> String {
        mask_token(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// What a profile holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The server that issued the token, and the only one that ever sees it.
    pub(crate) url: String,
    /// The token.
    pub(crate) token: Token,
    /// Whose it is.
    pub(crate) login: String,
    /// The mesh that `mesh use` keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mesh_id: Option<MeshId>,
    /// What a later version wrote.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

/// `credentials.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// By the name of the profile.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Entry>,
    /// What a later version wrote.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Mesh, wanted name, name that was registered instead.
type Aliases = BTreeMap<String, BTreeMap<String, String>>;

/// The folder `~/.meshwire`.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The user's own.
    pub(crate) fn find() -> Outcome<Self> {
        match etcetera::home_dir() {
            Ok(home) if !home.as_os_str().is_empty() => Ok(Self(home.join(".meshwire"))),
            _ => Err(Failure::failed("cannot find your home folder").hint("set HOME")),
        }
    }

    /// Another one, for tests.
    #[cfg(test)]
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Where the credentials are.
    pub(crate) fn credentials_path(&self) -> PathBuf {
        self.0.join("credentials.json")
    }

    /// Reads the credentials; none yet is an empty set.
    pub(crate) fn credentials(&self) -> Outcome<Credentials> {
        let path = self.credentials_path();
        guard(&path)?;
        read_json(&path)
    }

    /// Changes the credentials. What another process writes meanwhile is not lost.
    pub(crate) fn change_credentials(&self, change: impl FnOnce(&mut Credentials)) -> Outcome<()> {
        let _lock = self.lock()?;
        let mut credentials = self.credentials()?;
        change(&mut credentials);
        write_json(&self.credentials_path(), &credentials)
    }

    /// The name under which this computer registered an agent whose own name was taken.
    pub(crate) fn alias(&self, mesh: &MeshId, wanted: &str) -> Outcome<Option<String>> {
        let aliases: Aliases = read_json(&self.0.join(AGENTS))?;
        Ok(aliases.get(mesh.as_str()).and_then(|names| names.get(wanted)).cloned())
    }

    /// Remembers such a name.
    pub(crate) fn remember_alias(&self, mesh: &MeshId, wanted: &str, name: &str) -> Outcome<()> {
        let _lock = self.lock()?;
        let path = self.0.join(AGENTS);
        let mut aliases: Aliases = read_json(&path)?;
        aliases
            .entry(mesh.as_str().to_owned())
            .or_default()
            .insert(wanted.to_owned(), name.to_owned());
        write_json(&path, &aliases)
    }

    /// Forgets it, and the file when nothing else is in it.
    pub(crate) fn forget_alias(&self, mesh: &MeshId, wanted: &str) -> Outcome<()> {
        let _lock = self.lock()?;
        let path = self.0.join(AGENTS);
        let mut aliases: Aliases = read_json(&path)?;
        let Some(names) = aliases.get_mut(mesh.as_str()) else { return Ok(()) };
        names.remove(wanted);
        aliases.retain(|_, names| !names.is_empty());
        if aliases.is_empty() { files::remove(&path) } else { write_json(&path, &aliases) }
    }

    /// What `init` put into files of harnesses.
    pub(crate) fn wiring(&self) -> Outcome<Ledger> {
        let path = self.0.join(WIRING);
        guard(&path)?;
        read_json(&path)
    }

    /// Remembers it, for who has its lock.
    pub(crate) fn save_wiring(&self, ledger: &Ledger) -> Outcome<()> {
        let path = self.0.join(WIRING);
        // Left alone where it says so already: a second run changes no file.
        if self.wiring()? == *ledger {
            return Ok(());
        }
        let _lock = self.lock()?;
        if *ledger == Ledger::default() { files::remove(&path) } else { write_json(&path, ledger) }
    }

    /// Lets nobody else wire anything in or out until the answer is dropped. Files of harnesses and `.mesh.json` are
    /// read long before they are written, so that only one run at a time may work on them.
    pub(crate) fn lock_wiring(&self) -> Outcome<File> {
        // So that what a killed run has left here goes, whether this one writes something or not.
        drop(self.lock()?);
        let lock = self.open_lock(".wiring.lock")?;
        if lock.try_lock().is_err() {
            note("Waiting for another `meshwire init` on this computer.");
            lock.lock().map_err(|error| self.cannot_write(&error))?;
        }
        Ok(lock)
    }

    /// Where running programs leave locks and notes for each other; for its owner only.
    pub(crate) fn run_folder(&self) -> Outcome<PathBuf> {
        make_folder(&self.0)?;
        let run = self.0.join("run");
        make_folder(&run)?;
        Ok(run)
    }

    /// Makes the folder, for its owner only, and holds its lock until the answer is dropped.
    fn lock(&self) -> Outcome<File> {
        let lock = self.open_lock(".lock")?;
        lock.lock().map_err(|error| self.cannot_write(&error))?;
        files::sweep(&self.0);
        Ok(lock)
    }

    fn open_lock(&self, name: &str) -> Outcome<File> {
        make_folder(&self.0)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        options.open(self.0.join(name)).map_err(|error| self.cannot_write(&error))
    }

    fn cannot_write(&self, error: &io::Error) -> Failure {
        Failure::failed(format!("cannot write {}: {error}", self.0.display()))
    }
}

/// Makes a folder that is there for its owner only.
fn make_folder(folder: &Path) -> Outcome<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| {
        Failure::failed(format!("cannot make the folder {}: {error}", folder.display()))
    })?;
    #[cfg(unix)]
    restrict(folder, 0o700);
    Ok(())
}

/// A link could make us write secrets where others read them; a loose mode is mended.
fn guard(path: &Path) -> Outcome<()> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if found.is_symlink() {
            return Err(Failure::failed(format!("{} is a symbolic link", path.display()))
                .hint("put the file itself there, or remove the link and run `meshwire login`"));
        }
        #[cfg(unix)]
        restrict(path, 0o600);
    }
    Ok(())
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(found) = fs::metadata(path)
        && found.permissions().mode() & 0o077 != 0
    {
        // Not ours to change, then not ours to keep secret either.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    }
}

fn read_json<T: DeserializeOwned + Default>(path: &Path) -> Outcome<T> {
    let Some(text) = files::read(path)? else {
        return Ok(T::default());
    };
    let hint = if path.ends_with(WIRING) {
        "mend it; if you remove it, `meshwire init --undo` no longer knows what it put where"
    } else if path.ends_with(AGENTS) {
        "mend it, or remove it and run `meshwire init` again in your projects"
    } else {
        "mend it, or remove it and run `meshwire login` again"
    };
    serde_json::from_str(&text).map_err(|error| {
        // Line and column only: the message of serde_json may quote what stands there.
        Failure::failed(format!(
            "{} is damaged, at line {} column {}",
            path.display(),
            error.line(),
            error.column()
        ))
        .hint(hint)
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Outcome<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    text.push('\n');
    files::write(path, &text, Readers::Owner)
}

#[cfg(test)]
mod tests;
