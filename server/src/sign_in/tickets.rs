//! Tickets: short-lived signed notes that a browser carries from one page to the next, so that the server
//! need not remember pages that nobody comes back from.
//!
//! A ticket is readable by whoever holds it and says nothing that they may not know. It is of one kind, for
//! a limited time, and names what it is bound to.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use meshwire_protocol::{MeshId, TokenId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::micros;
use crate::store::Micros;

/// Most spent tickets that are remembered. Each is at most ten minutes old, and a flood of them costs the
/// attacker as many sign-ins.
const MAX_SPENT: usize = 10_000;

/// A kind of ticket.
pub(crate) trait Ticket: Serialize + DeserializeOwned {
    /// What it is for. One kind is never taken for another.
    const PURPOSE: &'static str;
    /// How long it is good for.
    const LIFETIME: Duration;
}

/// Kept in a cookie while a person is at GitHub.
#[derive(Serialize, Deserialize)]
pub(crate) struct AtGithub {
    /// Comes back in the URL, and must be the same.
    pub state: String,
    /// PKCE (RFC 7636).
    pub verifier: String,
    /// Where the person wanted to go.
    pub return_to: String,
}

impl Ticket for AtGithub {
    const PURPOSE: &'static str = "github";
    const LIFETIME: Duration = Duration::from_mins(10);
}

/// In the form that asks for login and password.
#[derive(Serialize, Deserialize)]
pub(crate) struct LoginForm {
    /// Where the person wanted to go.
    pub return_to: String,
}

impl Ticket for LoginForm {
    const PURPOSE: &'static str = "login";
    const LIFETIME: Duration = Duration::from_hours(1);
}

/// In the form of a one-time link of an account.
#[derive(Serialize, Deserialize)]
pub(crate) struct SetupForm {
    /// The code that the page was opened with.
    pub code: String,
}

impl Ticket for SetupForm {
    const PURPOSE: &'static str = "setup";
    const LIFETIME: Duration = Duration::from_hours(1);
}

/// In forms of a signed-in browser that name nothing else.
#[derive(Serialize, Deserialize)]
pub(crate) struct SessionForm {
    /// The public id of the session that saw the form.
    pub session: String,
}

impl Ticket for SessionForm {
    const PURPOSE: &'static str = "session";
    const LIFETIME: Duration = Duration::from_hours(24);
}

/// In the form that makes a token.
#[derive(Serialize, Deserialize)]
pub(crate) struct TokenForm {
    /// The public id of the session that saw the form.
    pub session: String,
    /// The public id that the token will have: sent again, the form makes no second one, on no node.
    pub id: TokenId,
}

impl Ticket for TokenForm {
    const PURPOSE: &'static str = "token";
    const LIFETIME: Duration = Duration::from_hours(24);
}

/// In the form that sends a message.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendForm {
    /// The public id of the session that saw the form.
    pub session: String,
    /// The mesh that it sends to.
    pub mesh: MeshId,
    /// The idempotency key: sent twice, the form sends one message, on whatever node.
    pub key: String,
}

impl Ticket for SendForm {
    const PURPOSE: &'static str = "send";
    const LIFETIME: Duration = Duration::from_hours(24);
}

/// In the form that lets the command line sign in.
#[derive(Serialize, Deserialize)]
pub(crate) struct CliForm {
    /// The public id of the session that saw the form.
    pub session: String,
    /// Where the command line listens.
    pub port: u16,
    /// Its state.
    pub state: String,
    /// Its PKCE challenge, S256.
    pub challenge: String,
    /// The computer that it says it runs on.
    pub host: String,
}

impl Ticket for CliForm {
    const PURPOSE: &'static str = "cli";
    const LIFETIME: Duration = Duration::from_mins(10);
}

/// In the form that asks a person whether a computer may sign in.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeviceForm {
    /// The public id of the session that saw the form.
    pub session: String,
    /// The code that was typed.
    pub code: String,
}

impl Ticket for DeviceForm {
    const PURPOSE: &'static str = "device";
    const LIFETIME: Duration = Duration::from_mins(10);
}

/// In the form that joins a mesh.
#[derive(Serialize, Deserialize)]
pub(crate) struct JoinForm {
    /// The public id of the session that saw the form; `None`: it makes an account first.
    pub session: Option<String>,
    /// The mesh.
    pub mesh: MeshId,
    /// The code of the invite that the page was opened with.
    pub invite: Option<String>,
}

impl Ticket for JoinForm {
    const PURPOSE: &'static str = "join";
    const LIFETIME: Duration = Duration::from_hours(1);
}

#[derive(Serialize, Deserialize)]
struct Claims<T> {
    aud: String,
    /// Seconds since 1970.
    exp: i64,
    #[serde(rename = "for")]
    content: T,
}

