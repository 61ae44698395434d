//! Times on pages.

use jiff::tz::TimeZone;

use crate::clock::timestamp;
use crate::store::Micros;

/// A time for machines and for people.
#[derive(Debug, Clone)]
pub(crate) struct When {
    /// RFC 3339.
    pub machine: String,
    /// To the minute, UTC.
    pub exact: String,
    /// How long ago, or how long from now. A script keeps it true.
    pub text: String,
}

/// Spans with names, the longest first, in seconds.
const SPANS: [(&str, i64); 6] = [
    ("year", 365 * 86_400),
    ("month", 30 * 86_400),
    ("week", 7 * 86_400),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
];

impl When {
    /// A time as it is seen at `now`.
    pub(crate) fn new(at: Micros, now: Micros) -> Self {
        let text = relative(at.saturating_sub(now) / 1_000_000);
        let at = timestamp(at);
        let exact = at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y, %H:%M UTC").to_string();
        Self { machine: format!("{at:.0}"), exact, text }
    }
}

/// A distance from now in words, as `page.js` says it too.
fn relative(seconds: i64) -> String {
    let span = SPANS.into_iter().find(|(_, span)| seconds.abs() >= *span);
    let Some((name, span)) = span else {
        return if seconds > 0 { "in a moment" } else { "just now" }.to_owned();
    };
    // What is over has lasted at least so long; what is to come is so far away as near as can be said.
    let count = (seconds.abs() + if seconds > 0 { span / 2 } else { 0 }) / span;
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 {
        format!("in {count} {name}{plural}")
    } else {
        format!("{count} {name}{plural} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_and_by_their_distance() {
        let at = 1_748_123_456_789_000;
        let when = When::new(at, at + 3 * 86_400_000_000);
        assert_eq!(when.machine, "2025-05-24T21:50:56Z");
        assert_eq!(when.exact, "24 May 2025, 21:50 UTC");
        assert_eq!(when.text, "3 days ago");
    }

    #[test]
    fn distances_are_said_in_the_longest_span_that_they_fill() {
        for (seconds, text) in [
            (0, "just now"),
            (-59, "just now"),
            (59, "in a moment"),
            (-60, "1 minute ago"),
            (-3_599, "59 minutes ago"),
            (7_200, "in 2 hours"),
            (-86_400, "1 day ago"),
            (7 * 86_400 - 1, "in 7 days"),
            (90 * 86_400 - 1, "in 3 months"),
            (-400 * 86_400, "1 year ago"),
        ] {
            assert_eq!(relative(seconds), text);
        }
    }
}
