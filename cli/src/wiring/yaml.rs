//! YAML: changed by `yaml-edit`, which keeps what it does not change, and read by `yaml_serde`, which reads as
//! the harnesses' own libraries do. Where the two do not agree, nothing is written ([`super::merge`]).

use std::str::FromStr as _;

use serde_json::Value as Json;
use yaml_edit::{Mapping, Sequence};

use super::document::{Blocked, Document, Slip, at};
use super::value::Value;

pub(super) struct Yaml {
    /// Comments and directives before the line that begins the document, which the editor does not take.
    head: String,
    /// Nothing while there is nothing but comments, which cannot be added to.
    document: Option<yaml_edit::Document>,
    /// What there is then.
    comments: String,
}

impl Yaml {
    pub(super) fn parse(text: &str) -> Result<Self, Slip> {
        let is_empty = read(text)?.as_object().is_some_and(serde_json::Map::is_empty);
        let (head, body) = text.split_at(head(text));
        let head = head.to_owned();
        if is_empty && !body.contains('{') {
            return Ok(Self { head, document: None, comments: body.to_owned() });
        }
        match yaml_edit::Document::from_str(body) {
            Ok(document) => Ok(Self { head, document: Some(document), comments: String::new() }),
            // Others can read it.
            Err(_) => Err(Slip::at(text, 0, "it is written in a way that we cannot change")),
        }
    }

    fn mapping(&self, path: &[String]) -> Option<Mapping> {
        let top = self.document.as_ref()?.as_mapping()?;
        path.iter().try_fold(top, |mapping, key| mapping.get_mapping(key.as_str()))
    }

    fn sequence(&self, path: &[String]) -> Option<Sequence> {
        let (key, above) = path.split_last()?;
        self.mapping(above)?.get_sequence(key.as_str())
    }
}

/// How far the comments and directives before the line `---` go.
fn head(text: &str) -> usize {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            "---" => return length,
            begin if begin.starts_with("--- ") => return length,
            before if before.is_empty() || before.starts_with(['#', '%']) => length += line.len(),
            _ => break,
        }
    }
    0
}

/// As other programs read it.
fn read(text: &str) -> Result<Json, Slip> {
    let read = yaml_serde::from_str::<Json>(text).or_else(|error| {
        // Tags have no word in JSON.
        yaml_serde::from_str(text).map(json).map_err(|_| error)
    });
    let read = read.map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        Slip { line, column, what: error.to_string() }
    })?;
    Ok(if read.is_null() { Json::Object(serde_json::Map::new()) } else { read })
}

/// For comparing: a value with a tag is an object with the tag as its key.
fn json(value: yaml_serde::Value) -> Json {
    use yaml_serde::Value as Yaml;

    match value {
        Yaml::Sequence(list) => list.into_iter().map(json).collect(),
        Yaml::Mapping(keys) => {
            let key = |key| match json(key) {
                Json::String(key) => key,
                other => other.to_string(),
            };
            keys.into_iter().map(|(name, value)| (key(name), json(value))).collect()
        }
        Yaml::Tagged(tagged) => {
            [(tagged.tag.to_string(), json(tagged.value))].into_iter().collect()
        }
        plain => serde_json::to_value(plain).unwrap_or_default(),
    }
}

impl Document for Yaml {
    fn value(&self) -> Json {
        read(&self.text()).unwrap_or_default()
    }

    fn set(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        // With what is to stand in it: an empty mapping would be written as `{}`.
        let nested = |path: &[String]| {
            path.iter()
                .rev()
                .fold(value.clone(), |value, key| Value::Object(vec![(key.clone(), value)]))
        };
        let Some(document) = &self.document else {
            let end =
                if self.comments.is_empty() || self.comments.ends_with('\n') { "" } else { "\n" };
            let text = format!("{}{end}{}", self.comments, block(&nested(path), 0));
            self.document = Some(yaml_edit::Document::from_str(&text).map_err(|_| Blocked)?);
            return Ok(());
        };
        let (key, above) = path.split_last().ok_or(Blocked)?;
        let said = self.value();
        let mut mapping = document.as_mapping().ok_or(Blocked)?;
        for (depth, key) in above.iter().enumerate() {
            if at(&said, &path[..=depth]).is_none() {
                return set(&mapping, key, &nested(&path[depth + 1..]));
            }
            mapping = mapping.get_mapping(key.as_str()).ok_or(Blocked)?;
        }
        set(&mapping, key, value)
    }

    fn remove(&mut self, path: &[String]) -> Result<(), Blocked> {
        let (key, above) = path.split_last().ok_or(Blocked)?;
        let mapping = self.mapping(above).ok_or(Blocked)?;
        mapping.remove(key.as_str()).map(drop).ok_or(Blocked)
    }

    fn push(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let sequence = self.sequence(path).ok_or(Blocked)?;
        match value {
            Value::Text(text) => sequence.push(text.as_str()),
            _ => return Err(Blocked),
        }
        Ok(())
    }

    fn remove_element(&mut self, path: &[String], index: usize) -> Result<(), Blocked> {
        self.sequence(path).and_then(|list| list.remove(index)).map(drop).ok_or(Blocked)
    }

    fn text(&self) -> String {
        match &self.document {
            Some(document) => format!("{}{document}", self.head),
            None => format!("{}{}", self.head, self.comments),
        }
    }
}

fn set(mapping: &Mapping, key: &str, value: &Value) -> Result<(), Blocked> {
    match value {
        Value::Text(text) => mapping.set(key, text.as_str()),
        Value::Bool(bool) => mapping.set(key, *bool),
        Value::Number(number) => mapping.set(key, number.parse::<i64>().map_err(|_| Blocked)?),
        _ => {
            let text = block(value, 0);
            let value = yaml_edit::Document::from_str(&text).map_err(|_| Blocked)?;
            if let Some(value) = value.as_mapping() {
                mapping.set(key, value);
            } else if let Some(value) = value.as_sequence() {
                mapping.set(key, value);
            } else {
                return Err(Blocked);
            }
        }
    }
    Ok(())
}

/// A value in block style, one key a line. Texts are in double quotes, with the escapes of JSON.
fn block(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(keys) if !keys.is_empty() => keys
            .iter()
            .map(|(key, value)| {
                let inner = block(value, indent + 2);
                let key = Json::from(key.as_str());
                let key = if plain(&key) {
                    key.as_str().unwrap_or_default().to_owned()
                } else {
                    key.to_string()
                };
                if matches!(value, Value::Object(keys) if !keys.is_empty()) {
                    format!("{:indent$}{key}:\n{inner}", "")
                } else {
                    format!("{:indent$}{key}: {inner}\n", "")
                }
            })
            .collect(),
        _ => flow(value),
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::List(list) => {
            let list: Vec<_> = list.iter().map(flow).collect();
            format!("[{}]", list.join(", "))
        }
        _ => value.json().to_string(),
    }
}

/// Whether a key needs no quotes.
fn plain(key: &Json) -> bool {
    key.as_str().is_some_and(|key| {
        key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&key)
    })
}
