//! Every error that a program or a person gets from the server, made in one place.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use meshwire_protocol::{ErrorCode, Problem};

use crate::request_id::RequestId;
use crate::store::StoreError;

/// Result of anything that a caller asked for.
pub type Result<T> = std::result::Result<T, ApiError>;

/// An error on its way to the caller (RFC 9457). Its cause, if any, goes to the log and never further.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.code.as_str(), .0.detail)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: ErrorCode,
    detail: String,
    errors: BTreeMap<String, String>,
    hint: Option<String>,
    reason: Option<&'static str>,
    retry_after: Option<u64>,
    cause: Option<StoreError>,
}

impl ApiError {
    /// An error of this code. `detail` says what was wrong here, and with which value.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: BTreeMap::new(),
            hint: None,
            reason: None,
            retry_after: None,
            cause: None,
        }))
    }

    /// A request that breaks the rule of one field.
    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(ErrorCode::InvalidRequest, format!("{field}: {reason}")).with_field(field, reason)
    }

    /// A limit of the server was reached. `setting` is its name; the hint says what to do about it.
    pub fn limit(
        code: ErrorCode,
        detail: impl Into<String>,
        hint: &str,
        setting: &'static str,
    ) -> Self {
        Self::new(code, detail)
            .hint(format!("{hint} The limit is {setting} of the server."))
            .because(setting)
    }

    /// Names the field that is wrong, and why.
    #[must_use]
    pub fn with_field(mut self, field: &str, reason: impl Into<String>) -> Self {
        self.0.errors.insert(field.to_owned(), reason.into());
        self.0.reason = self.0.reason.or_else(|| field_of_ours(field));
        self
    }

    /// Says in a word of ours which scope, role, field or limit it was about. It goes to the log, where
    /// nothing may stand that a client wrote, as it may in the detail.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.0.reason = Some(reason);
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says in how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Its code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What was wrong here.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong with a field, if it is.
    pub fn field_reason(&self, field: &str) -> Option<&str> {
        self.0.errors.get(field).map(String::as_str)
    }

    /// What to do next.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// In words, for who gets no HTTP answer: what was wrong, and what to do next. A fault of ours goes to the log.
    pub fn into_words(self) -> (String, Option<String>) {
        self.log_cause();
        let mut said = self.0.detail;
        for (field, reason) in &self.0.errors {
            if !said.contains(reason.as_str()) {
                let _ = write!(said, " `{field}` {reason}.");
            }
        }
        if let Some(seconds) = self.0.retry_after {
            let _ = write!(said, " Try again in {seconds} s.");
        }
        (said, self.0.hint)
    }

    fn log_cause(&self) {
        if let Some(cause) = &self.0.cause {
            tracing::error!(
                code = self.0.code.as_str(),
                cause = %chain(cause),
                "a request failed"
            );
        }
    }

    /// No such mesh, or none that this token may know of.
    pub fn mesh_not_found(mesh: &str) -> Self {
        Self::new(ErrorCode::MeshNotFound, format!("There is no mesh {}.", shown(mesh)))
            .hint("`meshwire mesh list` shows the meshes that you are in.")
    }

    /// No such agent in the mesh.
    pub fn agent_not_found(agent: &str) -> Self {
        Self::new(
            ErrorCode::AgentNotFound,
            format!("There is no agent {} in this mesh.", shown(agent)),
        )
        .hint("`meshwire agents` shows who is here; an agent is registered by POST …/agents.")
    }

    /// No such message, or none that the caller may see.
    pub fn message_not_found(id: &str) -> Self {
        Self::new(ErrorCode::MessageNotFound, format!("There is no message {} here.", shown(id)))
            .hint("`meshwire history` shows the messages that you may see.")
    }
}

/// The name of a field as it may stand in the log: one of ours, never one that a client made up.
fn field_of_ours(field: &str) -> Option<&'static str> {
    const FIELDS: [&str; 33] = [
        "Authorization",
        "Idempotency-Key",
        "accept",
        "ack",
        "after",
        "agent_id",
        "before",
        "capabilities",
        "code",
        "code_verifier",
        "content",
        "cursor",
        "description",
        "device_code",
        "expires_in_days",
        "expires_in_hours",
        "from",
        "harness",
        "host",
        "invite",
        "limit",
        "login",
        "max_uses",
        "mesh_id",
        "metadata",
        "name",
        "paused",
        "reply_to",
        "role",
        "scopes",
        "to",
        "wait",
        "wake",
    ];
    let root = field.split(['.', '[']).next().unwrap_or(field);
    FIELDS.into_iter().find(|known| *known == root)
}

/// A value from a request as it may stand in an answer: quoted, and cut when it is long.
pub fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    if value.chars().count() <= LONGEST {
        return format!("{value:?}");
    }
    let start: String = value.chars().take(LONGEST).collect();
    format!("{start:?}…")
}

impl From<StoreError> for ApiError {
    fn from(cause: StoreError) -> Self {
        let mut error = match cause {
            StoreError::Unavailable(_) => Self::new(
                ErrorCode::StoreUnavailable,
                "The store does not answer at the moment. Nothing that was answered before is lost.",
            )
            .hint("Send the same request again, with the same Idempotency-Key.")
            .retry_after(2),
            StoreError::Fault(_) => Self::new(
                ErrorCode::InternalError,
                "Something went wrong on our side; the server's log says what.",
            )
            .hint("Tell the operator of the server the request id."),
        };
        error.0.cause = Some(cause);
        error
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log_cause();
        let Inner { code, detail, errors, hint, reason, retry_after, .. } = *self.0;
        let problem = Problem {
            kind: format!("/docs/errors#{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code: code.as_str().to_owned(),
            detail,
            errors,
            hint,
            request_id: RequestId::current().filter(|_| code.status() >= 500),
        };
        let body = serde_json::to_vec(&problem).expect("strings and numbers serialise");
        let mut response = body.into_response();
        *response.status_mut() =
            StatusCode::from_u16(code.status()).expect("every code has a valid status");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if code.status() == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code == ErrorCode::RequestTimeout {
            // RFC 9110 section 15.5.9: the connection is of no further use.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(Refusal { code, reason });
        response
    }
}

/// Left on an answer for the request log and for pages that show errors as HTML.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// What went wrong.
    pub code: ErrorCode,
    /// Which scope, role, field or limit it was about, in a word of ours.
    pub reason: Option<&'static str>,
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}
