//! The JSON API, asked over HTTP from a real listening server.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

#[path = "../support/place.rs"]
mod place;
#[path = "../support/server.rs"]
mod server;
mod start;

mod access;
mod accounts;
mod agents;
mod document;
mod hostile;
mod inbox;
mod limits;
mod log;
mod loops;
mod mcp;
mod members;
mod meshes;
mod messages;
mod operations;
mod receipts;
mod retention;
