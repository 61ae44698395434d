//! The program as a user runs it: in a scratch home, with an empty environment, against a stand-in for
//! the server that answers what each test needs.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

mod device;
mod doctor;
mod doctor_harness;
mod headless;
mod json;
mod listen;
mod mesh_file;
mod offline;
mod profiles;
mod project;
mod secrets;
mod send;
mod sign_in;
mod support;
mod terminal;
mod wiring;
mod wiring_among_others;
mod wiring_moved;
mod wiring_places;
