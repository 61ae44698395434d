//! The log of a mesh, and how far each agent has read it: what is asked for, and where it is answered.

use std::sync::Arc;

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, MessageId};

use super::append::{MOST_KEYS, SentRow, message_id};
use super::item::{UNTIL, decode, number};
use super::{DynamoStore, keys};
use crate::store::{
    Appended, Batch, Head, HistoryPage, LogPage, LogStore, Micros, Move, Position, Result, Seen,
    SentRecord, Stored, Stream, Visibility,
};

#[async_trait]
impl LogStore for DynamoStore {
    async fn head(&self, mesh: &MeshId) -> Result<Option<Head>> {
        self.live_head(mesh).await?.map(|head| head.public()).transpose()
    }

    async fn append(&self, batch: Arc<Batch>) -> Result<Appended> {
        self.append_batch(&batch).await
    }

    fn most_keys(&self) -> usize {
        MOST_KEYS
    }

    async fn sent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        key: &str,
        now: Micros,
    ) -> Result<Option<SentRecord>> {
        let key = keys::sent(mesh, agent, &keys::key_hash(key));
        let Some(item) = self.db.get(&key).await? else { return Ok(None) };
        if number(&item, UNTIL)? <= now {
            return Ok(None);
        }
        let row: SentRow = decode(&item)?;
        Ok(Some(SentRecord { fingerprint: row.fingerprint, id: message_id(row.id)? }))
    }

    async fn read(
        &self,
        mesh: &MeshId,
        streams: &[Stream],
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        if streams.is_empty() {
            return self.nothing_of(mesh).await;
        }
        self.read_page(mesh, &|stream| streams.contains(stream), after, limit).await
    }

    async fn read_all(
        &self,
        mesh: &MeshId,
        after: MessageId,
        limit: u32,
    ) -> Result<Option<LogPage>> {
        self.read_page(mesh, &|_| true, after, limit).await
    }

    async fn message(&self, mesh: &MeshId, id: MessageId) -> Result<Option<Stored>> {
        self.one_message(mesh, id).await
    }

    async fn history(
        &self,
        mesh: &MeshId,
        visible: &Visibility,
        before: MessageId,
        limit: u32,
    ) -> Result<HistoryPage> {
        self.history_page(mesh, visible, before, limit).await
    }

    async fn position(&self, mesh: &MeshId, agent: &AgentId) -> Result<Option<Position>> {
        self.three_numbers(mesh, agent).await
    }

    async fn move_cursor(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        to: MessageId,
        how: Move,
    ) -> Result<Option<MessageId>> {
        self.put_cursor(mesh, agent, to, how).await
    }

    async fn note_seen(&self, seen: &[Seen]) -> Result<()> {
        self.merge_seen(seen).await
    }

    async fn held_from(&self, mesh: &MeshId, since: Micros) -> Result<Option<MessageId>> {
        self.smallest_held(mesh, since).await
    }

    async fn trim(&self, mesh: &MeshId, to: MessageId) -> Result<Option<MessageId>> {
        self.move_trim_point(mesh, to).await
    }

    async fn delete_trimmed(&self, mesh: &MeshId) -> Result<bool> {
        self.remove_trimmed(mesh).await
    }
}
