//! The MeshWire service.
//!
//! Data flows one way: `routes` → `access` → `mesh` → `store`. ARCHITECTURE.md follows one message through
//! all of them.

pub mod access;
pub mod app;
pub mod client_address;
pub mod clock;
mod counts;
pub mod error;
pub mod extract;
pub mod healthcheck;
pub mod listen;
pub mod log;
pub mod mesh;
pub mod metrics;
pub mod moving;
pub mod pages;
mod planted;
mod reach;
pub mod request_id;
pub mod routes;
pub mod secret;
pub mod settings;
pub mod sign_in;
pub mod store;
pub mod tokens;
pub mod users;
