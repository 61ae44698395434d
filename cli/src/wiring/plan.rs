//! All changes at once: read and merged before the first is written.

use std::path::{Path, PathBuf};

use super::disk::{self, Found};
use super::hand_over::HandOver;
use super::ledger::{Held, Ledger, Record, User};
use super::merge::merge;
use super::undo::{Fate, undo};
use super::{Content, FileEdit, Place, diff};
use crate::credentials::Home;
use crate::failure::Outcome;

/// What is to be written and removed, and what we hold where then.
#[derive(Debug)]
pub(crate) struct Plan {
    changes: Vec<Change>,
    /// All files that were looked at.
    seen: Vec<PathBuf>,
    ledger: Ledger,
    /// Whether it takes out.
    undoes: bool,
    /// What was left alone, and why.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug)]
struct Change {
    path: PathBuf,
    found: Found,
    /// `None`: it goes.
    text: Option<String>,
    secret: bool,
    /// Whether the file is ours alone.
    ours: bool,
}

/// Whether a file of ours that is committed, as it holds no token, is not as we write it: another version has, or somebody
/// has changed it for all.
fn is_of_the_team(edit: &FileEdit, found: Option<&str>) -> bool {
    match (&edit.content, found) {
        (Content::Own { text, secret: false }, Some(found)) => {
            edit.place == Place::Project && found != text
        }
        _ => false,
    }
}

impl Plan {
    /// Puts in what a harness needs in a project.
    pub(crate) fn put(
        edits: &[FileEdit],
        ledger: &Ledger,
        user: &User,
        project: &Path,
    ) -> Outcome<Self> {
        let mut plan = Self::new(ledger);
        for edit in edits {
            if matches!(edit.content, Content::Lines(_)) {
                disk::refuse_link(&edit.path)?;
            }
            let found = disk::read(&edit.path, edit.place, project)?;
            let key = edit.path.to_string_lossy().into_owned();
            let record = plan.ledger.files.get(&key);
            if record.is_none() && is_of_the_team(edit, found.text.as_deref()) {
                plan.notes.push(format!(
                    "{} was there before and stays as it is; for that of this version, move it away and run this again",
                    edit.path.display()
                ));
                continue;
            }
            let merged = merge(edit, found.text.as_deref(), record, user)?;
            if merged.record.is_needed() {
                plan.ledger.files.insert(key, merged.record);
            } else {
                // All of it was there: it is the user's.
                plan.ledger.files.remove(&key);
            }
            let secret = matches!(edit.content, Content::Own { secret: true, .. });
            let ours = matches!(edit.content, Content::Own { .. });
            let (path, text) = (edit.path.clone(), Some(merged.text));
            plan.change(Change { path, found, text, secret, ours })?;
        }
        Ok(plan)
    }

    /// Takes out what only this harness needs, in this project. Where it stood before others, one of them does then.
    pub(crate) fn undo(
        ledger: &Ledger,
        user: &User,
        project: &Path,
        hand_over: Option<&HandOver>,
    ) -> Outcome<Self> {
        let mut plan = Self { undoes: true, ..Self::new(ledger) };
        let records = ledger.files.iter().filter(|(_, record)| record.is_for(user));
        let (lines, others): (Vec<_>, Vec<_>) =
            records.partition(|(_, record)| record.lines().next().is_some());
        for (key, record) in others.into_iter().chain(lines) {
            let path = PathBuf::from(key);
            if let Some(line) = plan.stays(&path, record) {
                plan.notes.push(format!("{} keeps {line}, as that file stays", path.display()));
                plan.ledger.files.remove(key);
                continue;
            }
            let place = if record.in_project { Place::Project } else { Place::Home };
            let found = disk::read(&path, place, project)?;
            let handed = match (hand_over.filter(|one| one.path == path), &found.text) {
                (Some(hand_over), Some(text)) => hand_over.apply(text, record, user)?,
                _ => None,
            };
            let (text, record) = match &handed {
                Some(handed) => (Some(&handed.text), &handed.record),
                None => (found.text.as_ref(), record),
            };
            let undone = undo(&path, text.map(String::as_str), record, user)?;
            plan.notes.extend(undone.notes);
            match undone.record {
                Some(record) => drop(plan.ledger.files.insert(key.clone(), record)),
                None => drop(plan.ledger.files.remove(key)),
            }
            let text = match undone.fate {
                Fate::Stays => text.cloned(),
                Fate::Becomes(text) => Some(text),
                Fate::Goes => None,
            };
            let ours = matches!(record.content, Held::Own { .. });
            plan.change(Change { path, found, text, secret: false, ours })?;
        }
        Ok(plan)
    }

    fn new(ledger: &Ledger) -> Self {
        let (changes, seen, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { changes, seen, ledger: ledger.clone(), undoes: false, notes }
    }

    fn change(&mut self, change: Change) -> Outcome<()> {
        self.seen.push(change.path.clone());
        if change.found.text != change.text {
            disk::check_writable(&change.path)?;
            self.changes.push(change);
        }
        Ok(())
    }

    /// Of lines that make git ignore files beside them: those whose file stays.
    fn stays(&self, path: &Path, record: &Record) -> Option<String> {
        let beside = |line: &str| path.with_file_name(line);
        let goes = |file: &Path| self.files().any(|(path, gone)| gone && path == file);
        let stays = |line: &&str| beside(line).exists() && !goes(&beside(line));
        record.lines().find(stays).map(str::to_owned)
    }

    /// Whether a file changes.
    pub(crate) fn changes(&self, path: &Path) -> bool {
        self.files().any(|(changed, _)| changed == path)
    }

    /// The files that change, and whether each goes.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.changes.iter().map(|change| (change.path.as_path(), change.text.is_none()))
    }

    /// What changes, as unified diffs.
    pub(crate) fn diff(&self) -> String {
        let diff = |change: &Change| {
            let (old, new) = (change.found.text.as_deref(), change.text.as_deref());
            diff::unified(&change.path, old, new, change.ours)
        };
        self.changes.iter().map(diff).collect()
    }

    /// Writes and removes the files. What we hold is remembered before it is there, and until it has gone, so that a run
    /// that breaks off can be undone.
    pub(crate) fn apply(mut self, home: &Home) -> Outcome<Self> {
        for change in self.changes.iter().filter(|change| change.text.is_some()) {
            self.ledger.folders.extend(disk::missing_folders(&change.path));
        }
        for path in &self.seen {
            disk::sweep_beside(path);
        }
        if !self.undoes {
            home.save_wiring(&self.ledger)?;
        }
        for change in &self.changes {
            let done = match &change.text {
                Some(text) => disk::write(&change.path, &change.found, text, change.secret),
                None => disk::remove(&change.path),
            };
            done.map_err(|failure| {
                failure.or_hint(
                    "mend that and run this again; --undo takes out what was written by now",
                )
            })?;
        }
        self.remove_folders();
        home.save_wiring(&self.ledger)?;
        Ok(self)
    }

    /// Removes the folders that were made for files that have gone. What somebody else put there keeps one.
    fn remove_folders(&mut self) {
        let needed: Vec<_> = self.ledger.files.keys().map(PathBuf::from).collect();
        let gone = |folder: &PathBuf| !needed.iter().any(|file| file.starts_with(folder));
        let going: Vec<_> =
            self.ledger.folders.iter().filter(|folder| gone(folder)).cloned().collect();
        for folder in going.iter().rev() {
            disk::remove_folder(folder);
            self.ledger.folders.remove(folder);
        }
    }
}
