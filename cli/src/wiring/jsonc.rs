//! JSON, with comments and trailing commas where a harness takes them.

mod inline;
mod remove;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::Value as Json;

use super::document::{Blocked, Document, Slip};
use super::value::Value;

/// What all of our harnesses take at most: nothing of JSON5.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) struct Jsonc(CstRootNode);

impl Jsonc {
    pub(super) fn parse(text: &str) -> Result<Self, Slip> {
        let root = CstRootNode::parse(text, &OPTIONS)
            .map_err(|error| Slip::at(text, error.range().start, error.kind().to_string()))?;
        if root.value().is_none() {
            // An empty file, or one with comments only.
            root.object_value_or_set();
        }
        Ok(Self(root))
    }

    /// The parser's own tree would take comments of the neighbours along.
    fn take(&mut self, path: &[String], element: Option<usize>) -> Result<(), Blocked> {
        let text = remove::remove(&self.text(), path, element).ok_or(Blocked)?;
        *self = Self::parse(&text).map_err(|_| Blocked)?;
        Ok(())
    }

    fn object(&self, path: &[String]) -> Option<CstObject> {
        path.iter()
            .try_fold(self.0.object_value()?, |object, key| property(&object, key)?.object_value())
    }

    fn property(&self, path: &[String]) -> Option<CstObjectProp> {
        let (key, above) = path.split_last()?;
        property(&self.object(above)?, key)
    }
}

/// Of two equal keys the last one counts, as for every reader of JSON.
fn property(object: &CstObject, key: &str) -> Option<CstObjectProp> {
    object
        .properties()
        .into_iter()
        .rev()
        .find(|property| property.decoded_name().as_deref() == Some(key))
}

impl Document for Jsonc {
    fn value(&self) -> Json {
        self.0.to_serde_value().unwrap_or_default()
    }

    fn set(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let depth = (1..path.len()).find(|&depth| self.property(&path[..depth]).is_none());
        let depth = depth.unwrap_or(path.len()) - 1;
        if self.property(&path[..=depth]).is_none() {
            let nested = path[depth + 1..]
                .iter()
                .rev()
                .fold(value.clone(), |value, key| Value::Object(vec![(key.clone(), value)]));
            if let Some(text) = inline::add(&self.text(), &path[..depth], &path[depth], &nested) {
                *self = Self::parse(&text).map_err(|_| Blocked)?;
                return Ok(());
            }
        }
        let (key, above) = path.split_last().ok_or(Blocked)?;
        let mut object = self.0.object_value().ok_or(Blocked)?;
        for key in above {
            object = match property(&object, key) {
                Some(found)
                    if found.value().is_some_and(|value| value.as_null_keyword().is_some()) =>
                {
                    found.object_value_or_set()
                }
                Some(found) => found.object_value().ok_or(Blocked)?,
                None => object
                    .append(key, CstInputValue::Object(Vec::new()))
                    .object_value()
                    .ok_or(Blocked)?,
            };
        }
        match property(&object, key) {
            Some(found) => found.set_value(input(value)),
            None => drop(object.append(key, input(value))),
        }
        Ok(())
    }

    fn remove(&mut self, path: &[String]) -> Result<(), Blocked> {
        self.take(path, None)
    }

    fn push(&mut self, path: &[String], value: &Value) -> Result<(), Blocked> {
        let list = self.property(path).and_then(|found| found.array_value()).ok_or(Blocked)?;
        list.append(input(value));
        Ok(())
    }

    fn remove_element(&mut self, path: &[String], index: usize) -> Result<(), Blocked> {
        self.take(path, Some(index))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(bool) => CstInputValue::Bool(*bool),
        Value::Number(number) => CstInputValue::Number(number.clone()),
        Value::Text(text) => CstInputValue::String(text.clone()),
        Value::List(list) => CstInputValue::Array(list.iter().map(input).collect()),
        Value::Object(keys) => CstInputValue::Object(
            keys.iter().map(|(key, value)| (key.clone(), input(value))).collect(),
        ),
    }
}
