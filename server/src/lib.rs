//! The MeshWire service.
//!
//! Data flows one way: `routes` → `access` → `mesh` → `store`. ARCHITECTURE.md follows one message through
//! all of them.

pub mod access;
pub mod app;
pub mod clock;
pub mod error;
pub mod extract;
pub mod listen;
pub mod mesh;
pub mod pages;
pub mod routes;
pub mod secret;
pub mod settings;
pub mod sign_in;
pub mod store;
pub mod users;
