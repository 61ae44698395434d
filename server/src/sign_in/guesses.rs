//! Slows down whoever guesses passwords or codes, or asks for too many codes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use meshwire_protocol::UserId;

use crate::clock::micros;
use crate::store::Micros;

/// Wrong passwords for one login in ten minutes.
const PASSWORDS_FOR_LOGIN: u32 = 10;
/// Wrong passwords from one address in ten minutes: more, since a whole office or a proxy may stand behind it.
const PASSWORDS_FROM_ADDRESS: u32 = 30;
/// Wrong codes of computers, typed by one user or from one address in ten minutes: such a code has 34 bits, and
/// that many tries at each of all that are open bring nobody anywhere.
const DEVICE_CODES: u32 = 5;
/// Computers that ask to be let in from one address in ten minutes, for which their codes are good.
const DEVICES_FROM_ADDRESS: u32 = 100;
/// The same from everywhere: bounds what the store has to keep.
const DEVICES: u32 = 10_000;
/// Wrong codes of invites from one address in a minute.
const INVITES_FROM_ADDRESS: u32 = 10;
/// Most logins, users and addresses of a kind that are counted at a time.
const MAX_COUNTED: usize = 10_000;

/// Tries of the last minutes, each kind on its own.
pub(crate) struct Guesses {
    passwords: Tries,
    device_codes: Tries,
    devices: Tries,
    invites: Tries,
}

impl Default for Guesses {
    fn default() -> Self {
        let ten_minutes = || Tries::new(Duration::from_mins(10));
        Self {
            passwords: ten_minutes(),
            device_codes: ten_minutes(),
            devices: ten_minutes(),
            invites: Tries::new(Duration::from_mins(1)),
        }
    }
}

impl Guesses {
    /// Someone tries a password. When there were too many: in how many seconds to try again.
    pub(crate) fn password(
        &self,
        login: &str,
        address: Option<IpAddr>,
        now: Micros,
    ) -> Result<Try<'_>, u64> {
        let login = (Who::Login(login.to_lowercase()), PASSWORDS_FOR_LOGIN);
        self.passwords.begin(Some(login), address.map(|it| (it, PASSWORDS_FROM_ADDRESS)), now)
    }

    /// Someone types the code of a computer.
    pub(crate) fn device_code(
        &self,
        user: &UserId,
        address: Option<IpAddr>,
        now: Micros,
    ) -> Result<Try<'_>, u64> {
        let user = (Who::User(user.clone()), DEVICE_CODES);
        self.device_codes.begin(Some(user), address.map(|it| (it, DEVICE_CODES)), now)
    }

    /// A computer asks to be let in.
    pub(crate) fn device(&self, address: Option<IpAddr>, now: Micros) -> Result<Try<'_>, u64> {
        let all = (Who::Everyone, DEVICES);
        self.devices.begin(Some(all), address.map(|it| (it, DEVICES_FROM_ADDRESS)), now)
    }

    /// Someone comes with the code of an invite.
    pub(crate) fn invite(&self, address: Option<IpAddr>, now: Micros) -> Result<Try<'_>, u64> {
        self.invites.begin(None, address.map(|it| (it, INVITES_FROM_ADDRESS)), now)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Login(String),
    User(UserId),
    Address(IpAddr),
    Everyone,
}

#[derive(Clone, Copy)]
struct Count {
    since: Micros,
    tries: u32,
}

/// A try that is counted as a wrong one until it turns out right.
pub(crate) struct Try<'t> {
    tries: &'t Tries,
    whom: Vec<Who>,
}

impl Try<'_> {
    /// It was right: the login of a password starts anew, and else this one try is given back. (Who types codes
    /// has right ones of their own, which must not buy them more guesses at others.)
    pub(crate) fn right(self) {
        let mut counts = self.tries.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for who in self.whom {
            if let Who::Login(_) = &who {
                counts.remove(&who);
            } else if let Some(count) = counts.get_mut(&who) {
                count.tries = count.tries.saturating_sub(1);
            }
        }
    }
}

/// Tries of one kind. Each is counted from the first one on, for as long as the window.
struct Tries {
    window: Micros,
    counts: Mutex<HashMap<Who, Count>>,
}

