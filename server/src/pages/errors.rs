//! Errors as a page.

use askama::Template;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use meshwire_protocol::Problem;

use crate::error::Refusal;
use crate::pages::html;

/// What a page about an error says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// Its HTTP status.
    pub status: StatusCode,
    /// In a few words.
    pub title: String,
    /// What was wrong here.
    pub detail: String,
    /// What to do next; words in backticks are shown as code.
    pub hint: Option<String>,
    /// The stable code, if there is one for this.
    pub code: Option<String>,
    /// The id of the request, when the operator may be asked about it.
    pub request_id: Option<String>,
    /// What the person had written, who would have to write it again.
    pub typed: Option<String>,
}

/// Goes along with an answer, in its extensions: what the person had written into a form, for the page of an error.
#[derive(Debug, Clone)]
pub(super) struct Typed(pub(super) String);

#[derive(Template)]
#[template(path = "error.html")]
struct View<'a> {
    title: &'a str,
    detail: &'a str,
    hint: Option<&'a str>,
    status: u16,
    code: Option<&'a str>,
    request_id: Option<&'a str>,
    typed: Option<&'a str>,
}

/// The answer that shows an error to a person.
pub fn error_page(page: &ErrorPage) -> Response {
    html(
        page.status,
        &View {
            title: &page.title,
            detail: &page.detail,
            hint: page.hint.as_deref(),
            status: page.status.as_u16(),
            code: page.code.as_deref(),
            request_id: page.request_id.as_deref(),
            typed: page.typed.as_deref(),
        },
    )
}

/// Whether this is a browser that shows pages to a person.
pub fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
    })
}

/// Shows errors of the API as a page to whoever asks for pages; status and headers stay. Use it with
/// [`axum::middleware::from_fn`].
pub async fn html_errors(request: Request, next: Next) -> Response {
    let wanted = wants_html(request.headers());
    let response = next.run(request).await;
    if !wanted || response.extensions().get::<Refusal>().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return Response::from_parts(parts, axum::body::Body::empty());
    };
    let body = body.to_bytes();
    let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
        return Response::from_parts(parts, body.into());
    };
    let page = error_page(&ErrorPage {
        status: parts.status,
        title: problem.title,
        detail: problem.detail,
        hint: problem.hint,
        code: Some(problem.code),
        request_id: problem.request_id,
        typed: parts.extensions.remove::<Typed>().map(|Typed(typed)| typed),
    });
    let (page, body) = page.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}
