//! Slows down whoever guesses passwords.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::micros;
use crate::store::Micros;

/// Counted for this long from the first wrong password on.
const WINDOW: Duration = Duration::from_mins(10);
/// Wrong passwords for one login.
const FOR_LOGIN: u32 = 10;
/// Wrong passwords from one address: more, since a whole office or a proxy may stand behind it.
const FROM_ADDRESS: u32 = 30;
/// Most logins and addresses that are counted at a time.
const MAX_COUNTED: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Login(String),
    Address(IpAddr),
}

#[derive(Clone, Copy)]
struct Count {
    since: Micros,
    wrong: u32,
}

/// Wrong passwords of the last minutes, by login and by address.
#[derive(Default)]
pub(crate) struct Guesses {
    counts: Mutex<HashMap<Who, Count>>,
}

impl Guesses {
    /// Counts a try before the password is looked at, so that many at once get no further than one after
    /// the other. When there were too many: in how many seconds to try again.
    pub(crate) fn begin(
        &self,
        login: &str,
        address: Option<IpAddr>,
        now: Micros,
    ) -> Result<(), u64> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = keys(login, address);
        for (who, most) in &keys {
            if let Some(count) = counts.get(who)
                && count.wrong >= *most
                && let Some(left) = left(count, now)
            {
                return Err(left);
            }
        }
        for (who, _) in keys {
            make_room(&mut counts, now);
            let count = counts.entry(who).or_insert(Count { since: now, wrong: 0 });
            if left(count, now).is_none() {
                *count = Count { since: now, wrong: 0 };
            }
            count.wrong += 1;
        }
        Ok(())
    }

    /// The password was right: the login starts anew, and the address gets its try back.
    pub(crate) fn right(&self, login: &str, address: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, _) in keys(login, address) {
            match who {
                Who::Login(_) => drop(counts.remove(&who)),
                Who::Address(_) => {
                    if let Some(count) = counts.get_mut(&who) {
                        count.wrong = count.wrong.saturating_sub(1);
                    }
                }
            }
        }
    }
}

fn keys(login: &str, address: Option<IpAddr>) -> Vec<(Who, u32)> {
    let mut keys = vec![(Who::Login(login.to_lowercase()), FOR_LOGIN)];
    keys.extend(address.map(|address| (Who::Address(network(address)), FROM_ADDRESS)));
    keys
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => (address.to_bits() >> 64 << 64).to_be_bytes().into(),
    }
}

/// Seconds until a count ends; `None` when it has, or when the clock was set back before its start.
fn left(count: &Count, now: Micros) -> Option<u64> {
    let until = count.since + micros(WINDOW);
    let left = u64::try_from(until - now).ok().filter(|left| *left > 0 && count.since <= now)?;
    Some(left.div_ceil(1_000_000))
}

/// Memory is bounded: what has ended goes, then the one with the fewest wrong passwords.
fn make_room(counts: &mut HashMap<Who, Count>, now: Micros) {
    if counts.len() < MAX_COUNTED {
        return;
    }
    counts.retain(|_, count| left(count, now).is_some());
    if counts.len() >= MAX_COUNTED {
        let least = counts.iter().min_by_key(|(_, count)| (count.wrong, count.since));
        if let Some(who) = least.map(|(who, _)| who.clone()) {
            counts.remove(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Micros = 60_000_000;
    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[test]
    fn the_eleventh_guess_at_a_login_waits() {
        let guesses = Guesses::default();
        for n in 0..10 {
            assert_eq!(guesses.begin("ann", HERE, n * 1_000_000), Ok(()));
        }
        assert_eq!(guesses.begin("ANN", None, MINUTE), Err(9 * 60));
        assert_eq!(guesses.begin("bob", HERE, MINUTE), Ok(()));
        assert_eq!(guesses.begin("ann", HERE, 10 * MINUTE), Ok(()));
    }

    #[test]
    fn one_address_cannot_try_login_after_login() {
        let guesses = Guesses::default();
        let address = |last: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]));
        for n in 0..30 {
            assert_eq!(guesses.begin(&format!("user{n}"), address(n), 0), Ok(()));
        }
        assert!(guesses.begin("ann", address(99), 0).is_err());
        assert!(guesses.begin("ann", HERE, 0).is_ok());
    }

    #[test]
    fn a_right_password_gives_the_tries_back() {
        let guesses = Guesses::default();
        for _ in 0..100 {
            assert_eq!(guesses.begin("ann", HERE, 0), Ok(()));
            guesses.right("ann", HERE);
        }
    }

    #[test]
    fn a_flood_of_logins_does_not_fill_the_memory() {
        let guesses = Guesses::default();
        for _ in 0..10 {
            guesses.begin("ann", None, 0).unwrap();
        }
        for n in 0..MAX_COUNTED + 50 {
            guesses.begin(&format!("user{n}"), None, 0).unwrap();
        }
        assert!(guesses.counts.lock().unwrap().len() <= MAX_COUNTED);
        assert!(guesses.begin("ann", None, 0).is_err());
    }
}
