//! How fast may be sent: a bucket for each token and for each mesh, kept by each node.
//!
//! A bucket holds what may be sent in [`WINDOW_SECONDS`] and fills evenly. It is kept as the moment at which
//! it will be full again, so one that is full need not be kept at all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshwire_protocol::{ErrorCode, MeshId, TokenId};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::settings::Limits;

/// How long an empty bucket takes to fill.
const WINDOW_SECONDS: u32 = 2;
/// Buckets that are kept before the full ones are dropped for the first time.
const FIRST_SWEEP: usize = 1_024;

/// The limits on sending.
pub(super) struct Rates {
    tokens: Buckets<TokenId>,
    meshes: Buckets<MeshId>,
}

/// What is left of a limit on sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub policy: &'static str,
    /// How many can be sent in the window.
    pub quota: u64,
    /// The window, in seconds.
    pub window: u32,
    /// How many can be sent now.
    pub left: u64,
}

/// A send that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFast {
    what: &'static str,
    rate: u32,
    setting: &'static str,
    wait: Duration,
}

impl Rates {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            tokens: Buckets::new(limits.sends_per_second),
            meshes: Buckets::new(limits.mesh_sends_per_second),
        }
    }

    /// Takes a send out of the buckets of its token and its mesh, or out of none.
    pub(super) fn charge(&self, token: &TokenId, mesh: &MeshId) -> Result<(), TooFast> {
        let now = Instant::now();
        self.tokens.take(token, now).map_err(|wait| TooFast {
            what: "with one token",
            rate: self.tokens.rate,
            setting: "MESHWIRE_LIMIT_SENDS_PER_SECOND",
            wait,
        })?;
        self.meshes.take(mesh, now).map_err(|wait| {
            self.tokens.give_back(token);
            TooFast {
                what: "in one mesh",
                rate: self.meshes.rate,
                setting: "MESHWIRE_LIMIT_MESH_SENDS_PER_SECOND",
                wait,
            }
        })
    }

    /// Puts back what a repeat took: it sends nothing.
    pub(super) fn give_back(&self, token: &TokenId, mesh: &MeshId) {
        self.tokens.give_back(token);
        self.meshes.give_back(mesh);
    }

    /// What is left, for those limits that there are.
    pub(super) fn left(&self, token: &TokenId, mesh: &MeshId) -> Vec<Quota> {
        let now = Instant::now();
        [
            ("token", self.tokens.rate, self.tokens.left(token, now)),
            ("mesh", self.meshes.rate, self.meshes.left(mesh, now)),
        ]
        .into_iter()
        .filter(|(_, rate, _)| *rate > 0)
        .map(|(policy, rate, left)| {
            let quota = u64::from(rate) * u64::from(WINDOW_SECONDS);
            Quota { policy, quota, window: WINDOW_SECONDS, left: left.min(quota) }
        })
        .collect()
    }
}

impl From<TooFast> for ApiError {
    fn from(TooFast { what, rate, setting, wait }: TooFast) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::limit(
            ErrorCode::RateLimited,
            format!("More than {rate} messages a second were sent {what}."),
            "Send the same again after the time in Retry-After.",
            setting,
        )
        .retry_after(seconds.max(1))
    }
}

/// Buckets that fill at the same rate.
struct Buckets<K> {
    /// A second; 0 = no limit.
    rate: u32,
    full: Mutex<Full<K>>,
}

/// When each bucket that is not full will be.
struct Full<K> {
    at: HashMap<K, Instant>,
    next_sweep: usize,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new(rate: u32) -> Self {
        let full = Full { at: HashMap::new(), next_sweep: FIRST_SWEEP };
        Self { rate, full: Mutex::new(full) }
    }

