//! Stops two agents that answer each other without end.
//!
//! A thread of replies ends at 100 hops. Agents that begin a new thread each time are caught by how often
//! they answer: the replies between two agents, both ways, are counted over the last minute by each node.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshwire_protocol::limits::MAX_HOPS;
use meshwire_protocol::{AgentId, ErrorCode};

use crate::clock::micros;
use crate::error::ApiError;
use crate::store::Micros;

/// Over how long replies are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Most pairs of agents of a mesh that are counted at a time.
const MOST_PAIRS: usize = 4_096;

/// Two agents, whichever of them speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pair(AgentId, AgentId);

impl Pair {
    /// `None` for an agent that speaks to itself.
    pub(super) fn new(one: &AgentId, other: &AgentId) -> Option<Self> {
        match one.cmp(other) {
            std::cmp::Ordering::Less => Some(Self(one.clone(), other.clone())),
            std::cmp::Ordering::Greater => Some(Self(other.clone(), one.clone())),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// The replies of the last minute in one mesh.
#[derive(Debug, Default)]
pub(super) struct LoopGuard(Mutex<HashMap<Pair, VecDeque<Micros>>>);

impl LoopGuard {
    fn lock(&self) -> MutexGuard<'_, HashMap<Pair, VecDeque<Micros>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a reply, unless it is one too many: then, in how many seconds the next one may come.
    pub(super) fn count(&self, pair: &Pair, limit: u32, now: Micros) -> Result<(), u64> {
        let Ok(limit @ 1..) = usize::try_from(limit) else { return Ok(()) };
        let mut pairs = self.lock();
        if let Some(replies) = pairs.get_mut(pair) {
            forget_old(replies, now);
            // Below the limit, there is none in this place.
            if let Some(last) =
                replies.len().checked_sub(limit).and_then(|place| replies.get(place))
            {
                let left = u64::try_from(last + micros(WINDOW) - now).unwrap_or_default();
                return Err(left.div_ceil(1_000_000).max(1));
            }
            replies.push_back(now);
            return Ok(());
        }
        make_room(&mut pairs, now);
        pairs.insert(pair.clone(), VecDeque::from([now]));
        Ok(())
    }

    /// Takes back what was counted at this time, for a reply that was not written.
    pub(super) fn take_back(&self, pair: &Pair, at: Micros) {
        let mut pairs = self.lock();
        if let Some(replies) = pairs.get_mut(pair)
            && let Some(place) = replies.iter().rposition(|reply| *reply == at)
        {
            replies.remove(place);
        }
    }

    /// Whether nothing is counted any more.
    pub(super) fn is_idle(&self, now: Micros) -> bool {
        let mut pairs = self.lock();
        pairs.retain(|_, replies| is_live(replies, now));
        pairs.is_empty()
    }
}

/// What is over, and what a clock that was set back has left far in the future.
fn forget_old(replies: &mut VecDeque<Micros>, now: Micros) {
    replies.retain(|at| (now - at).abs() < micros(WINDOW));
}

fn is_live(replies: &mut VecDeque<Micros>, now: Micros) -> bool {
    forget_old(replies, now);
    !replies.is_empty()
}

/// Memory is bounded: what is over goes, then the pair with the fewest replies.
fn make_room(pairs: &mut HashMap<Pair, VecDeque<Micros>>, now: Micros) {
    if pairs.len() < MOST_PAIRS {
        return;
    }
    pairs.retain(|_, replies| is_live(replies, now));
    if pairs.len() >= MOST_PAIRS {
        let fewest = pairs.iter().min_by_key(|(_, replies)| replies.len());
        if let Some(pair) = fewest.map(|(pair, _)| pair.clone()) {
            pairs.remove(&pair);
        }
    }
}

/// A thread that has gone on for too long.
pub(super) fn too_many_hops(hops: u32) -> Result<(), ApiError> {
    if hops <= MAX_HOPS {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::LoopSuspected,
        format!("This thread has gone through {MAX_HOPS} replies of agents without a person."),
    )
    .hint("Let a person answer in it, or begin a new thread: send without reply_to.")
    .retry_after(WINDOW.as_secs()))
}

/// Two agents that answer each other too fast.
pub(super) fn too_many_replies(limit: u32, wait: u64) -> ApiError {
    ApiError::limit(
        ErrorCode::LoopSuspected,
        format!("These two agents have sent each other {limit} replies within a minute."),
        "Answer only what needs an answer.",
        "MESHWIRE_LIMIT_REPLIES_PER_MINUTE",
    )
    .retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;
    const START: Micros = 1_748_123_456_789_000;

    fn agent(n: usize) -> AgentId {
        format!("{n:09}").parse().expect("an id")
    }

    fn pair(one: usize, other: usize) -> Pair {
        Pair::new(&agent(one), &agent(other)).expect("two agents")
    }

    #[test]
    fn both_ways_are_one_pair() {
        assert_eq!(pair(1, 2), pair(2, 1));
        assert_ne!(pair(1, 2), pair(1, 3));
        assert_eq!(Pair::new(&agent(1), &agent(1)), None);
    }

    #[test]
    fn the_minute_slides() {
        let guard = LoopGuard::default();
        for (at, expected) in [
            (0, Ok(())),
            (30 * SECOND, Ok(())),
            (59 * SECOND, Ok(())),
            (59 * SECOND, Err(1)),
            (60 * SECOND - 1, Err(1)),
            (60 * SECOND, Ok(())),
            (60 * SECOND, Err(30)),
            (89 * SECOND + 1, Err(1)),
            (90 * SECOND, Ok(())),
            (91 * SECOND, Err(28)),
        ] {
            assert_eq!(guard.count(&pair(1, 2), 3, START + at), expected, "{at}");
            assert_eq!(guard.count(&pair(1, 3), 0, START + at), Ok(()), "0 = none");
        }
        assert_eq!(guard.count(&pair(1, 3), 3, START + 91 * SECOND), Ok(()), "another pair");
    }

    #[test]
    fn what_was_not_written_is_taken_back() {
        let guard = LoopGuard::default();
        guard.take_back(&pair(1, 2), START);
        for n in 0..100 {
            assert_eq!(guard.count(&pair(1, 2), 1, START + n), Ok(()));
            guard.take_back(&pair(1, 2), START + n);
        }
        assert!(guard.is_idle(START + 100));
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let guard = LoopGuard::default();
        assert_eq!(guard.count(&pair(1, 2), 1, START + 3_600 * SECOND), Ok(()));
        assert_eq!(guard.count(&pair(1, 2), 1, START), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_busiest_pair_stays_counted() {
        let guard = LoopGuard::default();
        for _ in 0..60 {
            assert_eq!(guard.count(&pair(0, 1), 60, START), Ok(()));
        }
        for n in 2..MOST_PAIRS + 100 {
            assert_eq!(guard.count(&pair(0, n), 60, START), Ok(()));
        }
        assert_eq!(guard.lock().len(), MOST_PAIRS);
        assert_eq!(guard.count(&pair(1, 0), 60, START), Err(60));
        assert!(!guard.is_idle(START + 59 * SECOND));
        assert!(guard.is_idle(START + 60 * SECOND));
    }

    #[test]
    fn a_thread_ends_after_a_hundred_hops() {
        assert!(too_many_hops(100).is_ok());
        let error = too_many_hops(101).expect_err("too long");
        assert_eq!(error.code(), ErrorCode::LoopSuspected);
    }
}
