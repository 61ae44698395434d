//! Addresses that try tokens which nobody has.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use meshwire_protocol::ErrorCode;

use crate::client_address::network;
use crate::counts::Counts;
use crate::error::{ApiError, Result};
use crate::store::{Digest, Micros};

/// Unknown tokens are counted for this long.
const WINDOW: Duration = Duration::from_mins(1);
/// Beyond the limit, so many tokens a second are looked up for an address: nothing to the store, and of no use to
/// who guesses one in 62^30.
const BEYOND: u32 = 20;
/// Most tokens that are remembered as known: 16 bytes each.
const MAX_KNOWN: usize = 200_000;

/// Unknown tokens by address. Beyond the limit, tokens from that address that this server has not known before are
/// looked up only so often: so whoever shares an address with somebody who guesses goes on, and whoever comes with
/// a new token, or after a restart, gets in too.
pub struct Strangers {
    limit: u32,
    unknown: Counts<IpAddr>,
    beyond: Counts<IpAddr>,
    /// The starts of the hashes of tokens that were found.
    known: RwLock<HashSet<u64>>,
}

impl Strangers {
    /// So many a minute from one address; 0: no limit.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            unknown: Counts::new(WINDOW),
            beyond: Counts::new(Duration::from_secs(1)),
            known: RwLock::default(),
        }
    }

    /// Whether this token may be looked up.
    pub(super) fn check(&self, address: Option<IpAddr>, hash: &Digest, now: Micros) -> Result<()> {
        let Some(address) = address.filter(|_| self.limit > 0) else { return Ok(()) };
        let network = network(address);
        if self.unknown.reached(&network, self.limit, now).is_none() {
            return Ok(());
        }
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&start(hash)) {
            return Ok(());
        }
        self.beyond.take(&[(network, BEYOND)], now).map_err(|seconds| {
            ApiError::limit(
                ErrorCode::RateLimited,
                format!("More than {} unknown tokens a minute came from your address.", self.limit),
                "Tokens that are in use go on; others may try again after the time in Retry-After.",
                "MESHWIRE_LIMIT_BAD_TOKENS_PER_MINUTE",
            )
            .retry_after(seconds)
        })
    }

    /// Nobody has this token.
    pub(super) fn unknown(&self, address: Option<IpAddr>, now: Micros) {
        if let Some(address) = address.filter(|_| self.limit > 0) {
            // Beyond the limit there is nothing more to count.
            let _ = self.unknown.take(&[(network(address), self.limit)], now);
        }
    }

    /// Somebody has this token.
    pub(super) fn known(&self, hash: &Digest) {
        let start = start(hash);
        if self.limit == 0
            || self.known.read().unwrap_or_else(PoisonError::into_inner).contains(&start)
        {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(start);
    }
}

fn start(hash: &Digest) -> u64 {
    let mut start = [0; 8];
    start.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(start)
}
