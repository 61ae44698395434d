//! TOML.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value as TomlValue};

use super::document::{Blocked, Document, Slip};
use super::value::Value;

pub(super) struct Toml(DocumentMut);

impl Toml {
    pub(super) fn parse(text: &str) -> Result<Self, Slip> {
        text.parse().map(Self).map_err(|error: toml_edit::TomlError| {
            let at = error.span().map_or(0, |span| span.start);
            Slip::at(text, at, error.message().to_owned())
        })
    }

    fn table(&mut self, path: &[String]) -> Option<&mut dyn TableLike> {
        let mut table: &mut dyn TableLike = self.0.as_table_mut();
        for key in path {
            table = table.get_mut(key)?.as_table_like_mut()?;
        }
        Some(table)
    }

    fn item(&mut self, path: &[String]) -> Option<&mut Item> {
        let (key, above) = path.split_last()?;
        self.table(above)?.get_mut(key)
    }
}

impl Document for Toml {
    fn value(&self) -> Json {
        table_json(self.0.as_table())
    }

    fn set(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let (key, above) = path.split_last().ok_or(Blocked)?;
        let mut table: &mut dyn TableLike = self.0.as_table_mut();
        let mut inline = false;
        for key in above {
            if !table.contains_key(key) {
                let new = if inline {
                    Item::Value(InlineTable::new().into())
                } else {
                    let mut new = Table::new();
                    // Its own head is not worth a line: `[a.b]` alone says that there is an `a`.
                    new.set_implicit(true);
                    Item::Table(new)
                };
                table.insert(key, new);
            }
            let item = table.get_mut(key).ok_or(Blocked)?;
            inline = inline || item.is_inline_table();
            table = item.as_table_like_mut().ok_or(Blocked)?;
        }
        match (table.get_mut(key), value) {
            (Some(Item::Value(old)), value) => {
                // The comment behind the old value is the line's.
                let decor = old.decor().clone();
                *old = toml(value);
                *old.decor_mut() = decor;
            }
            (_, Value::Object(keys)) if !inline => {
                let mut new = Table::new();
                for (key, value) in keys {
                    new.insert(key, Item::Value(toml(value)));
                }
                table.insert(key, Item::Table(new));
            }
            (_, value) => drop(table.insert(key, Item::Value(toml(value)))),
        }
        Ok(())
    }

    fn remove(&mut self, path: &[String]) -> Result<(), Blocked> {
        let (key, above) = path.split_last().ok_or(Blocked)?;
        self.table(above).and_then(|table| table.remove(key)).map(drop).ok_or(Blocked)
    }

    fn push(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let list = self.item(path).and_then(Item::as_array_mut).ok_or(Blocked)?;
        list.push(toml(value));
        Ok(())
    }

    fn remove_element(&mut self, path: &[String], index: usize) -> Result<(), Blocked> {
        let list = self.item(path).and_then(Item::as_array_mut).ok_or(Blocked)?;
        if index >= list.len() {
            return Err(Blocked);
        }
        list.remove(index);
        Ok(())
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

fn toml(value: &Value) -> TomlValue {
    match value {
        // TOML has no nothing; none of ours is.
        Value::Null => "".into(),
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => {
            number.parse::<i64>().map_or_else(|_| number.as_str().into(), Into::into)
        }
        Value::Text(text) => text.as_str().into(),
        Value::List(list) => list.iter().map(toml).collect::<Array>().into(),
        Value::Object(keys) => keys
            .iter()
            .map(|(key, value)| (key.as_str(), toml(value)))
            .collect::<InlineTable>()
            .into(),
    }
}

fn table_json(table: &dyn TableLike) -> Json {
    let keys = table.iter().map(|(key, item)| (key.to_owned(), item_json(item)));
    Json::Object(keys.collect::<Map<_, _>>())
}

fn item_json(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Value(value) => value_json(value),
        Item::Table(table) => table_json(table),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| table_json(table)).collect(),
    }
}

fn value_json(value: &TomlValue) -> Json {
    match value {
        TomlValue::String(text) => Json::from(text.value().as_str()),
        TomlValue::Integer(number) => Json::from(*number.value()),
        // What JSON has no word for is compared by its text.
        TomlValue::Float(number) => serde_json::Number::from_f64(*number.value())
            .map_or_else(|| Json::from(number.value().to_string()), Json::Number),
        TomlValue::Boolean(bool) => Json::from(*bool.value()),
        TomlValue::Datetime(time) => Json::from(time.value().to_string()),
        TomlValue::Array(list) => list.iter().map(value_json).collect(),
        TomlValue::InlineTable(table) => table_json(table),
    }
}
