//! Who may do what: every operation of the document by every kind of caller, against a table of its own.

mod swap;
mod table;
mod tools;
mod world;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use self::table::{Call, TABLE, body};
use self::world::{Caller, World};
use crate::document::{Operation, fetch, operations};
use crate::server::{Answer, Server};

/// The request of an operation, at what is in this world.
fn request(world: &World<'_>, operation: &Operation, caller: Caller) -> RequestBuilder {
    let path = world.fill(&operation.path);
    let mut request = world.server.request(operation.method.clone(), &path);
    for (name, value) in world.credentials(caller) {
        request = request.header(name, value);
    }
    match body(&operation.id, world) {
        Value::Null => request,
        body => request.body(body.to_string()),
    }
}

#[test]
fn the_table_has_a_row_for_each_caller_once() {
    let mut rows = BTreeSet::new();
    for Call { operation, .. } in TABLE {
        assert!(rows.insert(operation), "{operation} stands twice");
    }
}

#[tokio::test]
async fn the_table_holds_for_every_operation_and_caller() {
    let server = Server::start().await;
    let document = fetch(&server).await;
    let operations = operations(&document);
    let documented: BTreeSet<&str> = operations.iter().map(|it| it.id.as_str()).collect();
    let rows: BTreeSet<&str> = TABLE.iter().map(|row| row.operation).collect();
    assert_eq!(documented, rows, "each operation of the document has a row, each row an operation");

    // All at the same time, each in worlds of its own: they share the commits of the store.
    let checks = operations.iter().map(|operation| check(&server, &document, operation));
    let wrong: Vec<String> = join_all(checks).await.concat();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Lets every caller call an operation; what was not as the table says.
async fn check(server: &Server, document: &Value, operation: &Operation) -> Vec<String> {
    let row = TABLE.iter().find(|row| row.operation == operation.id).unwrap();
    let mut wrong = Vec::new();
    let mut next = None;
    for caller in Caller::ALL {
        let (world, before) = if let Some(world) = next.take() {
            world
        } else {
            let world = World::new(server).await;
            let state = world.state().await;
            (world, state)
        };
        let expected = row.expected(caller);
        let answer = Answer::of(request(&world, operation, caller)).await;
        let status = answer.status.as_u16();
        let got = match answer.body["code"].as_str() {
            Some(code) if status >= 400 => format!("{status} {code}"),
            _ => status.to_string(),
        };
        if !is_documented(document, operation, &got) {
            wrong.push(format!("{} by {caller:?}: {got} is not in the document", operation.id));
        }
        if got != expected {
            wrong.push(format!("{} by {caller:?}: {got}, not {expected}", operation.id));
        } else if let Some((status, code)) = expected.split_once(' ') {
            answer.problem(status.parse().unwrap(), code);
        }
        if got.starts_with('2') && operation.method != Method::GET {
            // It has changed something: the next one finds a new world.
            continue;
        }
        let after = world.state().await;
        assert_eq!(before, after, "{} by {caller:?} was {got} and changed this", operation.id);
        next = Some((world, after));
    }
    wrong
}

/// Whether the document has this answer: its status, and the code of an error.
fn is_documented(document: &Value, operation: &Operation, got: &str) -> bool {
    let (status, code) = got.split_once(' ').unwrap_or((got, ""));
    let answer = &operation.description["responses"][status];
    let Some(target) = answer["$ref"].as_str() else { return code.is_empty() && !answer.is_null() };
    let schemas = &document.pointer(&target[1..]).unwrap()["content"]["application/problem+json"];
    let codes = &schemas["schema"]["allOf"][1]["properties"]["code"]["enum"];
    codes.as_array().unwrap().iter().any(|it| it == code)
}
