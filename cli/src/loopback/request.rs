//! Reads the browser's request and decides what it is worth.

use subtle::ConstantTimeEq;

/// The answer to a request: a finished page that loads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    reason: &'static str,
    title: &'static str,
    text: &'static str,
}

impl Reply {
    const SIGNED_IN: Self = Self {
        status: 200,
        reason: "OK",
        title: "Signed in",
        text: "You can close this window and go back to your terminal.",
    };
    const DENIED: Self = Self {
        status: 200,
        reason: "OK",
        title: "Not signed in",
        text: "The sign-in was refused. You can close this window; your terminal says more.",
    };
    const BAD: Self = Self {
        status: 400,
        reason: "Bad Request",
        title: "Not this sign-in",
        text: "This request does not belong to the sign-in that your terminal waits for.",
    };
    const FORBIDDEN: Self = Self {
        status: 403,
        reason: "Forbidden",
        title: "Refused",
        text: "This address is only for the end of a sign-in.",
    };
    const NOT_FOUND: Self = Self {
        status: 404,
        reason: "Not Found",
        title: "Not found",
        text: "There is nothing here.",
    };
    const WRONG_METHOD: Self = Self {
        status: 405,
        reason: "Method Not Allowed",
        title: "Refused",
        text: "This address is only for the end of a sign-in.",
    };
    pub(super) const TOO_SLOW: Self = Self {
        status: 408,
        reason: "Request Timeout",
        title: "Too slow",
        text: "The request did not arrive in time.",
    };
    pub(super) const TOO_LARGE: Self = Self {
        status: 431,
        reason: "Request Header Fields Too Large",
        title: "Too large",
        text: "The request is too large.",
    };

    pub(super) fn to_http(self) -> String {
        let Self { status, reason, title, text } = self;
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>MeshWire: {title}</title>\
             </head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
        );
        let allow = if status == 405 { "Allow: GET\r\n" } else { "" };
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             {allow}Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nConnection: close\r\n\r\n{page}",
            page.len()
        )
    }
}

/// What a request means for the sign-in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it does not count.
    None,
    /// It brought the code.
    Code(String),
    /// The user or the server said no.
    Denied(String),
}

/// Judges a request by its head, without the empty line.
pub(super) fn judge(head: &str, port: u16, state: &str) -> (Reply, Verdict) {
    match read(head, port, state) {
        Ok(Verdict::Code(code)) => (Reply::SIGNED_IN, Verdict::Code(code)),
        Ok(verdict) => (Reply::DENIED, verdict),
        Err(reply) => (reply, Verdict::None),
    }
}

fn read(head: &str, port: u16, state: &str) -> Result<Verdict, Reply> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Reply::BAD);
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(Reply::BAD);
    }
    let mut hosts = 0;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Reply::BAD)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            // Another name that leads here is DNS rebinding: a page that passes for ours.
            "host" if value == format!("127.0.0.1:{port}") => hosts += 1,
            "host" => return Err(Reply::BAD),
            // A link or a redirect sends no Origin and navigates; scripts and forms give themselves away.
            "origin" => return Err(Reply::FORBIDDEN),
            "sec-fetch-mode" if value != "navigate" => return Err(Reply::FORBIDDEN),
            _ => {}
        }
    }
    if hosts != 1 {
        return Err(Reply::BAD);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != "/callback" {
        return Err(Reply::NOT_FOUND);
    }
    if method != "GET" {
        return Err(Reply::WRONG_METHOD);
    }
    if !bool::from(only(query, "state")?.unwrap_or_default().as_bytes().ct_eq(state.as_bytes())) {
        return Err(Reply::BAD);
    }
    if let Some(error) = only(query, "error")? {
        let why = only(query, "error_description")?.unwrap_or(error);
        return Ok(Verdict::Denied(why.chars().take(200).collect()));
    }
    match only(query, "code")?.filter(|code| !code.is_empty()) {
        Some(code) => Ok(Verdict::Code(code)),
        None => Err(Reply::BAD),
    }
}

/// A parameter that may stand there once.
fn only(query: &str, name: &str) -> Result<Option<String>, Reply> {
    let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    if values.next().is_some() { Err(Reply::BAD) } else { Ok(value) }
}
