//! How many polls may be open: for each token and in all, on this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwire_protocol::{ErrorCode, TokenId};
use prometheus_client::metrics::gauge::Gauge;

use crate::error::{ApiError, Result};
use crate::settings::Limits;

/// How long to wait before another poll is tried, in seconds.
const RETRY_SECONDS: u64 = 5;

/// The polls that are open now.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenPolls(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    tokens: HashMap<TokenId, u32>,
    gauge: Gauge,
}

impl OpenPolls {
    /// None; `gauge` follows their number.
    pub(super) fn new(gauge: Gauge) -> Self {
        Self(Arc::new(Mutex::new(Counts { gauge, ..Counts::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.lock().all > 0
    }

    /// Counts a poll until the guard is dropped, unless it is one too many.
    pub(super) fn open(&self, token: &TokenId, limits: &Limits) -> Result<OpenPoll> {
        let mut counts = self.lock();
        let of_token = counts.tokens.get(token).copied().unwrap_or_default();
        let reached = |count: u32, limit: u32| limit > 0 && count >= limit;
        if reached(of_token, limits.open_polls) {
            let detail = format!("This token holds {of_token} open polls.");
            return Err(too_many(
                detail,
                "Let one end, or use a token for each agent.",
                "MESHWIRE_LIMIT_OPEN_POLLS",
            ));
        }
        if reached(counts.all, limits.open_polls_total) {
            let detail = format!("This server holds {} open polls.", counts.all);
            return Err(too_many(
                detail,
                "Try again later, or poll with wait=0.",
                "MESHWIRE_LIMIT_OPEN_POLLS_TOTAL",
            ));
        }
        counts.all += 1;
        counts.gauge.set(counts.all.into());
        *counts.tokens.entry(token.clone()).or_default() += 1;
        Ok(OpenPoll { polls: self.clone(), token: token.clone() })
    }
}

fn too_many(detail: String, hint: &str, setting: &'static str) -> ApiError {
    ApiError::limit(ErrorCode::RateLimited, detail, hint, setting).retry_after(RETRY_SECONDS)
}

/// An open poll.
#[derive(Debug)]
pub(super) struct OpenPoll {
    polls: OpenPolls,
    token: TokenId,
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        let mut counts = self.polls.lock();
        counts.all = counts.all.saturating_sub(1);
        counts.gauge.set(counts.all.into());
        if let Some(count) = counts.tokens.get_mut(&self.token) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.tokens.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u32) -> TokenId {
        format!("{n:012}").parse().expect("an id")
    }

    fn refused(polls: &OpenPolls, n: u32, limits: &Limits) -> String {
        let error = polls.open(&token(n), limits).expect_err("too many");
        assert_eq!(error.code(), ErrorCode::RateLimited);
        error.hint_text().unwrap_or_default().to_owned()
    }

    #[test]
    fn polls_are_counted_by_token_and_in_all() {
        let limits = Limits { open_polls: 2, open_polls_total: 3, ..Limits::NONE };
        let polls = OpenPolls::default();
        let open = |n| polls.open(&token(n), &limits);
        assert!(!polls.any());
        let one = [open(1).expect("first"), open(1).expect("second")];
        assert!(refused(&polls, 1, &limits).contains("MESHWIRE_LIMIT_OPEN_POLLS "));
        let two = open(2).expect("of another token");
        assert!(refused(&polls, 2, &limits).contains("MESHWIRE_LIMIT_OPEN_POLLS_TOTAL "));
        assert!(polls.any());
        drop(one);
        assert_eq!(polls.lock().tokens.len(), 1, "a token without polls is forgotten");
        drop((open(1).expect("room again"), two));
        let counts = polls.lock();
        assert!(counts.all == 0 && counts.tokens.is_empty(), "{counts:?}");
    }

    #[test]
    fn zero_is_no_limit() {
        let polls = OpenPolls::default();
        let open: Vec<_> = (0..1_000).map(|_| polls.open(&token(1), &Limits::NONE)).collect();
        assert!(open.iter().all(Result::is_ok));
    }
}
