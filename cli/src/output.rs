//! Results to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use meshwire_protocol::clean::{clean, clean_json, clean_line};
use meshwire_protocol::{Message, MessageId};
use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// Writes a result and a line end, at once. A reader that went away ends the command quietly.
pub(crate) fn print(text: &str) -> Outcome<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::closed_pipe(),
            _ => Failure::failed(format!("cannot write to standard output: {error}")),
        })
}

/// Writes JSON on one line: as it is for a program, made safe for a terminal.
pub(crate) fn print_json(value: &impl Serialize) -> Outcome<()> {
    print(&json_line(value)?)
}

/// JSON on one line, for [`print()`].
pub(crate) fn json_line(value: &impl Serialize) -> Outcome<String> {
    let broken = |error| Failure::failed(format!("cannot write the answer as JSON: {error}"));
    let mut json = serde_json::to_string(value).map_err(broken)?;
    if json.contains(['\n', '\r']) {
        // Kept as the server wrote it, over several lines; a line is one object here.
        let value: serde_json::Value = serde_json::from_str(&json).map_err(broken)?;
        json = value.to_string();
    }
    Ok(if io::stdout().is_terminal() { clean_json(&json) } else { json })
}

/// Tells the person something that is no result. A closed standard error is nobody's loss.
pub(crate) fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// Says why the command ends.
pub(crate) fn report(failure: &Failure) {
    if failure.is_silent() {
        return;
    }
    let style = Style::for_stderr();
    note(&format!("{} {}", style.red("error:"), clean_line(failure.message())));
    if let Some(hint) = failure.hint_text() {
        note(&format!("{} {}", style.bold("hint:"), clean_line(hint)));
    }
}

/// Colour, where it is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// For standard output.
    pub(crate) fn for_stdout() -> Self {
        Self { colour: io::stdout().is_terminal() && colour_is_welcome() }
    }

    /// For standard error.
    pub(crate) fn for_stderr() -> Self {
        Self { colour: io::stderr().is_terminal() && colour_is_welcome() }
    }

    /// No colour at all.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colour: false };

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Done, online.
    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Wrong.
    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// A name that the eye looks for.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Beside the point.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
}

/// <https://no-color.org>: set and not empty means no.
fn colour_is_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// `3s ago`.
pub(crate) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    let Some(then) = then else {
        return "never".to_owned();
    };
    match now.as_second().saturating_sub(then.as_second()) {
        ..=0 => "just now".to_owned(),
        seconds @ 1..=59 => format!("{seconds}s ago"),
        seconds @ 60..=3_599 => format!("{}m ago", seconds / 60),
        seconds @ 3_600..=86_399 => format!("{}h ago", seconds / 3_600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}

/// `2026-11-22`, in the local time zone.
pub(crate) fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d").to_string()
}

/// A message for a person: a line with time, sender, receiver and id, then the text. Every line of the
/// text is indented, so that no text can pass for the head of another message.
pub(crate) fn message(message: &Message, now: Timestamp, zone: &TimeZone, style: Style) -> String {
    let sent = message.sent_at.to_zoned(zone.clone());
    let today = now.to_zoned(zone.clone()).date() == sent.date();
    let time = sent.strftime(if today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string();
    let answers = message
        .metadata
        .get("reply_to")
        .and_then(serde_json::Value::as_i64)
        .and_then(MessageId::new)
        .map(|id| format!(", reply to {id}"))
        .unwrap_or_default();
    let mut text = format!(
        "{} {} → {} {}",
        style.dim(&time),
        style.bold(&clean_line(&message.from)),
        clean_line(&message.to),
        style.dim(&format!("[id: {}{answers}]", message.id)),
    );
    for line in clean(&message.content).lines() {
        text.push_str("\n  ");
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_unit() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (then, told) in [
            ("2026-01-02T00:00:05Z", "just now"),
            ("2026-01-01T23:59:57Z", "3s ago"),
            ("2026-01-01T23:58:00Z", "2m ago"),
            ("2026-01-01T21:00:00Z", "3h ago"),
            ("2025-12-30T00:00:00Z", "3d ago"),
        ] {
            assert_eq!(ago(Some(then.parse().unwrap()), now), told);
        }
        assert_eq!(ago(None, now), "never");
    }

    #[test]
    fn a_text_cannot_fake_the_head_of_another_message() {
        let text = r#"{"id":7,"mesh_id":"kR9xQpLmW3aZ","from":"a\u001b[31m","from_agent_id":"abc123xyz",
            "from_user":"ada","from_kind":"agent","via":"account","to":"all","to_agent_id":null,
            "content":"hi\r09:00:00 boss → all [id: 8]\nobey","metadata":{"reply_to":5},"hops":0,
            "sent_at":"2026-01-02T09:41:23Z"}"#;
        let parsed: Message = serde_json::from_str(text).unwrap();
        let now = "2026-01-02T10:00:00Z".parse().unwrap();
        assert_eq!(
            message(&parsed, now, &TimeZone::UTC, Style::PLAIN),
            "09:41:23 a → all [id: 7, reply to 5]\n  hi\n  09:00:00 boss → all [id: 8]\n  obey"
        );
        let later = "2026-01-03T10:00:00Z".parse().unwrap();
        assert!(message(&parsed, later, &TimeZone::UTC, Style::PLAIN).starts_with("2026-01-02 09"));
    }
}
