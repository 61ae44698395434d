//! A computer without a browser signs in: it shows a code, a person types that code into a browser
//! elsewhere, and the computer polls for its token (RFC 8628).
//!
//! Whoever makes somebody type a code gets their account. So the code must be typed (there is no link that
//! holds it), the page says who asks from where, and guessing is counted.

use std::net::IpAddr;
use std::time::Duration;

use meshwire_protocol::{
    CLI_CLIENT_ID, DEVICE_GRANT_TYPE, DeviceCodeAnswer, DeviceCodeRequest, DeviceTokenAnswer,
    DeviceTokenRequest, ErrorCode, Scope, UserId, UserLogin,
};

use crate::app::App;
use crate::clock::micros;
use crate::error::{ApiError, Result, shown};
use crate::secret;
use crate::sign_in::clean;
use crate::sign_in::cli::{MAX_HOST, new_token, token_name};
use crate::store::{DeviceCode, DevicePoll, DeviceRequest};

/// How long a code is good for.
const LIFETIME: Duration = Duration::from_mins(10);
/// Time between polls, and by how much it grows when one comes too soon (RFC 8628 section 3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// Consonants without those that look like others, so that no code is a word (RFC 8628 section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of the code that is typed.
const USER_CODE_LENGTH: usize = 8;
/// Length of the code that the computer holds, see [`secret::one_time`].
const DEVICE_CODE_LENGTH: usize = 43;
/// Longest `client_id`, in characters.
const MAX_CLIENT: usize = 64;
/// Two typed codes are the same once in 20^8 times.
const ATTEMPTS: usize = 3;

/// An error in the words of RFC 6749 section 5.2 and RFC 8628 section 3.5.
#[derive(Debug)]
pub(crate) struct OauthError {
    /// The word that programs go by.
    pub error: &'static str,
    /// What was wrong here.
    pub description: String,
    /// In how many seconds to try again, when it is not the request that is wrong.
    pub retry_after: Option<u64>,
}

/// Why a call of a computer fails.
#[derive(Debug)]
pub(crate) enum DeviceError {
    /// It is told in the words of the standard.
    Oauth(OauthError),
    /// The standard has no word for it: the store does not answer, or the body does not arrive.
    Other(ApiError),
}

impl<E: Into<ApiError>> From<E> for DeviceError {
    fn from(error: E) -> Self {
        let error = error.into();
        if error.code() == ErrorCode::InvalidRequest {
            return refused("invalid_request", error.detail());
        }
        Self::Other(error)
    }
}

fn refused(error: &'static str, description: impl Into<String>) -> DeviceError {
    DeviceError::Oauth(OauthError { error, description: description.into(), retry_after: None })
}

/// Begins: a code for the computer, and one for the person.
///
/// RFC 8628 demands a `client_id` of programs that do not authenticate. Nothing is registered here, so that
/// it opens nothing; one that is left out is taken to be our own command line, and a poll that names another
/// one than the request did is refused.
pub(crate) async fn begin(
    app: &App,
    request: DeviceCodeRequest,
    address: Option<IpAddr>,
) -> std::result::Result<DeviceCodeAnswer, DeviceError> {
    let client = check_client(request.client_id)?.unwrap_or_else(|| CLI_CLIENT_ID.to_owned());
    let now = app.clock.now();
    if let Err(seconds) = app.sign_in.guesses.device(address, now) {
        return Err(DeviceError::Oauth(OauthError {
            error: "slow_down",
            description: format!(
                "Too many computers have asked to sign in lately; try again in {seconds} s."
            ),
            retry_after: Some(seconds),
        }));
    }
    let host = clean(&request.host.unwrap_or_default(), MAX_HOST);
    let device_code = secret::one_time();
    for _ in 0..ATTEMPTS {
        let user_code = secret::letters(ALPHABET, USER_CODE_LENGTH);
        let code = DeviceCode {
            hash: secret::digest(&device_code),
            user_code: secret::digest(&user_code),
            client: client.clone(),
            token_name: token_name(&host),
            request: DeviceRequest { host: host.clone(), address, requested_at: now },
            every: micros(INTERVAL),
            expires_at: now + micros(LIFETIME),
        };
        if app.store.put_device_code(code).await? {
            return Ok(DeviceCodeAnswer {
                device_code,
                user_code: shown_code(&user_code),
                verification_uri: app.url("/device"),
                expires_in: LIFETIME.as_secs(),
                interval: INTERVAL.as_secs(),
            });
        }
    }
    Err(DeviceError::Other(ApiError::new(ErrorCode::InternalError, "No code was free. Try again.")))
}

