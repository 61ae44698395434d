//! Takes a property or an element out of a text of JSON, with its comma and its line, and nothing else: every comment
//! around it stays.

use std::ops::Range;

use jsonc_parser::ast::{ObjectProp, ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, parse_to_ast};

use super::OPTIONS;

/// The text without what stands at a path, or without an element of the list there.
pub(super) fn remove(text: &str, path: &[String], element: Option<usize>) -> Option<String> {
    let collect = CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
    let parsed = parse_to_ast(text, &collect, &OPTIONS).ok()?;
    let range = place(parsed.value.as_ref()?, path, element)?;
    let comma = comma(&parsed.tokens?, &range);
    let mut gone: Vec<_> = std::iter::once(range).chain(comma).collect();
    gone.sort_by_key(|range| range.start);
    let mut new = text.to_owned();
    for range in gone.iter().rev() {
        new.replace_range(range.clone(), "");
    }
    // A comma that went before it moves its place.
    let shift = usize::from(gone.len() == 2 && text[gone[0].clone()].starts_with(','));
    let at = gone[shift].start - shift;
    Some(without_blank(&new, at))
}

fn place(value: &Value, path: &[String], element: Option<usize>) -> Option<Range<usize>> {
    if let Some(element) = element {
        let element = value_at(value, path)?.as_array()?.elements.get(element)?;
        return Some(element.start()..element.end());
    }
    let (key, above) = path.split_last()?;
    let property = property(value_at(value, above)?, key)?;
    Some(property.start()..property.end())
}

/// What stands at a path.
pub(super) fn value_at<'a, 'b>(value: &'b Value<'a>, path: &[String]) -> Option<&'b Value<'a>> {
    path.iter().try_fold(value, |value, key| Some(&property(value, key)?.value))
}

/// Of two equal keys the last one counts.
fn property<'a, 'b>(value: &'b Value<'a>, key: &str) -> Option<&'b ObjectProp<'a>> {
    let name = |name: &ObjectPropName| match name {
        ObjectPropName::String(text) => text.value == key,
        ObjectPropName::Word(_) => false,
    };
    value.as_object()?.properties.iter().rev().find(|found| name(&found.name))
}

/// The comma that goes along: the one behind it, or, when it is the last and has none, the one before.
fn comma(tokens: &[TokenAndRange], range: &Range<usize>) -> Option<Range<usize>> {
    let speaks = |token: &&TokenAndRange| {
        !matches!(token.token, Token::CommentLine(_) | Token::CommentBlock(_))
    };
    let after = tokens.iter().filter(speaks).find(|token| token.start() >= range.end);
    let before = tokens.iter().rev().filter(speaks).find(|token| token.end() <= range.start);
    [after, before]
        .into_iter()
        .flatten()
        .find(|token| token.token == Token::Comma)
        .map(|token| token.start()..token.end())
}

/// Without the blank that was around something on its line, or without the line when there is nothing else on it.
fn without_blank(text: &str, at: usize) -> String {
    let blank = |c: char| c == ' ' || c == '\t';
    if let (Some(open), Some(close)) =
        (text[..at].trim_end().strip_suffix(['{', '[']), text[at..].trim_start().get(..1))
        && ["}", "]"].contains(&close)
    {
        // Nothing else was in it, and an empty one stands on one line.
        return format!("{}{}", &text[..=open.len()], text[at..].trim_start());
    }
    let before = text[..at].trim_end_matches(blank);
    let after = text[at..].trim_start_matches(blank);
    match (before.is_empty() || before.ends_with('\n'), after.strip_prefix('\n')) {
        (true, Some(after)) => format!("{before}{after}"),
        // Something else is on the line: as much blank as before it.
        (true, None) => text.to_owned(),
        (false, Some(_)) => format!("{before}{after}"),
        (false, None) => format!("{before}{}", &text[at..]),
    }
}
