//! The files themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Place;
use crate::failure::{Failure, Outcome};
use crate::files::{self, Readers};

/// No file of settings comes near this.
const LARGEST: u64 = 16 * 1024 * 1024;

const BOM: char = '\u{FEFF}';

/// A file as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its text without a byte order mark; `None` when there is no file.
    pub(crate) text: Option<String>,
    /// Whether a byte order mark begins it.
    bom: bool,
}

/// Reads a file that is to be changed. One that could not be written later is an error now.
pub(crate) fn read(path: &Path, place: Place, project: &Path) -> Outcome<Found> {
    if place == Place::Project {
        stay_inside(path, project)?;
    }
    let failed = |error: &io::Error| {
        Failure::failed(format!("cannot read {}: {error}", path.display()))
            .hint("nothing was changed; see that it is a file of yours, and run this again")
    };
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        found => found.map_err(|error| failed(&error))?,
    };
    let refused = |what: &str, hint: &str| {
        Err(Failure::failed(format!("{} {what}", path.display()))
            .hint(format!("nothing was changed; {hint}")))
    };
    if !found.is_file() {
        return refused("is no file", "move it away, and run this again");
    }
    if found.len() > LARGEST {
        return refused("is larger than 16 MiB", "see what it is");
    }
    if found.permissions().readonly() {
        return refused("is read-only", "make it writable, and run this again");
    }
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    let Ok(text) = String::from_utf8(bytes) else {
        return refused("is not UTF-8", "save it as UTF-8 in your editor, and run this again");
    };
    Ok(match text.strip_prefix(BOM) {
        Some(text) => Found { text: Some(text.to_owned()), bom: true },
        None => Found { text: Some(text), bom: false },
    })
}

/// Git reads no `.gitignore` through a link: what it says would not count.
pub(crate) fn refuse_link(path: &Path) -> Outcome<()> {
    if !path.is_symlink() {
        return Ok(());
    }
    Err(Failure::failed(format!("{} is a symbolic link, and git reads none there", path.display()))
        .hint("nothing was changed; put the file itself there, and run this again"))
}

/// A project may come from somebody else: what its links point to outside of it is not theirs to change.
fn stay_inside(path: &Path, project: &Path) -> Outcome<()> {
    let real = fs::canonicalize(project).unwrap_or_else(|_| project.to_owned());
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(path);
    match fs::canonicalize(there) {
        Ok(target) if target.starts_with(&real) => Ok(()),
        _ => Err(Failure::failed(format!(
            "{} is a symbolic link that leads out of the project",
            there.display()
        ))
        .hint("nothing was changed; replace the link by a file or folder of the project")),
    }
}

/// Writes a file, and the folders above it that are not there.
pub(crate) fn write(path: &Path, found: &Found, text: &str, secret: bool) -> Outcome<()> {
    let path = &target(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| {
            Failure::failed(format!("cannot make the folder {}: {error}", parent.display()))
        })?;
    }
    let text = if found.bom { format!("{BOM}{text}") } else { text.to_owned() };
    files::write(path, &text, if secret { Readers::Owner } else { Readers::Anyone })
}

/// Whether a file could be written or removed: seen before the first one is.
pub(crate) fn check_writable(path: &Path) -> Outcome<()> {
    let target = target(path);
    let above = target.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    let Some(folder) = above.into_iter().find(|folder| folder.exists()) else { return Ok(()) };
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        if let Err(error) = access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            return Err(Failure::failed(format!(
                "cannot write {}: no file can be made in {}: {error}",
                path.display(),
                folder.display()
            ))
            .hint("nothing was changed; make that folder writable for you, and run this again"));
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Removes what a run that was killed has left beside a file.
pub(crate) fn sweep_beside(path: &Path) {
    if let Some(folder) = target(path).parent() {
        files::sweep(folder);
    }
}

/// The folders above a file that are not there.
pub(crate) fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let path = target(path);
    let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// What a link leads to, also when nothing is there yet.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // Links that lead in a circle end here, and fail when they are written.
    for _ in 0..16 {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => break,
        }
    }
    path
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> Outcome<()> {
    files::remove(&target(path))
}

/// Removes a folder of ours, unless somebody has put something there. What Python compiled from our files is ours.
pub(crate) fn remove_folder(folder: &Path) {
    let compiled = folder.join("__pycache__");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    if entries.map(|entry| entry.path()).eq([compiled.clone()]) && !compiled.is_symlink() {
        let _ = fs::remove_dir_all(compiled);
    }
    let _ = fs::remove_dir(folder);
}
