//! Reading a request: bodies, queries and headers, with one kind of error for all of them.

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use meshwire_protocol::ErrorCode;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{ApiError, Result};
use crate::settings::BodyLimits;

/// A JSON body, whatever the Content-Type says.
pub struct Json<T>(pub T);

/// A JSON body that may be left out.
pub struct OptionalJson<T>(pub T);

/// The body of an HTML form (`application/x-www-form-urlencoded`).
pub struct Form<T>(pub T);

/// OAuth parameters: the body of a form, as the standards have them, or a JSON object.
pub struct Parameters<T>(pub T);

/// The query of a URL.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let body = read_body(request).await?;
        json(&body).map(Self)
    }
}

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let body = read_body(request).await?;
        if body.is_empty() { Ok(Self(T::default())) } else { json(&body).map(Self) }
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let body = read_body(request).await?;
        form(&body).map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let body = read_body(request).await?;
        let is_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        if is_json { json(&body) } else { form(&body) }.map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        form(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

/// The one variable of a path.
pub struct PathVariable(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathVariable {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let PathVariables(variables) = PathVariables::from_request_parts(parts, state).await?;
        let mut all = variables.iter().flat_map(RawPathParams::iter);
        Ok(Self(all.next().map_or_else(String::new, |(_, value)| value.to_owned())))
    }
}

/// The variables of a path, decoded.
#[derive(Debug, Default)]
pub struct PathVariables(Option<RawPathParams>);

impl PathVariables {
    /// One of them; empty when there is none of this name.
    pub fn get(&self, name: &str) -> &str {
        let mut all = self.0.iter().flat_map(RawPathParams::iter);
        all.find(|(of, _)| *of == name).map_or("", |(_, value)| value)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathVariables {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let variables = RawPathParams::from_request_parts(parts, state).await;
        variables
            .map(|variables| Self(Some(variables)))
            .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "The path is not valid UTF-8."))
    }
}

/// The whole body, within the limits that came along with the request.
pub async fn read_body(request: Request) -> Result<Vec<u8>> {
    let limits: BodyLimits = request.extensions().get().copied().unwrap_or_default();
    let too_large = || {
        ApiError::limit(
            ErrorCode::PayloadTooLarge,
            format!("The body is larger than {} bytes.", limits.bytes),
            "Send less at once.",
            "MESHWIRE_LIMIT_BODY_BYTES",
        )
    };
    let body = request.into_body();
    if body.size_hint().lower() > limits.bytes as u64 {
        // Announced to be too large: not waited for.
        return Err(too_large());
    }
    let body = Limited::new(body, limits.bytes);
    match tokio::time::timeout(limits.deadline, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => {
            Err(ApiError::new(ErrorCode::InvalidRequest, "The body ended before it was complete."))
        }
        Err(_) => Err(ApiError::limit(
            ErrorCode::RequestTimeout,
            format!("The body did not arrive within {} s.", limits.deadline.as_secs()),
            "Send it again.",
            "MESHWIRE_LIMIT_BODY_SECONDS",
        )),
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    if body.is_empty() {
        return Err(ApiError::new(ErrorCode::InvalidRequest, "The body is empty; expected JSON."));
    }
    // serde would also take an array, field by field.
    if body.trim_ascii_start().first() != Some(&b'{') {
        let detail = "The body is not a JSON object.";
        return Err(ApiError::new(ErrorCode::InvalidRequest, detail));
    }
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    // To keep track of where it is takes longer than to read it; so that is only done when something is wrong.
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        // serde_json calls some values of a wrong type a fault of the syntax.
        if error.is_data() || serde_json::from_slice::<IgnoredAny>(body).is_ok() {
            return data_error(&path, &without_position(&error.to_string()));
        }
        ApiError::new(ErrorCode::InvalidRequest, format!("The body is not valid JSON: {error}."))
    })?;
    reader.end().map_err(|error| {
        ApiError::new(ErrorCode::InvalidRequest, format!("The body is not valid JSON: {error}."))
    })?;
    Ok(value)
}

fn form<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    // What is no UTF-8 is read as this character, which nobody else may put in its place.
    let replaced = |part: &str| part.contains('\u{fffd}');
    let is_meant = text.windows(9).any(|part| part.eq_ignore_ascii_case(b"%EF%BF%BD"))
        || text.windows(3).any(|part| part == "\u{fffd}".as_bytes());
    let unreadable = url::form_urlencoded::parse(text)
        .find(|(name, value)| !is_meant && (replaced(name) || replaced(value)));
    if let Some((name, _)) = unreadable {
        return Err(ApiError::field(&name, "must be UTF-8"));
    }
    let reader = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(text));
    serde_path_to_error::deserialize(reader)
        .map_err(|error| data_error(&error.path().to_string(), &error.inner().to_string()))
}