    fn lock(&self) -> MutexGuard<'_, Full<K>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it takes to fill up by one.
    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.rate.max(1)
    }

    /// Takes one out; how long to wait for it when there is none.
    fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        if self.rate == 0 {
            return Ok(());
        }
        let mut full = self.lock();
        let was = full.at.get(key).map_or(now, |at| (*at).max(now));
        let at = was + self.interval();
        let whole = self.interval() * self.rate * WINDOW_SECONDS;
        let missing = at.duration_since(now);
        if let Some(wait) = missing.checked_sub(whole).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if full.at.len() >= full.next_sweep {
            // Memory is bounded by what is sent within the window.
            full.at.retain(|_, at| *at > now);
            full.next_sweep = FIRST_SWEEP.max(full.at.len() * 2);
        }
        full.at.insert(key.clone(), at);
        Ok(())
    }

    /// Puts one back.
    fn give_back(&self, key: &K) {
        let interval = self.interval();
        if let Some(at) = self.lock().at.get_mut(key)
            && let Some(earlier) = at.checked_sub(interval)
        {
            *at = earlier;
        }
    }

    /// How many can be taken out now.
    fn left(&self, key: &K, now: Instant) -> u64 {
        let whole = self.interval() * self.rate * WINDOW_SECONDS;
        let missing = self.lock().at.get(key).map_or(Duration::ZERO, |at| at.duration_since(now));
        let left = whole.saturating_sub(missing).as_nanos() / self.interval().as_nanos().max(1);
        u64::try_from(left).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(buckets: &Buckets<u32>, key: u32, now: Instant) -> usize {
        (0..1_000).take_while(|_| buckets.take(&key, now).is_ok()).count()
    }

    #[test]
    fn a_bucket_holds_two_seconds_and_fills_evenly() {
        for rate in [1, 3, 7, 50] {
            let (buckets, start) = (Buckets::new(rate), Instant::now());
            let each = rate as usize;
            assert_eq!(buckets.left(&1, start), u64::from(rate) * 2);
            assert_eq!(taken(&buckets, 1, start), 2 * each);
            assert_eq!(buckets.left(&1, start), 0);
            assert_eq!(taken(&buckets, 2, start), 2 * each, "each key has its own");
            let wait = buckets.take(&1, start).expect_err("empty");
            assert_eq!(wait, SECOND / rate);
            assert_eq!(taken(&buckets, 1, start + wait), 1, "as told");
            assert_eq!(taken(&buckets, 1, start + SECOND), each - 1);
            assert_eq!(taken(&buckets, 1, start + 60 * SECOND), 2 * each, "it never holds more");
        }
    }

    #[test]
    fn what_is_put_back_can_be_taken_again() {
        let (buckets, now) = (Buckets::new(2), Instant::now());
        buckets.give_back(&1);
        assert_eq!(taken(&buckets, 1, now), 4);
        buckets.give_back(&1);
        assert_eq!(buckets.left(&1, now), 1);
        assert_eq!(taken(&buckets, 1, now), 1);
    }

    #[test]
    fn no_limit_counts_nothing() {
        let (buckets, now) = (Buckets::new(0), Instant::now());
        assert_eq!(taken(&buckets, 1, now), 1_000);
        assert!(buckets.lock().at.is_empty());
    }

    #[test]
    fn full_buckets_are_dropped() {
        let (buckets, start) = (Buckets::new(1), Instant::now());
        assert_eq!(taken(&buckets, 0, start + 100 * SECOND), 2);
        for n in 1..100_000_u32 {
            let now = start + Duration::from_millis(u64::from(n));
            assert!(buckets.take(&n, now).is_ok());
        }
        assert!(buckets.lock().at.len() <= 4 * FIRST_SWEEP, "{}", buckets.lock().at.len());
        assert_eq!(taken(&buckets, 0, start + 100 * SECOND), 0, "what is not full stays");
    }

    #[test]
    fn a_refusal_by_the_mesh_costs_the_token_nothing() {
        let limits = Limits { sends_per_second: 5, mesh_sends_per_second: 1, ..Limits::NONE };
        let rates = Rates::new(&limits);
        let token: TokenId = "0123456789ab".parse().expect("an id");
        let mesh: MeshId = "0123456789ab".parse().expect("an id");
        for _ in 0..2 {
            assert_eq!(rates.charge(&token, &mesh), Ok(()));
        }
        for _ in 0..20 {
            let refused = rates.charge(&token, &mesh).expect_err("too fast");
            assert_eq!((refused.what, refused.rate), ("in one mesh", 1));
        }
        let [of_token, of_mesh] = rates.left(&token, &mesh)[..] else { panic!("two limits") };
        assert_eq!((of_token.policy, of_token.quota, of_token.window), ("token", 10, 2));
        assert!(of_token.left >= 8);
        assert_eq!((of_mesh.policy, of_mesh.quota, of_mesh.left), ("mesh", 2, 0));
        let error = ApiError::from(rates.charge(&token, &mesh).expect_err("too fast"));
        assert_eq!(error.code(), ErrorCode::RateLimited);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("LIMIT_MESH_SENDS")));
    }
}
