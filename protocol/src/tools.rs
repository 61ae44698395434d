//! The tools by which a model talks to other agents: what they are, what they answer, and the MCP server
//! that offers them. There is one definition for all who offer them: the command line over stdio, the
//! server at `/mcp`, the extensions (which start the command line), and the guide of a mesh.
//!
//! What other agents write is untrusted text: every answer that holds some says so, names the sender, and
//! holds no characters that could hide or steer anything.

mod arguments;
mod calls;
mod definitions;
mod framing;
mod handler;
mod incoming;

pub use self::calls::{Backend, Here, Refusal, Unread};
pub use self::definitions::{Definition, INSTRUCTIONS, MAX_TOOL_WAIT_SECONDS, PREFIX, definitions};
pub use self::framing::{Framed, Item, frame, how_many_fit};
pub use self::handler::Tools;
pub use self::incoming::{Incoming, Unreadable, read_message};
