//! Putting messages of several streams onto one page.

use meshwire_protocol::limits::MAX_PAGE_BYTES;

use super::{Head, LogPage, Stored};

/// What was found in one stream: its next messages, oldest first, with their bytes.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) messages: Vec<(Stored, usize)>,
    /// How many there were at least; more than are here: the rest was left out.
    pub(super) looked: usize,
}

/// Puts the messages into one order and cuts the page where it is known to be whole.
pub(super) fn merge(parts: Vec<Part>, limit: usize, head: Head) -> LogPage {
    // Up to where all streams were read: the smallest end among those that were not read to theirs.
    let cut = parts.iter().filter(|part| part.looked > part.messages.len());
    let whole = cut.filter_map(|part| part.messages.last()).map(|(last, _)| last.message.id).min();
    let mut found: Vec<(Stored, usize)> =
        parts.into_iter().flat_map(|part| part.messages).collect();
    found.sort_unstable_by_key(|(stored, _)| stored.message.id);
    if let Some(whole) = whole {
        found.retain(|(stored, _)| stored.message.id <= whole);
    }
    let mut bytes = 0;
    let fits = found
        .iter()
        .take(limit)
        .take_while(|(_, size)| {
            let fits = bytes < MAX_PAGE_BYTES;
            bytes += size;
            fits
        })
        .count();
    let more = whole.is_some() || fits < found.len();
    let messages: Vec<Stored> = found.into_iter().take(fits).map(|(stored, _)| stored).collect();
    let seen_to = match messages.last() {
        Some(last) if more => last.message.id,
        _ => head.head,
    };
    LogPage { messages, seen_to, more, epoch: head.epoch, trimmed: head.trimmed }
}
