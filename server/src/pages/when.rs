//! Times on pages.

use jiff::tz::TimeZone;

use crate::clock::timestamp;
use crate::store::Micros;

/// A time for machines and for people.
pub(crate) struct When {
    /// RFC 3339.
    pub machine: String,
    /// In words, UTC.
    pub text: String,
}

impl When {
    pub(crate) fn new(at: Micros) -> Self {
        let at = timestamp(at);
        let text = at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y, %H:%M UTC").to_string();
        Self { machine: format!("{at:.0}"), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        let when = When::new(1_748_123_456_789_000);
        assert_eq!(when.machine, "2025-05-24T21:50:56Z");
        assert_eq!(when.text, "24 May 2025, 21:50 UTC");
    }
}
