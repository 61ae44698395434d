//! A file that names one of its users before the others: when that one goes, another takes its place.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::Value;
use super::document::{Blocked, Document, Format, at};
use super::ledger::{Held, Puts, Record, User};
use super::merge::{Merged, parse, verified};
use super::patch::{keep_ends, plain_ends};
use crate::failure::Outcome;

/// Who takes which place.
#[derive(Debug, Clone)]
pub(crate) struct HandOver {
    /// The file.
    pub(crate) path: PathBuf,
    /// Who takes it.
    pub(crate) heir: User,
    /// What the keys of the place are to say.
    pub(crate) values: Vec<(String, Json)>,
    /// Where the heir stood.
    pub(crate) gives: Vec<String>,
}

impl HandOver {
    /// Makes it in memory; nothing when the place is not one that `user` was put into.
    pub(super) fn apply(&self, old: &str, record: &Record, user: &User) -> Outcome<Option<Merged>> {
        let Held::Some(puts) = &record.content else { return Ok(None) };
        let place = |key: &String| puts.place(std::slice::from_ref(key));
        if !self.values.iter().all(|(key, _)| place(key).is_some_and(|put| put.contains(user))) {
            return Ok(None);
        }
        let (mut puts, plain) = (puts.clone(), plain_ends(old));
        let original = puts.original(old);
        let mut document = parse(&self.path, Format::Json, &plain)?;
        let mut model = document.value();
        if self.change(document.as_mut(), &mut model, &mut puts, user) == Err(Blocked) {
            return Ok(None);
        }
        let text = verified(&self.path, Format::Json, document.as_ref(), &model)?;
        let text = keep_ends(old, &text);
        puts.lead_back(original.as_deref(), &text);
        Ok(Some(Merged { text, record: Record { content: Held::Some(puts), ..record.clone() } }))
    }

    fn change(
        &self,
        document: &mut dyn Document,
        model: &mut Json,
        puts: &mut Puts,
        user: &User,
    ) -> Result<(), Blocked> {
        for (key, value) in &self.values {
            let path = std::slice::from_ref(key);
            model.set(path, &Value::from(value))?;
            document.set(path, &Value::from(value))?;
        }
        model.remove(&self.gives)?;
        document.remove(&self.gives)?;
        let above = &self.gives[..self.gives.len() - 1];
        let is_bare = at(model, above).is_some_and(|above| *above == serde_json::json!({}));
        if is_bare && puts.made.iter().any(|made| made == above) {
            model.remove(above)?;
            document.remove(above)?;
            puts.made.retain(|made| made != above);
        }
        if puts.place(&self.gives).is_some_and(|users| users.contains(&self.heir)) {
            puts.values.retain(|put| put.path != self.gives);
            for put in &mut puts.values {
                let value = self.values.iter().find(|(key, _)| put.path == [key.as_str()]);
                if let Some((_, value)) = value {
                    put.value = value.clone();
                    put.users = [self.heir.clone()].into();
                }
            }
        } else {
            // Somebody else has put the heir there, and needs all that stands there.
            puts.values.retain(|put| !put.users.contains(user));
        }
        Ok(())
    }
}
