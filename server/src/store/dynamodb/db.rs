//! The requests that are made of the engine: all reads consistent, but for ranges that say so; every answer whole
//! however many pages it has.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    CancellationReason, DeleteRequest, Get, KeysAndAttributes, PutRequest, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactGetItem, WriteRequest,
};
use aws_sdk_dynamodb::{Client, Config};

use super::item::{Item, fault};
use super::keys::Key;
use super::retry::{Retry, is_busy, is_lost, store_error};
use super::transaction::{Refusal, Transacted, Transaction, Values, map, names};
use crate::planted;
use crate::store::{Result, StoreError};

/// Most items that one request reads, and that one request writes or deletes.
const MOST_READ: usize = 100;
pub(super) const MOST_WRITTEN: usize = 25;

/// How often a transaction is sent that gets no answer.
const TRIES: u32 = 3;

/// One table.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) client: Client,
    pub(super) table: String,
    closed: AtomicBool,
}

/// Some items of a partition, in the order of their `sk`.
#[derive(Debug, Clone)]
pub(super) struct Range<'a> {
    pub(super) pk: String,
    /// Which, besides the partition: a condition on `#sk`.
    pub(super) which: &'a str,
    pub(super) values: Values<'a>,
    pub(super) forward: bool,
    /// Most items of one request.
    pub(super) limit: Option<usize>,
    /// Which attributes; all when empty.
    pub(super) attributes: &'a str,
    /// Whether what was written just now has to be there. At half the price it may not be.
    pub(super) consistent: bool,
}

impl Range<'_> {
    pub(super) fn all(pk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            which: "",
            values: &[],
            forward: true,
            limit: None,
            attributes: "",
            consistent: true,
        }
    }
}

/// A piece of a range.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// Where the next one begins; `None` at the end.
    pub(super) next: Option<Item>,
}

/// What became of a write of one item.
#[derive(Debug)]
pub(super) enum Updated {
    /// The item as it is now.
    Done(Item),
    /// The condition was not met by this item, if there is one.
    Refused(Option<Item>),
}

impl Db {
    pub(super) fn new(client: Client, table: String) -> Self {
        Self { client, table, closed: AtomicBool::new(false) }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn open(&self) -> Result<&Client> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        Ok(&self.client)
    }

    pub(super) fn transaction(&self) -> Transaction {
        Transaction::new(&self.table)
    }

