//! Schemas of the OpenAPI document in words.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The largest id of a message (53 bits): as a bound it says nothing to people.
const LARGEST: i64 = 9_007_199_254_740_991;

/// The word for no value.
const NULL: &str = "`null`";

/// The document.
pub(super) struct Document(pub Value);

/// A field of a body, of an answer or of a query.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub name: String,
    /// In a request: it must be there.
    pub required: bool,
    pub kind: Kind,
    pub about: String,
}

/// What a value is: words, around the name of a shape when it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Kind {
    pub before: String,
    /// A component of the document that has fields.
    pub shape: Option<String>,
    pub after: String,
}

impl Kind {
    fn words(words: impl Into<String>) -> Self {
        Self { before: words.into(), ..Self::default() }
    }

    /// Nothing but `null`.
    fn is_null(&self) -> bool {
        self.before == NULL && self.shape.is_none()
    }
}

impl Document {
    /// What a reference stands for, and under which name; anything else stands for itself.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> (&'a Value, Option<&'a str>) {
        match value["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
            Some(pointer) => {
                let target = self.0.pointer(pointer).expect("a test holds references to be there");
                (target, pointer.rsplit('/').next())
            }
            None => (value, None),
        }
    }

    /// The fields of an object, those that are always there first, in the order of their making.
    pub(super) fn fields(&self, schema: &Value) -> Vec<Field> {
        let (schema, _) = self.resolve(schema);
        if let Some(parts) = schema["allOf"].as_array() {
            return parts.iter().flat_map(|part| self.fields(part)).collect();
        }
        let ways = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
        if let Some(ways) = ways {
            return merged(ways.iter().map(|way| self.fields(way)));
        }
        let none = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let others = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
        let names = required.iter().copied().chain(others);
        let fields = names.filter_map(|name| Some((name, properties.get(name)?)));
        let field = |(name, value): (&str, &Value)| Field {
            name: name.to_owned(),
            required: required.contains(&name),
            kind: self.kind(value),
            about: self.about(value),
        };
        fields.map(field).collect()
    }

    /// What a value is, in words.
    pub(super) fn kind(&self, schema: &Value) -> Kind {
        let (schema, name) = self.resolve(schema);
        if let Some(ways) = alternatives(schema) {
            return self.one_of(ways);
        }
        let fields = schema.get("allOf").or_else(|| schema.get("properties"));
        if let (Some(_), Some(name)) = (fields, name) {
            return Kind { shape: Some(name.to_owned()), ..Kind::default() };
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<String> =
                values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
            return Kind::words(values.join(" or "));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut kind = match types.first().copied() {
            Some("array") => {
                let of = self.kind(&schema["items"]);
                Kind { before: format!("list of {}", of.before), ..of }
            }
            Some("string") => Kind::words(text(schema)),
            Some("integer") => Kind::words(integer(schema)),
            Some("boolean") => Kind::words("`true` or `false`"),
            Some("null") => Kind::words(NULL),
            _ => Kind::words("object"),
        };
        if let Some(default) = schema.get("default") {
            kind.after = format!("; {default} by default");
        }
        if types.len() > 1 && types.contains(&"null") {
            kind.after.push_str(" or `null`");
        }
        kind
    }

    fn one_of(&self, ways: &[Value]) -> Kind {
        let is_null = |way: &&Value| self.resolve(way).0["type"] == "null";
        let others: Vec<Kind> =
            ways.iter().filter(|way| !is_null(way)).map(|way| self.kind(way)).collect();
        let mut kind = match &others[..] {
            [one] => one.clone(),
            several => {
                let words: Vec<&str> = several.iter().map(|kind| &*kind.before).collect();
                Kind::words(words.join(" or "))
            }
        };
        if ways.iter().any(|way| is_null(&way)) {
            kind.after.push_str(" or `null`");
        }
        kind
    }

    /// What is said of a value: of this one, or else of its kind.
    pub(super) fn about(&self, schema: &Value) -> String {
        let of = |value: &Value| value["description"].as_str().map(str::to_owned);
        let ways = alternatives(schema).unwrap_or_default();
        let said = of(schema).or_else(|| ways.iter().find_map(of));
        said.or_else(|| of(self.resolve(schema).0)).unwrap_or_default()
    }

    /// The component of this name.
    pub(super) fn component(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    /// These shapes, and those that they are made of, each once.
    pub(super) fn shapes(&self, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut left: Vec<String> = names.into_iter().collect();
        while let Some(name) = left.pop() {
            if found.insert(name.clone()) {
                let fields = self.fields(self.component(&name));
                left.extend(fields.into_iter().filter_map(|field| field.kind.shape));
            }
        }
        found
    }
}

fn alternatives(schema: &Value) -> Option<&[Value]> {
    let ways = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    ways.as_array().map(Vec::as_slice)
}

/// The fields of several forms of one body: needed is what all of them need.
fn merged(ways: impl Iterator<Item = Vec<Field>>) -> Vec<Field> {
    ways.reduce(|mut fields, way| {
        for field in &mut fields {
            field.required &= way.iter().any(|other| other.name == field.name && other.required);
        }
        for field in way {
            match fields.iter_mut().find(|known| known.name == field.name) {
                // Where one form wants nothing, the other says what it may be.
                Some(known) if known.kind.is_null() => *known = Field { required: false, ..field },
                Some(_) => {}
                None => fields.push(Field { required: false, ..field }),
            }
        }
        fields.sort_by_key(|field| !field.required);
        fields
    })
    .unwrap_or_default()
}

fn text(schema: &Value) -> String {
    if schema["format"] == "date-time" {
        return "time".to_owned();
    }
    match (schema["minLength"].as_u64(), schema["maxLength"].as_u64()) {
        (Some(least), Some(most)) if least == most => format!("text of {most} characters"),
        (Some(least), Some(most)) => format!("text of {least} to {most} characters"),
        (None, Some(most)) => format!("text of up to {most} characters"),
        _ => "text".to_owned(),
    }
}

fn integer(schema: &Value) -> String {
    match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), Some(most)) if most < LARGEST => format!("integer, {least} to {most}"),
        _ => "integer".to_owned(),
    }
}
