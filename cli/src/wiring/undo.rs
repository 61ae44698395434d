//! Takes out of a file what was put into it, in memory.

use std::path::Path;

use serde_json::Value as Json;

use super::document::{Blocked, Document, Format, at, without_nothing};
use super::element::without;
use super::ledger::{Held, Put, Puts, Record, User, sha256};
use super::merge::{parse, verified};
use super::patch::{keep_ends, plain_ends};
use super::{Value, lines};
use crate::failure::Outcome;

/// What is to become of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays as it is.
    Stays,
    /// It gets this text.
    Becomes(String),
    /// It goes.
    Goes,
}

/// A file after a user has gone.
#[derive(Debug)]
pub(crate) struct Undone {
    /// What is to become of it.
    pub(crate) fate: Fate,
    /// What was left alone, and why.
    pub(crate) notes: Vec<String>,
    /// What we still hold in it.
    pub(crate) record: Option<Record>,
}

/// Takes out what only this user needs. `old` is the file's text, `None` when it is gone.
pub(crate) fn undo(
    path: &Path,
    old: Option<&str>,
    record: &Record,
    user: &User,
) -> Outcome<Undone> {
    let mut record = record.clone();
    let mut notes = Vec::new();
    let fate = match (&mut record.content, old) {
        (Held::Own { users, .. }, None) => {
            user.leave(users);
            Fate::Stays
        }
        (Held::Own { users, sha256: ours }, Some(old)) => {
            user.leave(users);
            if !users.is_empty() || !record.created {
                Fate::Stays
            } else if *ours == sha256(old) {
                Fate::Goes
            } else {
                notes.push(format!("{} was changed since, and stays", path.display()));
                Fate::Stays
            }
        }
        (Held::Some(puts), old) => puts.undo(path, old, record.created, user, &mut notes)?,
    };
    let record = record.is_needed().then_some(record);
    Ok(Undone { fate, notes, record })
}

impl Puts {
    fn undo(
        &mut self,
        path: &Path,
        old: Option<&str>,
        created: bool,
        user: &User,
        notes: &mut Vec<String>,
    ) -> Outcome<Fate> {
        for put in &mut self.values {
            user.leave(&mut put.users);
        }
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.values).into_iter().partition(|put| put.users.is_empty());
        let (Some(old), false) = (old, gone.is_empty()) else {
            self.values = kept;
            return Ok(Fate::Stays);
        };
        let original = self.original(old).filter(|_| self.back.is_some());
        self.values = kept;
        if self.values.is_empty()
            && let Some(original) = original
        {
            return Ok(if created { Fate::Goes } else { Fate::Becomes(original) });
        }
        let told = notes.len();
        let (mut text, empty) = match self.format {
            None => {
                let text = gone.iter().rev().fold(plain_ends(old), |text, put| {
                    lines::remove(&text, put.value.as_str().unwrap_or_default())
                });
                let empty = text.trim().is_empty();
                (text, empty)
            }
            Some(format) => self.take_out(path, format, old, &gone, notes)?,
        };
        if created && empty && self.values.is_empty() {
            return Ok(Fate::Goes);
        }
        text = keep_ends(old, &text);
        if self.values.is_empty()
            && notes.len() == told
            && let (Some(back), Some(format)) = (&self.back, self.format)
            && let Some(around) = back.way.apply_around(old)
        {
            // As it was before us, with what somebody else has changed, when it says the same.
            let said = |text: &str| format.read(text).map(|said| without_nothing(&said));
            if said(&around) == said(&text) {
                text = around;
            }
        }
        self.lead_back(original.as_deref(), &text);
        Ok(if text == old { Fate::Stays } else { Fate::Becomes(text) })
    }

    fn take_out(
        &mut self,
        path: &Path,
        format: Format,
        old: &str,
        gone: &[Put],
        notes: &mut Vec<String>,
    ) -> Outcome<(String, bool)> {
        let plain = plain_ends(old);
        let mut document = parse(path, format, &plain)?;
        let mut model = document.value();
        let before = model.clone();
        for put in gone.iter().rev() {
            if take(document.as_mut(), &mut model, put) == Err(Blocked) {
                let keys = put.path.join(".");
                notes.push(format!("{}: {keys} was changed since, and stays", path.display()));
            }
        }
        // Innermost first, so that one that holds only another goes as well.
        self.made.sort_by_key(|made| std::cmp::Reverse(made.len()));
        let values = &self.values;
        self.made.retain(|made| {
            if values.iter().any(|put| put.path.starts_with(made)) {
                return true;
            }
            if at(&model, made).is_some_and(is_empty)
                && model.remove(made).is_ok()
                && document.remove(made).is_err()
            {
                notes.push(format!("{}: {} stays", path.display(), made.join(".")));
            }
            false
        });
        if model == before {
            return Ok((plain, is_empty(&model)));
        }
        let empty = is_empty(&model);
        // The comments of a file that we made, if any came to be there, are the user's.
        let text = verified(path, format, document.as_ref(), &model)?;
        let bare = format.parse("").is_ok_and(|bare| bare.text().trim() == text.trim());
        Ok((text.clone(), empty && (bare || text.split_whitespace().collect::<String>() == "{}")))
    }
}

/// Takes one value out, unless somebody has changed it.
fn take(document: &mut dyn Document, model: &mut Json, put: &Put) -> Result<(), Blocked> {
    let Some(found) = at(model, &put.path).cloned() else {
        return Ok(());
    };
    if put.element {
        let Some(list) = found.as_array() else { return Err(Blocked) };
        let exact =
            list.iter().position(|element| *element == put.value).map(|at| (at, Vec::new()));
        let mixed = || {
            let without = |(at, element)| Some((at, without(element, &put.value)?));
            list.iter().enumerate().find_map(without)
        };
        let Some((index, rest)) = exact.or_else(mixed) else {
            // Ours with a change, or none at all any more.
            let changed = list.iter().any(|element| element.to_string().contains("meshwire"));
            return if changed { Err(Blocked) } else { Ok(()) };
        };
        model.remove_element(&put.path, index)?;
        document.remove_element(&put.path, index)?;
        for rest in rest {
            model.push(&put.path, &Value::from(&rest))?;
            document.push(&put.path, &Value::from(&rest))?;
        }
        return Ok(());
    }
    let Some(keys) = put.value.as_object().filter(|keys| !keys.is_empty()) else {
        if found != put.value {
            return Err(Blocked);
        }
        return restore(document, model, &put.path, put.before.as_ref());
    };
    let ours = |(key, value): (&String, &Json)| found.get(key) == Some(value);
    if !keys.iter().all(ours) {
        return Err(Blocked);
    }
    let Some(before) = &put.before else {
        // What was added to an entry of ours is about us, too.
        return restore(document, model, &put.path, None);
    };
    for key in keys.keys() {
        let path = [put.path.as_slice(), std::slice::from_ref(key)].concat();
        if before.get(key) != found.get(key) {
            restore(document, model, &path, before.get(key))?;
        }
    }
    Ok(())
}

fn restore(
    document: &mut dyn Document,
    model: &mut Json,
    path: &[String],
    before: Option<&Json>,
) -> Result<(), Blocked> {
    if let Some(before) = before {
        let value = Value::from(before);
        model.set(path, &value)?;
        document.set(path, &value)
    } else {
        model.remove(path)?;
        document.remove(path)
    }
}

fn is_empty(value: &Json) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}
