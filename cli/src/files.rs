//! Small files, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

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

/// How the folders are named in which files are written before they are moved to their places.
const DRAFTS: &str = ".meshwire-tmp-";

/// Writes a file near its place, waits until it is on the disk, and moves it there: a reader sees the
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
    let (_drafts, draft) = draft(&target).map_err(failed)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match readers {
            Readers::Owner => 0o600,
            // The umask takes away from this.
            Readers::Anyone => 0o666,
        },
    );
    let mut file = options.open(&draft).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    #[cfg(unix)]
    if readers == Readers::Anyone
        && let Ok(old) = fs::metadata(&target)
    {
        // A file that was there keeps its mode.
        let _ = file.set_permissions(old.permissions());
    }
    file.sync_all().map_err(failed)?;
    drop(file);
    fs::rename(&draft, &target).map_err(failed)?;
    #[cfg(unix)]
    if let Some(folder) = folder
        && let Ok(folder) = File::open(folder)
    {
        // Not every file system can; the file itself is safe by then.
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Removes a file, if there is one.
pub(crate) fn remove(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::failed(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Where a file is written first: in a folder beside it that goes with the answer, under the same name, so that whatever
/// makes git ignore the file holds for this one, should we be killed.
fn draft(target: &Path) -> io::Result<(TempDir, PathBuf)> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(DRAFTS);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let drafts = builder.tempdir_in(folder.unwrap_or(Path::new(".")))?;
    let draft = drafts.path().join(name);
    Ok((drafts, draft))
}

/// Removes from a folder what writers left there that were killed. For who knows that nobody is writing.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || !entry.file_name().to_string_lossy().starts_with(DRAFTS) {
            continue;
        }
        let drafts: Vec<_> = fs::read_dir(entry.path()).into_iter().flatten().flatten().collect();
        // Anything more is not ours, and keeps the folder.
        if let [draft] = drafts.as_slice() {
            let _ = fs::remove_file(draft.path());
        }
        let _ = fs::remove_dir(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_writer_leaves_has_the_name_of_the_file_and_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let (drafts, draft) = draft(&folder.path().join(".env")).unwrap();
        assert_eq!(draft.file_name().unwrap(), ".env");
        fs::write(&draft, "secret").unwrap();
        let left = drafts.keep();
        fs::create_dir(folder.path().join(".meshwire-tmp-full")).unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(".meshwire-tmp-full").join(name), "mine").unwrap();
        }
        write(&folder.path().join("x"), "x", Readers::Anyone).unwrap();
        sweep(folder.path());
        assert!(!left.exists());
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".meshwire-tmp-full", "x"]);
    }
}
