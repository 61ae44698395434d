//! Reads a tool's arguments. What is wrong is told to the model in words by which it can mend its call.

use serde_json::{Map, Number, Value};

use crate::MessageId;

/// The arguments of one call; each is taken out once.
pub(super) struct Arguments {
    tool: &'static str,
    left: Map<String, Value>,
    asked: Vec<&'static str>,
}

/// What is wrong with an argument, and how to mend it.
pub(super) type Wrong = String;

impl Arguments {
    pub(super) fn new(tool: &'static str, arguments: Option<Map<String, Value>>) -> Self {
        Self { tool, left: arguments.unwrap_or_default(), asked: Vec::new() }
    }

    /// A value that is given; one that is null counts as left out.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, &other, "must be a string")),
        }
    }

    /// A text that must be there.
    pub(super) fn needed_text(&mut self, name: &'static str) -> Result<String, Wrong> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// The id of a message; one in quotes is taken as well, since models like to put it so.
    pub(super) fn needed_id(&mut self, name: &'static str) -> Result<MessageId, Wrong> {
        let rule = "must be the id of a message, a whole number as meshwire_get_messages shows it";
        let value = self.take(name).ok_or_else(|| self.missing(name))?;
        let id = match &value {
            Value::Number(number) => whole(number),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        id.and_then(MessageId::new).ok_or_else(|| self.wrong(name, &value, rule))
    }

    /// A whole number of a range.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Wrong> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::Number(number) => whole(number).and_then(|number| number.try_into().ok()),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Ok(Some(number));
        }
        let rule = format!("must be a whole number from {} to {}", range.start(), range.end());
        Err(self.wrong(name, &value, &rule))
    }

    /// A JSON object.
    pub(super) fn object(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Map<String, Value>>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(self.wrong(name, &other, "must be a JSON object")),
        }
    }

    /// Refuses what nobody asked for, so that a typo never passes silently.
    pub(super) fn end(self) -> Result<(), Wrong> {
        let Some((name, _)) = self.left.iter().next() else { return Ok(()) };
        let known = match self.asked.as_slice() {
            [] => "it takes none".to_owned(),
            names => format!("it takes {}", names.join(", ")),
        };
        Err(format!("{} has no argument {}: {known}.", self.tool, quoted(name)))
    }

    fn missing(&self, name: &str) -> Wrong {
        format!("{} needs the argument `{name}`.", self.tool)
    }

    fn wrong(&self, name: &str, value: &Value, rule: &str) -> Wrong {
        format!("{}: `{name}` is {}, but it {rule}.", self.tool, quoted(&value.to_string()))
    }
}

/// A whole number, also one that is written as `1.0`: JSON Schema calls that an integer too.
fn whole(number: &Number) -> Option<i64> {
    // Beyond this, not every whole number has a place among the floating ones.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let floating = || number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() < LARGEST);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
    number.as_i64().or_else(|| floating().map(|it| it as i64))
}

/// A value, shortened and clean.
fn quoted(value: &str) -> String {
    const SHOWN: usize = 60;
    let clean = crate::clean::clean_line(value);
    let mut shown: String = clean.chars().take(SHOWN).collect();
    if shown.len() < clean.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(value: Value) -> Arguments {
        let Value::Object(map) = value else { panic!("an object") };
        Arguments::new("meshwire_x", Some(map))
    }

    #[test]
    fn good_values_are_read_and_null_is_left_out() {
        let mut arguments = given(json!({"a": "x", "b": 7, "c": "8", "d": {"e": 1}, "f": null}));
        assert_eq!(arguments.needed_text("a").unwrap(), "x");
        assert_eq!(arguments.needed_id("b").unwrap().get(), 7);
        assert_eq!(arguments.needed_id("c").unwrap().get(), 8);
        assert_eq!(arguments.object("d").unwrap().unwrap()["e"], 1);
        assert_eq!(arguments.text("f").unwrap(), None);
        assert_eq!(arguments.number("g", 0..=5).unwrap(), None);
        let mut floating = given(json!({"n": 5.0, "id": 1_748_123_456_789_000.0}));
        assert_eq!(floating.number("n", 0..=5).unwrap(), Some(5));
        assert_eq!(floating.needed_id("id").unwrap().get(), 1_748_123_456_789_000);
        arguments.end().unwrap();
    }

    #[test]
    fn a_slip_is_told_with_its_value_and_the_rule() {
        let wrong = given(json!({"n": 51})).number("n", 0..=50).unwrap_err();
        assert_eq!(wrong, "meshwire_x: `n` is 51, but it must be a whole number from 0 to 50.");
        for value in [
            json!(1.5),
            json!(-1),
            json!("x"),
            json!([]),
            json!(9_007_199_254_740_992_i64),
            json!(1e300),
        ] {
            assert!(given(json!({"id": value})).needed_id("id").is_err(), "{value}");
        }
        let wrong = given(json!({})).needed_text("content").unwrap_err();
        assert!(wrong.contains("needs the argument `content`"), "{wrong}");
        let wrong = given(json!({"t": ["x".repeat(500)]})).text("t").unwrap_err();
        assert!(wrong.len() < 200 && wrong.contains("must be a string"), "{wrong}");
        let mut arguments = given(json!({"contents": "x"}));
        assert!(arguments.text("content").unwrap().is_none());
        let wrong = arguments.end().unwrap_err();
        assert_eq!(wrong, "meshwire_x has no argument contents: it takes content.");
    }
}
