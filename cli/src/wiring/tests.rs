//! Whatever somebody wrote into a file of theirs: ours comes in, and goes out again.

use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value as Json;

use super::document::without_nothing;
use super::ledger::User;
use super::{Content, Edit, FileEdit, Format, Place, Value, try_out};

fn edits() -> Vec<Edit> {
    let server = Value::object([("command", "/m".into()), ("args", Value::texts(["mcp"]))]);
    vec![
        Edit::is(&["servers", "meshwire"], server),
        Edit::is(&["on"], true),
        Edit::default(&["version"], 1),
        Edit::has(&["hooks", "stop"], "meshwire hook", "meshwire hook"),
    ]
}

fn file(format: Format) -> FileEdit {
    let content = Content::Settings { format, edits: edits() };
    FileEdit { path: PathBuf::from("/f"), place: Place::Home, content }
}

fn user() -> User {
    User::new("/p".as_ref(), "claude")
}

/// A value with keys that meet ours.
fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[ -~äö]{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from), object(inner),]
    })
}

fn object(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let key = prop_oneof![
        Just("servers".to_owned()),
        Just("meshwire".to_owned()),
        Just("hooks".to_owned()),
        Just("stop".to_owned()),
        Just("on".to_owned()),
        "[a-z]{1,3}",
        "[ -~ä]{1,5}",
    ];
    prop::collection::vec((key, inner), 0..5)
        .prop_map(|keys| Json::Object(keys.into_iter().collect()))
}

/// Where somebody who writes by hand may put something: picks in turn, the same in every run.
struct Hand(Vec<u8>, usize);

impl Hand {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.1 += 1;
        let byte = self.0.get(self.1 % self.0.len().max(1)).copied().unwrap_or_default();
        from[(usize::from(byte) + self.1) % from.len()]
    }
}

/// JSON by hand, with comments and commas.
fn json(value: &Json, hand: &mut Hand) -> String {
    let blank = |hand: &mut Hand| {
        hand.pick(&["", " ", "\n", "\n  ", " /* c */ ", " // c\n", "\n\n\t", ""]).to_owned()
    };
    let (open, close, items): (_, _, Vec<String>) = match value {
        Json::Object(keys) => {
            let item = |(key, value): (&String, &Json)| {
                let (before, after) = (blank(hand), blank(hand));
                format!("{}{before}:{after}{}", Json::from(key.as_str()), json(value, hand))
            };
            ('{', '}', keys.iter().map(item).collect())
        }
        Json::Array(list) => ('[', ']', list.iter().map(|value| json(value, hand)).collect()),
        _ => return value.to_string(),
    };
    let mut text = open.to_string();
    for (at, item) in items.iter().enumerate() {
        text += &blank(hand);
        text += item;
        text += &blank(hand);
        if at + 1 < items.len() || hand.pick(&["", ",", ""]) == "," {
            text.push(',');
        }
    }
    text += &blank(hand);
    text.push(close);
    text
}

/// TOML by hand: tables with heads of their own, dotted or inline.
fn toml(keys: &serde_json::Map<String, Json>, above: &str, hand: &mut Hand) -> String {
    let mut text = String::new();
    let (mut plain, mut tables) = (Vec::new(), Vec::new());
    for (key, value) in keys {
        match value.as_object() {
            Some(table) if hand.pick(&["inline", "head", "head"]) == "head" => {
                tables.push((key, table));
            }
            _ => plain.push((key, value)),
        }
    }
    for (key, value) in plain {
        text += hand.pick(&["", "# c\n", "\n", "\t", "  "]);
        let _ = write!(text, "{} = {}", Json::from(key.as_str()), inline(value));
        text += hand.pick(&["\n", " # c\n", "\n\n"]);
    }
    for (key, table) in tables {
        let head = format!("{above}{}", Json::from(key.as_str()));
        text += hand.pick(&["", "\n", "# c\n", "\n  "]);
        let _ = write!(text, "[{head}]{}", hand.pick(&["\n", " # c\n"]));
        text += &toml(table, &format!("{head}."), hand);
    }
    text
}

