//! Items, and the rows in them.
//!
//! A row is what serde makes of it, one attribute for each field; a field that is `None` is not there, so
//! that conditions can ask whether it is. What does not decode is a fault, never a default.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::keys::Key;
/// A SHA-256 as text, in keys and rows.
pub(super) use crate::store::moving::hex;
use crate::store::{Digest, Micros, Result, StoreError};

/// An item, or the key of one.
pub(super) type Item = HashMap<String, AttributeValue>;

/// When the item no longer counts, for all who read it.
pub(super) const UNTIL: &str = "until";
/// The same in seconds, for the engine, which deletes it days later than that.
pub(super) const EXPIRES: &str = "expires";

pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl Into<Number>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

pub(super) fn b(bytes: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn fault(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Fault(what.into())
}

/// The item with this row.
pub(super) fn encode(key: &Key, row: &impl Serialize) -> Result<Item> {
    let Value::Object(fields) = serde_json::to_value(row).map_err(fault)? else {
        return Err(fault("a row is an object"));
    };
    let mut item = key.item();
    for (name, value) in fields {
        if !value.is_null() {
            item.insert(name, attribute(value));
        }
    }
    Ok(item)
}

/// The same, deleted by the engine some time after `until`.
pub(super) fn encode_until(key: &Key, row: &impl Serialize, until: Micros) -> Result<Item> {
    let mut item = encode(key, row)?;
    item.insert(UNTIL.to_owned(), n(until));
    item.insert(EXPIRES.to_owned(), n(seconds(until)));
    Ok(item)
}

/// Whole seconds, not before the time.
pub(super) fn seconds(at: Micros) -> i64 {
    at.div_euclid(1_000_000) + i64::from(at.rem_euclid(1_000_000) > 0)
}

/// The row in an item.
pub(super) fn decode<T: DeserializeOwned>(item: &Item) -> Result<T> {
    let fields: Map<String, Value> =
        item.iter().filter_map(|(name, value)| Some((name.clone(), json(value)?))).collect();
    serde_json::from_value(Value::Object(fields)).map_err(|error| {
        let place = |name| item.get(name).and_then(|value| value.as_s().ok());
        fault(format!("the item {:?} {:?}: {error}", place("pk"), place("sk")))
    })
}

fn attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Number(value) => AttributeValue::N(value.to_string()),
        Value::String(value) => AttributeValue::S(value),
        Value::Array(list) => AttributeValue::L(list.into_iter().map(attribute).collect()),
        Value::Object(map) => AttributeValue::M(
            map.into_iter().map(|(name, value)| (name, attribute(value))).collect(),
        ),
    }
}

/// `None` for what no row has: it is read on its own.
fn json(value: &AttributeValue) -> Option<Value> {
    Some(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::N(value) => {
            Value::Number(value.parse::<i64>().map(Number::from).or_else(|_| value.parse()).ok()?)
        }
        AttributeValue::S(value) => Value::String(value.clone()),
        AttributeValue::L(list) => Value::Array(list.iter().map(json).collect::<Option<_>>()?),
        AttributeValue::M(map) => Value::Object(
            map.iter()
                .map(|(name, value)| Some((name.clone(), json(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

pub(super) fn number(item: &Item, name: &str) -> Result<i64> {
    let value = item.get(name).and_then(|value| value.as_n().ok());
    value.and_then(|value| value.parse().ok()).ok_or_else(|| missing(name, "number"))
}

pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.map(String::as_str).ok_or_else(|| missing(name, "text"))
}

pub(super) fn bytes<'a>(item: &'a Item, name: &str) -> Result<&'a [u8]> {
    let value = item.get(name).and_then(|value| value.as_b().ok());
    value.map(AsRef::as_ref).ok_or_else(|| missing(name, "bytes"))
}

fn missing(name: &str, kind: &str) -> StoreError {
    fault(format!("an item has no {kind} {name:?}"))
}

/// Where the thing with a public name lies: under the hash of its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Place {
    #[serde(with = "hex")]
    pub(super) hash: Digest,
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        whole: i64,
        huge: u64,
        none: Option<String>,
        list: Vec<Value>,
        #[serde(with = "hex")]
        hash: [u8; 32],
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let key = Key::new("a", "b");
        let row = Row {
            whole: -7,
            huge: u64::MAX,
            none: None,
            list: vec![json!({"a": [1, null, true, "x"]}), json!(null)],
            hash: [0xab; 32],
        };
        let item = encode(&key, &row).expect("it is an object");
        assert!(!item.contains_key("none"), "what is not there has no attribute");
        assert_eq!(decode::<Row>(&item).expect("it is whole"), row);
        let mut broken = item.clone();
        broken.remove("whole");
        assert!(matches!(decode::<Row>(&broken), Err(StoreError::Fault(_))));
    }

    #[test]
    fn a_time_to_live_never_ends_too_soon() {
        for (at, expected) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(seconds(at), expected);
        }
    }
}
