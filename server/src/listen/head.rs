//! What a request head may say, line by line: pure functions over complete lines without their CRLF.
//!
//! Wherever RFC 9112 lets a server be lenient, this one is not: every leniency is a place where a proxy in
//! front of us may see another request than we do (RFC 9112 sections 11.1 and 11.2).

use std::net::Ipv6Addr;

use axum::http::Uri;

use super::refusal::Refusal;

/// How the body that follows a head is framed (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// This many bytes; zero when the head names no body.
    Sized(u64),
    /// Chunks up to the last one and its trailers.
    Chunked,
}

/// What the caller does with a line that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It belongs to the request.
    Yes,
    /// It is left out of the request.
    No,
}

/// What is known of a head so far.
#[derive(Debug, Default)]
pub(super) struct Head {
    request_line: Option<RequestLine>,
    fields: usize,
    host: Option<Vec<u8>>,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Debug)]
struct RequestLine {
    http_11: bool,
    /// From a target in absolute form.
    authority: Option<Vec<u8>>,
}

impl Head {
    /// Whether the request line has been read.
    pub(super) fn has_request_line(&self) -> bool {
        self.request_line.is_some()
    }

    /// Checks the next line and remembers what it says.
    pub(super) fn line(&mut self, line: &[u8], max_fields: usize) -> Result<Keep, Refusal> {
        let Some(request_line) = &self.request_line else {
            self.request_line = Some(parse_request_line(line)?);
            return Ok(Keep::Yes);
        };
        let (name, value) = parse_field(line)?;
        self.fields += 1;
        if self.fields > max_fields {
            return Err(Refusal::too_many("The request has too many header fields."));
        }
        if name.eq_ignore_ascii_case(b"host") {
            // RFC 9112 section 3.2: more than one Host, or an invalid one, is answered with 400.
            if self.host.is_some() {
                return Err(Refusal::malformed("The request has more than one Host field."));
            }
            check_host(value)?;
            self.host = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Refusal::malformed("The request has more than one Content-Length."));
            }
            self.length = Some(parse_length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !request_line.http_11 {
                return Err(Refusal::malformed("HTTP/1.0 knows no Transfer-Encoding."));
            }
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::malformed("Transfer-Encoding must be `chunked`, once."));
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            // We speak nothing else, and a server may ignore the field (RFC 9110 section 7.8). hyper would
            // keep an upgrade in store and then end the connection without an orderly close.
            return Ok(Keep::No);
        }
        Ok(Keep::Yes)
    }

    /// Checks what only the whole head can show.
    pub(super) fn finish(&self) -> Result<Body, Refusal> {
        let Some(request_line) = &self.request_line else {
            return Err(Refusal::malformed("The request line is missing."));
        };
        if self.host.is_none() && request_line.http_11 {
            return Err(Refusal::malformed("The Host field is missing."));
        }
        if let (Some(authority), Some(host)) = (&request_line.authority, &self.host)
            && !authority.eq_ignore_ascii_case(host)
        {
            return Err(Refusal::malformed("The target and the Host field name different hosts."));
        }
        match (self.chunked, self.length) {
            // RFC 9112 section 6.3: this "might indicate an attempt to perform request smuggling".
            (true, Some(_)) => {
                Err(Refusal::malformed("Content-Length and Transfer-Encoding exclude each other."))
            }
            (true, None) => Ok(Body::Chunked),
            (false, length) => Ok(Body::Sized(length.unwrap_or(0))),
        }
    }
}

/// `method SP request-target SP HTTP-version` (RFC 9112 section 3), with nothing more and nothing less.
fn parse_request_line(line: &[u8]) -> Result<RequestLine, Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::malformed("The request line is not `method target version`."));
    };
    if !is_token(method) {
        return Err(Refusal::malformed("The method is not a token."));
    }
    if method == b"CONNECT" {
        return Err(Refusal::malformed("This server is no proxy and takes no CONNECT."));
    }
    let http_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => {
            return Err(Refusal::malformed("The version is neither HTTP/1.1 nor HTTP/1.0."));
        }
    };
    Ok(RequestLine { http_11, authority: check_target(method, target)? })
}

