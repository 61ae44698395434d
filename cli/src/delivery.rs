//! How unread messages get to a model, each once.
//!
//! The server keeps one cursor for an agent, and on one computer several programs hand that agent's messages
//! to models: what pushes into a live session, hooks at the borders of a turn, and the tool that a model
//! calls. All of them go through an [`Inbox`]: they lock it, read from the kept cursor, hand over, acknowledge
//! and unlock. So nothing is shown twice, and what was not handed over comes again.
//!
//! A harness that shows only so much of a push is told that there is something, and reads it by a hook or the tool.
//! Of several live sessions of one agent one is pushed into: the one that holds the [`SessionLock`].

mod agent;
pub(crate) mod codex;
mod frame;
mod inbox;
mod lock;
mod pusher;
mod wake;

pub(crate) use agent::Wired;
pub(crate) use frame::{length, push_of, push_within};
pub(crate) use inbox::{Inbox, Unread};
pub(crate) use lock::SessionLock;
pub(crate) use pusher::{Deliver, Delivered, Pusher};
pub(crate) use wake::wake_of;

/// What is handed to a harness at once.
pub(crate) use meshwire_protocol::tools::Framed as Push;