impl Tries {
    fn new(window: Duration) -> Self {
        Self { window: micros(window), counts: Mutex::default() }
    }

    /// Counts a try before it is looked at, so that many at once get no further than one after the other.
    fn begin(
        &self,
        who: Option<(Who, u32)>,
        address: Option<(IpAddr, u32)>,
        now: Micros,
    ) -> Result<Try<'_>, u64> {
        let address = address.map(|(address, most)| (Who::Address(network(address)), most));
        let limits: Vec<(Who, u32)> = who.into_iter().chain(address).collect();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, most) in &limits {
            if let Some(count) = counts.get(who)
                && count.tries >= *most
                && let Some(left) = self.left(count, now)
            {
                return Err(left);
            }
        }
        for (who, _) in &limits {
            self.make_room(&mut counts, now);
            let count = counts.entry(who.clone()).or_insert(Count { since: now, tries: 0 });
            if self.left(count, now).is_none() {
                *count = Count { since: now, tries: 0 };
            }
            count.tries += 1;
        }
        Ok(Try { tries: self, whom: limits.into_iter().map(|(who, _)| who).collect() })
    }

    /// Seconds until a count ends; `None` when it has, or when the clock was set back before its start.
    fn left(&self, count: &Count, now: Micros) -> Option<u64> {
        let left = u64::try_from(count.since + self.window - now).ok();
        let left = left.filter(|left| *left > 0 && count.since <= now)?;
        Some(left.div_ceil(1_000_000))
    }

    /// Memory is bounded: what has ended goes, then the one with the fewest tries.
    fn make_room(&self, counts: &mut HashMap<Who, Count>, now: Micros) {
        if counts.len() < MAX_COUNTED {
            return;
        }
        counts.retain(|_, count| self.left(count, now).is_some());
        if counts.len() >= MAX_COUNTED {
            let least = counts.iter().min_by_key(|(_, count)| (count.tries, count.since));
            if let Some(who) = least.map(|(who, _)| who.clone()) {
                counts.remove(&who);
            }
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => (address.to_bits() >> 64 << 64).to_be_bytes().into(),
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
            assert!(guesses.password("ann", HERE, n * 1_000_000).is_ok());
        }
        assert_eq!(guesses.password("ANN", None, MINUTE).err(), Some(9 * 60));
        assert!(guesses.password("bob", HERE, MINUTE).is_ok());
        assert!(guesses.password("ann", HERE, 10 * MINUTE).is_ok());
    }

    #[test]
    fn one_address_cannot_try_login_after_login() {
        let guesses = Guesses::default();
        let address = |last: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]));
        for n in 0..30 {
            assert!(guesses.password(&format!("user{n}"), address(n), 0).is_ok());
        }
        assert!(guesses.password("ann", address(99), 0).is_err());
        assert!(guesses.password("ann", HERE, 0).is_ok());
    }

    #[test]
    fn a_right_password_gives_the_tries_back() {
        let guesses = Guesses::default();
        for _ in 0..100 {
            guesses.password("ann", HERE, 0).ok().unwrap().right();
        }
    }

    #[test]
    fn a_flood_of_logins_does_not_fill_the_memory() {
        let guesses = Guesses::default();
        for _ in 0..10 {
            assert!(guesses.password("ann", None, 0).is_ok());
        }
        for n in 0..MAX_COUNTED + 50 {
            assert!(guesses.password(&format!("user{n}"), None, 0).is_ok());
        }
        assert!(guesses.passwords.counts.lock().unwrap().len() <= MAX_COUNTED);
        assert!(guesses.password("ann", None, 0).is_err());
    }

    #[test]
    fn kinds_are_counted_on_their_own() {
        let guesses = Guesses::default();
        for _ in 0..10 {
            assert!(guesses.invite(HERE, 0).is_ok());
        }
        assert_eq!(guesses.invite(HERE, 1).err(), Some(60));
        assert!(guesses.password("ann", HERE, 1).is_ok());
        assert!(guesses.invite(HERE, MINUTE).is_ok());
        for n in 0..DEVICES {
            let address = IpAddr::from((n / 2 + 0x0a00_0000).to_be_bytes());
            assert!(guesses.device(Some(address), 0).is_ok());
        }
        assert!(guesses.device(HERE, 0).is_err());
    }
}
