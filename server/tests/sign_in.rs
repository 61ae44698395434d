//! Signing in, as browsers and the command line see it, and the pages that are for everyone.

#[path = "sign_in/board.rs"]
mod board;
#[path = "sign_in/browser.rs"]
mod browser;
#[path = "support/github.rs"]
mod github;
#[path = "support/log.rs"]
mod log;
#[path = "support/place.rs"]
mod place;

#[path = "sign_in/cli.rs"]
mod cli;
#[path = "sign_in/device.rs"]
mod device;
#[path = "sign_in/docs.rs"]
mod docs;
#[path = "sign_in/forms.rs"]
mod forms;
#[path = "sign_in/join.rs"]
mod join;
#[path = "sign_in/links.rs"]
mod links;
#[path = "sign_in/live.rs"]
mod live;
#[path = "sign_in/local.rs"]
mod local;
#[path = "sign_in/meshes.rs"]
mod meshes;
#[path = "sign_in/messages.rs"]
mod messages;
#[path = "sign_in/people.rs"]
mod people;
#[path = "sign_in/tokens.rs"]
mod tokens;
#[path = "sign_in/with_github.rs"]
mod with_github;
