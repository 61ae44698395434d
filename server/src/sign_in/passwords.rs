//! Passwords of local accounts: argon2id, a few at a time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use meshwire_protocol::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, Result};
use crate::secret;

/// Shortest password, in characters.
const SHORTEST: usize = 10;
/// Longest password, in bytes.
const LONGEST: usize = 256;
/// Passwords that are hashed at a time: each takes 19 MiB and a core.
const AT_A_TIME: usize = 2;
/// Who has not had their turn by then is asked to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says what is wrong with a password that somebody chooses. Length is what counts; rules about kinds of
/// characters make passwords no better.
pub(crate) fn check_password(password: &str, login: &str) -> std::result::Result<(), &'static str> {
    if password.chars().count() < SHORTEST {
        return Err(
            "Choose a password of at least 10 characters; a few words are easy to remember.",
        );
    }
    if password.len() > LONGEST {
        return Err("This password is too long: 256 bytes at most.");
    }
    if password.eq_ignore_ascii_case(login) {
        return Err("The password must not be the login.");
    }
    Ok(())
}

/// Hashes and checks passwords off the threads that answer requests.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Passwords {
    /// The hash of a new password, as a PHC string.
    pub(crate) async fn hash(&self, password: String) -> Result<String> {
        self.run(move || hash(&password)).await
    }

    /// Whether this is the password behind a hash. Without a hash, since the login is unknown, it takes as
    /// long and says no.
    pub(crate) async fn verify(&self, password: String, phc: Option<String>) -> Result<bool> {
        if password.len() > LONGEST {
            return Ok(false);
        }
        self.run(move || {
            let known = phc.is_some();
            let phc = phc.unwrap_or_else(|| nobodys().to_owned());
            let Ok(expected) = PasswordHash::new(&phc) else {
                tracing::error!("a password hash in the store cannot be read");
                return false;
            };
            argon2().verify_password(password.as_bytes(), &expected).is_ok() && known
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = self.turn().await?;
        let work = move || {
            let _turn = turn;
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await.expect("hashing does not panic"))
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(turn) => Ok(turn.expect("the semaphore is never closed")),
            Err(_) => Err(ApiError::new(
                ErrorCode::RateLimited,
                "Too many people are signing in at the moment.",
            )
            .because("passwords at a time")
            .retry_after(10)),
        }
    }
}

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19_456, 2, 1, None).expect("within the bounds of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    argon2()
        .hash_password(password.as_bytes())
        .expect("the operating system gives random numbers, and the length was checked")
        .to_string()
}

/// A hash of a password that nobody has.
fn nobodys() -> &'static str {
    static NOBODYS: OnceLock<String> = OnceLock::new();
    NOBODYS.get_or_init(|| hash(&secret::one_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_what_counts() {
        assert!(check_password("aaaaaaaaaa", "ann").is_ok());
        assert!(check_password("öäüöäüöäüö", "ann").is_ok());
        assert!(check_password("123456789", "ann").is_err());
        assert!(check_password("Ann-Of-Cleves", "ann-of-cleves").is_err());
        assert!(check_password(&"x".repeat(256), "ann").is_ok());
        assert!(check_password(&"x".repeat(257), "ann").is_err());
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_alone() {
        let passwords = Passwords::default();
        let phc = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let verify = async |password: &str, phc: Option<&String>| {
            passwords.verify(password.to_owned(), phc.cloned()).await.unwrap()
        };
        assert!(verify("correct horse", Some(&phc)).await);
        assert!(!verify("correct house", Some(&phc)).await);
        assert!(!verify("correct horse", None).await);
        assert!(!verify("correct horse", Some(&"broken".to_owned())).await);
    }
}
