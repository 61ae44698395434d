//! Reads what a client of MCP has written, for every way by which it comes. What cannot be read is told in
//! words: a client that gets no answer waits for one.

use std::borrow::Cow;

use rmcp::model::{ClientJsonRpcMessage, ErrorData, RequestId};
use serde_json::{Value, json};

/// A message of a client.
#[derive(Debug)]
pub struct Incoming {
    /// The message.
    pub message: ClientJsonRpcMessage,
    /// As JSON, with what [`read_message`] has mended.
    pub json: String,
}

/// A message that cannot be taken.
#[derive(Debug)]
pub struct Unreadable {
    /// The id of the call, if it has one.
    pub id: Option<RequestId>,
    /// What is wrong, and how to mend it.
    pub error: ErrorData,
    /// Whether an answer is due. None is to a notification, nor to an answer.
    pub is_answered: bool,
}

impl Unreadable {
    /// The answer of JSON-RPC.
    pub fn answer(&self) -> Value {
        json!({"jsonrpc": "2.0", "id": self.id, "error": self.error})
    }

    /// A message of which nothing is known.
    pub fn unknown(error: ErrorData) -> Self {
        Self { id: None, error, is_answered: true }
    }
}

/// Reads one message. Half of a character, which models write when they cut a text, becomes U+FFFD.
pub fn read_message(bytes: &[u8]) -> Result<Incoming, Unreadable> {
    let not_json = |why: String| {
        let message = format!("this is not JSON in UTF-8 ({why}): send one JSON-RPC message");
        Unreadable::unknown(ErrorData::parse_error(message, None))
    };
    let text = str::from_utf8(bytes).map_err(|error| not_json(error.to_string()))?;
    let text = whole_characters(text.trim_start_matches('\u{feff}'));
    let value: Value = serde_json::from_str(&text).map_err(|error| not_json(error.to_string()))?;
    if value.is_array() {
        let message = "several messages at once are not taken: send one at a time";
        return Err(Unreadable::unknown(ErrorData::invalid_request(message, None)));
    }
    if let Some(wrong) = wrong_call(&value) {
        return Err(unreadable(&value, ErrorData::invalid_params(wrong, None)));
    }
    if let Ok(message) = serde_json::from_value(value.clone()) {
        return Ok(Incoming { message, json: text.into_owned() });
    }
    let message = "this is no message of JSON-RPC: it needs \"jsonrpc\": \"2.0\", a \"method\", and an \"id\" (a \
                   string or a whole number) to be answered";
    Err(unreadable(&value, ErrorData::invalid_request(message, None)))
}

fn unreadable(value: &Value, error: ErrorData) -> Unreadable {
    let id = value.get("id").cloned();
    let is_notification = id.is_none() && value.get("method").is_some_and(Value::is_string);
    let is_answer = value.get("result").is_some() || value.get("error").is_some();
    let id = id.and_then(|id| serde_json::from_value(id).ok());
    Unreadable { id, error, is_answered: !is_notification && !is_answer }
}

/// What is wrong with the form of a call of a tool: the MCP library would only say that it knows no such method.
fn wrong_call(message: &Value) -> Option<String> {
    if message.get("method").and_then(Value::as_str) != Some("tools/call") {
        return None;
    }
    let example = "{\"name\": \"meshwire_status\", \"arguments\": {}}";
    let Some(params) = message.get("params").and_then(Value::as_object) else {
        return Some(format!("tools/call needs `params`, a JSON object such as {example}"));
    };
    if !params.get("name").is_some_and(Value::is_string) {
        return Some(format!("tools/call needs `name`, the name of a tool, as in {example}"));
    }
    match params.get("arguments") {
        None | Some(Value::Null | Value::Object(_)) => None,
        Some(_) => Some(format!("`arguments` must be a JSON object, as in {example}")),
    }
}

/// The text with each escape of half a character (a surrogate without the other one) as U+FFFD.
fn whole_characters(text: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        at += match escape(text, at) {
            Some(0xD800..=0xDBFF) if matches!(escape(text, at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(&text[copied..at]);
                mended.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // The character behind may be a long one.
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    mended.push_str(&text[copied..]);
    Cow::Owned(mended)
}

/// The code unit of an escape such as `\u00e9`, if one stands here.
fn escape(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    // `from_str_radix` takes a sign too.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Unreadable {
        read_message(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn half_a_character_becomes_a_sign_for_it_and_the_rest_stays() {
        for (text, mended) in [
            (r#""cut \ud83d""#, r#""cut \ufffd""#),
            (r#""\ud83d\ud83d\ude80 \ude80""#, r#""\ufffd\ud83d\ude80 \ufffd""#),
            (r#""\\ud83d é\é \n \u00e9""#, r#""\\ud83d é\é \n \u00e9""#),
            (r#""\ud83""#, r#""\ud83""#),
            (r#""\u+83d \ud83d\u+e80""#, r#""\u+83d \ufffd\u+e80""#),
            ("\\", "\\"),
        ] {
            assert_eq!(whole_characters(text), mended, "{text}");
        }
        let call = r#"{"jsonrpc":"2.0","id":91,"method":"tools/call","params":{"name":"x","arguments":{"content":"cut \ud83d"}}}"#;
        let read = read_message(call.as_bytes()).expect("a call");
        assert!(matches!(read.message, ClientJsonRpcMessage::Request(_)));
        assert!(read.json.contains("cut \\ufffd"), "{}", read.json);
    }

    #[test]
    fn what_is_no_message_is_told_with_the_id_where_there_is_one() {
        let deep = "[".repeat(100_000);
        for text in ["", "garbage", "{", "{\"id\":1", &deep] {
            let told = refused(text);
            assert_eq!((told.error.code.0, told.is_answered), (-32700, true));
            assert_eq!(told.answer()["id"], Value::Null);
        }
        assert_eq!(read_message(b"{\"a\":\"\xff\"}").expect_err("no UTF-8").error.code.0, -32700);
        for (text, id) in [
            ("[]", json!(null)),
            ("{}", json!(null)),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, json!(null)),
            (r#"{"jsonrpc":"2.0","id":7}"#, json!(7)),
            (r#"{"jsonrpc":"2.0","id":"a","method":5}"#, json!("a")),
        ] {
            let told = refused(text);
            assert_eq!((told.error.code.0, told.is_answered), (-32600, true), "{text}");
            assert_eq!(told.answer()["id"], id, "{text}");
        }
        // Nobody waits for an answer to these.
        for text in
            [r#"{"method":"notifications/cancelled","params":5}"#, r#"{"id":5,"error":"what?"}"#]
        {
            assert!(!refused(text).is_answered, "{text}");
        }
    }

    #[test]
    fn a_call_of_a_wrong_form_is_told_how_to_mend_it() {
        for (params, told) in [
            (json!({"name": "meshwire_status", "arguments": []}), "`arguments` must be"),
            (json!({"name": "meshwire_status", "arguments": "x"}), "`arguments` must be"),
            (json!({"name": 5}), "needs `name`"),
            (json!({}), "needs `name`"),
            (json!([]), "needs `params`"),
            (json!(null), "needs `params`"),
        ] {
            let call = json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": params});
            let wrong = refused(&call.to_string());
            assert_eq!(wrong.answer()["id"], 4);
            assert_eq!(wrong.error.code.0, -32602);
            assert!(wrong.error.message.contains(told), "{params}: {}", wrong.error.message);
        }
        let call = json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "x", "arguments": null}});
        assert!(read_message(call.to_string().as_bytes()).is_ok());
    }
}