/// `serde_json` says where in the text a value went wrong; the field's name says it better.
fn without_position(message: &str) -> String {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message).to_owned()
}

/// An error that names its field: from the path, or from the message of a missing or unknown field.
fn data_error(path: &str, message: &str) -> ApiError {
    let quoted = message.split('`').nth(1);
    if message.starts_with("missing field")
        && let Some(name) = quoted
    {
        return ApiError::field(&join(path, name), "is missing");
    }
    if message.starts_with("duplicate field")
        && let Some(name) = quoted
    {
        return ApiError::field(&join(path, name), "is given twice");
    }
    if message.starts_with("unknown field")
        && let Some(name) = quoted
    {
        let known = message.split_once(", ").map_or("", |(_, known)| known);
        let reason = if known.starts_with("expected") {
            format!("is not known here; {known}")
        } else {
            "is not known here".to_owned()
        };
        // The path of an unknown field ends with the field itself.
        let field = if path == "." || path.is_empty() { name } else { path };
        return ApiError::field(field, reason);
    }
    if path == "." || path.is_empty() {
        return ApiError::new(
            ErrorCode::InvalidRequest,
            format!("The request is not valid: {message}."),
        );
    }
    let root = path.split(['.', '[']).next().unwrap_or(path);
    ApiError::field(path, meshwire_protocol::rule(root).unwrap_or(message))
}

fn join(path: &str, name: &str) -> String {
    if path == "." || path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The key under which a request may be repeated, if it has one.
pub struct IdempotencyKey(pub Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self(single_header(&parts.headers, "Idempotency-Key")?.map(str::to_owned)))
    }
}

/// The value of a header that may come once.
pub fn single_header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::field(name, "the header is given twice"));
    }
    value.to_str().map(Some).map_err(|_| ApiError::field(name, "must be printable ASCII"))
}

#[cfg(test)]
mod tests {
    use meshwire_protocol::{InboxQuery, SendMessage};

    use super::*;

    fn refused<T>(result: Result<T>) -> ApiError {
        result.err().expect("refused")
    }

    #[test]
    fn a_bad_body_names_its_field() {
        for (body, field) in [
            (r#"{"to":"x"}"#, "content"),
            (r#"{"content":1}"#, "content"),
            (r#"{"content":"x","contents":1}"#, "contents"),
            (r#"{"content":"x","content":"y"}"#, "content"),
            (r#"{"content":"x","metadata":[]}"#, "metadata"),
            (r#"{"content":"x","reply_to":"7"}"#, "reply_to"),
        ] {
            let error = refused(json::<SendMessage>(body.as_bytes()));
            assert!(error.detail().starts_with(&format!("{field}: ")), "{body}: {error}");
        }
    }

    #[test]
    fn a_form_that_is_no_utf_8_is_refused_by_its_field() {
        type Fields = std::collections::HashMap<String, String>;
        for (text, field) in [
            (&b"name=%ff"[..], "name"),
            (b"other=x&name=caf%E9", "name"),
            (b"name=%C3", "name"),
            (b"name=%ED%A0%80", "name"),
            (b"name=\xff", "name"),
            (b"na%ffme=x", "na\u{fffd}me"),
        ] {
            let error = refused(form::<Fields>(text));
            assert_eq!(error.code(), ErrorCode::InvalidRequest);
            assert_eq!(error.field_reason(field), Some("must be UTF-8"), "{error}");
        }
        // Somebody may well write what stands for a fault elsewhere.
        for text in ["name=%EF%BF%BD", "name=%ef%bf%bd", "name=\u{fffd}"] {
            let Ok(fields) = form::<Fields>(text.as_bytes()) else { panic!("it is meant") };
            assert_eq!(fields["name"], "\u{fffd}");
        }
    }

    #[test]
    fn broken_json_is_said_to_be_broken() {
        for body in ["", "{", "[1", "{\"content\":\"x\"} x", "\u{0}", "{\"content\":\"\\ud800\"}"] {
            let error = refused(json::<SendMessage>(body.as_bytes()));
            assert_eq!(error.code(), ErrorCode::InvalidRequest, "{body}");
        }
        assert!(json::<SendMessage>(b"\xff").is_err());
        let deep = format!(r#"{{"content":"x","metadata":{}"#, r#"{"a":"#.repeat(100_000));
        assert!(json::<SendMessage>(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_bad_query_names_its_parameter() {
        for (query, field) in [("wait=x", "wait"), ("wiat=1", "wiat"), ("wait=1&wait=2", "wait")] {
            let error = refused(form::<InboxQuery>(query.as_bytes()));
            assert!(error.detail().starts_with(&format!("{field}: ")), "{query}: {error}");
        }
        assert!(form::<InboxQuery>(b"after=latest&ack=false&limit=3").is_ok());
        assert!(form::<InboxQuery>(b"after=12").is_ok());
    }
}