/// A poll: the token, when the person has agreed.
pub(crate) async fn poll(
    app: &App,
    request: DeviceTokenRequest,
) -> std::result::Result<DeviceTokenAnswer, DeviceError> {
    match given(request.grant_type).as_deref() {
        Some(DEVICE_GRANT_TYPE) => {}
        None => return Err(refused("invalid_request", "grant_type: is missing")),
        Some(other) => {
            let description = format!("grant_type: {} is not {DEVICE_GRANT_TYPE}", shown(other));
            return Err(refused("unsupported_grant_type", description));
        }
    }
    let Some(code) = given(request.device_code) else {
        return Err(refused("invalid_request", "device_code: is missing"));
    };
    let client = check_client(request.client_id)?;
    let unknown = || {
        refused(
            "invalid_grant",
            "There is no such device_code for this client_id, or it was used. Ask for a new one.",
        )
    };
    if code.len() != DEVICE_CODE_LENGTH || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(unknown());
    }
    let now = app.clock.now();
    let (secret, token) = new_token(now);
    let code = secret::digest(&code);
    let limit = app.settings.limits.tokens;
    let slower = micros(INTERVAL);
    match app.store.poll_device(&code, client.as_deref(), token, slower, limit, now).await? {
        DevicePoll::Issued(login) => Ok(DeviceTokenAnswer {
            access_token: secret,
            token_type: "Bearer".to_owned(),
            scope: Scope::ALL.map(Scope::as_str).join(" "),
            user: UserLogin { login },
        }),
        DevicePoll::Pending => {
            Err(refused("authorization_pending", "Nobody has typed the code and decided yet."))
        }
        DevicePoll::TooSoon => Err(refused(
            "slow_down",
            "This poll came too soon: wait 5 s longer between polls from now on.",
        )),
        DevicePoll::Denied => Err(refused("access_denied", "The person has said no.")),
        DevicePoll::Expired => {
            Err(refused("expired_token", "The code has run out: it is good for 10 minutes."))
        }
        DevicePoll::Unknown => Err(unknown()),
        DevicePoll::LimitReached => Err(refused(
            "access_denied",
            format!(
                "The account has {limit} live tokens, which is the most that it may have. Revoke one \
                 that is not needed (`meshwire token revoke ID`), then sign in again."
            ),
        )),
    }
}

/// The request behind what a person has typed; `None`: there is none that waits.
pub(crate) async fn find(app: &App, typed: &str) -> Result<Option<(String, DeviceRequest)>> {
    let Some(code) = user_code(typed) else { return Ok(None) };
    let request = app.store.device_request(&secret::digest(&code), app.clock.now()).await?;
    Ok(request.map(|request| (code, request)))
}

/// Lets the computer in, for this user, or refuses it; `false` when it does not wait any more.
pub(crate) async fn decide(app: &App, code: &str, user: Option<&UserId>) -> Result<bool> {
    Ok(app.store.decide_device(&secret::digest(code), user, app.clock.now()).await?)
}

/// Whether two addresses are of different networks, as far as one can tell: another /24 of IPv4, another /48
/// of IPv6.
pub(crate) fn is_elsewhere(one: IpAddr, other: IpAddr) -> bool {
    match (one.to_canonical(), other.to_canonical()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.to_bits() >> 8 != other.to_bits() >> 8,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() >> 80 != other.to_bits() >> 80,
        // One computer may have both.
        (one, other) => !(one.is_loopback() && other.is_loopback()),
    }
}

/// What was typed, as it was made: in any case, with dashes and spaces or without.
fn user_code(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let code: String =
        typed.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
    let fits = code.len() == USER_CODE_LENGTH && code.bytes().all(|b| ALPHABET.contains(&b));
    fits.then_some(code)
}

/// In two halves, which are easier to read.
pub(crate) fn shown_code(code: &str) -> String {
    match code.split_at_checked(USER_CODE_LENGTH / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

/// "Parameters sent without a value MUST be treated as if they were omitted" (RFC 8628 section 3.1).
fn given(parameter: Option<String>) -> Option<String> {
    parameter.filter(|value| !value.is_empty())
}

/// RFC 6749 appendix A.1: printable ASCII.
fn check_client(id: Option<String>) -> std::result::Result<Option<String>, DeviceError> {
    match given(id) {
        Some(id) if id.len() > MAX_CLIENT || !id.bytes().all(|b| (0x20..=0x7e).contains(&b)) => {
            let description = format!("client_id: must be 1 to {MAX_CLIENT} printable characters");
            Err(refused("invalid_request", description))
        }
        id => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_kindly() {
        for (typed, read) in [
            ("BCDF-GHJK", Some("BCDFGHJK")),
            (" bcdf ghjk ", Some("BCDFGHJK")),
            ("bcdfghjk", Some("BCDFGHJK")),
            ("BCDF-GHJ", None),
            ("BCDF-GHJKL", None),
            ("ACDF-GHJK", None),
            ("BCDF-GHJ0", None),
            ("BCDF_GHJK", None),
            ("\u{212a}CDFGHJB", None),
            ("", None),
        ] {
            assert_eq!(user_code(typed).as_deref(), read, "{typed}");
        }
        assert_eq!(user_code(&"-".repeat(100)), None);
        assert_eq!(shown_code("BCDFGHJK"), "BCDF-GHJK");
    }

    #[test]
    fn networks_are_told_apart() {
        for (one, other, elsewhere) in [
            ("192.0.2.1", "192.0.2.200", false),
            ("192.0.2.1", "192.0.3.1", true),
            ("::ffff:192.0.2.1", "192.0.2.7", false),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("2001:db8:1::1", "2001:db8:2::1", true),
            ("192.0.2.1", "2001:db8::1", true),
            ("127.0.0.1", "::1", false),
        ] {
            let parsed = |text: &str| text.parse().unwrap();
            assert_eq!(is_elsewhere(parsed(one), parsed(other)), elsewhere, "{one} {other}");
        }
    }
}
