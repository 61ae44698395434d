//! Talks to a server: one request at a time, no redirect followed, every error in words.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use meshwire_protocol::{ErrorCode, OauthProblem, Problem};
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::credentials::Token;
use crate::failure::{Failure, Outcome};
use crate::server_url::ServerUrl;

mod api;
mod retry;

pub(crate) use api::{RawHistory, RawMessage, RawPage, sent};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, besides what the server was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The same on top of the wait of a long poll: a dead connection is noticed soon after.
const POLL_GRACE: Duration = Duration::from_secs(15);
/// No answer is nearly this large; a page ends at 1 MiB of content.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;

/// A server, and the token for it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: ServerUrl,
    token: Option<Token>,
    patient: bool,
}

/// A request.
pub(crate) struct Call<'a> {
    method: Method,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    key: Option<&'a str>,
    oauth: bool,
    timeout: Duration,
}

impl<'a> Call<'a> {
    /// A request without a body.
    pub(crate) fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            key: None,
            oauth: false,
            timeout: ANSWER_TIMEOUT,
        }
    }

    /// Adds to the query, if there is something to add.
    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.query.push((name, value.to_string()));
        }
        self
    }

    /// Sends JSON.
    pub(crate) fn body(mut self, body: &impl Serialize) -> Outcome<Self> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::failed(format!("cannot write the request: {error}")))?;
        self.body = Some(body);
        Ok(self)
    }

    /// Makes it safe to send twice.
    #[must_use]
    pub(crate) fn idempotency_key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Errors come in the words of OAuth (RFC 6749 section 5.2).
    #[must_use]
    pub(crate) fn oauth(mut self) -> Self {
        self.oauth = true;
        self
    }

    /// The server is asked to hold the answer back this long.
    #[must_use]
    pub(crate) fn wait(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds) + POLL_GRACE;
        self
    }

    /// Whether sending it twice does what sending it once does.
    fn is_repeatable(&self) -> bool {
        self.method != Method::POST || self.key.is_some()
    }
}

/// What came back, when it was good.
pub(crate) struct Answer {
    body: Vec<u8>,
    /// What time it was for whoever answered (RFC 9110 section 6.6.1).
    date: Option<Timestamp>,
}

impl Answer {
    /// As the JSON that it should be.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Outcome<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::failed(format!(
                "the server's answer is not what was expected: {error}"
            ))
            .hint("is the URL that of a MeshWire server, and of a version that goes with this one?")
            .transient()
        })
    }

    /// When it was sent, by the clock of whoever answered.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        self.date
    }

    /// As text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// For a server, with the token that it issued, if any.
    pub(crate) fn new(url: ServerUrl, token: Option<Token>) -> Outcome<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("meshwire/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            // Shorter than servers and proxies keep theirs: a request on a connection that is just being
            // closed would fail.
            .pool_idle_timeout(Duration::from_secs(30));
        if url.is_loopback() {
            builder = builder.no_proxy();
        }
        if !url.is_https() {
            // No redirect leads from http to https: the computer's certificates need not be read.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            Failure::failed(format!("cannot set up the connection: {}", causes(&error)))
        })?;
        Ok(Self { http, url, token, patient: true })
    }

    /// One that reports every hitch at once, for callers that try again by themselves.
    #[must_use]
    pub(crate) fn impatient(&self) -> Self {
        Self { patient: false, ..self.clone() }
    }

    /// The server.
    pub(crate) fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// Sends a request; tries again where that is safe and promises something.
    pub(crate) async fn call(&self, call: Call<'_>) -> Outcome<Answer> {
        if self.patient { retry::patiently(self, &call).await } else { self.once(&call).await }
    }

    async fn once(&self, call: &Call<'_>) -> Outcome<Answer> {
        self.attempt(call).await.map_err(|refusal| match refusal {
            Refusal::Connect(failure) | Refusal::Lost(failure) | Refusal::TimedOut(failure) => {
                failure
            }
            Refusal::Answered(_, failure) => failure,
        })
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let mut url = self.url.join(call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(call.query.iter().map(|(name, value)| (name, value)));
        }
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .header(ACCEPT, "application/json")
            .timeout(call.timeout);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.secret());
        }
        if let Some(key) = call.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let failure = Failure::failed(format!("the answer of {} is too large", self.url));
                return Err(Refusal::Answered(status, failure));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(Answer { body, date: date(&headers) });
        }
        Err(Refusal::Answered(status, self.refused(call, status, &headers, &body)))
    }

    /// The request got no answer.
    fn lost(&self, error: &reqwest::Error) -> Refusal {
        let what = if error.is_timeout() { "no answer in time".to_owned() } else { causes(error) };
        let failure = Failure::unreachable(format!("cannot reach {}: {what}", self.url)).hint(
            "is the server running? Start one with `meshwire-server`, or name another with --url \
             or MESHWIRE_URL",
        );
        if error.is_timeout() {
            Refusal::TimedOut(failure)
        } else if error.is_connect() {
            Refusal::Connect(failure)
        } else {
            Refusal::Lost(failure)
        }
    }

    /// The server said no.
    fn refused(
        &self,
        call: &Call<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Failure {
        if status.is_redirection() {
            return Failure::failed(format!(
                "{} answers with a redirect, and none is followed with a token",
                self.url
            ))
            .hint("name the server's own address with --url");
        }
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        // What has another status is no answer of the OAuth endpoint itself.
        let oauth: Option<OauthProblem> = (call.oauth
            && matches!(status.as_u16(), 400 | 401 | 429))
        .then(|| serde_json::from_slice(body).ok())
        .flatten();
        let code = problem.as_ref().and_then(|problem| ErrorCode::parse(&problem.code));
        let strange = || {
            format!("{} answers {} and is perhaps no MeshWire server", self.url, status.as_u16())
        };
        let said = match (&problem, &oauth) {
            (Some(problem), _) => said_by(problem),
            (None, Some(oauth)) if oauth.error_description.is_empty() => oauth.error.clone(),
            (None, Some(oauth)) => oauth.error_description.clone(),
            (None, None) => strange(),
        };
        let failure = match status.as_u16() {
            400 | 413 | 422 | 431 => Failure::usage(said),
            401 | 403 => Failure::refused(said),
            404 | 410 => Failure::not_found(said),
            // It was reached, and has a fault.
            500 if problem.is_some() => Failure::failed(said).transient(),
            408 | 500..=599 => Failure::unreachable(said),
            429 => Failure::failed(said).transient(),
            _ => Failure::failed(said),
        };
        // Without our code it comes from something in between, which may soon be out of the way.
        let is_ours = problem.is_some() || oauth.is_some();
        let failure = if is_ours { failure } else { failure.transient() };
        let failure = failure
            .with_code(code)
            .with_oauth_error(oauth.map(|oauth| oauth.error))
            .with_retry_after(retry_after(headers));
        match problem.and_then(|problem| problem.hint) {
            Some(hint) => failure.hint(hint),
            None => match code.and_then(hint_for) {
                Some(hint) => failure.hint(hint),
                None => failure,
            },
        }
    }
}

