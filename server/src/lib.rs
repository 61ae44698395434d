//! The MeshWire service.
//!
//! Data flows one way: `routes` → `access` → `mesh` → `store`. ARCHITECTURE.md follows one message through
//! all of them.

pub mod clock;
pub mod error;
pub mod secret;
pub mod store;
