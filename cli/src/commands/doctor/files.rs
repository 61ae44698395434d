//! Files on this computer: the project's, the harness's, and those that hold a secret.

use std::fs;
use std::path::Path;

use super::Report;
use crate::credentials::Home;
use crate::git;
use crate::harness::headless::SECRET_FILE;
use crate::mesh_file::{FILE_NAME, MeshFile};

/// What `.mesh.json` says; that it can be read was seen before.
pub(super) fn check_project(report: &mut Report, file: Option<&MeshFile>) {
    let Some(file) = file else {
        report.ok(
            "project",
            format!("no {FILE_NAME} in this folder or above: no project is wired in"),
        );
        return;
    };
    report.ok("project", format!("{} can be read and holds no token", file.path().display()));
    if !file.has("mesh_id") {
        report.warn(
            "project",
            format!("{FILE_NAME} names no mesh"),
            "run `meshwire init` to write it there",
        );
    }
    if matches!(file.harness(), Ok(None)) {
        report.warn(
            "harness",
            format!("{FILE_NAME} names no harness"),
            "run `meshwire init --harness NAME`",
        );
    }
}

/// A file with a token must not get into a repository, nor be read by others.
pub(super) fn check_secret_file(report: &mut Report, project: &Path) {
    let path = project.join(SECRET_FILE);
    if fs::symlink_metadata(&path).is_err() {
        return;
    }
    check_mode(report, "secrets", &path, 0o077, &format!("chmod 600 {}", path.display()));
    match git::ask(project, &["rev-parse", "--is-inside-work-tree"]) {
        None => report.warn(
            "secrets",
            format!("cannot tell whether {SECRET_FILE} is ignored: git cannot be run"),
            format!("see that {SECRET_FILE} is never committed: it holds a token"),
        ),
        Some(0) if git::tracks(project, SECRET_FILE) => {
            report.wrong(
                "secrets",
                format!("{SECRET_FILE} holds a token and is in the repository"),
                format!(
                    "revoke its token (`meshwire token list`, `meshwire token revoke ID`), then: \
                     git rm --cached {SECRET_FILE} && echo {SECRET_FILE} >> .gitignore"
                ),
            );
        }
        Some(0)
            if git::ask(project, &["check-ignore", "--quiet", "--", SECRET_FILE]) != Some(0) =>
        {
            report.wrong(
                "secrets",
                format!("{SECRET_FILE} holds a token and is not ignored by git"),
                format!("echo {SECRET_FILE} >> .gitignore"),
            );
        }
        Some(0) => report.ok("secrets", format!("{SECRET_FILE} is ignored by git")),
        Some(_) => report.ok("secrets", format!("{SECRET_FILE} is in no repository")),
    }
}

/// Who may read what this computer keeps. Looked at before it is read, because reading mends a mode.
pub(super) fn check_modes(report: &mut Report, home: &Home) {
    let path = home.credentials_path();
    match fs::symlink_metadata(&path) {
        Err(_) => {
            report.ok("credentials", format!("{} is not there yet", path.display()));
            return;
        }
        // Refused when it is read.
        Ok(found) if found.is_symlink() => return,
        Ok(_) => {}
    }
    if let Some(folder) = path.parent() {
        check_mode(
            report,
            "credentials",
            folder,
            0o022,
            &format!("chmod 700 {}", folder.display()),
        );
    }
    let mended =
        "it is mended now; if somebody may have read it: `meshwire logout`, then `meshwire login`";
    if check_mode(report, "credentials", &path, 0o077, mended) {
        report.ok("credentials", format!("{} is yours alone", path.display()));
    }
}

/// Whether a file is ours, and nobody has these rights to it.
#[cfg(unix)]
fn check_mode(
    report: &mut Report,
    topic: &'static str,
    path: &Path,
    others: u32,
    mend: &str,
) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let shown = path.display();
    let Ok(found) = fs::metadata(path) else {
        return true;
    };
    if found.uid() != rustix::process::geteuid().as_raw() {
        report.wrong(
            topic,
            format!("{shown} belongs to another user of this computer"),
            format!("sudo chown \"$(id -un)\" {shown}"),
        );
        return false;
    }
    let mode = found.mode() & 0o777;
    if mode & others != 0 {
        report.wrong(
            topic,
            format!("others on this computer may use {shown} (mode {mode:03o})"),
            mend,
        );
        return false;
    }
    true
}

/// Elsewhere a home folder is its owner's without our doing.
#[cfg(not(unix))]
fn check_mode(_: &mut Report, _: &'static str, _: &Path, _: u32, _: &str) -> bool {
    true
}
