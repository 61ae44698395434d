//! The OpenAPI document that the running server serves.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value};

use crate::server::{Answer, Server};

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// One call of the API, as the document has it.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) description: Value,
}

pub(crate) async fn fetch(server: &Server) -> Value {
    let answer = Answer::of(server.request(Method::GET, "/openapi.json")).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.expect(200)
}

/// Every operation of the document.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in object(&document["paths"]) {
        for (method, description) in object(item) {
            operations.push(Operation {
                id: text(&description["operationId"]).to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                description: description.clone(),
            });
        }
    }
    operations
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("not an object: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// Every reference below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").map(|target| text(target).to_owned()));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The variables of a path, in order.
fn variables(path: &str) -> Vec<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_whole() {
    let server = Server::start().await;
    let document = fetch(&server).await;
    assert!(text(&document["openapi"]).starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));

    let mut targets = BTreeSet::new();
    references(&document, &mut targets);
    assert!(!targets.is_empty());
    for target in targets {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target} is not there");
    }

    let tags: Vec<&Value> =
        document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = BTreeSet::new();
    for Operation { id, path, description, .. } in operations(&document) {
        assert!(ids.insert(id.clone()), "{id} is there twice");
        assert!(!text(&description["summary"]).is_empty(), "{id} has no summary");
        assert!(tags.contains(&&description["tags"][0]), "{id} has no tag of the document");
        let security = description["security"].as_array().unwrap();
        assert_eq!(security.is_empty(), description.get("x-access").is_none(), "{id}");
        for requirement in security {
            assert!(requirement["token"].is_array(), "{id}");
        }
        let answers = object(&description["responses"]);
        assert!(answers.keys().any(|status| status.starts_with('2')), "{id} never succeeds");
        for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
            let target = text(&answer["$ref"]).strip_prefix('#').unwrap();
            let answer = document.pointer(target).unwrap();
            assert!(answer["content"]["application/problem+json"].is_object(), "{id} {status}");
            let header = |name: &str| answer["headers"].get(name).is_some();
            assert_eq!(header("WWW-Authenticate"), status == "401", "{id} {status}");
            assert_eq!(header("Retry-After"), ["429", "503"].contains(&&**status), "{id} {status}");
        }
        let none = Vec::new();
        let named: Vec<&str> = description["parameters"]
            .as_array()
            .unwrap_or(&none)
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| text(&parameter["name"]))
            .collect();
        assert_eq!(named, variables(&path), "{id}");
    }
}

/// A request with a field that nobody knows is refused, and the document says so.
#[tokio::test]
async fn bodies_of_requests_take_no_unknown_fields() {
    let server = Server::start().await;
    let document = fetch(&server).await;
    let mut bodies = 0;
    for Operation { id, path, description, .. } in operations(&document) {
        let schema = &description["requestBody"]["content"]["application/json"]["schema"];
        // Under /auth unknown fields are ignored (RFC 6749 section 3.2).
        if schema.is_null() || path.starts_with("/auth/") {
            continue;
        }
        bodies += 1;
        let schema = document.pointer(&text(&schema["$ref"])[1..]).unwrap();
        let one = [schema.clone()];
        for way in schema["anyOf"].as_array().map_or(&one[..], |ways| ways) {
            let way =
                way.get("$ref").map_or(way, |target| document.pointer(&text(target)[1..]).unwrap());
            assert_eq!(way["additionalProperties"], false, "{id}: {way}");
        }
    }
    assert!(bodies > 5, "only {bodies}");
}

/// Each path takes the methods that the document has, and no other.
#[tokio::test]
async fn the_document_has_the_methods_that_the_paths_take() {
    let server = Server::start().await;
    let document = fetch(&server).await;
    for path in object(&document["paths"]).keys() {
        let documented: BTreeSet<String> = operations(&document)
            .into_iter()
            .filter(|operation| operation.path == *path)
            .map(|operation| operation.method.to_string())
            .collect();
        let mut concrete = path.clone();
        for variable in variables(path) {
            concrete = concrete.replace(&format!("{{{variable}}}"), "x");
        }
        for method in METHODS {
            let answer = Answer::of(server.request(method.clone(), &concrete)).await;
            if documented.contains(method.as_str()) {
                let code = answer.body["code"].as_str();
                assert!(
                    ![Some("method_not_allowed"), Some("not_found")].contains(&code),
                    "{method} {path}: {}",
                    answer.body
                );
                continue;
            }
            let allowed: BTreeSet<String> = answer.headers["allow"]
                .to_str()
                .unwrap()
                .split(',')
                .map(|method| method.trim().to_owned())
                // What goes with GET (RFC 9110 section 9.3.2).
                .filter(|method| method != "HEAD")
                .collect();
            // `/tokens/current` also is a `/tokens/{id}`, which axum tells apart.
            assert_eq!(allowed, documented, "{path}");
            answer.problem(405, "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn the_document_is_not_sent_twice() {
    let server = Server::start().await;
    let first = Answer::of(server.request(Method::GET, "/openapi.json")).await;
    assert_eq!(first.headers["cache-control"], "public, no-cache");
    let tag = first.headers["etag"].clone();
    let again = server.request(Method::GET, "/openapi.json").header("If-None-Match", tag);
    let again = Answer::of(again).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, Some("")));
    let other = server.request(Method::GET, "/openapi.json").header("If-None-Match", "\"x\"");
    assert_eq!(Answer::of(other).await.expect(200)["openapi"], "3.1.0");
}
