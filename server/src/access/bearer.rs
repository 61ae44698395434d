//! From the Authorization header to a user with a token.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use meshwire_protocol::{ErrorCode, Via, check_token};

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::error::{ApiError, Result};
use crate::mesh::Speaker;
use crate::secret;
use crate::store::{Digest, TokenRow, UserRow};

/// A user who is signed in with a token.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The user.
    pub user: Arc<UserRow>,
    /// The token.
    pub token: Arc<TokenRow>,
    /// How many tokens had been revoked when this one was looked up.
    revocations: u64,
}

impl Principal {
    /// Reads and checks the token of a request.
    pub(super) async fn of(app: &App, parts: &Parts) -> Result<Self> {
        Self::of_beside(app, parts, async {}).await.map(|(principal, ())| principal)
    }

    /// The same, while something else is looked up for the request: on a store that is somewhere else, what does not wait
    /// for each other is one round trip. Not begun for what can be no token.
    pub(super) async fn of_beside<T>(
        app: &App,
        parts: &Parts,
        beside: impl Future<Output = T>,
    ) -> Result<(Self, T)> {
        let token = bearer(&parts.headers)?;
        // Form and checksum first: a typing error or a probe costs no look-up.
        check_token(token).map_err(|_| unknown_token().because("no token of this form"))?;
        let hash = secret::digest(token);
        let address = parts.extensions.get().map(|ClientAddress(address)| *address);
        let now = app.clock.now();
        app.strangers.check(address, &hash, now)?;
        let (principal, beside) = tokio::join!(Self::look_up(app, &hash), beside);
        let Some(principal) = principal? else {
            app.strangers.unknown(address, now);
            return Err(unknown_token().because("no such token"));
        };
        app.strangers.known(&hash);
        tracing::Span::current()
            .record("user", principal.user.id.as_str())
            .record("token", principal.token.id.as_str());
        Ok((principal.check(app)?, beside))
    }

    /// Checks a token again that a request came with.
    pub(super) async fn by_hash(app: &App, hash: &Digest) -> Result<Self> {
        Self::look_up(app, hash).await?.ok_or_else(unknown_token)?.check(app)
    }

    async fn look_up(app: &App, hash: &Digest) -> Result<Option<Self>> {
        let revocations = app.meshes.revocations();
        #[cfg(feature = "planted-bugs")]
        let found = token_of_a_moment_ago(app, hash).await?;
        #[cfg(not(feature = "planted-bugs"))]
        let found = app.store.token(hash).await?;
        Ok(found.map(|(token, user)| Self { user, token, revocations }))
    }

    fn check(self, app: &App) -> Result<Self> {
        let token = &self.token;
        if token.revoked_at.is_some() {
            return Err(ApiError::new(ErrorCode::TokenRevoked, "This token was revoked.")
                .hint("Run `meshwire login`, or make a new token."));
        }
        if token.expires_at.is_some_and(|at| at <= app.clock.now()) {
            return Err(ApiError::new(ErrorCode::TokenExpired, "This token has expired.")
                .hint("Run `meshwire login`, or make a new token."));
        }
        app.meshes.note_used(&token.id);
        Ok(self)
    }

    /// The same, as the log sees it.
    pub fn speaker(&self) -> Speaker {
        let via = match (&self.token.mesh, &self.token.agent) {
            (_, Some(_)) => Via::Agent,
            (Some(_), None) => Via::Mesh,
            (None, None) => Via::Account,
        };
        Speaker {
            user: self.user.id.clone(),
            login: self.user.login.clone(),
            token: self.token.id.clone(),
            via,
            agent: self.token.agent.clone(),
            expires_at: self.token.expires_at,
            revocations: self.revocations,
        }
    }
}

/// A bug that can be planted: what was found is believed for 5 s.
#[cfg(feature = "planted-bugs")]
async fn token_of_a_moment_ago(app: &App, hash: &Digest) -> Result<Option<crate::store::Bearer>> {
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, Instant};
    type Known = HashMap<Digest, (Instant, Option<crate::store::Bearer>)>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    if !crate::planted::is("token-cached") {
        return Ok(app.store.token(hash).await?);
    }
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = known().get_or_insert_default().get(hash).cloned();
    if let Some((at, found)) = kept
        && at.elapsed() < Duration::from_secs(5)
    {
        return Ok(found);
    }
    let found = app.store.token(hash).await?;
    known().get_or_insert_default().insert(*hash, (Instant::now(), found.clone()));
    Ok(found)
}

fn unknown_token() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "This token is not one of this server.")
        .hint("Run `meshwire login`, or set MESHWIRE_TOKEN to a token of this server.")
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let missing = || {
        ApiError::new(
            ErrorCode::Unauthorized,
            "This needs a token: send the header `Authorization: Bearer mw_…`.",
        )
        .hint("Run `meshwire login` to get one.")
        .because("no token")
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(ApiError::field("Authorization", "the header is given twice"));
    }
    // RFC 9110 section 11.1: the scheme is compared without regard to case.
    let (scheme, token) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(missing()) }
}
