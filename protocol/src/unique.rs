//! JSON in which no object names a key twice. Of those that do, RFC 8259 section 4 says that what a reader makes of
//! them is unpredictable; keeping one of the two in silence would lose what was sent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads an object that may be absent.
///
/// # Errors
/// When it is no object, or when a key stands twice in it or in anything within it.
pub(crate) fn object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Map<String, Value>>, D::Error> {
    Ok(Option::<Object>::deserialize(deserializer)?.map(|Object(object)| object))
}

struct Object(Map<String, Value>);

struct Any(Value);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Any(value))) = entries.next_entry::<String, Any>()? {
            if object.contains_key(&key) {
                // In the words that serde has for the fields of a struct.
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
            object.insert(key, value);
        }
        Ok(object)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Any(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        ObjectVisitor.visit_map(entries).map(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use crate::SendMessage;

    fn metadata(json: &str) -> Result<String, String> {
        let body = format!(r#"{{"content":"x","metadata":{json}}}"#);
        let read: Result<SendMessage, _> = serde_json::from_str(&body);
        read.map(|send| serde_json::to_string(&send.metadata).expect("JSON"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_well_formed_is_read_as_it_is() {
        let all =
            r#"{"a":[null,true,-1,18446744073709551615,1.5,"x",{"a":{"a":1},"b":{"a":1}}],"b":""}"#;
        assert_eq!(metadata(all).as_deref(), Ok(all));
        assert_eq!(metadata("{}").as_deref(), Ok("{}"));
        assert_eq!(metadata("null").as_deref(), Ok("null"));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        for twice in [r#"{"k":1,"k":2}"#, r#"{"a":[{"k":1,"k":1}]}"#, r#"{"a":{"k":1,"\u006b":2}}"#]
        {
            let error = metadata(twice).expect_err(twice);
            assert!(error.starts_with("duplicate field `k`"), "{error}");
        }
        for other in ["[]", "1", "\"x\"", "{"] {
            metadata(other).expect_err(other);
        }
    }
}