    pub(super) async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let get = self.open()?.get_item().table_name(&self.table).set_key(Some(key.item()));
        Ok(get.consistent_read(true).send().await.map_err(store_error)?.item)
    }

    /// Those of some items that are there.
    pub(super) async fn get_many(&self, mut keys: Vec<Key>) -> Result<HashMap<Key, Item>> {
        once(&mut keys);
        let mut found = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(MOST_READ) {
            let mut left = Some(
                KeysAndAttributes::builder()
                    .set_keys(Some(keys.iter().map(Key::item).collect()))
                    .consistent_read(true)
                    .build()
                    .map_err(fault)?,
            );
            let mut retry = Retry::default();
            while let Some(wanted) = left.take() {
                let get = self.open()?.batch_get_item().request_items(&self.table, wanted);
                let BatchGetItemOutput { responses, unprocessed_keys, .. } =
                    get.send().await.map_err(store_error)?;
                for item in responses.into_iter().flatten().flat_map(|(_, items)| items) {
                    found.insert(Key::of(&item)?, item);
                }
                left = unprocessed_keys.and_then(|mut keys| keys.remove(&self.table));
                if left.is_some() {
                    retry.pause("the engine leaves reads undone").await?;
                }
            }
        }
        Ok(found)
    }

    /// Some items as of one moment.
    pub(super) async fn get_together(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        let mut gets = Vec::with_capacity(keys.len());
        for key in keys {
            let get = Get::builder().table_name(&self.table).set_key(Some(key.item()));
            let get = get.build().map_err(fault)?;
            gets.push(TransactGetItem::builder().get(get).build());
        }
        let mut retry = Retry::default();
        loop {
            let get = self.open()?.transact_get_items().set_transact_items(Some(gets.clone()));
            match get.send().await {
                Ok(answer) => {
                    let items = answer.responses.unwrap_or_default();
                    if items.len() != keys.len() {
                        return Err(fault("there is not one answer for each item"));
                    }
                    return Ok(items.into_iter().map(|item| item.item).collect());
                }
                Err(error) => match error.as_service_error() {
                    Some(TransactGetItemsError::TransactionCanceledException(refusal))
                        if all_busy(refusal.cancellation_reasons()) =>
                    {
                        retry.pause("reads are in the way of writes").await?;
                    }
                    _ => return Err(store_error(error)),
                },
            }
        }
    }

    /// One request for a range, which may not be all of it.
    pub(super) async fn page(&self, range: &Range<'_>, start: Option<Item>) -> Result<Page> {
        let mut condition = "#pk = :pk".to_owned();
        if !range.which.is_empty() {
            condition = format!("{condition} AND {}", range.which);
        }
        let attributes = (!range.attributes.is_empty()).then_some(range.attributes);
        let mut query = self
            .open()?
            .query()
            .table_name(&self.table)
            .set_expression_attribute_names(names(&[Some(&condition), attributes]))
            .set_expression_attribute_values(map(range.values))
            .expression_attribute_values(":pk", super::item::s(&range.pk))
            .key_condition_expression(condition)
            .set_projection_expression(attributes.map(str::to_owned))
            .scan_index_forward(range.forward)
            .consistent_read(range.consistent)
            .set_exclusive_start_key(start);
        if let Some(limit) = range.limit {
            query = query.limit(i32::try_from(limit).unwrap_or(i32::MAX));
        }
        let answer = query.send().await.map_err(store_error)?;
        Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
    }

    /// All of a range.
    pub(super) async fn range(&self, range: &Range<'_>) -> Result<Vec<Item>> {
        let mut page = self.page(range, None).await?;
        let mut items = page.items;
        while page.next.is_some() {
            page = self.page(range, page.next).await?;
            items.extend(page.items);
        }
        Ok(items)
    }

    /// Those of a partition whose `sk` begins so.
    pub(super) async fn beginning(&self, pk: String, with: &str) -> Result<Vec<Item>> {
        let values = [("with", super::item::s(with))];
        let which = "begins_with(#sk, :with)";
        self.range(&Range { which, values: &values, ..Range::all(pk) }).await
    }

    /// Puts an item in the place of what is there.
    pub(super) async fn put(&self, item: Item) -> Result<()> {
        let put = self.open()?.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(store_error)
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<()> {
        let delete = self.open()?.delete_item().table_name(&self.table);
        delete.set_key(Some(key.item())).send().await.map(drop).map_err(store_error)
    }

    /// Deletes items whatever is in them.
    pub(super) async fn delete_many(&self, mut keys: Vec<Key>) -> Result<()> {
        once(&mut keys);
        for keys in keys.chunks(MOST_WRITTEN) {
            let delete = |key: &Key| {
                let delete = DeleteRequest::builder().set_key(Some(key.item()));
                let delete = delete.build().map_err(fault)?;
                Ok(WriteRequest::builder().delete_request(delete).build())
            };
            self.write_some(keys.iter().map(delete).collect::<Result<_>>()?).await?;
        }
        Ok(())
    }

    /// Puts items in the place of what is there, which are not more than [`MOST_WRITTEN`].
    pub(super) async fn put_many(&self, items: Vec<Item>) -> Result<()> {
        let put = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(fault)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        self.write_some(items.into_iter().map(put).collect::<Result<_>>()?).await
    }

    async fn write_some(&self, mut left: Vec<WriteRequest>) -> Result<()> {
        let mut retry = Retry::default();
        while !left.is_empty() {
            let write = self.open()?.batch_write_item().request_items(&self.table, left);
            let answer = write.send().await.map_err(store_error)?;
            left = answer
                .unprocessed_items
                .and_then(|mut items| items.remove(&self.table))
                .unwrap_or_default();
            if !left.is_empty() {
                retry.pause("the engine leaves writes undone").await?;
            }
        }
        Ok(())
    }

    /// One request for all items that a condition lets through, which may not be all of them; in no order.
    pub(super) async fn scan(
        &self,
        which: &str,
        values: Values<'_>,
        start: Option<Item>,
    ) -> Result<Page> {
        let scan = self
            .open()?
            .scan()
            .table_name(&self.table)
            .filter_expression(which)
            .set_expression_attribute_names(names(&[Some(which)]))
            .set_expression_attribute_values(map(values))
            .consistent_read(true)
            .set_exclusive_start_key(start);
        let answer = scan.send().await.map_err(store_error)?;
        Ok(Page { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
    }

    /// Changes one item. It must not matter when this is done twice: the engine may be asked again when its
    /// answer was lost.
    pub(super) async fn update(
        &self,
        key: &Key,
        update: &str,
        condition: &str,
        values: Values<'_>,
    ) -> Result<Updated> {
        let mut retry = Retry::default();
        loop {
            let answer = self
                .open()?
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.item()))
                .update_expression(update)
                .condition_expression(condition)
                .set_expression_attribute_names(names(&[Some(update), Some(condition)]))
                .set_expression_attribute_values(map(values))
                .return_values(ReturnValue::AllNew)
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                )
                .send()
                .await;
            let error = match answer {
                Ok(answer) => return Ok(Updated::Done(answer.attributes.unwrap_or_default())),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let item = refused.item().filter(|item| !item.is_empty()).cloned();
                    return Ok(Updated::Refused(item));
                }
                Some(busy) if is_busy(busy.code()) => {
                    retry.pause("others are at the same item").await?;
                }
                _ => return Err(store_error(error)),
            }
        }
    }

    /// Writes all of a transaction or nothing. Sent again, by whomever, it is the same transaction.
    pub(super) async fn transact(&self, transaction: Transaction) -> Result<Transacted> {
        let token = format!("{:032x}", rand::random::<u128>());
        self.transact_as(transaction, &token).await
    }

    /// The same under a name of its own, under which it may be sent again for ten minutes.
    pub(super) async fn transact_as(
        &self,
        transaction: Transaction,
        token: &str,
    ) -> Result<Transacted> {
        let actions = transaction.into_actions();
        let mut token = token.to_owned();
        let mut retry = Retry::default();
        // It may have been done, and we have not heard of it: how often.
        let mut unsure = 0;
        loop {
            // Tries of which we are not told would leave us thinking that nothing had been done.
            let answer = self
                .open()?
                .transact_write_items()
                .set_transact_items(Some(actions.clone()))
                .client_request_token(&token)
                .customize()
                .config_override(Config::builder().retry_config(RetryConfig::disabled()))
                .send()
                .await;
            let Err(error) = answer else { return Ok(Transacted::Done) };
            match error.as_service_error() {
                _ if is_lost(&error) => {
                    unsure += 1;
                    if unsure == TRIES {
                        return Err(store_error(error));
                    }
                }
                Some(TransactWriteItemsError::TransactionCanceledException(refusal)) => {
                    let reasons = refusal.cancellation_reasons();
                    let failed = |reason: &CancellationReason| {
                        reason.code() == Some("ConditionalCheckFailed")
                    };
                    if reasons.iter().any(failed) {
                        return Ok(Transacted::Refused(Refusal::new(reasons.to_vec())));
                    }
                    if !all_busy(reasons) {
                        return Err(StoreError::Fault(error.into()));
                    }
                    // Nothing of it is written: the next try is another one. But one that was done before is
                    // known by its token alone, and would seem to be in its own way.
                    if unsure == 0 || planted::is("token-renewed") {
                        token = format!("{:032x}", rand::random::<u128>());
                    }
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
                    unsure = unsure.max(1);
                }
                Some(busy) if is_busy(busy.code()) => {}
                _ => return Err(store_error(error)),
            }
            retry.pause("others are at the same items").await?;
        }
    }
}

/// No request may name an item twice.
fn once(keys: &mut Vec<Key>) {
    let mut seen = HashSet::with_capacity(keys.len());
    keys.retain(|key| seen.insert(key.clone()));
}

/// Whether all reasons are ones that pass.
fn all_busy(reasons: &[CancellationReason]) -> bool {
    let quiet = |code: Option<&str>| matches!(code, None | Some("None"));
    reasons.iter().all(|reason| quiet(reason.code()) || is_busy(reason.code()))
}
