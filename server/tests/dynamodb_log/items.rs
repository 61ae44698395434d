//! The keys of the items, and what is in them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;

use aws_sdk_dynamodb::types::AttributeValue;
use sha2::{Digest as _, Sha256};

/// Whatever goes wrong here ends the test.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// An item, or the key of one.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The key of an item: its partition, and its place in there.
pub(crate) fn key(pk: impl Into<String>, sk: impl Into<String>) -> Item {
    Item::from([("pk".into(), text(pk)), ("sk".into(), text(sk))])
}

/// The head of a mesh: moved by every append, so it has a partition to itself.
pub(crate) fn head_key(mesh: &str) -> Item {
    key(format!("head#{mesh}"), "head")
}

/// The partition with the log of a mesh.
pub(crate) fn log_partition(mesh: &str) -> String {
    format!("log#{mesh}")
}

/// Where the batch that ends with this id lies in its partition: ids have 16 digits at most (53 bits), so
/// that the order of the text is the order of the numbers.
pub(crate) fn log_place(last: u64) -> String {
    format!("{last:016}")
}

/// The record of what an agent sent under an idempotency key, which may be long and hold anything.
pub(crate) fn sent_key(mesh: &str, agent: &str, idempotency_key: &str) -> Item {
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(idempotency_key) {
        let _ = write!(hash, "{byte:02x}");
    }
    key(format!("sent#{mesh}#{agent}#{hash}"), "sent")
}

/// The name of an agent, taken once in a mesh whatever its case.
pub(crate) fn name_key(mesh: &str, name: &str) -> Item {
    let name = name.to_lowercase();
    key(format!("mesh#{mesh}"), format!("name#{name}"))
}

/// An agent in the roster of its mesh.
pub(crate) fn agent_key(mesh: &str, agent: &str) -> Item {
    key(format!("mesh#{mesh}"), format!("agent#{agent}"))
}

/// The delivery state of an agent, written with each acknowledgement: not in the roster's partition.
pub(crate) fn position_key(mesh: &str, agent: &str) -> Item {
    key(format!("position#{mesh}#{agent}"), "position")
}

/// The item with these attributes besides its key.
pub(crate) fn with<const N: usize>(mut item: Item, more: [(&str, AttributeValue); N]) -> Item {
    item.extend(more.map(|(name, value)| (name.to_owned(), value)));
    item
}

fn missing(name: &str, kind: &str) -> Box<dyn Error + Send + Sync> {
    format!("an item has no {kind} {name:?}").into()
}

pub(crate) fn read_number(item: &Item, name: &str) -> Result<u64> {
    let value = item.get(name).and_then(|value| value.as_n().ok());
    Ok(value.ok_or_else(|| missing(name, "number"))?.parse()?)
}

pub(crate) fn read_text<'a>(item: &'a Item, name: &str) -> Result<&'a str> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    Ok(value.ok_or_else(|| missing(name, "text"))?)
}

pub(crate) fn read_bytes<'a>(item: &'a Item, name: &str) -> Result<&'a [u8]> {
    let value = item.get(name).and_then(|value| value.as_b().ok());
    Ok(value.ok_or_else(|| missing(name, "bytes"))?.as_ref())
}
