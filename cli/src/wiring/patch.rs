//! Texts line by line: what did not change keeps its line ends, and what did can be taken back.

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// `text` with `\n` at the end of each line.
pub(super) fn plain_ends(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// `new`, whose lines end with `\n`, in the style of `old`: lines of the old text as they were, byte for byte,
/// new ones with the line end that most of them have.
pub(super) fn keep_ends(old: &str, new: &str) -> String {
    let crlf = old.matches("\r\n").count();
    if crlf == 0 {
        return new.to_owned();
    }
    let end = if crlf * 2 >= old.matches('\n').count() { "\r\n" } else { "\n" };
    let plain = plain_ends(old);
    let (kept, before, after) = (lines(old), lines(&plain), lines(new));
    let mut text = String::with_capacity(new.len() + after.len());
    for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
        if let DiffOp::Equal { old_index, len, .. } = op {
            text.extend(kept[old_index..old_index + len].iter().copied());
        } else {
            for line in &after[op.new_range()] {
                match line.strip_suffix('\n') {
                    Some(line) => text.extend([line, end]),
                    None => text.push_str(line),
                }
            }
        }
    }
    text
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// How to come back from a text to the one before it, without most of either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WayBack(Vec<Splice>);

/// Bytes of the new text that are to be exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Splice {
    at: usize,
    len: usize,
    old: String,
    /// What stands there now, by which it is found when somebody has changed the text elsewhere.
    #[serde(default)]
    new: String,
}

impl WayBack {
    /// From `new` to `old`.
    pub(super) fn between(old: &str, new: &str) -> Self {
        let (before, after) = (lines(old), lines(new));
        let mut splices = Vec::new();
        let mut at = 0;
        for op in capture_diff_slices(Algorithm::Myers, &before, &after) {
            let was = before[op.old_range()].concat();
            let is = after[op.new_range()].concat();
            if !matches!(op, DiffOp::Equal { .. }) {
                // Of a line that got a comma, the comma is enough.
                let head = common(was.char_indices(), is.chars());
                let (was, is) = (&was[head..], &is[head..]);
                let tail = common_tail(was, is);
                splices.push(Splice {
                    at: at + head,
                    len: is.len() - tail,
                    old: was[..was.len() - tail].to_owned(),
                    new: is[..is.len() - tail].to_owned(),
                });
            }
            at += is.len();
        }
        Self(splices)
    }

    /// The old text; nothing when `new` is not the text that this was made for.
    pub(super) fn apply(&self, new: &str) -> Option<String> {
        let mut text = String::with_capacity(new.len());
        let mut from = 0;
        for Splice { at, len, old, .. } in &self.0 {
            text.push_str(new.get(from..*at)?);
            text.push_str(old);
            from = at + len;
        }
        text.push_str(new.get(from..)?);
        Some(text)
    }
}

impl WayBack {
    /// The same for a text that somebody has changed since: the text before ours with their changes, when each of our
    /// own still stands in it, once and as it was.
    pub(super) fn apply_around(&self, text: &str) -> Option<String> {
        let mut result = String::with_capacity(text.len());
        let mut from = 0;
        for Splice { old, new, .. } in &self.0 {
            let mut found = text.match_indices(new.as_str()).filter(|_| !new.is_empty());
            let ((at, _), None) = (found.next()?, found.next()) else { return None };
            result.push_str(text.get(from..at)?);
            result.push_str(old);
            from = at + new.len();
        }
        result.push_str(text.get(from..)?);
        Some(result)
    }
}

fn common<'a>(was: impl Iterator<Item = (usize, char)> + 'a, is: std::str::Chars<'a>) -> usize {
    was.zip(is).take_while(|((_, a), b)| a == b).last().map_or(0, |((at, c), _)| at + c.len_utf8())
}

fn common_tail(was: &str, is: &str) -> usize {
    let pairs = was.chars().rev().zip(is.chars().rev());
    pairs.take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_lines_get_a_new_end() {
        assert_eq!(keep_ends("a\r\nb\n\r\nc\r\n", "a\nx\nb\n\nc\ny"), "a\r\nx\r\nb\n\r\nc\r\ny");
        assert_eq!(keep_ends("a\nb\n", "a\nb\nc\n"), "a\nb\nc\n");
        assert_eq!(keep_ends("", "a\n"), "a\n");
    }

    #[test]
    fn the_way_back_holds_only_what_changed() {
        let (old, new) = ("{\n  \"ä\": \"secret\"\n}", "{\n  \"ä\": \"secret\",\n  \"ö\": 1\n}\n");
        let back = WayBack::between(old, new);
        assert_eq!(back.apply(new).as_deref(), Some(old));
        assert!(!format!("{back:?}").contains("secret"), "{back:?}");
        assert_eq!(back.apply("short"), None);
        let edited = new.replace("{\n", "{\n  \"x\": 1,\n");
        let expected = old.replace("{\n", "{\n  \"x\": 1,\n");
        assert_eq!(back.apply_around(&edited), Some(expected));
        assert_eq!(back.apply_around(&new.replace("ö", "o")), None);
        assert_eq!(back.apply_around(&new.repeat(2)), None);
        for (old, new) in [("", "x"), ("x", ""), ("a\nb\nc", "b\nc\na"), ("aé", "aè"), ("aa", "a")]
        {
            assert_eq!(WayBack::between(old, new).apply(new).as_deref(), Some(old));
        }
    }
}
