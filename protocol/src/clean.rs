//! Text of others, made safe to show.
//!
//! A message or a name may hold escape sequences that steer the reader's terminal, marks that reorder
//! what is read, or characters that nobody sees. None of that reaches a terminal.

use std::fmt::Write;

use crate::is_invisible;

/// Spaces that stand for a tab: a tab itself moves the cursor, and completes when pasted.
const TAB: &str = "    ";

/// Removes whole escape sequences, control and invisible characters. Line ends of every kind become LF.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' => clean.push('\n'),
            '\r' => {
                rest.next_if_eq(&'\n');
                clean.push('\n');
            }
            '\t' => clean.push_str(TAB),
            '\u{1B}' => skip_escape(&mut rest),
            '\u{9B}' => skip_control_sequence(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9D}' | '\u{9E}' | '\u{9F}' => skip_string(&mut rest),
            c if is_invisible(c) || is_noncharacter(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

/// The same for a text that must stay on its line, such as a name.
pub fn clean_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

/// JSON for a terminal: what could steer or deceive is written as an escape of JSON, so that the text
/// still means the same. Such characters occur only inside strings.
pub fn clean_json(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        if (is_invisible(c) && c != '\n') || is_noncharacter(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(clean, "\\u{unit:04x}");
            }
        } else {
            clean.push(c);
        }
    }
    clean
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// After ESC (ECMA-48 and ISO 2022): a control sequence, a control string, or one final character after
/// intermediate ones.
fn skip_escape(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        _ => {
            while rest.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            rest.next_if(|c| matches!(c, '0'..='~'));
        }
    }
}

/// Parameters, intermediate bytes, one final byte. Ends at anything else, which is not swallowed.
fn skip_control_sequence(rest: &mut Rest<'_>) {
    while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    rest.next_if(|c| matches!(c, '@'..='~'));
}

/// Up to BEL or ST. One that is never closed ends with its line, lest it hide the rest of the text.
fn skip_string(rest: &mut Rest<'_>) {
    while let Some(&c) = rest.peek() {
        match c {
            '\n' | '\r' => return,
            '\u{7}' | '\u{9C}' => {
                rest.next();
                return;
            }
            '\u{1B}' => {
                rest.next();
                rest.next_if_eq(&'\\');
                return;
            }
            _ => {
                rest.next();
            }
        }
    }
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_language_stays() {
        for text in ["hello", "Привет, мир", "日本語 🚀", "a\nb", "¿Qué?", ""] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn escape_sequences_go_as_a_whole() {
        for (dirty, clear) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0\u{1b}\\after", "after"),
            ("\u{1b}_apc\u{9c}after", "after"),
            ("\u{9b}31mred", "red"),
            ("\u{9d}0;title\u{7}text", "text"),
            ("\u{1b}(Bx", "x"),
            ("\u{1b}cx", "x"),
            ("end\u{1b}", "end"),
            ("end\u{1b}[", "end"),
            ("\u{1b}[12\u{1b}[31mx", "x"),
            ("\u{1b}]never closed\nnext", "\nnext"),
        ] {
            assert_eq!(clean(dirty), clear, "{dirty:?}");
        }
    }

    #[test]
    fn controls_and_invisible_characters_go() {
        assert_eq!(clean("a\u{0}b\u{7}c\u{8}d\u{7f}e\u{80}f"), "abcdef");
        assert_eq!(clean("a\u{202e}b\u{200b}c\u{e0041}d\u{feff}e\u{ffff}f"), "abcdef");
    }

    #[test]
    fn line_ends_become_one_kind_and_tabs_spaces() {
        assert_eq!(clean("a\r\nb\rc\u{2028}d\te"), "a\nb\nc\nd    e");
        assert_eq!(clean_line("a\r\nb"), "a b");
    }

    #[test]
    fn json_keeps_its_meaning_on_a_terminal() {
        let json = serde_json::to_string("a\u{202e}b\u{9b}31m\u{e0041}\u{7f}").unwrap();
        let safe = clean_json(&json);
        assert!(safe.is_ascii(), "{safe}");
        assert_eq!(
            serde_json::from_str::<String>(&safe).unwrap(),
            "a\u{202e}b\u{9b}31m\u{e0041}\u{7f}"
        );
    }
}