/// Signs and checks tickets.
pub(crate) struct Tickets {
    sign: EncodingKey,
    check: Vec<DecodingKey>,
    spent: Mutex<HashMap<String, Micros>>,
}

impl Tickets {
    /// Signs with `key`, and takes what was signed with the one before.
    pub(crate) fn new(key: &str, previous: Option<&str>) -> Self {
        let check = std::iter::once(key).chain(previous);
        Self {
            sign: EncodingKey::from_secret(key.as_bytes()),
            check: check.map(|key| DecodingKey::from_secret(key.as_bytes())).collect(),
            spent: Mutex::default(),
        }
    }

    /// A new ticket.
    pub(crate) fn issue<T: Ticket>(&self, content: &T, now: Micros) -> String {
        let claims = Claims {
            aud: T::PURPOSE.to_owned(),
            exp: (now + micros(T::LIFETIME)) / 1_000_000,
            content,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .expect("a ticket is plain data, and HMAC takes any key")
    }

    /// What a ticket says; `None` when it is not ours, of another kind, or too old.
    pub(crate) fn read<T: Ticket>(&self, ticket: &str, now: Micros) -> Option<T> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&[T::PURPOSE]);
        rules.required_spec_claims = HashSet::from(["aud".to_owned()]);
        // Checked below, against the clock that everything here goes by.
        rules.validate_exp = false;
        self.check.iter().find_map(|key| {
            let claims = jsonwebtoken::decode::<Claims<T>>(ticket, key, &rules).ok()?.claims;
            (claims.exp > now / 1_000_000).then_some(claims.content)
        })
    }

    /// A secret code that every node with the same key makes of the same words. They have a space in them, which no
    /// ticket has in what of it is signed: none is ever the other.
    pub(crate) fn shared_code(&self, words: &str) -> String {
        debug_assert!(words.contains(' '), "a ticket could be signed alike");
        jsonwebtoken::crypto::sign(words.as_bytes(), &self.sign, Algorithm::HS256)
            .expect("HMAC takes any key")
    }

    /// Marks the holder of `name` as having come back; `false` when it had already. Kept by this process
    /// only, as a second lock: what it guards is single-use at its source too.
    pub(crate) fn spend<T: Ticket>(&self, name: &str, now: Micros) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.len() >= MAX_SPENT {
            spent.retain(|_, until| *until > now);
        }
        if spent.len() >= MAX_SPENT {
            let oldest =
                spent.iter().min_by_key(|(_, until)| **until).map(|(name, _)| name.clone());
            oldest.map(|name| spent.remove(&name));
        }
        spent.insert(name.to_owned(), now + micros(T::LIFETIME)).is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 1_748_000_000_000_000;
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";

    fn form() -> LoginForm {
        LoginForm { return_to: "/x".to_owned() }
    }

    #[test]
    fn a_ticket_is_for_one_purpose_and_for_a_time() {
        let tickets = Tickets::new(KEY, None);
        let ticket = tickets.issue(&form(), NOW);
        assert_eq!(tickets.read::<LoginForm>(&ticket, NOW).unwrap().return_to, "/x");
        assert!(tickets.read::<SetupForm>(&ticket, NOW).is_none());
        assert!(tickets.read::<LoginForm>(&ticket, NOW + micros(LoginForm::LIFETIME)).is_none());
        assert!(tickets.read::<LoginForm>(&format!("{ticket}x"), NOW).is_none());
        assert!(tickets.read::<LoginForm>("", NOW).is_none());
    }

    #[test]
    fn the_key_before_is_still_taken() {
        let ticket = Tickets::new(OTHER, None).issue(&form(), NOW);
        assert!(Tickets::new(KEY, Some(OTHER)).read::<LoginForm>(&ticket, NOW).is_some());
        assert!(Tickets::new(KEY, None).read::<LoginForm>(&ticket, NOW).is_none());
    }

    #[test]
    fn an_unsigned_ticket_is_refused() {
        // {"alg":"none"}, and a body that would do.
        let head = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let ticket = Tickets::new(KEY, None).issue(&form(), NOW);
        let body = ticket.split('.').nth(1).unwrap();
        assert!(
            Tickets::new(KEY, None).read::<LoginForm>(&format!("{head}.{body}."), NOW).is_none()
        );
    }

    #[test]
    fn a_name_is_spent_once() {
        let tickets = Tickets::new(KEY, None);
        assert!(tickets.spend::<AtGithub>("a", NOW));
        assert!(!tickets.spend::<AtGithub>("a", NOW + 1));
        assert!(tickets.spend::<AtGithub>("b", NOW));
        for n in 0..MAX_SPENT + 10 {
            tickets.spend::<AtGithub>(&n.to_string(), NOW);
        }
        assert!(tickets.spent.lock().unwrap().len() <= MAX_SPENT);
    }
}
