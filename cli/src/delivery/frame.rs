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

/// The same for a harness that shows no more than so many characters (UTF-16 code units, as JavaScript counts) at
/// once. A single message that is longer comes back as it is.
pub(crate) fn push_within(
    unread: &mut Unread,
    harness: Harness,
    longest: usize,
) -> Outcome<Option<Framed>> {
    loop {
        let push = push_of(unread, harness)?;
        let fits = push.as_ref().is_none_or(|push| length(&push.text) <= longest);
        if fits || unread.messages.len() < 2 {
            return Ok(push);
        }
        unread.truncate(unread.messages.len() - 1)?;
    }
}

/// As JavaScript counts.
pub(crate) fn length(text: &str) -> usize {
    text.encode_utf16().count()
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
