//! Answers of DynamoDB that are not whole.

use std::collections::HashMap;

use hyper::body::Bytes;
use serde_json::{Value, json};

/// A query shows all but one of its items.
pub(crate) fn hide_one(shown: &mut Value, below: impl Fn(usize) -> usize) {
    let items = shown["Items"].as_array_mut().unwrap();
    if !items.is_empty() {
        items.remove(below(items.len()));
    }
    shown["Count"] = json!(shown["Items"].as_array().unwrap().len());
}

/// The rosters that were shown last, and before that.
#[derive(Default)]
pub(crate) struct Rosters(HashMap<String, [Vec<Value>; 2]>);

impl Rosters {
    /// Notes what is shown of a roster; when it is torn, one item is as it was before: another one, gone, or there.
    pub(crate) fn show(
        &mut self,
        pk: &str,
        shown: &mut Value,
        torn: bool,
        below: impl Fn(usize) -> usize,
    ) {
        let items = shown["Items"].as_array().unwrap().clone();
        let [last, before] = self.0.entry(pk.to_owned()).or_default();
        // Two nodes may be shown it one after the other, an older one last: it is as it was all the same.
        if *last != items {
            *before = std::mem::replace(last, items.clone());
        }
        let find =
            |items: &[Value], sk: &Value| items.iter().find(|item| item["sk"] == *sk).cloned();
        let mut changed: Vec<&Value> = items
            .iter()
            .chain(before.iter())
            .filter(|item| find(&items, &item["sk"]) != find(before, &item["sk"]))
            .collect();
        changed.dedup_by_key(|item| &item["sk"]);
        if !torn || before.is_empty() || changed.is_empty() {
            return;
        }
        let sk = &changed[below(changed.len())]["sk"];
        let mut items: Vec<Value> =
            items.iter().filter(|item| item["sk"] != *sk).cloned().collect();
        items.extend(find(before, sk));
        items.sort_by_key(|item| item["sk"]["S"].as_str().unwrap().to_owned());
        shown["Count"] = json!(items.len());
        shown["Items"] = json!(items);
    }
}

/// What was taken out of a request for several items.
pub(crate) struct Left {
    name: &'static str,
    what: Value,
    /// There was no more than that.
    pub(crate) all: bool,
}

/// Takes one item out of a request for several.
pub(crate) fn take_one(asked: &mut Value, below: impl Fn(usize) -> usize) -> Left {
    let (table, of_table) =
        asked["RequestItems"].as_object_mut().unwrap().iter_mut().next().unwrap();
    let reads = of_table.is_object();
    let items = if reads { &mut of_table["Keys"] } else { &mut *of_table };
    let items = items.as_array_mut().unwrap();
    let one = items.remove(below(items.len()));
    let all = items.is_empty();
    if reads {
        let mut keys = of_table.clone();
        keys["Keys"] = json!([one]);
        return Left { name: "UnprocessedKeys", what: json!({ table: keys }), all };
    }
    Left { name: "UnprocessedItems", what: json!({ table: [one] }), all }
}

/// Says in the answer what was not done.
pub(crate) fn give_back(answer: &[u8], left: Left) -> Bytes {
    let mut answer: Value = serde_json::from_slice(answer).unwrap();
    answer[left.name] = left.what;
    answer.to_string().into()
}
