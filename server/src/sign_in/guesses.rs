//! Slows down whoever guesses passwords, without locking out whoever knows theirs.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client_address::network;
use crate::counts::Counts;
use crate::store::Micros;

/// Counted for this long from the first wrong password on.
const WINDOW: Duration = Duration::from_mins(10);
/// Wrong passwords for one login from one address.
const FOR_LOGIN_FROM_ADDRESS: u32 = 10;
/// Wrong passwords from one address: more, since a whole office or a proxy may stand behind it.
const FROM_ADDRESS: u32 = 30;
/// Wrong passwords for one login from wherever nobody has signed in with it: many machines that guess
/// together get no further. Whoever has signed in from an address before is not kept out by them.
const FOR_LOGIN: u32 = 50;
/// Most logins with addresses that are remembered.
const MAX_KNOWN: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Login(String),
    LoginFrom(String, Option<IpAddr>),
    Address(IpAddr),
}

/// Wrong passwords of the last minutes, by login and by address.
pub(crate) struct Guesses {
    counts: Counts<Who>,
    /// From where people have signed in since the server was started.
    known: Mutex<HashSet<(String, IpAddr)>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { counts: Counts::new(WINDOW), known: Mutex::default() }
    }
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
        let (login, address) = (login.to_lowercase(), address.map(network));
        let mut keys = vec![(Who::LoginFrom(login.clone(), address), FOR_LOGIN_FROM_ADDRESS)];
        if let Some(address) = address {
            keys.push((Who::Address(address), FROM_ADDRESS));
        }
        if !address.is_some_and(|address| self.known().contains(&(login.clone(), address))) {
            keys.push((Who::Login(login), FOR_LOGIN));
        }
        self.counts.take(&keys, now)
    }

    /// The password was right: the login starts anew from there, and the rest get their try back.
    pub(crate) fn right(&self, login: &str, address: Option<IpAddr>) {
        let (login, address) = (login.to_lowercase(), address.map(network));
        self.counts.forget(&Who::LoginFrom(login.clone(), address));
        let Some(address) = address else {
            self.counts.give_back(&Who::Login(login));
            return;
        };
        self.counts.give_back(&Who::Address(address));
        let mut known = self.known();
        let pair = (login, address);
        if known.contains(&pair) {
            return;
        }
        self.counts.give_back(&Who::Login(pair.0.clone()));
        if known.len() >= MAX_KNOWN
            && let Some(any) = known.iter().next().cloned()
        {
            known.remove(&any);
        }
        known.insert(pair);
    }

    fn known(&self) -> MutexGuard<'_, HashSet<(String, IpAddr)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Micros = 60_000_000;
    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn elsewhere(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn the_eleventh_guess_at_a_login_waits() {
        let guesses = Guesses::default();
        for n in 0..10 {
            assert_eq!(guesses.begin("ann", HERE, n * 1_000_000), Ok(()));
        }
        assert_eq!(guesses.begin("ANN", HERE, MINUTE), Err(9 * 60));
        assert_eq!(guesses.begin("bob", HERE, MINUTE), Ok(()));
        assert_eq!(guesses.begin("ann", Some(elsewhere(1)), MINUTE), Ok(()));
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
        for address in [HERE, None] {
            for _ in 0..100 {
                assert_eq!(guesses.begin("ann", address, 0), Ok(()));
                guesses.right("ann", address);
            }
        }
    }

    #[test]
    fn many_machines_together_lock_nobody_out_who_was_here_before() {
        let guesses = Guesses::default();
        assert_eq!(guesses.begin("ann", HERE, 0), Ok(()));
        guesses.right("Ann", HERE);
        let tried =
            (0..200).filter(|n| guesses.begin("ann", Some(elsewhere(*n)), 0).is_ok()).count();
        assert_eq!(tried, 50);
        assert!(guesses.begin("ann", Some(elsewhere(250)), 0).is_err(), "from anywhere new");
        assert_eq!(guesses.begin("ann", HERE, 0), Ok(()), "but not from where she signed in");
        assert_eq!(guesses.begin("bob", Some(elsewhere(250)), 0), Ok(()));
    }
}
