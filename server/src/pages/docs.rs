//! The documentation: texts from templates, and what the code knows itself. Calls, commands, error codes, settings
//! and limits are taken from where they are made, so that the docs cannot fall behind.

pub(crate) mod api;
pub(crate) mod cli;
pub(crate) mod errors;
pub(crate) mod limits;
mod settings;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use self::settings::{Group, groups};
use crate::app::App;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::visitor::{Guest, Visitor};

/// A page of the docs, as their navigation lists it.
pub(crate) struct Page {
    pub path: &'static str,
    pub title: &'static str,
    pub about: &'static str,
}

/// All pages, in the order of the navigation.
pub(crate) const PAGES: [Page; 6] = [
    Page {
        path: "/docs/api",
        title: "HTTP API",
        about: "Every call: what it takes, what it answers, who may make it, and a line for curl.",
    },
    Page {
        path: "/docs/cli",
        title: "Command line",
        about: "Every command of meshwire with its flags, the environment, and exit codes.",
    },
    Page {
        path: "/docs/errors",
        title: "Errors",
        about: "Every code that the server answers, what it means, and what to do about it.",
    },
    Page {
        path: "/docs/limits",
        title: "Limits",
        about: "Sizes, rates and times: what is fixed, and what an operator can change.",
    },
    Page {
        path: "/docs/self-hosting",
        title: "Self-hosting",
        about: "Your own server: stores, settings, a proxy, several nodes, backup, upgrades, metrics.",
    },
    Page {
        path: "/docs/security",
        title: "Security",
        about: "How tokens and sessions are kept, what a message proves, and how to report a hole.",
    },
];

#[derive(Template)]
#[template(path = "docs/index.html")]
struct Index {
    frame: Frame,
    here: &'static str,
}

#[derive(Template)]
#[template(path = "docs/self_hosting.html")]
struct SelfHosting<'a> {
    frame: Frame,
    here: &'static str,
    groups: &'a [Group],
}

#[derive(Template)]
#[template(path = "docs/security.html")]
struct Security {
    frame: Frame,
    here: &'static str,
}

/// The frame of every page here.
fn frame(app: &App, visitor: &Visitor) -> Frame {
    Frame::new(app, visitor, Here::Docs)
}

/// `GET /docs`
pub(crate) async fn index(State(app): State<App>, Guest(visitor): Guest) -> Response {
    html(StatusCode::OK, &Index { frame: frame(&app, &visitor), here: "/docs" })
}

/// `GET /docs/self-hosting`
pub(crate) async fn self_hosting(State(app): State<App>, Guest(visitor): Guest) -> Response {
    let page =
        SelfHosting { frame: frame(&app, &visitor), here: "/docs/self-hosting", groups: groups() };
    html(StatusCode::OK, &page)
}

/// `GET /docs/security`
pub(crate) async fn security(State(app): State<App>, Guest(visitor): Guest) -> Response {
    html(StatusCode::OK, &Security { frame: frame(&app, &visitor), here: "/docs/security" })
}