/// The forms of RFC 9112 section 3.2 that an origin server takes. Gives the authority of an absolute form.
fn check_target(method: &[u8], target: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    if target == b"*" {
        return if method == b"OPTIONS" {
            Ok(None)
        } else {
            Err(Refusal::malformed("The target `*` is for OPTIONS only."))
        };
    }
    // A fragment never goes over the wire; hyper would cut it off in silence.
    if !target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#')
        || Uri::try_from(target).is_err()
    {
        return Err(Refusal::malformed("The target holds a character that must be escaped."));
    }
    if target.starts_with(b"/") {
        return Ok(None);
    }
    let Some(rest) = strip_scheme(target) else {
        return Err(Refusal::malformed("The target is neither a path nor an http(s) URL."));
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = &rest[..end];
    check_host(authority)?;
    Ok(Some(authority.to_vec()))
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 section 5) as name and trimmed value.
pub(super) fn parse_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        // RFC 9112 section 5.2.
        return Err(Refusal::malformed("A header field is folded over several lines."));
    }
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return Err(Refusal::malformed("A header field has no colon."));
    };
    // RFC 9112 section 5.1: white space before the colon is refused too; it is no token character.
    if !is_token(&line[..colon]) {
        return Err(Refusal::malformed("The name of a header field is not a token."));
    }
    Ok((&line[..colon], trim(&line[colon + 1..])))
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2), narrowed to names and addresses that can exist: letters,
/// digits, `-`, `.`, `_`, or an IPv6 address in brackets.
fn check_host(value: &[u8]) -> Result<(), Refusal> {
    const INVALID: Refusal =
        Refusal::malformed("The Host is not a host name with an optional port.");
    let value = str::from_utf8(value).map_err(|_| INVALID)?;
    let port = if let Some(rest) = value.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(INVALID)?;
        address.parse::<Ipv6Addr>().map_err(|_| INVALID)?;
        port
    } else {
        let (name, port) = value.split_at(value.find(':').unwrap_or(value.len()));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(INVALID);
        }
        port
    };
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok(()) } else { Err(INVALID) };
    };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok() {
        Ok(())
    } else {
        Err(INVALID)
    }
}

/// `1*DIGIT` (RFC 9110 section 8.6); a number beyond 63 bits is an attack, not a body.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    const INVALID: Refusal = Refusal::malformed("Content-Length is not a number of bytes.");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    let length: i64 =
        str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(INVALID)?;
    length.try_into().map_err(|_| INVALID)
}

/// `chunk-size [ chunk-ext ]` (RFC 9112 section 7.1). Extensions are let through and mean nothing to us.
pub(super) fn parse_chunk_line(line: &[u8]) -> Result<u64, Refusal> {
    const INVALID: Refusal = Refusal::malformed("The size of a chunk is not valid.");
    let end = line.iter().position(|&byte| byte == b';').unwrap_or(line.len());
    let digits = &line[..end];
    // Fifteen digits cannot overflow, and nobody sends an exabyte.
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(INVALID);
    }
    str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(INVALID)
}

/// A trailer field; those that frame or route a message may not come so late (RFC 9110 section 6.5.1).
pub(super) fn check_trailer(line: &[u8]) -> Result<(), Refusal> {
    let (name, _) = parse_field(line)?;
    let forbidden = ["content-length", "host", "transfer-encoding"];
    if forbidden.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes())) {
        return Err(Refusal::malformed("A trailer field may not frame or route the request."));
    }
    Ok(())
}

/// `1*tchar` (RFC 9110 section 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Without optional white space at both ends (RFC 9110 section 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["a", "mesh.example", "a_b-c:80", "127.0.0.1:65535", "[::1]", "[::1]:8080"] {
            assert_eq!(check_host(good.as_bytes()), Ok(()), "{good}");
        }
        let bad = [
            "", ":80", "a:", "a:b", "a:65536", "a:+1", "a b", "a,b", "u@a", "a/b", "[::1", "[a]",
            "[::1]x", "ä", "a:1:2", "a%00",
        ];
        for bad in bad {
            assert!(check_host(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn lengths_and_chunk_sizes() {
        assert_eq!(parse_length(b"0"), Ok(0));
        assert_eq!(parse_length(b"9223372036854775807"), Ok(i64::MAX.unsigned_abs()));
        for bad in ["", "-1", "+1", "1 1", "1,1", "0x1", "9223372036854775808"] {
            assert!(parse_length(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(parse_chunk_line(b"fF"), Ok(255));
        assert_eq!(parse_chunk_line(b"1;a=\"b\""), Ok(1));
        for bad in ["", ";a", "g", "-1", "+1", "0x1", "1 ", " 1", "1000000000000000"] {
            assert!(parse_chunk_line(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields() {
        assert_eq!(parse_field(b"A:\t b c \t"), Ok((&b"A"[..], &b"b c"[..])));
        assert_eq!(parse_field(b"A:"), Ok((&b"A"[..], &b""[..])));
        for bad in ["", ":x", "A", "A : b", " A: b", "A b: c", "A\": b"] {
            assert!(parse_field(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
