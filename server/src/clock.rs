//! The one place that asks what time it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::store::Micros;

/// The wall clock. Nothing is ordered by it alone; time-outs use tokio's monotonic clock instead.
#[derive(Debug, Default)]
pub struct Clock {
    shift: AtomicI64,
}

impl Clock {
    /// Microseconds since 1970.
    pub fn now(&self) -> Micros {
        system_micros() + self.shift.load(Ordering::Relaxed)
    }

    /// Moves the clock, for tests of what depends on time.
    pub fn shift(&self, by: Micros) {
        self.shift.fetch_add(by, Ordering::Relaxed);
    }
}

/// The machine's own clock, in microseconds since 1970; 0 when it stands before that.
pub(crate) fn system_micros() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// Microseconds since 1970 as a time; the nearest one that can be written, for a value out of range.
pub fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
