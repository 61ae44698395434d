//! How far it has come, for whoever waits for it.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// Says on standard error how many records are done, from time to time.
pub(super) struct Progress {
    doing: &'static str,
    said: Instant,
}

impl Progress {
    pub(super) fn new(doing: &'static str) -> Self {
        Self { doing, said: Instant::now() }
    }

    /// So many records are done.
    pub(super) fn at(&mut self, records: u64) {
        if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            say(&format!("{}: {records} records", self.doing));
        }
    }
}

/// Says something on standard error; when nobody can read it, that changes nothing.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
