//! Small files, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// No file of ours comes near this.
const LARGEST: u64 = 1024 * 1024;

/// Who may read a file that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Only its owner: it holds a secret.
    Owner,
    /// Whoever the user's umask lets.
    Anyone,
}

/// Reads a text file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Outcome<Option<String>> {
    let failed =
        |error: &io::Error| Failure::failed(format!("cannot read {}: {error}", path.display()));
    match fs::metadata(path) {
        // Opening a pipe would wait for whoever writes into it.
        Ok(found) if !found.is_file() => {
            return Err(Failure::failed(format!("{} is no file", path.display())));
        }
        _ => {}
    }
    let mut text = String::new();
    match File::open(path).map(|file| file.take(LARGEST + 1).read_to_string(&mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) | Ok(Err(error)) => Err(failed(&error)),
        Ok(Ok(read)) if read as u64 > LARGEST => {
            Err(Failure::failed(format!("{} is larger than 1 MiB", path.display())))
        }
        // Some editors begin a file with a byte order mark.
        Ok(Ok(_)) => Ok(Some(text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text))),
    }
}

/// Writes a file beside its place, waits until it is on the disk, and moves it there: a reader sees the
/// old text or the new one, also when the power goes.
pub(crate) fn write(path: &Path, text: &str, readers: Readers) -> Outcome<()> {
    let failed =
        |error: io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    // What a link points to is what the user meant to keep there.
    let target = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    if readers == Readers::Anyone && fs::read(&target).is_ok_and(|old| old == text.as_bytes()) {
        // Left alone: others may watch it.
        return Ok(());
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".meshwire-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = match readers {
            Readers::Owner => 0o600,
            // The umask takes away from this.
            Readers::Anyone => 0o666,
        };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    #[cfg(unix)]
    if readers == Readers::Anyone
        && let Ok(old) = fs::metadata(&target)
    {
        // A file that was there keeps its mode.
        let _ = file.as_file().set_permissions(old.permissions());
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    #[cfg(unix)]
    if let Some(folder) = folder
        && let Ok(folder) = File::open(folder)
    {
        // Not every file system can; the file itself is safe by then.
        let _ = folder.sync_all();
    }
    Ok(())
}
