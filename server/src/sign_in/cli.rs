//! The command line signs in: a person allows it in the browser, and it exchanges the code that comes
//! back over loopback for a token (RFC 8252, RFC 7636).

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use meshwire_protocol::{CliTokenAnswer, CliTokenRequest, ErrorCode, Scope, UserId, UserLogin};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::clock::micros;
use crate::error::{ApiError, Result};
use crate::secret;
use crate::sign_in::clean;
use crate::sign_in::tickets::CliForm;
use crate::store::{CliCode, Exchange, Micros, TokenRow};

/// How long a code may be exchanged.
const CODE_LIFETIME: Duration = Duration::from_mins(1);
/// Length of a code, see [`secret::one_time`].
const CODE_LENGTH: usize = 43;
/// Longest name of a computer that is shown, in characters.
pub(crate) const MAX_HOST: usize = 64;
/// Length of SHA-256 in base64url.
const CHALLENGE_LENGTH: usize = 43;

/// What the command line asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliRequest {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Comes back with the code.
    pub state: String,
    /// PKCE, S256.
    pub challenge: String,
    /// The computer that it says it runs on; may be empty.
    pub host: String,
}

impl CliRequest {
    /// Checks the parameters of `GET /auth/cli`.
    pub(crate) fn check(
        port: Option<&str>,
        state: Option<&str>,
        challenge: Option<&str>,
        method: Option<&str>,
        host: Option<&str>,
    ) -> Result<Self> {
        let field =
            |name, reason| ApiError::field(name, reason).hint("Run `meshwire login` again.");
        let port = port
            .filter(|port| port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0'))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port >= 1024)
            .ok_or_else(|| field("port", "must be a number from 1024 to 65535"))?;
        let state = state
            // Its strength is the command line's affair, which compares it.
            .filter(|state| (1..=256).contains(&state.len()) && state.bytes().all(is_url_safe))
            .ok_or_else(|| field("state", "must be 1 to 256 characters of A-Z a-z 0-9 - . _ ~"))?;
        let challenge = challenge
            .filter(|it| it.len() == CHALLENGE_LENGTH && it.bytes().all(is_base64url))
            .ok_or_else(|| field("code_challenge", "must be 43 characters of base64url"))?;
        if method.is_some_and(|method| method != "S256") {
            return Err(field("code_challenge_method", "must be S256"));
        }
        Ok(Self {
            port,
            state: state.to_owned(),
            challenge: challenge.to_owned(),
            host: clean(host.unwrap_or_default(), MAX_HOST),
        })
    }

    /// The page's own address, written from what was checked.
    pub(crate) fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("port", &self.port.to_string())
            .append_pair("state", &self.state)
            .append_pair("code_challenge", &self.challenge);
        if !self.host.is_empty() {
            query.append_pair("host", &self.host);
        }
        format!("/auth/cli?{}", query.finish())
    }
}

/// Makes a code for the command line that waits on loopback; the address that brings it there.
pub(crate) async fn allow(app: &App, user: &UserId, asked: CliForm) -> Result<String> {
    let code = secret::one_time();
    app.store
        .put_cli_code(CliCode {
            hash: secret::digest(&code),
            user: user.clone(),
            challenge: asked.challenge,
            token_name: token_name(&asked.host),
            expires_at: app.clock.now() + micros(CODE_LIFETIME),
        })
        .await?;
    Ok(format!("{}/callback?code={code}&state={}", loopback(asked.port), asked.state))
}

/// The name of a token for the command line on this computer.
pub(crate) fn token_name(host: &str) -> String {
    let host = if host.is_empty() { "an unnamed computer" } else { host };
    clean(&format!("cli on {host}"), meshwire_protocol::limits::MAX_NAME)
}

/// The secret of a new token of a whole account, and its row, whose user and name are taken from the code
/// that it is exchanged for.
pub(crate) fn new_token(now: Micros) -> (String, TokenRow) {
    let secret = secret::token();
    let token = TokenRow {
        hash: secret::digest(&secret),
        id: secret::token_id(),
        suffix: secret[secret.len() - 6..].to_owned(),
        user: secret::user_id(),
        name: String::new(),
        scopes: Scope::ALL.to_vec(),
        mesh: None,
        agent: None,
        created_at: now,
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
    };
    (secret, token)
}

/// The only place outside this server that a form may lead to.
pub(crate) fn loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Exchanges a code for a token.
pub(crate) async fn exchange(app: &App, request: &CliTokenRequest) -> Result<CliTokenAnswer> {
    let refused = |detail: &str| {
        ApiError::new(ErrorCode::InvalidGrant, detail).hint("Run `meshwire login` again.")
    };
    let unknown =
        || refused("There is no such sign-in code, or it has run out: it is good for 60 s.");
    if request.code.len() != CODE_LENGTH || !request.code.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return Err(unknown());
    }
    let now = app.clock.now();
    let (secret, token) = new_token(now);
    let code = secret::digest(&request.code);
    let challenge = challenge_of(&request.code_verifier).unwrap_or_default();
    let limit = app.settings.limits.tokens;
    match app.store.exchange_cli_code(&code, &challenge, token, limit, now).await? {
        Exchange::Issued(login) => Ok(CliTokenAnswer { token: secret, user: UserLogin { login } }),
        Exchange::WrongVerifier => Err(refused(
            "The code_verifier does not belong to this sign-in code; the code is spent.",
        )),
        Exchange::Reused(token) => {
            if let Some(token) = &token {
                app.meshes.end_token(token);
            }
            tracing::warn!(
                token.id = token.as_ref().map(meshwire_protocol::TokenId::as_str),
                "a sign-in code came a second time; the token that it got is revoked"
            );
            Err(refused(
                "This sign-in code was used before. The token that it got then is revoked now, since \
                 someone may have listened.",
            ))
        }
        Exchange::Unknown => Err(unknown()),
        Exchange::LimitReached => Err(too_many_tokens(limit)),
    }
}

/// The account has no room for another token.
pub(crate) fn too_many_tokens(limit: u32) -> ApiError {
    ApiError::limit(
        ErrorCode::LimitReached,
        format!("You have {limit} live tokens, which is the most that one account may have."),
        "Revoke one that you do not need (`meshwire token revoke ID`), then sign in again.",
        "MESHWIRE_LIMIT_TOKENS",
    )
}

/// The challenge of a verifier (RFC 7636 section 4.2); `None` for what cannot be a verifier. It is looked
/// up all the same: a wrong verifier ends the code, whatever is wrong with it.
fn challenge_of(verifier: &str) -> Option<String> {
    let plausible = (43..=128).contains(&verifier.len()) && verifier.bytes().all(is_url_safe);
    plausible.then(|| BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())))
}

/// Unreserved in a URL (RFC 3986 section 2.3).
const fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636 appendix B.
        assert_eq!(
            challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").as_deref(),
            Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        );
        assert_eq!(challenge_of("short"), None);
    }
}
