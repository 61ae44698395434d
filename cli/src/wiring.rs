//! Puts settings into files that belong to others, and takes exactly those out again.
//!
//! A harness says which [`FileEdit`]s it needs. They are merged in memory first ([`merge`]), so that a file
//! that cannot be read stops everything before anything is written. What was put in is remembered below
//! `~/.meshwire` ([`ledger`]), for a project and a harness, so that it can be taken out again ([`undo`]).

pub(crate) mod diff;
pub(crate) mod disk;
mod document;
mod element;
pub(crate) mod hand_over;
mod jsonc;
pub(crate) mod ledger;
mod lines;
mod merge;
pub(crate) mod moved;
mod patch;
pub(crate) mod plan;
mod toml;
mod undo;
mod value;
mod yaml;

use std::path::PathBuf;

pub(crate) use document::Format;
pub(crate) use value::Value;

/// What a file is to hold.
#[derive(Debug, Clone)]
pub(crate) struct FileEdit {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whose folder it is in.
    pub(crate) place: Place,
    /// What is to stand in it.
    pub(crate) content: Content,
}

/// Whose folder a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below the home folder: it serves all projects, and may be a link to where the user keeps such files.
    Home,
    /// In the project, which somebody else may have filled: no link out of it is followed.
    Project,
}

/// What is to stand in a file.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A file that is ours alone.
    Own {
        /// All of it.
        text: String,
        /// Whether only its owner may read it.
        secret: bool,
    },
    /// Settings in a file that others write, too.
    Settings {
        /// How it is written.
        format: Format,
        /// In this order.
        edits: Vec<Edit>,
    },
    /// Lines of a text file.
    Lines(Vec<String>),
}

/// A change of a file of settings.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// The keys on the way to it.
    pub(crate) path: Vec<String>,
    /// What is to stand there.
    pub(crate) what: What,
}

/// What is to stand at a place in a file of settings.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// This value. Of an object, these keys: others in it stay.
    Is(Value),
    /// This value, unless there is one.
    Default(Value),
    /// A list with this element in it.
    Has {
        /// The element.
        element: Value,
        /// With what our program is run in every element of ours, also in one that an earlier version wrote.
        words: String,
    },
}

impl Edit {
    /// `path` is to be `value`.
    pub(crate) fn is(path: &[&str], value: impl Into<Value>) -> Self {
        Self::new(path, What::Is(value.into()))
    }

    /// `path` is to be `value`, unless it is something.
    pub(crate) fn default(path: &[&str], value: impl Into<Value>) -> Self {
        Self::new(path, What::Default(value.into()))
    }

    /// The list at `path` is to have `element`.
    pub(crate) fn has(path: &[&str], element: impl Into<Value>, words: &str) -> Self {
        Self::new(path, What::Has { element: element.into(), words: words.to_owned() })
    }

    fn new(path: &[&str], what: What) -> Self {
        Self { path: path.iter().map(|&key| key.to_owned()).collect(), what }
    }
}

/// Merges into a text twice, and undoes it: by the way back, and by taking the values out.
#[cfg(test)]
pub(crate) fn try_out(
    edit: &FileEdit,
    old: Option<&str>,
    user: &ledger::User,
) -> crate::failure::Outcome<(String, [String; 2])> {
    let merged = merge::merge(edit, old, None, user)?;
    let again = merge::merge(edit, Some(&merged.text), Some(&merged.record), user)?;
    assert_eq!(again.text, merged.text);
    assert_eq!(again.record, merged.record);
    let mut lost = merged.record.clone();
    if let ledger::Held::Some(puts) = &mut lost.content {
        puts.lead_back(None, "");
    }
    let mut backs = [merged.record, lost].map(|record| {
        let undone = undo::undo(&edit.path, Some(&merged.text), &record, user).unwrap();
        assert!(undone.record.is_none());
        match undone.fate {
            undo::Fate::Stays => merged.text.clone(),
            undo::Fate::Becomes(text) => text,
            undo::Fate::Goes => String::new(),
        }
    });
    Ok((merged.text, std::mem::take(&mut backs)))
}

#[cfg(test)]
mod tests;
