//! How late messages come: a histogram for Prometheus, which cannot be read back, and counts beside it, which
//! can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::histogram::Histogram;

use super::SHORT;

/// Delays since the server was started.
#[derive(Debug, Clone)]
pub(crate) struct Delays {
    histogram: Histogram,
    /// For each bound how many lie between it and the one before; at last those beyond the largest.
    counts: Arc<[AtomicU64; SHORT.len() + 1]>,
}

/// What can be said of all delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// How many there were.
    pub count: u64,
    /// Half of them were not longer, in seconds; `None`: longer than the largest bound.
    pub half: Option<f64>,
    /// 99 in a hundred were not longer.
    pub most: Option<f64>,
}

impl Default for Delays {
    fn default() -> Self {
        Self { histogram: Histogram::new(SHORT), counts: Arc::default() }
    }
}

impl Delays {
    /// Counts one.
    pub(crate) fn observe(&self, seconds: f64) {
        self.histogram.observe(seconds);
        let place = SHORT.iter().position(|bound| seconds <= *bound).unwrap_or(SHORT.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
    }

    /// For Prometheus.
    pub(super) fn histogram(&self) -> Histogram {
        self.histogram.clone()
    }

    /// What can be said of them; `None` when there were none.
    pub(crate) fn spread(&self) -> Option<Spread> {
        let counts: Vec<u64> =
            self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let within = |percent: u64| {
            let wanted = (count * percent).div_ceil(100);
            let mut reached = 0;
            let place = counts.iter().position(|count| {
                reached += count;
                reached >= wanted
            });
            place.and_then(|place| SHORT.get(place).copied())
        };
        (count > 0).then(|| Spread { count, half: within(50), most: within(99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_most_lie_within_the_bound_of_their_place() {
        let delays = Delays::default();
        assert_eq!(delays.spread(), None);
        for _ in 0..98 {
            delays.observe(0.002);
        }
        delays.observe(0.3);
        let spread = Spread { count: 99, half: Some(0.002_5), most: Some(0.5) };
        assert_eq!(delays.spread(), Some(spread));
        delays.observe(60.0);
        let spread = Spread { count: 100, half: Some(0.002_5), most: Some(0.5) };
        assert_eq!(delays.spread(), Some(spread));
        delays.observe(60.0);
        assert_eq!(delays.spread().map(|spread| spread.most), Some(None));
    }
}