fn inline(value: &Json) -> String {
    match value {
        Json::Object(keys) => {
            let item = |(key, value): (&String, &Json)| {
                format!("{} = {}", Json::from(key.as_str()), inline(value))
            };
            format!("{{ {} }}", keys.iter().map(item).collect::<Vec<_>>().join(", "))
        }
        Json::Array(list) => {
            format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}

/// YAML by hand: blocks, flows, and comments.
fn yaml(value: &Json, indent: usize, hand: &mut Hand) -> String {
    let blank = " ".repeat(indent);
    match value {
        Json::Object(keys)
            if !keys.is_empty() && hand.pick(&["block", "block", "flow"]) == "block" =>
        {
            let mut text = String::new();
            for (key, value) in keys {
                text += hand.pick(&["", "", "\n", "# c\n"]);
                let _ = write!(
                    text,
                    "{blank}{}:{}",
                    Json::from(key.as_str()),
                    below(value, indent, hand)
                );
            }
            text
        }
        Json::Array(list) if !list.is_empty() && hand.pick(&["block", "flow"]) == "block" => {
            let mut text = String::new();
            for value in list {
                text += hand.pick(&["", "", "# c\n"]);
                // On a line of its own: one way of several.
                let _ = write!(text, "{blank}-{}", below(value, indent, hand));
            }
            text
        }
        _ => format!("{blank}{value}{}", hand.pick(&["\n", " # c\n", "\n\n"])),
    }
}

fn below(value: &Json, indent: usize, hand: &mut Hand) -> String {
    let step = [2, 2, 4][hand.pick(&["a", "bb", "ccc"]).len() - 1];
    let text = yaml(value, indent + step, hand);
    let one_line =
        !value.is_object() && !value.is_array() || text.trim_start().starts_with(['{', '[']);
    if one_line {
        format!(" {}", text.trim_start())
    } else {
        format!("{}{text}", hand.pick(&["\n", " # c\n"]))
    }
}

/// What it should say with ours in it; nothing where ours has no place.
fn with_ours(old: &Json) -> Option<Json> {
    let old = without_nothing(old);
    let mut new = old.as_object()?.clone();
    let empty = || Json::Object(serde_json::Map::new());
    let servers = new.entry("servers").or_insert_with(empty).as_object_mut()?;
    let ours = servers.entry("meshwire").or_insert_with(empty).as_object_mut()?;
    ours.insert("command".into(), "/m".into());
    ours.insert("args".into(), Json::from(vec!["mcp"]));
    new.insert("on".into(), true.into());
    new.entry("version").or_insert(1.into());
    let hooks = new.entry("hooks").or_insert_with(empty).as_object_mut()?;
    let stop = hooks.entry("stop").or_insert_with(|| Json::Array(Vec::new())).as_array_mut()?;
    if !stop.contains(&"meshwire hook".into()) {
        stop.push("meshwire hook".into());
    }
    Some(Json::Object(new))
}

/// Whether a value with comments in it may have to go.
fn replaces(old: &Json) -> bool {
    let one =
        |path: &str| old.pointer(path).is_some_and(|value| value.is_object() || value.is_array());
    ["/on", "/servers/meshwire/command", "/servers/meshwire/args"].into_iter().any(one)
}

/// Tries it, and says whether it was done.
fn check(format: Format, text: &str, old: &Json) -> bool {
    let said = |text: &str| -> Json { serde_json::from_str(&format.said(text)).unwrap() };
    assert_eq!(said(text), *old, "{text}");
    let said = |text: &str| without_nothing(&said(text));
    match (try_out(&file(format), Some(text), &user()), with_ours(old)) {
        (Ok((new, [back, taken])), Some(expected)) => {
            assert_eq!(said(&new), expected, "{text}\n→\n{new}");
            assert_eq!(back, text);
            assert_eq!(said(&taken), without_nothing(old), "{text}\n→\n{new}\n→\n{taken}");
            let comments = |text: &str| text.matches(" c\n").count() + text.matches("/* c").count();
            if replaces(old) {
                return true;
            }
            assert!(comments(&new) >= comments(text), "{text}\n→\n{new}");
            assert!(comments(&taken) >= comments(text), "{text}\n→\n{taken}");
            true
        }
        (Err(_), _) => false,
        (Ok((new, _)), None) => panic!("{text}\n→\n{new}"),
    }
}

#[test]
fn yaml_in_all_its_styles() {
    for text in [
        "---\na: 1\n",
        "---\na: 1\n...\n",
        "text: |\n  servers:\n    - x\n\n  end\nb: >-\n  folded\n  text\n",
        "base: &base\n  x: 1\nservers:\n  one:\n    <<: *base\n    y: 2\n",
        "hooks:\n    start:\n    - a\n    stop:\n    - b   # mine\n# end\n",
        "servers: {one: {command: x}, two: {}}\nhooks: {stop: [a]}\n",
        "\"quoted key\": 'it''s'\n? complex\n: value\n",
        "# only a comment",
        "a: 1",
        "\n\n",
        "servers:\nhooks:\n",
        "servers:\n  # c\n  # one: x\nhooks:   # c\n  stop:\n# c\nb: 1\n",
        "servers: ~\nhooks: {stop: null}\n",
        "# c\n---\nmodel: x\n",
        "# c\n\n%YAML 1.1\n---\nmodel: x\n",
        "# c\n---\n# c\n",
        "b: !custom x\nc: !list [1, {d: !e f}]\n",
        "%TAG ! tag:x,2000:\n--- # c\na: !y 1\n",
    ] {
        let old: Json = serde_json::from_str(&Format::Yaml.said(text)).unwrap();
        assert_eq!(check(Format::Yaml, text, &old), with_ours(&old).is_some(), "{text}");
    }
}

#[test]
fn what_is_broken_is_told_by_line_and_column_and_stays() {
    for (format, text, at) in [
        (Format::Json, "{\n  \"a\": 1,\n  b\n}", "line 3 column 3"),
        (Format::Json, "{\"a\": ", "line 1 column"),
        (Format::Json, "[1]", "line 1 column 1"),
        (Format::Json, "{'a': 1}", "line 1 column 2"),
        (Format::Toml, "a = 1\nb = \n", "line 2 column"),
        (Format::Toml, "a = 1\na = 2\n", "line 2 column 1"),
        (Format::Yaml, "a:\n  - b\n c: d\n", "line 3 column"),
        (Format::Yaml, "a: 1\n---\nb: 2\n", "line"),
        (Format::Yaml, "- a\n", "line 1 column 1"),
    ] {
        let failure = try_out(&file(format), Some(text), &user()).unwrap_err();
        let told = failure.message();
        assert!(told.contains(at) && told.contains("/f") && told.contains(format.name()), "{told}");
        assert!(failure.hint_text().unwrap().contains("mend it"), "{failure:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        // The same in every run.
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_json_gets_ours_and_gets_rid_of_it(
        value in object(value()),
        hand in prop::collection::vec(any::<u8>(), 1..40),
        crlf in any::<bool>(),
    ) {
        let mut text = json(&value, &mut Hand(hand, 0));
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        let done = check(Format::Json, &text, &value);
        prop_assert_eq!(done, with_ours(&value).is_some(), "{}", text);
    }

    #[test]
    fn any_toml_gets_ours_and_gets_rid_of_it(
        value in object(value()),
        hand in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let text = toml(value.as_object().unwrap(), "", &mut Hand(hand, 0));
        let done = check(Format::Toml, &text, &value);
        prop_assert_eq!(done, with_ours(&value).is_some(), "{}", text);
    }

    #[test]
    fn any_yaml_gets_ours_and_gets_rid_of_it(
        value in object(value()),
        hand in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let text = yaml(&value, 0, &mut Hand(hand, 0));
        let done = check(Format::Yaml, &text, &value);
        prop_assert_eq!(done, with_ours(&value).is_some(), "{}", text);
    }

    #[test]
    fn no_text_is_too_strange(text in "[ -~\n\"{}:#\\[\\],ä]{0,40}") {
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            let _ = try_out(&file(format), Some(&text), &user());
        }
    }
}

/// Merges, changes the text as somebody else would, and undoes it.
fn undone(format: Format, old: &str, change: impl Fn(&str) -> String) -> String {
    let edit = file(format);
    let merged = super::merge::merge(&edit, Some(old), None, &user()).unwrap();
    let changed = change(&merged.text);
    assert_ne!(changed, merged.text);
    let again = super::merge::merge(&edit, Some(&changed), Some(&merged.record), &user()).unwrap();
    assert_eq!(again.text, changed);
    let undone = super::undo::undo(&edit.path, Some(&changed), &again.record, &user()).unwrap();
    assert!(undone.notes.is_empty() && undone.record.is_none(), "{undone:?}");
    match undone.fate {
        super::undo::Fate::Becomes(text) => text,
        fate => panic!("{fate:?}"),
    }
}

#[test]
fn what_somebody_else_changes_leaves_the_rest_as_it_was() {
    for (format, old, from, to) in [
        (
            Format::Json,
            "{\n  \"x\": 1,\n  \"servers\": {},\n  \"y\": {\"z\":1}\n}",
            "\"x\": 1",
            "\"x\": 2",
        ),
        (Format::Json, "{\n  \"x\": 1,\n  \"servers\": null\n}\n", "\"x\": 1", "\"x\": 2"),
        (Format::Json, "{\"x\":1,\"hooks\": {\"stop\":[\"a\"]},\"y\":{}}", "\"x\":1", "\"x\":2"),
        (Format::Json, "// x 1\n", "x 1", "x 2"),
        (Format::Toml, "x = 1\n\n[servers.a]\nb = 1 # c\n", "x = 1", "x = 2"),
        (Format::Yaml, "x: 1\nservers: {}\n", "x: 1", "x: 2"),
        (Format::Yaml, "# x 1\n---\nmodel: y\n", "x 1", "x 2"),
        (Format::Yaml, "a: 1\nservers:\n  # c\n", "a: 1", "a: 2"),
    ] {
        let text = undone(format, old, |text| text.replacen(from, to, 1));
        assert_eq!(text, old.replacen(from, to, 1));
    }
    // A comment above, after the fact.
    let text = undone(Format::Yaml, "---\na: 1\n", |text| format!("# mine\n{text}"));
    assert_eq!(text, "# mine\n---\na: 1\n");
}

#[test]
fn an_object_on_one_line_stays_on_it() {
    let old = "{\"x\":1,\"servers\":{\"a\":{}}, \"y\": [ ] }";
    let (new, [back, taken]) = try_out(&file(Format::Json), Some(old), &user()).unwrap();
    assert_eq!(new.lines().count(), 1, "{new}");
    assert!(
        new.contains("\"a\":{}, \"meshwire\": {\"command\": \"/m\", \"args\": [\"mcp\"]}"),
        "{new}"
    );
    assert_eq!((back.as_str(), taken.as_str()), (old, old));
}
