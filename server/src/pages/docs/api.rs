//! The reference of the HTTP API, made of the OpenAPI document that the server serves. A part has a page of its
//! own, so that no page is large.

mod calls;
mod examples;
mod schemas;

use std::sync::LazyLock;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::ErrorCode;

use self::calls::{Part, parts};
use self::schemas::Document;
use super::frame;
use crate::app::App;
use crate::error::{ApiError, Result, shown};
use crate::extract::PathVariable;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::prose::paragraphs;
use crate::pages::visitor::Guest;

/// All that the pages show.
static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let document =
        serde_json::from_slice(crate::routes::openapi_document()).expect("we have written it");
    let document = Document(document);
    let about = document.0["info"]["description"].as_str().unwrap_or_default().to_owned();
    Reference { about, parts: parts(&document) }
});

struct Reference {
    about: String,
    parts: Vec<Part>,
}

#[derive(Template)]
#[template(path = "docs/api.html")]
struct Overview<'a> {
    frame: Frame,
    here: &'static str,
    url: String,
    about: Vec<&'a str>,
    parts: &'a [Part],
}

#[derive(Template)]
#[template(path = "docs/api_part.html")]
struct PartPage<'a> {
    frame: Frame,
    here: &'static str,
    part: &'a Part,
    parts: &'a [Part],
}

/// `GET /docs/api`
pub(crate) async fn overview(State(app): State<App>, Guest(visitor): Guest) -> Response {
    let page = Overview {
        frame: frame(&app, &visitor),
        here: "/docs/api",
        url: app.url(""),
        about: paragraphs(&REFERENCE.about),
        parts: &REFERENCE.parts,
    };
    html(StatusCode::OK, &page)
}

/// `GET /docs/api/{part}`
pub(crate) async fn part(
    State(app): State<App>,
    PathVariable(slug): PathVariable,
    Guest(visitor): Guest,
) -> Result<Response> {
    let parts = &REFERENCE.parts;
    let part = parts.iter().find(|part| part.slug == slug).ok_or_else(|| {
        let detail = format!("The API has no part {}.", shown(&slug));
        ApiError::new(ErrorCode::NotFound, detail).hint("/docs/api lists them.")
    })?;
    let page = PartPage { frame: frame(&app, &visitor), here: "/docs/api", part, parts };
    Ok(html(StatusCode::OK, &page))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// What is written by hand fits what the handlers take.
    #[test]
    fn examples_have_the_fields_of_their_calls() {
        let mut bodies = 0;
        for call in REFERENCE.parts.iter().flat_map(|part| &part.calls) {
            let Some(body) = examples::body(&call.id) else {
                assert!(call.body.is_empty(), "{} takes a body and has no example", call.id);
                continue;
            };
            bodies += 1;
            let body: Value = serde_json::from_str(body).unwrap();
            let given: BTreeSet<&str> =
                body.as_object().unwrap().keys().map(String::as_str).collect();
            let known: BTreeSet<&str> = call.body.iter().map(|field| &*field.name).collect();
            assert!(given.is_subset(&known), "{}: {given:?} of {known:?}", call.id);
            for field in call.body.iter().filter(|field| field.required) {
                assert!(given.contains(&*field.name), "{} needs {}", call.id, field.name);
            }
        }
        assert_eq!(bodies, 12, "examples for calls that are there");
    }

    #[test]
    fn every_call_stands_on_one_page_and_answers_something() {
        let document: Value = serde_json::from_slice(crate::routes::openapi_document()).unwrap();
        let paths = document["paths"].as_object().unwrap().values();
        let operations: usize = paths.map(|item| item.as_object().unwrap().len()).sum();
        let calls = || REFERENCE.parts.iter().flat_map(|part| &part.calls);
        assert_eq!(calls().count(), operations);
        for call in calls() {
            assert!(!call.answers.is_empty() && !call.errors.is_empty(), "{}", call.id);
            assert!(!call.curl.contains('{') || call.curl.contains(" -d '"), "{}", call.curl);
        }
    }
}
