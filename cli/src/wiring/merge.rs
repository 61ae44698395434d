//! Brings what a harness needs into the text of a file, in memory.

use std::path::Path;

use serde_json::Value as Json;

use super::document::{Blocked, Document, Format, at};
use super::element::{holds_more, refit, runs};
use super::ledger::{Held, Put, Puts, Record, User, sha256};
use super::patch::{keep_ends, plain_ends};
use super::{Content, Edit, FileEdit, Place, Value, What, lines};
use crate::failure::{Failure, Outcome};

/// A file as it is to be.
#[derive(Debug)]
pub(crate) struct Merged {
    /// Its text.
    pub(crate) text: String,
    /// What we hold in it then.
    pub(crate) record: Record,
}

/// Merges an edit into a file. `old` is its text, `record` what we hold in it already, `user` who needs it.
pub(crate) fn merge(
    edit: &FileEdit,
    old: Option<&str>,
    record: Option<&Record>,
    user: &User,
) -> Outcome<Merged> {
    let mut record = record.cloned().unwrap_or_default();
    record.in_project = edit.place == Place::Project;
    if old.is_none() {
        record.start_anew();
    }
    let before = old.unwrap_or_default();
    let mut puts = match &record.content {
        Held::Some(puts) => puts.clone(),
        Held::Own { .. } => Puts::default(),
    };
    let original = puts.original(before);
    let text = match &edit.content {
        Content::Own { text, .. } => {
            own(&edit.path, text, old, &mut record, user)?;
            return Ok(Merged { text: text.clone(), record });
        }
        Content::Settings { format, edits } => {
            puts.format = Some(*format);
            settings(&edit.path, *format, edits, before, &mut puts, user)?
        }
        Content::Lines(wanted) => {
            let is_ours = |line: &str| puts.values.iter().any(|put| put.value == line);
            let (new, added) = lines::add(&plain_ends(before), wanted, is_ours);
            for line in wanted {
                puts.note(&[], true, &Json::from(line.as_str()), None, added.contains(line), user);
            }
            keep_ends(before, &new)
        }
    };
    // As long as we change nothing, what somebody else has changed may stand beside our changes.
    if original.is_some() || text != before {
        puts.lead_back(original.as_deref(), &text);
    }
    record.content = Held::Some(puts);
    Ok(Merged { text, record })
}

fn own(
    path: &Path,
    text: &str,
    old: Option<&str>,
    record: &mut Record,
    user: &User,
) -> Outcome<()> {
    let (known, mut users) = match &record.content {
        Held::Own { sha256, users } => (Some(sha256.clone()), users.clone()),
        Held::Some(_) => (None, std::collections::BTreeSet::new()),
    };
    // What it says is no proof that we wrote it: whoever adds a line to a file of ours leaves the rest as it was.
    if let Some(old) = old
        && old != text
        && known != Some(sha256(old))
    {
        return Err(Failure::failed(format!(
            "{} is not as `meshwire init` writes it: somebody has changed it, or it was there before",
            path.display()
        ))
        .hint("nothing was changed; move it away, and run `meshwire init` again"));
    }
    if known.is_none() && !record.in_project {
        // The very same text is ours, though it is not remembered. In a project it may be a teammate's.
        record.created = true;
    }
    users.insert(user.clone());
    record.content = Held::Own { sha256: sha256(text), users };
    Ok(())
}

/// Reads a text of settings, or says how to mend it.
pub(super) fn parse(path: &Path, format: Format, text: &str) -> Outcome<Box<dyn Document>> {
    format.parse(text).map_err(|slip| {
        Failure::failed(format!(
            "{} is not good {}, see line {} column {}: {}",
            path.display(),
            format.name(),
            slip.line,
            slip.column,
            slip.what
        ))
        .hint("mend it there, and run this again; nothing was changed")
    })
}

/// Holds what a changed document says against what it should say.
pub(super) fn verified(
    path: &Path,
    format: Format,
    document: &dyn Document,
    model: &Json,
) -> Outcome<String> {
    let text = document.text();
    match format.parse(&text) {
        Ok(read) if read.value() == *model => Ok(text),
        _ => Err(Failure::failed(format!(
            "{} is written in a way that we cannot change safely, and was left alone",
            path.display()
        ))
        .hint("`meshwire init --dry-run` in an empty home folder shows what to put there by hand")),
    }
}

