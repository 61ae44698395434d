//! Slows down whoever guesses passwords or codes, or asks for too many codes, without locking out whoever
//! knows their password.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshwire_protocol::UserId;

use crate::client_address::network;
use crate::counts::Counts;
use crate::store::Micros;

/// Wrong passwords for one login from one address in ten minutes.
const PASSWORDS_FOR_LOGIN_FROM_ADDRESS: u32 = 10;
/// Wrong passwords from one address in ten minutes: more, since a whole office or a proxy may stand behind it.
const PASSWORDS_FROM_ADDRESS: u32 = 30;
/// Wrong passwords for one login in ten minutes from wherever nobody has signed in with it: many machines that
/// guess together get no further. Whoever has signed in from an address before is not kept out by them.
const PASSWORDS_FOR_LOGIN: u32 = 50;
/// Most logins with addresses that are remembered.
const MAX_KNOWN: usize = 10_000;
/// Wrong codes of computers, typed by one user or from one address in ten minutes: such a code has 34 bits, and
/// that many tries at each of all that are open bring nobody anywhere.
const DEVICE_CODES: u32 = 5;
/// Computers that ask to be let in from one address in ten minutes, for which their codes are good.
const DEVICES_FROM_ADDRESS: u32 = 100;
/// The same from everywhere: bounds what the store has to keep.
const DEVICES: u32 = 10_000;
/// Wrong codes of invites from one address in a minute.
const INVITES_FROM_ADDRESS: u32 = 10;

/// Tries of the last minutes, each kind on its own.
pub(crate) struct Guesses {
    passwords: Counts<Who>,
    /// From where people have signed in since the server was started.
    known: Mutex<HashSet<(String, IpAddr)>>,
    device_codes: Counts<Who>,
    devices: Counts<Who>,
    invites: Counts<Who>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Login(String),
    LoginFrom(String, Option<IpAddr>),
    User(UserId),
    Address(IpAddr),
    Everyone,
}

/// A try that is counted as a wrong one until it turns out right.
pub(crate) struct Try<'g> {
    guesses: &'g Guesses,
    counts: &'g Counts<Who>,
    whom: Vec<Who>,
}

impl Default for Guesses {
    fn default() -> Self {
        let ten_minutes = || Counts::new(Duration::from_mins(10));
        Self {
            passwords: ten_minutes(),
            known: Mutex::default(),
            device_codes: ten_minutes(),
            devices: ten_minutes(),
            invites: Counts::new(Duration::from_mins(1)),
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
        let (login, from) = (login.to_lowercase(), address.map(network));
        let here = Who::LoginFrom(login.clone(), from);
        let mut keys = vec![(here, PASSWORDS_FOR_LOGIN_FROM_ADDRESS)];
        if !from.is_some_and(|from| self.known().contains(&(login.clone(), from))) {
            keys.push((Who::Login(login), PASSWORDS_FOR_LOGIN));
        }
        self.begin(&self.passwords, keys, address.map(|it| (it, PASSWORDS_FROM_ADDRESS)), now)
    }

    /// Someone types the code of a computer.
    pub(crate) fn device_code(
        &self,
        user: &UserId,
        address: Option<IpAddr>,
        now: Micros,
    ) -> Result<Try<'_>, u64> {
        let keys = vec![(Who::User(user.clone()), DEVICE_CODES)];
        self.begin(&self.device_codes, keys, address.map(|it| (it, DEVICE_CODES)), now)
    }

    /// A computer asks to be let in.
    pub(crate) fn device(&self, address: Option<IpAddr>, now: Micros) -> Result<Try<'_>, u64> {
        let keys = vec![(Who::Everyone, DEVICES)];
        self.begin(&self.devices, keys, address.map(|it| (it, DEVICES_FROM_ADDRESS)), now)
    }

    /// Someone comes with the code of an invite.
    pub(crate) fn invite(&self, address: Option<IpAddr>, now: Micros) -> Result<Try<'_>, u64> {
        self.begin(&self.invites, Vec::new(), address.map(|it| (it, INVITES_FROM_ADDRESS)), now)
    }

    /// Counts a try before it is looked at, so that many at once get no further than one after the other.
    fn begin<'g>(
        &'g self,
        counts: &'g Counts<Who>,
        mut keys: Vec<(Who, u32)>,
        address: Option<(IpAddr, u32)>,
        now: Micros,
    ) -> Result<Try<'g>, u64> {
        keys.extend(address.map(|(address, most)| (Who::Address(network(address)), most)));
        counts.take(&keys, now)?;
        Ok(Try { guesses: self, counts, whom: keys.into_iter().map(|(who, _)| who).collect() })
    }

    fn known(&self) -> MutexGuard<'_, HashSet<(String, IpAddr)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers from where somebody has signed in.
    fn know(&self, login: String, address: IpAddr) {
        let mut known = self.known();
        if known.len() >= MAX_KNOWN
            && let Some(any) = known.iter().next().cloned()
        {
            known.remove(&any);
        }
        known.insert((login, address));
    }
}

impl Try<'_> {
    /// It was right: a login starts anew from where it signed in, and else this one try is given back. (Who
    /// types codes has right ones of their own, which must not buy them more guesses at others.)
    pub(crate) fn right(self) {
        for who in self.whom {
            if let Who::LoginFrom(login, address) = who {
                self.counts.forget(&Who::LoginFrom(login.clone(), address));
                if let Some(address) = address {
                    self.guesses.know(login, address);
                }
            } else {
                self.counts.give_back(&who);
            }
        }
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
            assert!(guesses.password("ann", HERE, n * 1_000_000).is_ok());
        }
        assert_eq!(guesses.password("ANN", HERE, MINUTE).err(), Some(9 * 60));
        assert!(guesses.password("bob", HERE, MINUTE).is_ok());
        assert!(guesses.password("ann", Some(elsewhere(1)), MINUTE).is_ok());
        assert!(guesses.password("ann", HERE, 10 * MINUTE).is_ok());
    }

    #[test]
    fn one_address_cannot_try_login_after_login() {
        let guesses = Guesses::default();
        let tried =
            (0..100).filter(|n| guesses.password(&format!("user{n}"), HERE, 0).is_ok()).count();
        assert_eq!(tried, 30);
        assert!(guesses.password("ann", Some(elsewhere(1)), 0).is_ok());
    }

    #[test]
    fn a_right_password_gives_the_tries_back() {
        let guesses = Guesses::default();
        for address in [HERE, None] {
            for _ in 0..100 {
                guesses.password("ann", address, 0).ok().unwrap().right();
            }
        }
    }

    #[test]
    fn guesses_from_everywhere_keep_nobody_out_who_signed_in_before() {
        let guesses = Guesses::default();
        guesses.password("Ann", HERE, 0).ok().unwrap().right();
        let tried =
            (0..200).filter(|n| guesses.password("ann", Some(elsewhere(*n)), 0).is_ok()).count();
        assert_eq!(tried, 50);
        assert!(guesses.password("ann", Some(elsewhere(250)), 0).is_err(), "from anywhere new");
        assert!(guesses.password("ann", HERE, 0).is_ok(), "but not from where she signed in");
        assert!(guesses.password("bob", Some(elsewhere(250)), 0).is_ok());
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
