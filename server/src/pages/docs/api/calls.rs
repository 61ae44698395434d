//! The calls of one part of the API, as its page shows them.

use meshwire_protocol::ErrorCode;
use serde_json::Value;

use super::examples::curl;
use super::schemas::{Document, Field, Kind};

/// A part of the API: what stands under one tag of the document.
pub(super) struct Part {
    pub name: String,
    /// In its address.
    pub slug: String,
    pub about: String,
    pub calls: Vec<Call>,
    pub shapes: Vec<Shape>,
}

/// One call.
pub(super) struct Call {
    /// Its anchor.
    pub id: String,
    pub method: String,
    pub path: String,
    pub title: String,
    pub about: String,
    pub parameters: Vec<Parameter>,
    pub body: Vec<Field>,
    pub body_is_optional: bool,
    pub answers: Vec<Answer>,
    /// By status.
    pub errors: Vec<(u16, Vec<&'static str>)>,
    pub curl: String,
}

/// What stands in the path, the query or the header.
pub(super) struct Parameter {
    /// Where.
    pub place: String,
    pub field: Field,
}

/// What a call answers when it goes well.
pub(super) struct Answer {
    pub status: String,
    pub about: String,
    pub kind: Kind,
}

/// An object that answers are made of.
pub(super) struct Shape {
    pub name: String,
    pub about: String,
    pub fields: Vec<Field>,
}

/// All parts, in the order of the document.
pub(super) fn parts(document: &Document) -> Vec<Part> {
    let tags = document.0["tags"].as_array().into_iter().flatten();
    tags.map(|tag| Part::of(document, string(&tag["name"]), string(&tag["description"]))).collect()
}

impl Part {
    fn of(document: &Document, name: String, about: String) -> Self {
        let slug = name.to_lowercase().replace(' ', "-");
        let paths = document.0["paths"].as_object().into_iter().flatten();
        let mut calls: Vec<Call> = paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().into_iter().flatten();
                methods.map(move |(method, operation)| (path, method, operation))
            })
            .filter(|(_, _, operation)| operation["tags"][0] == *name)
            .map(|(path, method, operation)| Call::of(document, path, method, operation))
            .collect();
        // What lies higher up comes first, and reading before writing.
        calls.sort_by_key(|call| {
            let depth = call.path.matches('/').count();
            (depth, call.path.clone(), call.method != "GET", call.method.clone())
        });
        let answered = calls.iter().flat_map(|call| &call.answers);
        let shapes = document.shapes(answered.filter_map(|answer| answer.kind.shape.clone()));
        let shapes = shapes.into_iter().map(|name| {
            let component = document.component(&name);
            Shape { about: document.about(component), fields: document.fields(component), name }
        });
        Self { slug, about, shapes: shapes.collect(), calls, name }
    }
}

impl Call {
    fn of(document: &Document, path: &str, method: &str, operation: &Value) -> Self {
        let id = string(&operation["operationId"]);
        let method = method.to_uppercase();
        let needs_token = operation["security"].as_array().is_some_and(|needs| !needs.is_empty());
        let mut about = string(&operation["description"]);
        if !needs_token {
            about.push_str("\n\nNeeds no token.");
        }
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let body = &operation["requestBody"];
        let schema = &body["content"]["application/json"]["schema"];
        let responses = operation["responses"].as_object().into_iter().flatten();
        let (good, bad): (Vec<_>, Vec<_>) =
            responses.partition(|(status, _)| status.starts_with('2'));
        Self {
            curl: curl(&id, &method, path, needs_token),
            method,
            path: path.to_owned(),
            title: string(&operation["summary"]),
            about,
            parameters: parameters.map(|parameter| Parameter::of(document, parameter)).collect(),
            body: if schema.is_null() { Vec::new() } else { document.fields(schema) },
            body_is_optional: body["required"] == false,
            answers: good
                .into_iter()
                .map(|(status, answer)| Answer::of(document, status, answer))
                .collect(),
            errors: bad.into_iter().map(|(status, answer)| errors(status, answer)).collect(),
            id,
        }
    }
}

impl Parameter {
    fn of(document: &Document, parameter: &Value) -> Self {
        let schema = &parameter["schema"];
        let about = parameter["description"].as_str().map(str::to_owned);
        Self {
            place: string(&parameter["in"]),
            field: Field {
                name: string(&parameter["name"]),
                required: parameter["required"] == true,
                kind: document.kind(schema),
                about: about.unwrap_or_else(|| document.about(schema)),
            },
        }
    }
}

impl Answer {
    fn of(document: &Document, status: &str, answer: &Value) -> Self {
        let content = answer["content"].as_object().and_then(|content| content.iter().next());
        let kind = match content {
            Some((media, content)) if media == "application/json" => {
                document.kind(&content["schema"])
            }
            Some((media, _)) => Kind { before: format!("`{media}`"), ..Kind::default() },
            None => Kind::default(),
        };
        Self { status: status.to_owned(), about: string(&answer["description"]), kind }
    }
}

/// The codes of an answer: it is named after them.
fn errors(status: &str, answer: &Value) -> (u16, Vec<&'static str>) {
    let name = answer["$ref"].as_str().and_then(|target| target.rsplit('/').next());
    let codes = name.unwrap_or_default().split('.').filter_map(ErrorCode::parse);
    (status.parse().unwrap_or_default(), codes.map(ErrorCode::as_str).collect())
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