fn settings(
    path: &Path,
    format: Format,
    edits: &[Edit],
    old: &str,
    puts: &mut Puts,
    user: &User,
) -> Outcome<String> {
    let plain = plain_ends(old);
    let mut document = parse(path, format, &plain)?;
    let mut model = document.value();
    let mut changed = false;
    for Edit { path: keys, what } in edits {
        if let Some(key) = other_kind(at(&model, keys), what) {
            return Err(Failure::failed(format!(
                "{}: {} is a server of another kind, with a {key:?}, which we did not write",
                path.display(),
                keys.join(".")
            ))
            .hint("rename or remove that entry, and run this again; nothing was changed"));
        }
        let one = put(document.as_mut(), &mut model, keys, what, puts, user).map_err(|Blocked| {
            Failure::failed(format!(
                "{}: {} cannot be set: something else than an object or a list stands there or above",
                path.display(),
                keys.join(".")
            ))
            .hint("correct it there, and run this again; nothing was changed")
        })?;
        changed |= one;
    }
    if !changed {
        return Ok(old.to_owned());
    }
    let mut text = verified(path, format, document.as_ref(), &model)?;
    if old.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(keep_ends(old, &text))
}

/// The key that makes the server that stands there one that is reached by its address, where ours is a program: merged,
/// they would be neither.
fn other_kind(found: Option<&Json>, what: &What) -> Option<&'static str> {
    let What::Is(Value::Object(keys)) = what else { return None };
    let found = found?.as_object()?;
    let ours = keys.iter().any(|(key, _)| key == "command");
    ["url", "httpUrl", "serverUrl"].into_iter().find(|&key| ours && found.contains_key(key))
}

/// Makes one change, in the document and in what it should say. Says whether there was one to make.
fn put(
    document: &mut dyn Document,
    model: &mut Json,
    path: &[String],
    what: &What,
    puts: &mut Puts,
    user: &User,
) -> Result<bool, Blocked> {
    let before = at(model, path).cloned();
    let mut set = |path: &[String], value: &Value, puts: &mut Puts| {
        for depth in 1..path.len() {
            if at(model, &path[..depth]).is_none() {
                puts.made.push(path[..depth].to_vec());
            }
        }
        model.set(path, value)?;
        document.set(path, value)
    };
    match (what, before) {
        (What::Default(_), Some(found)) => {
            puts.note(path, false, &found, None, false, user);
            Ok(false)
        }
        (What::Is(value) | What::Default(value), None) => {
            set(path, value, puts)?;
            puts.note(path, false, &value.json(), None, true, user);
            Ok(true)
        }
        (What::Is(Value::Object(keys)), Some(found)) if !keys.is_empty() => {
            let mut changed = false;
            for (key, value) in keys {
                if found.as_object().ok_or(Blocked)?.get(key) != Some(&value.json()) {
                    set(&[path, std::slice::from_ref(key)].concat(), value, puts)?;
                    changed = true;
                }
            }
            let value = Value::Object(keys.clone()).json();
            puts.note(path, false, &value, Some(found), changed, user);
            Ok(changed)
        }
        (What::Is(value), Some(found)) => {
            let changed = found != value.json();
            if changed {
                set(path, value, puts)?;
            }
            puts.note(path, false, &value.json(), Some(found), changed, user);
            Ok(changed)
        }
        (What::Has { element, .. }, None) => {
            set(path, &Value::List(vec![element.clone()]), puts)?;
            puts.made.push(path.to_vec());
            puts.note(path, true, &element.json(), None, true, user);
            Ok(true)
        }
        (What::Has { element, words }, Some(found)) => {
            let list = found.as_array().ok_or(Blocked)?;
            let value = element.json();
            let fit = |old: &Json| runs(old, words).then(|| refit(old, &value, words));
            let changed =
                !list.iter().any(|old| *old == value || fit(old).is_some_and(|fit| fit == *old));
            if changed {
                let first = list.iter().position(|old| runs(old, words));
                // The places behind one that is taken out move up.
                for index in (0..list.len()).rev() {
                    let old = &list[index];
                    if runs(old, words) && (first == Some(index) || !holds_more(old, &value)) {
                        model.remove_element(path, index)?;
                        document.remove_element(path, index)?;
                    }
                }
                let fit = first.and_then(|index| fit(&list[index])).filter(|fit| *fit != value);
                let new = fit.map_or_else(|| element.clone(), |fit| Value::from(&fit));
                model.push(path, &new)?;
                document.push(path, &new)?;
            }
            puts.note(path, true, &value, None, changed, user);
            Ok(changed)
        }
    }
}

impl Puts {
    /// Notes who needs a value. What the user had before us is not ours, whoever needs it.
    fn note(
        &mut self,
        path: &[String],
        element: bool,
        value: &Json,
        before: Option<Json>,
        put: bool,
        user: &User,
    ) {
        let new = Put {
            path: path.to_vec(),
            element,
            value: value.clone(),
            before,
            users: [user.clone()].into(),
        };
        match self.values.iter_mut().find(|old| old.stands_for(&new)) {
            Some(old) => {
                old.users.insert(user.clone());
                if put {
                    old.value = new.value;
                }
            }
            None if put => self.values.push(new),
            None => {}
        }
    }
}