/// Why an attempt brought nothing.
enum Refusal {
    /// No connection: the server has not seen the request.
    Connect(Failure),
    /// The connection broke: the server may have seen it.
    Lost(Failure),
    /// The server may have seen it, and a good while has passed.
    TimedOut(Failure),
    /// It was seen and refused.
    Answered(StatusCode, Failure),
}

/// One line of what the server says: the detail, each field that is wrong, and for a fault of its own by what
/// its operator finds the request.
fn said_by(problem: &Problem) -> String {
    let mut said = if problem.detail.is_empty() { &problem.title } else { &problem.detail }.clone();
    for (field, reason) in &problem.errors {
        if !said.contains(reason.as_str()) {
            let end = said.trim_end_matches('.').len();
            said.truncate(end);
            let _ = write!(said, "; {field}: {reason}");
        }
    }
    if let Some(id) = &problem.request_id {
        let end = said.trim_end_matches('.').len();
        said.truncate(end);
        let _ = write!(said, " (request id {id})");
    }
    said
}

/// What to do, in words of this command line, where the server says nothing.
fn hint_for(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::Unauthorized | ErrorCode::TokenExpired | ErrorCode::TokenRevoked => {
            "run `meshwire login` to sign in again, or set another MESHWIRE_TOKEN"
        }
        ErrorCode::InsufficientScope => "use a token with more scopes, see `meshwire whoami`",
        ErrorCode::NotAMember => "ask to join with `meshwire mesh join ID`",
        ErrorCode::NotYourAgent => "choose another agent name, see `meshwire agents`",
        ErrorCode::MeshNotFound => "`meshwire mesh list` shows your meshes",
        ErrorCode::AgentNotFound => "`meshwire agents` shows who is there",
        ErrorCode::MessageNotFound => "`meshwire history` shows messages with their ids",
        ErrorCode::TokenNotFound => "`meshwire token list` shows your tokens",
        ErrorCode::AgentNameTaken => "another member has this name, choose another one",
        ErrorCode::MemberNotFound => "`meshwire mesh members` shows who is in the mesh",
        ErrorCode::RequestNotFound => "`meshwire mesh requests` shows who asks to join",
        ErrorCode::MeshPaused => "an admin of the mesh can resume it",
        _ => return None,
    })
}

/// The form that servers send today; RFC 2822 writes dates in the same way.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp())
}

/// Only the form in seconds (RFC 9110 section 10.2.3), which is what our server sends.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The innermost cause says it best: "Connection refused" rather than "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
