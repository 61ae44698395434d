//! The listening part over real sockets: what is refused, what is served, what ends in time, and the stop.

#![expect(clippy::unwrap_used, reason = "a test may panic where it sees something unexpected")]

#[path = "listening/connections.rs"]
mod connections;
#[path = "listening/deadlines.rs"]
mod deadlines;
#[path = "listening/fixture.rs"]
mod fixture;
#[path = "listening/requests.rs"]
mod requests;
#[path = "listening/stopping.rs"]
mod stopping;
