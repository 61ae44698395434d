//! Asking GitHub who somebody is: OAuth with state and PKCE, then one look at the account.
//!
//! GitHub's token is used for that look and forgotten. Whatever comes from there is bounded in size and in
//! time, and is checked before it is believed.

use std::time::Duration;

use axum::http::{Response, StatusCode};
use futures_util::future::BoxFuture;
use oauth2::basic::BasicClient;
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, TokenResponse as _, TokenUrl,
};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use url::Url;

use crate::error::{chain, shown};
use crate::planted;
use crate::secret;
use crate::settings::GithubSettings;
use crate::sign_in::clean;
use crate::sign_in::tickets::AtGithub;
use crate::store::{Micros, NewUser};

/// Path that GitHub sends people back to.
const CALLBACK: &str = "/auth/github/callback";
/// For one request to GitHub, its answer included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Longest login that is believed; GitHub's own rule is shorter.
const MAX_LOGIN: usize = 64;

type Client = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// Our side of an OAuth app.
pub(crate) struct Github {
    oauth: Client,
    http: Result<Http, String>,
    user_url: String,
}

/// What GitHub sends a person back with.
#[derive(Deserialize)]
pub(crate) struct Callback {
    /// To exchange.
    pub code: Option<String>,
    /// What we gave along.
    pub state: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// Nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GithubError {
    /// The code is not valid: used, too old, or not for this browser.
    #[error("GitHub refused the code: {0}")]
    Refused(String),
    /// GitHub could not be reached, or its answer makes no sense. The text is for the log.
    #[error("GitHub cannot be used: {0}")]
    Unusable(String),
}

/// The account, as far as we look.
#[derive(Deserialize)]
struct Account {
    id: u64,
    login: String,
    name: Option<String>,
}

/// GitHub says what is wrong in an answer with status 200.
#[derive(Deserialize)]
struct OauthError {
    error: String,
}

impl Github {
    /// For an OAuth app whose callback is on our public URL.
    pub(crate) fn new(settings: &GithubSettings, public_url: &Url) -> Self {
        let redirect = format!("{}{CALLBACK}", without_slash(public_url));
        let url = |path: &str| format!("{}{path}", without_slash(&settings.url));
        let oauth = BasicClient::new(ClientId::new(settings.client_id.clone()))
            .set_client_secret(ClientSecret::new(settings.client_secret.clone()))
            .set_auth_uri(AuthUrl::new(url("/login/oauth/authorize")).expect("the base was a URL"))
            .set_token_uri(
                TokenUrl::new(url("/login/oauth/access_token")).expect("the base was a URL"),
            )
            .set_redirect_uri(RedirectUrl::new(redirect).expect("the base was a URL"))
            .set_auth_type(AuthType::RequestBody);
        Self {
            oauth,
            http: Http::new().map_err(|error| chain(&error)),
            user_url: format!("{}/user", without_slash(&settings.api_url)),
        }
    }

    /// Whether requests can be made at all.
    pub(crate) fn ready(&self) -> anyhow::Result<()> {
        self.http.as_ref().map(drop).map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Where to send a person who wants to sign in, and what to remember meanwhile.
    pub(crate) fn leave(&self, return_to: &str) -> (Url, AtGithub) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self
            .oauth
            .authorize_url(|| CsrfToken::new(secret::one_time()))
            .set_pkce_challenge(challenge)
            .url();
        let ticket = AtGithub {
            state: state.into_secret(),
            verifier: verifier.into_secret(),
            return_to: return_to.to_owned(),
        };
        (url, ticket)
    }

    /// Who has come back with this code.
    pub(crate) async fn who(
        &self,
        code: String,
        verifier: String,
        now: Micros,
    ) -> Result<NewUser, GithubError> {
        let http = self.http.as_ref().map_err(|error| GithubError::Unusable(error.clone()))?;
        let token = self
            .oauth
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(http)
            .await
            .map_err(token_error)?;
        let account = http.account(&self.user_url, token.access_token().secret()).await?;
        account.into_user(now)
    }
}

impl AtGithub {
    /// Whether the state that came back is the one that went out.
    pub(crate) fn state_is(&self, state: &str) -> bool {
        if planted::is("state-uncompared") {
            return true;
        }
        self.state.as_bytes().ct_eq(state.as_bytes()).into()
    }
}

impl Account {
    fn into_user(self, now: Micros) -> Result<NewUser, GithubError> {
        let Self { id, login, name } = self;
        let plausible = id > 0
            && (1..=MAX_LOGIN).contains(&login.len())
            && login.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !plausible {
            return Err(GithubError::Unusable(format!(
                "account {id} has the login {}",
                shown(&login)
            )));
        }
        let name = name.map(|name| clean(&name, meshwire_protocol::limits::MAX_NAME));
        Ok(NewUser {
            id: secret::user_id(),
            identity: format!("github:{id}"),
            name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| login.clone()),
            login,
            password: None,
            now,
        })
    }
}

fn without_slash(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Tells a code that is not valid from a GitHub that does not work. Error names are logged, bodies are not:
/// they may hold a token.
fn token_error<T>(error: RequestTokenError<HttpError, T>) -> GithubError
where
    T: oauth2::ErrorResponse + std::fmt::Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(answer) => {
            GithubError::Refused(shown(&answer.to_string()))
        }
        RequestTokenError::Request(error) => GithubError::Unusable(chain(&error)),
        RequestTokenError::Parse(error, body) => {
            match serde_json::from_slice::<OauthError>(&body) {
                Ok(OauthError { error }) => GithubError::Refused(shown(&error)),
                Err(_) => GithubError::Unusable(format!(
                    "its answer is not as expected at {}",
                    error.path()
                )),
            }
        }
        RequestTokenError::Other(error) => GithubError::Unusable(error),
    }
}

/// The client for GitHub: no redirects, no proxy from the environment, little patience.
struct Http(reqwest::Client);

#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error("no answer")]
    Request(#[from] reqwest::Error),
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
}

impl Http {
    fn new() -> reqwest::Result<Self> {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(concat!("meshwire-server/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
    }

    async fn send(&self, request: reqwest::Request) -> Result<HttpResponse, HttpError> {
        // The URL is left out of errors: they go to the log.
        let mut answer = self.0.execute(request).await.map_err(reqwest::Error::without_url)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    async fn account(&self, url: &str, token: &str) -> Result<Account, GithubError> {
        let unusable = |error: HttpError| GithubError::Unusable(chain(&error));
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| GithubError::Unusable("its token has strange characters".to_owned()))?;
        bearer.set_sensitive(true);
        let request = self
            .0
            .get(url)
            .header(ACCEPT, "application/vnd.github+json")
            .header(AUTHORIZATION, bearer)
            .build()
            .map_err(|error| unusable(error.into()))?;
        let answer = self.send(request).await.map_err(unusable)?;
        if answer.status() != StatusCode::OK {
            return Err(GithubError::Unusable(format!("/user answered {}", answer.status())));
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| GithubError::Unusable(format!("/user is not as expected: {error}")))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, HttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { self.send(request.try_into()?).await })
    }
}
