//! Random identifiers and secrets, and the hash under which a secret is kept.

use meshwire_protocol::{AgentId, MeshId, TokenId, UserId, finish_token};
use rand::RngExt as _;
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest as _, Sha256};

use crate::store::Digest;

/// That many random base62 characters, uniformly, from a generator seeded by the operating system.
pub fn base62(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

/// That many random letters of an alphabet, uniformly.
///
/// # Panics
/// When the alphabet is empty.
pub fn letters(alphabet: &[u8], length: usize) -> String {
    let letters = rand::distr::slice::Choose::new(alphabet).expect("there are letters");
    rand::rng().sample_iter(letters).take(length).map(|letter| char::from(*letter)).collect()
}

/// A secret of 256 bits and more: a session, a one-time code.
pub fn one_time() -> String {
    base62(43)
}

/// A new API token.
///
/// # Panics
/// Never: 30 base62 characters always make a token.
pub fn token() -> String {
    finish_token(&base62(30)).expect("30 base62 characters make a token")
}

/// SHA-256. Right for secrets of high entropy only; a password needs argon2.
pub fn digest(secret: &str) -> Digest {
    Sha256::digest(secret.as_bytes()).into()
}

macro_rules! new_id {
    ($(#[$doc:meta])* $name:ident, $id:ident) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// Never: base62 of the right length is always an id.
        pub fn $name() -> $id {
            base62($id::LENGTH).parse().expect("base62 of the right length is an id")
        }
    };
}

new_id!(
    /// A new mesh id.
    mesh_id, MeshId
);
new_id!(
    /// A new agent id.
    agent_id, AgentId
);
new_id!(
    /// A new public token id.
    token_id, TokenId
);
new_id!(
    /// A new user id.
    user_id, UserId
);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_well_formed_and_never_the_same() {
        let tokens: HashSet<String> = (0..10_000).map(|_| token()).collect();
        assert_eq!(tokens.len(), 10_000);
        assert!(tokens.iter().all(|token| meshwire_protocol::check_token(token).is_ok()));
    }
}
