//! Reading a log forwards.
//!
//! A query may show an item of the log and not yet an earlier one, and the head may be seen before its
//! batch. So an item counts only when it follows what was read before it, up to the head that was read
//! first. Where the chain breaks the page ends; where it has not even begun, either the trim point has
//! passed the position, or what the head speaks of is not to be seen yet.

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
use crate::planted;
use crate::store::{LogPage, Result, Stored, Stream};

/// Bytes that one page looks at: bounds what it costs to find none.
const SCAN_BYTES: usize = 4 * 1024 * 1024;

/// A page at the head.
fn empty(head: &HeadRow) -> Result<LogPage> {
    Ok(LogPage {
        messages: Vec::new(),
        seen_to: message_id(head.head)?,
        more: false,
        epoch: head.epoch,
        trimmed: message_id(head.trimmed)?,
    })
}

impl DynamoStore {
    pub(super) async fn read_page(
        &self,
        mesh: &MeshId,
        wanted: &(dyn Fn(&Stream) -> bool + Sync),
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        let mut retry = Retry::default();
        loop {
            // First the head: what it speaks of must be found. Again after each look that found a hole: the
            // trim point moves before anything is deleted.
            let Some(head) = self.live_head(mesh).await? else { return Ok(None) };
            let from = after.get().max(head.trimmed);
            if head.head <= from {
                return empty(&head).map(Some);
            }
            let page = self.page_after(mesh, wanted, from, limit, &head).await?;
            if page.seen_to.get() > from {
                return Ok(Some(page));
            }
            retry.pause("a part of the log cannot be seen yet").await?;
        }
    }

    async fn page_after(
        &self,
        mesh: &MeshId,
        wanted: &(dyn Fn(&Stream) -> bool + Sync),
        from: i64,
        limit: u32,
        head: &HeadRow,
    ) -> Result<LogPage> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut messages: Vec<Stored> = Vec::new();
        let (mut seen_to, mut bytes, mut scanned) = (from, 0, 0);
        let mut fetched = BTreeMap::new();
        'page: while seen_to < head.head && scanned < SCAN_BYTES {
            let Some(chunk) = self.chunk_after(mesh, seen_to, &mut fetched).await? else { break };
            // The first one may begin before the position, the others join exactly.
            let joins = chunk.follows == seen_to
                || (chunk.follows < seen_to && seen_to == from)
                || planted::is("holes-unseen");
            if !joins || chunk.last > head.head {
                break;
            }
            for stored in chunk.after(seen_to) {
                if !wanted(&stored.stream) {
                    continue;
                }
                if messages.len() >= limit || bytes >= MAX_PAGE_BYTES {
                    seen_to = stored.message.id.get() - 1;
                    break 'page;
                }
                bytes += stored.size();
                messages.push(stored.clone());
            }
            seen_to = chunk.last;
            scanned += chunk.bytes;
        }
        Ok(LogPage {
            messages,
            seen_to: message_id(seen_to)?,
            more: seen_to < head.head,
            epoch: head.epoch,
            trimmed: message_id(head.trimmed)?,
        })
    }

    /// What there is in no stream: how far the log goes.
    pub(super) async fn nothing_of(&self, mesh: &MeshId) -> Result<Option<LogPage>> {
        self.live_head(mesh).await?.as_ref().map(empty).transpose()
    }

    /// The item with what comes after an id, if it can be seen. What one request brings more than that is
    /// kept for the next ones.
    async fn chunk_after(
        &self,
        mesh: &MeshId,
        id: i64,
        fetched: &mut BTreeMap<i64, Arc<Chunk>>,
    ) -> Result<Option<Arc<Chunk>>> {
        let find = |fetched: &BTreeMap<i64, Arc<Chunk>>| {
            let (_, chunk) = fetched.range(id + 1..).next()?;
            (chunk.follows <= id || planted::is("holes-unseen")).then(|| Arc::clone(chunk))
        };
        if let Some(chunk) = find(fetched).or_else(|| self.chunks.after(mesh, id)) {
            return Ok(Some(chunk));
        }
        let values = [("from", s(keys::log_place(id)))];
        let range = Range { which: "#sk > :from", values: &values, ..Range::all(keys::log(mesh)) };
        for chunk in self.fetch(mesh, &range).await? {
            fetched.insert(chunk.last, chunk);
        }
        Ok(find(fetched))
    }

    /// One request for items of a log, which are kept.
    pub(super) async fn fetch(&self, mesh: &MeshId, range: &Range<'_>) -> Result<Vec<Arc<Chunk>>> {
        let page = self.db.page(range, None).await?;
        page.items
            .iter()
            .map(|item| {
                let chunk = Arc::new(Chunk::decode(mesh, item)?);
                self.chunks.keep(mesh, &chunk);
                Ok(chunk)
            })
            .collect()
    }

    /// The item that ends with an id or holds what comes around it, if it can be seen.
    pub(super) async fn chunk_around(&self, mesh: &MeshId, id: i64) -> Result<Option<Arc<Chunk>>> {
        if let Some(chunk) = self.chunks.after(mesh, id - 1) {
            return Ok(Some(chunk));
        }
        let values = [("from", s(keys::log_place(id)))];
        let which = "#sk >= :from";
        let range = Range { which, values: &values, limit: Some(1), ..Range::all(keys::log(mesh)) };
        Ok(self.fetch(mesh, &range).await?.pop().filter(|chunk| chunk.follows < id))
    }

    pub(super) async fn one_message(&self, mesh: &MeshId, id: MessageId) -> Result<Option<Stored>> {
        let mut retry = Retry::default();
        loop {
            let Some(head) = self.any_head(mesh).await? else { return Ok(None) };
            if id.get() <= head.trimmed || id.get() > head.head {
                return Ok(None);
            }
            if let Some(chunk) = self.chunk_around(mesh, id.get()).await? {
                let found = chunk.after(id.get() - 1).first();
                return Ok(found.filter(|stored| stored.message.id == id).cloned());
            }
            if head.deleted_at.is_some() {
                return Ok(None);
            }
            retry.pause("a part of the log cannot be seen yet").await?;
        }
    }
}
