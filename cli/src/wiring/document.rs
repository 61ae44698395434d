//! A file of settings that can be changed in place.

use serde_json::Value as Json;

use super::value::Value;
use super::{jsonc, toml, yaml};

/// How a file of settings is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON, with comments and commas before closing brackets where somebody wrote some.
    Json,
    Toml,
    Yaml,
}

impl Format {
    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
        }
    }

    /// What a text says, when it can be read.
    pub(crate) fn read(self, text: &str) -> Option<Json> {
        Some(self.parse(&text.replace("\r\n", "\n")).ok()?.value())
    }

    /// What a text says.
    #[cfg(test)]
    pub(crate) fn said(self, text: &str) -> String {
        self.parse(&text.replace("\r\n", "\n")).unwrap().value().to_string()
    }

    /// Reads a text, whose lines end with `\n`. The document is an object at its top.
    pub(super) fn parse(self, text: &str) -> Result<Box<dyn Document>, Slip> {
        let document: Box<dyn Document> = match self {
            Self::Json => Box::new(jsonc::Jsonc::parse(text)?),
            Self::Toml => Box::new(toml::Toml::parse(text)?),
            Self::Yaml => Box::new(yaml::Yaml::parse(text)?),
        };
        if !document.value().is_object() {
            let what = "the file does not hold an object at its top".to_owned();
            return Err(Slip { line: 1, column: 1, what });
        }
        Ok(document)
    }
}

/// Where a text is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slip {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) what: String,
}

impl Slip {
    /// At a byte of a text.
    pub(super) fn at(text: &str, byte: usize, what: impl Into<String>) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column, what: what.into() }
    }
}

/// A document cannot be changed where it should be: something else stands there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blocked;

/// A file of settings that can be changed in place, with all else in it as it was.
pub(super) trait Document {
    /// All that it says.
    fn value(&self) -> Json;
    /// Sets a value, and makes the objects on the way.
    fn set(&mut self, path: &[String], value: &Value) -> Result<(), Blocked>;
    /// Takes a key out.
    fn remove(&mut self, path: &[String]) -> Result<(), Blocked>;
    /// Appends to the list at a path.
    fn push(&mut self, path: &[String], value: &Value) -> Result<(), Blocked>;
    /// Takes an element out of the list at a path.
    fn remove_element(&mut self, path: &[String], index: usize) -> Result<(), Blocked>;
    /// The text.
    fn text(&self) -> String;
}

/// What stands at a path. A key without a value, as in templates whose lines are all comments, is nothing.
pub(super) fn at<'a>(value: &'a Json, path: &[String]) -> Option<&'a Json> {
    let found = path.iter().try_fold(value, |value, key| value.as_object()?.get(key));
    found.filter(|found| !found.is_null())
}

/// Without the keys that have no value.
pub(super) fn without_nothing(value: &Json) -> Json {
    match value {
        Json::Object(keys) => keys
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nothing(value)))
            .collect(),
        Json::Array(list) => list.iter().map(without_nothing).collect(),
        _ => value.clone(),
    }
}

/// What a document should say after a change: what a real one is held against.
impl Document for Json {
    fn value(&self) -> Json {
        self.clone()
    }

    fn set(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let mut place = self;
        for key in path {
            if place.is_null() {
                *place = Json::Object(serde_json::Map::new());
            }
            place = place
                .as_object_mut()
                .ok_or(Blocked)?
                .entry(key)
                .or_insert_with(|| Json::Object(serde_json::Map::new()));
        }
        *place = value.json();
        Ok(())
    }

    fn remove(&mut self, path: &[String]) -> Result<(), Blocked> {
        let (key, above) = path.split_last().ok_or(Blocked)?;
        let above = above.iter().try_fold(self, |place, key| place.get_mut(key));
        above.and_then(Json::as_object_mut).and_then(|keys| keys.remove(key)).ok_or(Blocked)?;
        Ok(())
    }

    fn push(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let list = path.iter().try_fold(self, |place, key| place.get_mut(key));
        list.and_then(Json::as_array_mut).ok_or(Blocked)?.push(value.json());
        Ok(())
    }

    fn remove_element(&mut self, path: &[String], index: usize) -> Result<(), Blocked> {
        let list = path.iter().try_fold(self, |place, key| place.get_mut(key));
        let list = list.and_then(Json::as_array_mut).ok_or(Blocked)?;
        if index >= list.len() {
            return Err(Blocked);
        }
        list.remove(index);
        Ok(())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
