//! Adds to an object that stands on one line, on that line: the parser's own tree would break it over several.

use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, parse_to_ast};
use serde_json::Value as Json;

use super::OPTIONS;
use super::remove::value_at;
use crate::wiring::value::Value;

/// The text with a property more in the object at a path. Nothing when that stands on several lines, or is empty.
pub(super) fn add(text: &str, path: &[String], key: &str, value: &Value) -> Option<String> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS).ok()?;
    let object = value_at(parsed.value.as_ref()?, path)?.as_object()?;
    let last = object.properties.last()?;
    if text.get(object.start()..object.end())?.contains('\n') {
        return None;
    }
    let mut new = text.to_owned();
    new.insert_str(last.end(), &format!(", {}: {}", Json::from(key), line(value)));
    Some(new)
}

fn line(value: &Value) -> String {
    match value {
        Value::Object(keys) => {
            let keys = keys
                .iter()
                .map(|(key, value)| format!("{}: {}", Json::from(key.as_str()), line(value)));
            format!("{{{}}}", keys.collect::<Vec<_>>().join(", "))
        }
        Value::List(list) => format!("[{}]", list.iter().map(line).collect::<Vec<_>>().join(", ")),
        _ => value.json().to_string(),
    }
}
