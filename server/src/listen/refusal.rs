//! The answer to a request that never reaches the application.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use meshwire_protocol::{ErrorCode, Problem};

use crate::request_id::RequestId;

/// Why a connection is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its code, which also gives the status.
    pub(super) code: ErrorCode,
    /// What was wrong, for people.
    pub(super) detail: &'static str,
    /// The setting behind it, when it is a limit.
    pub(super) setting: Option<&'static str>,
}

impl Refusal {
    /// Bytes that are not an HTTP/1 request as RFC 9112 writes it.
    pub(super) const fn malformed(detail: &'static str) -> Self {
        Self { code: ErrorCode::InvalidRequest, detail, setting: None }
    }

    /// A header section with too many bytes (RFC 6585 section 5).
    pub(super) const fn too_large(detail: &'static str) -> Self {
        let setting = Some("MESHWIRE_LIMIT_HEADER_BYTES");
        Self { code: ErrorCode::HeadersTooLarge, detail, setting }
    }

    /// A header or trailer section with too many fields (RFC 6585 section 5).
    pub(super) const fn too_many(detail: &'static str) -> Self {
        let setting = Some("MESHWIRE_LIMIT_HEADER_FIELDS");
        Self { code: ErrorCode::HeadersTooLarge, detail, setting }
    }

    /// One connection too many from an address (RFC 6585 section 4).
    pub(super) const fn too_many_connections() -> Self {
        Self {
            code: ErrorCode::RateLimited,
            detail: "There are too many connections from your address.",
            setting: Some("MESHWIRE_LIMIT_CONNECTIONS_PER_ADDRESS"),
        }
    }

    /// A request that did not arrive in time (RFC 9110 section 15.5.9).
    pub(super) const fn too_slow(detail: &'static str) -> Self {
        Self {
            code: ErrorCode::RequestTimeout,
            detail,
            setting: Some("MESHWIRE_LIMIT_HEADER_SECONDS"),
        }
    }

    /// The whole answer as it goes over the wire; the connection closes after it (RFC 9112 section 9.6).
    pub(super) fn to_bytes(self, id: &RequestId) -> Vec<u8> {
        let problem = Problem {
            kind: format!("/docs/errors#{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.to_owned(),
            errors: std::collections::BTreeMap::new(),
            hint: self.setting.map(|setting| format!("The limit is {setting} of the server.")),
            request_id: None,
        };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let reason = match problem.status {
            408 => "Request Timeout",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            _ => "Bad Request",
        };
        // RFC 9110 section 6.6.1 asks for a date in every 4xx; without a readable clock there is none.
        let date = DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&Timestamp::now())
            .map_or_else(|_| String::new(), |date| format!("Date: {date}\r\n"));
        let id = id.as_str();
        // Long enough for a connection or two to end.
        let retry = if problem.status == 429 { "Retry-After: 5\r\n" } else { "" };
        format!(
            "HTTP/1.1 {} {reason}\r\n{date}{retry}Connection: close\r\nX-Request-Id: {id}\r\n\
             Content-Type: application/problem+json\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\
             Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\n\r\n{body}",
            problem.status,
            body.len(),
        )
        .into_bytes()
    }
}
