//! What is limited: by the protocol, for everyone alike, and by the settings of the server.

use std::fmt::Display;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use meshwire_protocol::limits as fixed;

use super::frame;
use super::settings::{Setting, group};
use crate::app::App;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::visitor::Guest;

#[derive(Template)]
#[template(path = "docs/limits.html")]
struct LimitsPage<'a> {
    frame: Frame,
    here: &'static str,
    fixed: Vec<(&'static str, String)>,
    limits: &'a [Setting],
    retention: &'a [Setting],
}

/// `GET /docs/limits`
pub(crate) async fn page(State(app): State<App>, Guest(visitor): Guest) -> Response {
    let page = LimitsPage {
        frame: frame(&app, &visitor),
        here: "/docs/limits",
        fixed: fixed_limits(),
        limits: &group("limits").settings,
        retention: &group("retention").settings,
    };
    html(StatusCode::OK, &page)
}

/// What no setting changes.
fn fixed_limits() -> Vec<(&'static str, String)> {
    let hours = |span: std::time::Duration| format!("{} hours", span.as_secs() / 3_600);
    let characters = |most: usize| format!("{} characters", grouped(most));
    let bytes = |most: usize| format!("{} bytes", grouped(most));
    vec![
        ("Content of a message", bytes(fixed::MAX_CONTENT_BYTES)),
        ("Metadata of a message, written compactly", bytes(fixed::MAX_METADATA_BYTES)),
        ("Replies in a thread without a person", fixed::MAX_HOPS.to_string()),
        ("Idempotency-Key", characters(fixed::MAX_IDEMPOTENCY_KEY)),
        ("A key is remembered for", hours(fixed::IDEMPOTENCY_WINDOW)),
        ("A poll waits for at most", format!("{} seconds", fixed::MAX_WAIT_SECONDS)),
        ("Messages on a page, unless asked for", fixed::DEFAULT_PAGE.to_string()),
        ("Messages on a page, at most", grouped(fixed::MAX_PAGE)),
        ("A page ends early at", bytes(fixed::MAX_PAGE_BYTES)),
        ("Name of an agent", characters(fixed::MAX_AGENT_NAME)),
        ("Name of a mesh or a token", characters(fixed::MAX_NAME)),
        ("Login of a local account", characters(fixed::MAX_LOGIN)),
        ("Host name of an agent", characters(fixed::MAX_HOST)),
        ("Description of an agent", characters(fixed::MAX_DESCRIPTION)),
        (
            "Capabilities of an agent",
            format!("{} of up to {}", fixed::MAX_CAPABILITIES, characters(fixed::MAX_CAPABILITY)),
        ),
        ("An agent is active when seen in the last", seconds(fixed::ACTIVE_WINDOW)),
        ("Life of a token that expires", format!("1 to {} days", fixed::MAX_TOKEN_DAYS)),
        (
            "Life of an invite",
            format!(
                "1 to {} hours; {} unless said",
                grouped(fixed::MAX_INVITE_HOURS),
                fixed::DEFAULT_INVITE_HOURS
            ),
        ),
        ("People that one link lets in", format!("1 to {}", grouped(fixed::MAX_INVITE_USES))),
        ("Who was refused asks again after", hours(fixed::REFUSAL_WINDOW)),
    ]
}

fn seconds(span: std::time::Duration) -> String {
    format!("{} seconds", span.as_secs())
}

/// A number with a comma between thousands.
fn grouped(number: impl Display + Copy) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, rest) = digits.split_at(first);
    let mut groups: Vec<&str> = if head.is_empty() { Vec::new() } else { vec![head] };
    groups.extend(rest.as_bytes().chunks(3).filter_map(|group| std::str::from_utf8(group).ok()));
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(7, "7"), (255, "255"), (1_000, "1,000"), (1_048_576, "1,048,576")] {
            assert_eq!(grouped(number), text);
        }
    }
}
