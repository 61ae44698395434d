//! Trimming a log from its oldest end: first the trim point, so that a reader who finds a hole finds out why,
//! then the items.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use meshwire_protocol::{MeshId, MessageId};

use super::DynamoStore;
use super::append::message_id;
use super::db::{Db, Range, Updated};
use super::item::{n, number, s, text};
use super::keys::{self, Key};
use super::retry::store_error;
use crate::store::{Micros, Result};

/// Write units a second that removing trimmed messages takes from a mesh at the most.
const UNITS_PER_SECOND: f64 = 100.0;
/// What one step removes at the most: items, and messages after which no further item is removed.
const STEP: usize = 10;
const STEP_MESSAGES: i64 = 500;

impl DynamoStore {
    pub(super) async fn smallest_held(
        &self,
        mesh: &MeshId,
        since: Micros,
    ) -> Result<Option<MessageId>> {
        let Some(roster) = self.snapshot(mesh).await? else { return Ok(None) };
        let rows = self.position_rows(mesh, roster.agents().map(|agent| &agent.id)).await?;
        let holding = rows.into_values().filter(|row| row.holds_from() >= since);
        Ok(holding.map(|row| row.cursor).min())
    }

    pub(super) async fn move_trim_point(
        &self,
        mesh: &MeshId,
        to: MessageId,
    ) -> Result<Option<MessageId>> {
        let Some(head) = self.live_head(mesh).await? else { return Ok(None) };
        let trimmed = message_id(head.trimmed)?;
        if to <= trimmed {
            return Ok(Some(trimmed));
        }
        let values =
            [("after", s(keys::log_place(head.trimmed + 1))), ("to", s(keys::log_place(to.get())))];
        let range = Range {
            which: "#sk BETWEEN :after AND :to",
            values: &values,
            forward: false,
            limit: Some(1),
            attributes: "#sk",
            ..Range::all(keys::log(mesh))
        };
        let newest = self.db.page(&range, None).await?;
        let Some(newest) = newest.items.first() else { return Ok(Some(trimmed)) };
        let end: i64 = text(newest, "sk")?.parse().map_err(super::item::fault)?;
        let moved = self
            .db
            .update(
                &keys::head(mesh),
                "SET #trimmed = :end",
                "#trimmed < :end AND #head >= :end AND attribute_not_exists(#deleted_at)",
                &[("end", n(end))],
            )
            .await?;
        match moved {
            Updated::Done(_) => Ok(Some(message_id(end)?)),
            Updated::Refused(_) => {
                self.live_head(mesh).await?.map(|head| message_id(head.trimmed)).transpose()
            }
        }
    }

    pub(super) async fn remove_trimmed(&self, mesh: &MeshId) -> Result<bool> {
        let Some(head) = self.live_head(mesh).await? else { return Ok(false) };
        if head.trimmed == 0 {
            return Ok(false);
        }
        let values = [("end", s(keys::log_place(head.trimmed)))];
        let range = Range {
            which: "#sk <= :end",
            values: &values,
            limit: Some(STEP),
            attributes: "#pk, #sk, #count",
            ..Range::all(keys::log(mesh))
        };
        let page = self.db.page(&range, None).await?;
        let (mut units, mut messages, mut items) = (0.0, 0, 0);
        for item in &page.items {
            if messages >= STEP_MESSAGES || units >= UNITS_PER_SECOND {
                break;
            }
            units += self.db.delete_counted(&Key::of(item)?).await?;
            messages += number(item, "count")?;
            items += 1;
        }
        // Those who send to this mesh write to the same partition.
        tokio::time::sleep(Duration::from_secs_f64(units / UNITS_PER_SECOND)).await;
        Ok(items < page.items.len() || page.next.is_some())
    }
}

impl Db {
    /// Deletes an item; how many units that took.
    async fn delete_counted(&self, key: &Key) -> Result<f64> {
        let delete = self.open()?.delete_item().table_name(&self.table).set_key(Some(key.item()));
        let counted = delete.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = counted.send().await.map_err(store_error)?;
        Ok(answer.consumed_capacity.and_then(|consumed| consumed.capacity_units).unwrap_or(1.0))
    }
}
