//! Chance that can be repeated: `MESHWIRE_TEST_SEED` is the seed, which each case prints.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("MESHWIRE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(rand::random::<u64>);
        println!("MESHWIRE_TEST_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// An instant up to this long from now. When a fault begins or ends is what is random: nothing is waited for.
    pub(crate) async fn instant(&mut self, most: Duration) {
        self.between(Duration::ZERO, most).await;
    }

    pub(crate) async fn between(&mut self, least: Duration, most: Duration) {
        tokio::time::sleep(self.0.random_range(least..most)).await;
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }
}
