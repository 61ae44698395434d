//! How long messages are kept.

use anyhow::{Result, ensure};

use super::environment::number;

/// Longest time that can be set: about a hundred years, in days.
const LONGEST: u32 = 36_500;

/// How long messages are kept, in days.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Retention {
    /// Days for which every message is kept, read or not; 0 = for ever
    #[arg(
        long = "retention-days",
        env = "MESHWIRE_RETENTION_DAYS",
        default_value_t = 7,
        value_name = "DAYS",
        value_parser = number(0..=LONGEST)
    )]
    pub days: u32,

    /// Days without reading its inbox after which nothing is kept for an agent; 0 = any number
    #[arg(
        long = "retention-hold-days",
        env = "MESHWIRE_RETENTION_HOLD_DAYS",
        default_value_t = 7,
        value_name = "DAYS",
        value_parser = number(0..=LONGEST)
    )]
    pub hold_days: u32,

    /// Days after which a message goes, whoever has not acknowledged it; 0 = any number
    #[arg(
        long = "retention-max-days",
        env = "MESHWIRE_RETENTION_MAX_DAYS",
        default_value_t = 30,
        value_name = "DAYS",
        value_parser = number(0..=LONGEST)
    )]
    pub max_days: u32,
}

impl Retention {
    /// Nothing is ever removed.
    pub const FOR_EVER: Self = Self { days: 0, hold_days: 0, max_days: 0 };

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// When messages would have to be kept for longer than the longest time.
    pub(super) fn check(self) -> Result<Self> {
        ensure!(
            self.max_days == 0 || self.days <= self.max_days,
            "MESHWIRE_RETENTION_MAX_DAYS: {} is less than MESHWIRE_RETENTION_DAYS, which is {}; make it at \
             least as many, or 0 for no longest time",
            self.max_days,
            self.days
        );
        Ok(self)
    }
}
