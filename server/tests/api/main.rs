//! The JSON API, asked over HTTP from a real listening server.

#[path = "../support/server.rs"]
mod server;

mod accounts;
mod agents;
mod hostile;
mod inbox;
mod meshes;
mod messages;
