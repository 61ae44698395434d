//! Reading a log backwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshwire_protocol::limits::MAX_PAGE_BYTES;
use meshwire_protocol::{MeshId, MessageId};

use super::DynamoStore;
use super::append::{HeadRow, message_id};
use super::chunk::Chunk;
use super::db::Range;
use super::item::s;
use super::keys;
use super::retry::Retry;
use crate::store::{HistoryPage, Result, Stored, Visibility};

/// How many messages one page looks at: bounds what it costs to find none.
const SCAN: usize = 2_000;

/// Items that one request brings.
const ITEMS: usize = 50;

/// A page that is being filled.
struct Filling<'a> {
    visible: &'a Visibility,
    limit: usize,
    page: Vec<Stored>,
    bytes: usize,
    looked_at: usize,
}

impl Filling<'_> {
    /// Takes messages, the newest first; where to go on when the page ends among them.
    fn take(&mut self, messages: &[Stored]) -> Option<MessageId> {
        for stored in messages.iter().rev() {
            let id = stored.message.id;
            let shown = self.visible.shows(stored);
            if shown && (self.page.len() >= self.limit || self.bytes >= MAX_PAGE_BYTES) {
                return Some(id.next());
            }
            if self.looked_at == SCAN {
                return Some(id.next());
            }
            self.looked_at += 1;
            if shown {
                self.bytes += stored.size();
                self.page.push(stored.clone());
            }
        }
        None
    }
}

impl DynamoStore {
    pub(super) async fn history_page(
        &self,
        mesh: &MeshId,
        visible: &Visibility,
        before: MessageId,
        limit: u32,
    ) -> Result<HistoryPage> {
        let mut retry = Retry::default();
        loop {
            let Some(head) = self.any_head(mesh).await? else {
                return Ok(HistoryPage { messages: Vec::new(), before: None });
            };
            if let Some(page) = self.page_before(mesh, visible, before, limit, &head).await? {
                return Ok(page);
            }
            if head.deleted_at.is_some() {
                return Ok(HistoryPage { messages: Vec::new(), before: None });
            }
            retry.pause("a part of the log cannot be seen yet").await?;
        }
    }

    /// `None`: not all of it can be seen yet, or is there any more.
    async fn page_before(
        &self,
        mesh: &MeshId,
        visible: &Visibility,
        before: MessageId,
        limit: u32,
        head: &HeadRow,
    ) -> Result<Option<HistoryPage>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut filling = Filling { visible, limit, page: Vec::new(), bytes: 0, looked_at: 0 };
        let mut fetched = BTreeMap::new();
        // The end of the item that comes next.
        let mut end = head.head;
        if before.get() <= head.head && before.get() > head.trimmed {
            // It may lie in the middle of one.
            let Some(chunk) = self.chunk_around(mesh, before.get()).await? else { return Ok(None) };
            end = chunk.last;
            fetched.insert(chunk.last, chunk);
        } else if before.get() <= head.trimmed {
            return Ok(Some(HistoryPage { messages: Vec::new(), before: None }));
        }
        while end > head.trimmed {
            let Some(chunk) = self.chunk_ending(mesh, end, &mut fetched).await? else {
                return Ok(None);
            };
            // An item is trimmed whole or not at all.
            if let Some(before) = filling.take(chunk.before(before.get())) {
                return Ok(Some(HistoryPage { messages: filling.page, before: Some(before) }));
            }
            end = chunk.follows;
        }
        Ok(Some(HistoryPage { messages: filling.page, before: None }))
    }

    async fn chunk_ending(
        &self,
        mesh: &MeshId,
        last: i64,
        fetched: &mut BTreeMap<i64, Arc<Chunk>>,
    ) -> Result<Option<Arc<Chunk>>> {
        message_id(last)?;
        if let Some(chunk) = fetched.get(&last) {
            return Ok(Some(Arc::clone(chunk)));
        }
        if let Some(chunk) = self.chunks.ending(mesh, last) {
            return Ok(Some(chunk));
        }
        let values = [("last", s(keys::log_place(last)))];
        let range = Range {
            which: "#sk <= :last",
            values: &values,
            forward: false,
            limit: Some(ITEMS),
            ..Range::all(keys::log(mesh))
        };
        for chunk in self.fetch(mesh, &range).await? {
            fetched.insert(chunk.last, chunk);
        }
        Ok(fetched.get(&last).cloned())
    }
}
