//! Counts what may be done only so often: wrong passwords, unknown tokens, visits to the sign-in.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::micros;
use crate::store::Micros;

/// Most keys that are counted at a time.
const MAX_COUNTED: usize = 10_000;

/// Counts by key, each over a window that begins with the first of them.
pub(crate) struct Counts<K> {
    window: Duration,
    counts: Mutex<HashMap<K, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    since: Micros,
    number: u32,
}

impl<K: Clone + Eq + Hash> Counts<K> {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window, counts: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one for each key, unless one of them has reached its most: then in how many seconds to try again.
    pub(crate) fn take(&self, keys: &[(K, u32)], now: Micros) -> Result<(), u64> {
        let mut counts = self.lock();
        for (key, most) in keys {
            if let Some(count) = counts.get(key)
                && count.number >= *most
                && let Some(left) = self.left(count, now)
            {
                return Err(left);
            }
        }
        for (key, _) in keys {
            self.make_room(&mut counts, now);
            let new = Count { since: now, number: 0 };
            let count = counts.entry(key.clone()).or_insert(new);
            if self.left(count, now).is_none() {
                *count = new;
            }
            count.number = count.number.saturating_add(1);
        }
        Ok(())
    }

    /// In how many seconds to try again, when a key has reached its most.
    pub(crate) fn reached(&self, key: &K, most: u32, now: Micros) -> Option<u64> {
        let counts = self.lock();
        let count = counts.get(key).filter(|count| count.number >= most)?;
        self.left(count, now)
    }

    /// Counts one less.
    pub(crate) fn give_back(&self, key: &K) {
        if let Some(count) = self.lock().get_mut(key) {
            count.number = count.number.saturating_sub(1);
        }
    }

    /// Starts anew for a key.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    /// Seconds until a count ends; `None` when it has, or when the clock was set back before its start.
    fn left(&self, count: &Count, now: Micros) -> Option<u64> {
        let until = count.since + micros(self.window);
        let left =
            u64::try_from(until - now).ok().filter(|left| *left > 0 && count.since <= now)?;
        Some(left.div_ceil(1_000_000))
    }

    /// Memory is bounded: what has ended goes, then the least.
    fn make_room(&self, counts: &mut HashMap<K, Count>, now: Micros) {
        if counts.len() < MAX_COUNTED {
            return;
        }
        counts.retain(|_, count| self.left(count, now).is_some());
        if counts.len() >= MAX_COUNTED {
            let least = counts.iter().min_by_key(|(_, count)| (count.number, count.since));
            if let Some(key) = least.map(|(key, _)| key.clone()) {
                counts.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Micros = 60_000_000;

    #[test]
    fn a_window_begins_with_the_first() {
        let counts = Counts::new(Duration::from_mins(1));
        for n in 0..3 {
            assert_eq!(counts.take(&[("a", 3)], n * 1_000_000), Ok(()));
        }
        assert_eq!(counts.take(&[("a", 3)], MINUTE / 2), Err(30));
        assert_eq!(counts.reached(&"a", 3, MINUTE / 2), Some(30));
        assert_eq!(counts.reached(&"b", 3, MINUTE / 2), None);
        assert_eq!(counts.take(&[("b", 3), ("a", 3)], MINUTE / 2), Err(30));
        assert!(counts.lock().get("b").is_none(), "all or none");
        assert_eq!(counts.take(&[("a", 3)], MINUTE), Ok(()));
    }

    #[test]
    fn a_flood_of_keys_does_not_fill_the_memory() {
        let counts = Counts::new(Duration::from_mins(1));
        for _ in 0..10 {
            counts.take(&[(0, 100)], 0).expect("few");
        }
        for key in 1..MAX_COUNTED + 50 {
            counts.take(&[(key, 100)], 0).expect("few");
        }
        assert!(counts.lock().len() <= MAX_COUNTED);
        assert!(counts.reached(&0, 10, 0).is_some(), "the largest stay");
    }
}
