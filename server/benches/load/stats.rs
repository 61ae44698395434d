//! Medians and percentiles.

use std::time::Duration;

/// Half of the values are below it. At least one value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// The time below which `share` of them (0 to 1) lie, in seconds. At least one time.
pub(crate) fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the place of one of them"
    )]
    let place = (real(times.len()) * share) as usize;
    times[place.min(times.len() - 1)].as_secs_f64()
}

/// The number as one that can be divided.
#[expect(clippy::cast_precision_loss, reason = "numbers below 2^53 are exact")]
pub(crate) fn real(number: usize) -> f64 {
    number as f64
}
