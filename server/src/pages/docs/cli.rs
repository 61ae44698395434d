//! The reference of the command line. It stands in `web/reference/cli.json`, which a test of the command line
//! holds to what its own `--help` is made of.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::frame;
use crate::app::App;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::visitor::Guest;

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let text = include_str!("../../../../web/reference/cli.json");
    serde_json::from_str(text).expect("a test of the command line has written it")
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    /// What holds for all commands.
    about: String,
    /// Options of every command.
    options: Vec<Argument>,
    commands: Vec<Command>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    /// Without `meshwire`.
    name: String,
    about: String,
    usage: String,
    arguments: Vec<Argument>,
    options: Vec<Argument>,
    /// Examples and more.
    after: String,
}

/// What is written after a command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Argument {
    name: String,
    about: String,
}

impl Command {
    /// Its anchor.
    fn id(&self) -> String {
        self.name.replace(' ', "-")
    }
}

#[derive(Template)]
#[template(path = "docs/cli.html")]
struct CliPage<'a> {
    frame: Frame,
    here: &'static str,
    reference: &'a Reference,
}

/// `GET /docs/cli`
pub(crate) async fn page(State(app): State<App>, Guest(visitor): Guest) -> Response {
    let page = CliPage { frame: frame(&app, &visitor), here: "/docs/cli", reference: &REFERENCE };
    html(StatusCode::OK, &page)
}
