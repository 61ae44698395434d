//! What of the unread messages goes into one push.

use meshwire_protocol::Harness;
use meshwire_protocol::tools::{Framed, Item, frame, how_many_fit};

use super::Unread;
use crate::client::RawMessage;
use crate::failure::Outcome;

/// Frames as many messages as are shown at once; the rest stays unread. `None` when there is none.
pub(crate) fn push_of(unread: &mut Unread, harness: Harness) -> Outcome<Option<Framed>> {
    let reply = match harness {
        Harness::Copilot => "mesh_reply_to_message",
        _ => "meshwire_reply_to_message",
    };
    let items = items(unread)?;
    Ok((!items.is_empty()).then(|| frame(&items, unread.gap, unread.more, reply)))
}

/// What is shown at once; the rest stays unread.
fn items(unread: &mut Unread) -> Outcome<Vec<Item>> {
    let lines: Vec<String> = unread.messages.iter().map(RawMessage::to_line).collect();
    unread.truncate(how_many_fit(lines.iter().map(String::as_str)))?;
    unread
        .messages
        .iter()
        .map(|raw| match raw.read() {
            Ok(message) => Ok(Item::from(&message)),
            Err(_) => Ok(Item::unknown(raw.id()?, &raw.to_line())),
        })
        .collect()
}
