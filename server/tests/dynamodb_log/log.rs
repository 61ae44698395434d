//! The log of a mesh on one DynamoDB table.
//!
//! Each act is one request to DynamoDB that happens whole or not at all: either a transaction whose
//! conditions hold the invariants, or the write of one item. Nothing relies on a clock, on a lock that
//! must be given back, or on the order in which a query shows what several transactions wrote.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, CancellationReason, Get, KeySchemaElement,
    KeyType, Put, ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TransactGetItem,
    TransactWriteItem, Update,
};

use crate::items::{
    Item, Result, agent_key, head_key, key, log_partition, log_place, name_key, number,
    position_key, read_bytes, read_number, read_text, sent_key, text, with,
};

/// An item may have 400 KB with everything in it; a batch of messages is kept below that.
pub(crate) const BATCH_BYTES: usize = 350 * 1024;

/// A transaction may have 100 actions: the head, the batch, and one for each idempotency key.
pub(crate) const BATCH_KEYS: usize = 98;

/// How long an idempotency record is kept, in microseconds.
const KEPT: u64 = 24 * 60 * 60 * 1_000_000;

/// The head row of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Id of the newest message.
    pub(crate) newest: u64,
    /// Raised by every change of who is there.
    pub(crate) epoch: u64,
    /// Messages up to this id were trimmed.
    pub(crate) trimmed: u64,
}

impl Head {
    fn of(item: &Item) -> Result<Self> {
        Ok(Self {
            newest: read_number(item, "head")?,
            epoch: read_number(item, "epoch")?,
            trimmed: read_number(item, "trimmed")?,
        })
    }
}

/// A message before it has its id.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) text: String,
    pub(crate) key: Option<SentKey>,
}

/// The idempotency key of a message.
#[derive(Debug, Clone)]
pub(crate) struct SentKey {
    pub(crate) agent: String,
    pub(crate) key: String,
    /// Tells whether a repeat is one.
    pub(crate) fingerprint: String,
}

/// What was sent under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) fingerprint: String,
    pub(crate) id: u64,
}

/// Messages to append together.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) mesh: String,
    /// Random.
    pub(crate) id: u64,
    /// The epoch under which the senders and addresses were resolved.
    pub(crate) epoch: u64,
    /// The clock of the writer, in microseconds.
    pub(crate) now: u64,
    pub(crate) drafts: Vec<Draft>,
}

/// One try at appending a batch behind a certain head. To repeat the request is harmless: it has a token
/// of its own, and at most one batch can ever follow a head.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    batch: Batch,
    follows: u64,
    token: String,
}

impl Attempt {
    pub(crate) fn new(batch: &Batch, head: Head) -> Self {
        Self {
            batch: batch.clone(),
            follows: head.newest,
            token: format!("{:032x}", rand::random::<u128>()),
        }
    }

    /// The id of the first message: the clock, unless that would not be above the head.
    pub(crate) fn first(&self) -> u64 {
        self.batch.now.max(self.follows + 1)
    }

    /// The id of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.first() + self.batch.drafts.len() as u64 - 1
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempted {
    /// All of it is durable.
    Written,
    /// Nothing is written: the head is another one now. Try again behind it.
    HeadMoved(Head),
    /// Nothing is written: the roster has changed. Resolve the senders again.
    EpochMoved(Head),
    /// Nothing is written: these messages of the batch have a key that is in use, for this.
    KeysTaken(Vec<(usize, Sent)>),
    /// Nothing is written: another transaction was at the same items. Try again.
    Conflict,
    /// There is no such mesh.
    NoMesh,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The messages have the ids `first`, `first + 1`, …
    Written {
        first: u64,
        attempts: u32,
    },
    EpochMoved(Head),
    KeysTaken(Vec<(usize, Sent)>),
    NoMesh,
}

/// What is known of an attempt whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Written,
    /// It is not written and never will be.
    Void,
    /// It is not written, and may still be.
    Open,
}

/// A piece of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Oldest first.
    pub(crate) messages: Vec<(u64, String)>,
    /// How far the log was read without a hole.
    pub(crate) seen_to: u64,
    /// Whether there was more when the read began.
    pub(crate) more: bool,
    /// Whether messages behind the position of the reader were trimmed.
    pub(crate) gap: bool,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Registered {
    /// Everything up to `start` was there before the agent, all else comes after it.
    At {
        start: u64,
        attempts: u32,
    },
    NameTaken,
    NoMesh,
}

/// Waits between tries, a little longer each time, and not for ever.
#[derive(Debug, Default)]
struct Backoff {
    tries: u32,
}

impl Backoff {
    async fn wait(&mut self) -> Result<()> {
        if self.tries == 100 {
            return Err("it did not work out in 100 tries".into());
        }
        let at_most = 1 << self.tries.min(5);
        self.tries += 1;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..1000 * at_most))).await;
        Ok(())
    }
}

/// A table with the logs of meshes.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    pub(crate) client: Client,
    pub(crate) table: String,
}

impl Logs {
    /// Makes a table of a new name at this endpoint.
    pub(crate) async fn create(endpoint: &str) -> Result<Self> {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .region(Region::new("eu-central-1"))
            .endpoint_url(endpoint)
            .build();
        let client = Client::from_conf(config);
        let table = format!("meshwire-{:016x}", rand::random::<u64>());
        let mut create =
            client.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            create = create
                .attribute_definitions(
                    AttributeDefinition::builder()
                        .attribute_name(name)
                        .attribute_type(ScalarAttributeType::S)
                        .build()?,
                )
                .key_schema(
                    KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?,
                );
        }
        create.send().await?;
        Ok(Self { client, table })
    }

    pub(crate) async fn delete(&self) -> Result<()> {
        self.client.delete_table().table_name(&self.table).send().await?;
        Ok(())
    }

    /// Makes an empty mesh.
    pub(crate) async fn create_mesh(&self, mesh: &str) -> Result<()> {
        let zero = [("head", number(0)), ("epoch", number(1)), ("trimmed", number(0))];
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(with(head_key(mesh), zero)))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await?;
        Ok(())
    }

    /// The head row.
    pub(crate) async fn head(&self, mesh: &str) -> Result<Option<Head>> {
        self.get(head_key(mesh)).await?.as_ref().map(Head::of).transpose()
    }

    /// What was sent under an idempotency key.
    pub(crate) async fn sent(&self, mesh: &str, agent: &str, key: &str) -> Result<Option<Sent>> {
        self.get(sent_key(mesh, agent, key)).await?.as_ref().map(sent).transpose()
    }

    /// Where the inbox of an agent starts.
    pub(crate) async fn start(&self, mesh: &str, agent: &str) -> Result<Option<u64>> {
        let item = self.get(position_key(mesh, agent)).await?;
        item.as_ref().map(|item| read_number(item, "start")).transpose()
    }

    async fn get(&self, key: Item) -> Result<Option<Item>> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key));
        Ok(get.consistent_read(true).send().await?.item)
    }

    // ---- Append

    /// Appends a batch, racing others for the head until it has it.
    pub(crate) async fn append(&self, batch: &Batch) -> Result<Appended> {
        let mut backoff = Backoff::default();
        loop {
            let Some(head) = self.head(&batch.mesh).await? else {
                return Ok(Appended::NoMesh);
            };
            if head.epoch != batch.epoch {
                return Ok(Appended::EpochMoved(head));
            }
            let attempt = Attempt::new(batch, head);
            match self.attempt(&attempt).await? {
                Attempted::Written => {
                    let attempts = backoff.tries + 1;
                    return Ok(Appended::Written { first: attempt.first(), attempts });
                }
                Attempted::EpochMoved(head) => return Ok(Appended::EpochMoved(head)),
                Attempted::KeysTaken(keys) => return Ok(Appended::KeysTaken(keys)),
                Attempted::NoMesh => return Ok(Appended::NoMesh),
                Attempted::HeadMoved(_) | Attempted::Conflict => backoff.wait().await?,
            }
        }
    }

    /// Sends the one transaction that appends: it moves the head that was read, puts the batch that names
    /// that head, and takes the idempotency keys.
    pub(crate) async fn attempt(&self, attempt: &Attempt) -> Result<Attempted> {
        let Attempt { batch, follows, token } = attempt;
        let mut actions = vec![self.move_head(attempt)?, self.put_batch(attempt)?];
        // Which message has the key that the action takes: the first two actions have none.
        let mut keyed = Vec::new();
        for (place, (draft, id)) in batch.drafts.iter().zip(attempt.first()..).enumerate() {
            if let Some(key) = &draft.key {
                actions.push(self.take_key(batch, key, id)?);
                keyed.push(place);
            }
        }
        if keyed.len() > BATCH_KEYS {
            return Err(format!("{} keys are too many for one batch", keyed.len()).into());
        }

        let reasons = match self.transact(actions, Some(token)).await? {
            Transacted::Done => return Ok(Attempted::Written),
            Transacted::Busy => return Ok(Attempted::Conflict),
            Transacted::Refused(reasons) => reasons,
        };
        // A key that is taken stays taken, whatever else was wrong; and a retry of a message that is
        // there must get it also when the roster has changed since.
        let mut taken = Vec::new();
        for (place, reason) in keyed.iter().zip(&reasons[2..]) {
            if let Some(item) = refused(reason) {
                taken.push((*place, sent(item)?));
            }
        }
        if !taken.is_empty() {
            return Ok(Attempted::KeysTaken(taken));
        }
        match reasons[0].code() {
            Some("ConditionalCheckFailed") => {}
            // The condition on the batch says that no two have the same last id, which the head sees to.
            _ => return Ok(Attempted::Conflict),
        }
        let Some(item) = refused(&reasons[0]) else {
            return Ok(Attempted::NoMesh);
        };
        let head = Head::of(item)?;
        if head.epoch != batch.epoch {
            return Ok(Attempted::EpochMoved(head));
        }
        debug_assert_ne!(head.newest, *follows);
        Ok(Attempted::HeadMoved(head))
    }

    fn move_head(&self, attempt: &Attempt) -> Result<TransactWriteItem> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(head_key(&attempt.batch.mesh)))
            .update_expression("SET head = :last")
            .condition_expression("head = :read AND epoch = :epoch")
            .expression_attribute_values(":last", number(attempt.last()))
            .expression_attribute_values(":read", number(attempt.follows))
            .expression_attribute_values(":epoch", number(attempt.batch.epoch))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().update(update.build()?).build())
    }

    fn put_batch(&self, attempt: &Attempt) -> Result<TransactWriteItem> {
        let batch = &attempt.batch;
        let texts: Vec<&str> = batch.drafts.iter().map(|draft| draft.text.as_str()).collect();
        let packed = serde_json::to_vec(&texts)?;
        if packed.len() > BATCH_BYTES {
            return Err(format!("{} bytes are too many for one batch", packed.len()).into());
        }
        let item = with(
            key(log_partition(&batch.mesh), log_place(attempt.last())),
            [
                ("follows", number(attempt.follows)),
                ("first", number(attempt.first())),
                ("batch_id", number(batch.id)),
                ("messages", AttributeValue::B(Blob::new(packed))),
            ],
        );
        self.put(item, None)
    }

    /// Takes an idempotency key. One that has expired may be taken, too: DynamoDB deletes what has expired
    /// when it likes, days later.
    fn take_key(&self, batch: &Batch, key: &SentKey, id: u64) -> Result<TransactWriteItem> {
        let seconds = |micros: u64| number(micros / 1_000_000);
        let item = with(
            sent_key(&batch.mesh, &key.agent, &key.key),
            [
                ("fingerprint", text(&key.fingerprint)),
                ("id", number(id)),
                ("expires", seconds(batch.now + KEPT)),
            ],
        );
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR expires <= :now")
            .expression_attribute_values(":now", seconds(batch.now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    fn put(&self, item: Item, condition: Option<&str>) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_condition_expression(condition.map(str::to_owned));
        Ok(TransactWriteItem::builder().put(put.build()?).build())
    }

    async fn transact(
        &self,
        actions: Vec<TransactWriteItem>,
        token: Option<&str>,
    ) -> Result<Transacted> {
        let sent = self
            .client
            .transact_write_items()
            .set_transact_items(Some(actions))
            .set_client_request_token(token.map(str::to_owned))
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(Transacted::Done);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(refusal)) => {
                let reasons = refusal.cancellation_reasons();
                let known = |reason: &CancellationReason| {
                    matches!(
                        reason.code(),
                        None | Some("None" | "ConditionalCheckFailed" | "TransactionConflict")
                    )
                };
                if reasons.iter().all(known) {
                    return Ok(Transacted::Refused(reasons.to_vec()));
                }
                Err(error.into())
            }
            // The same request is under way.
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
                Ok(Transacted::Busy)
            }
            _ => Err(error.into()),
        }
    }

    /// What is known of an attempt whose answer was lost. It can only happen while the head is the one
    /// that it follows and the epoch is its own; neither ever comes back.
    ///
    /// The two items are read in one transaction: one after the other, the head could be seen to have
    /// moved before the batch that moved it is there.
    pub(crate) async fn outcome(&self, attempt: &Attempt) -> Result<Outcome> {
        let batch = &attempt.batch;
        let get = |key, attributes| -> Result<TransactGetItem> {
            let get = Get::builder()
                .table_name(&self.table)
                .set_key(Some(key))
                .projection_expression(attributes);
            Ok(TransactGetItem::builder().get(get.build()?).build())
        };
        let place = key(log_partition(&batch.mesh), log_place(attempt.last()));
        let mut backoff = Backoff::default();
        let answer = loop {
            let answer = self
                .client
                .transact_get_items()
                .transact_items(get(head_key(&batch.mesh), "head, epoch, trimmed")?)
                .transact_items(get(place.clone(), "batch_id")?)
                .send()
                .await;
            match answer {
                Ok(answer) => break answer,
                Err(error) if is_conflict(&error) => backoff.wait().await?,
                Err(error) => return Err(error.into()),
            }
        };
        let [head, there] = answer.responses() else {
            return Err("there is not one answer for each item".into());
        };
        if let Some(item) = there.item()
            && read_number(item, "batch_id")? == batch.id
        {
            return Ok(Outcome::Written);
        }
        let open = match head.item() {
            Some(item) => {
                let head = Head::of(item)?;
                head.newest == attempt.follows && head.epoch == batch.epoch
            }
            None => false,
        };
        Ok(if open { Outcome::Open } else { Outcome::Void })
    }

    /// Brings an attempt whose answer was lost to an end: `true` when it is written.
    pub(crate) async fn settle(&self, attempt: &Attempt) -> Result<bool> {
        let mut backoff = Backoff::default();
        loop {
            match self.outcome(attempt).await? {
                Outcome::Written => return Ok(true),
                Outcome::Void => return Ok(false),
                Outcome::Open => {}
            }
            if self.attempt(attempt).await? == Attempted::Written {
                return Ok(true);
            }
            backoff.wait().await?;
        }
    }

    // ---- Read

    /// What follows a position, up to about this many bytes; `None` when there is no such mesh.
    ///
    /// A query may show a batch and not yet an earlier one, so a batch counts only when it follows what
    /// was read before it. Where the chain breaks the page ends; where it has not even begun, either the
    /// trim point has passed the position, or what the head speaks of is not to be seen yet.
    pub(crate) async fn read_after(
        &self,
        mesh: &str,
        after: u64,
        bytes: usize,
    ) -> Result<Option<Page>> {
        let mut backoff = Backoff::default();
        loop {
            // The head first: what it speaks of must be found. And the trim point again after each query
            // that found a hole: it moves before anything is deleted.
            let Some(head) = self.head(mesh).await? else {
                return Ok(None);
            };
            let from = after.max(head.trimmed);
            let (messages, seen_to) = self.chain_after(mesh, from, bytes).await?;
            if seen_to > from || head.newest <= from {
                return Ok(Some(Page {
                    messages,
                    seen_to,
                    more: seen_to < head.newest,
                    gap: from > after,
                }));
            }
            backoff.wait().await?;
        }
    }

    /// The messages after a position as far as each batch follows the one before, and the id up to which
    /// that is.
    async fn chain_after(
        &self,
        mesh: &str,
        from: u64,
        bytes: usize,
    ) -> Result<(Vec<(u64, String)>, u64)> {
        let mut batches = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :log AND sk > :from")
            .expression_attribute_values(":log", text(log_partition(mesh)))
            .expression_attribute_values(":from", text(log_place(from)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut messages = Vec::new();
        let mut seen_to = from;
        let mut size = 0;
        while size < bytes
            && let Some(batch) = batches.next().await
        {
            let batch = batch?;
            // The first batch may begin before the position, the others join exactly.
            let follows = read_number(&batch, "follows")?;
            if follows > seen_to || (follows < seen_to && seen_to > from) {
                break;
            }
            seen_to = read_text(&batch, "sk")?.parse()?;
            let packed = read_bytes(&batch, "messages")?;
            size += packed.len();
            let texts: Vec<String> = serde_json::from_slice(packed)?;
            let numbered = (read_number(&batch, "first")?..).zip(texts);
            messages.extend(numbered.filter(|(id, _)| *id > from));
        }
        Ok((messages, seen_to))
    }

    // ---- Agents

    /// Registers an agent. Its start is the head, and both the head and the epoch are still those that were
    /// read when the roster changes: what was resolved before cannot be appended after.
    pub(crate) async fn register(&self, mesh: &str, agent: &str, name: &str) -> Result<Registered> {
        let mut backoff = Backoff::default();
        loop {
            let Some(head) = self.head(mesh).await? else {
                return Ok(Registered::NoMesh);
            };
            let start = head.newest;
            let raise = Update::builder()
                .table_name(&self.table)
                .set_key(Some(head_key(mesh)))
                .update_expression("SET epoch = :next")
                .condition_expression("head = :head AND epoch = :epoch")
                .expression_attribute_values(":head", number(head.newest))
                .expression_attribute_values(":epoch", number(head.epoch))
                .expression_attribute_values(":next", number(head.epoch + 1));
            let position =
                [("start", number(start)), ("handed", number(start)), ("cursor", number(start))];
            let free = Some("attribute_not_exists(pk)");
            let actions = vec![
                TransactWriteItem::builder().update(raise.build()?).build(),
                self.put(with(name_key(mesh, name), [("agent", text(agent))]), free)?,
                self.put(with(agent_key(mesh, agent), [("name", text(name))]), free)?,
                self.put(with(position_key(mesh, agent), position), free)?,
            ];
            match self.transact(actions, None).await? {
                Transacted::Done => {
                    let attempts = backoff.tries + 1;
                    return Ok(Registered::At { start, attempts });
                }
                Transacted::Refused(reasons)
                    if reasons[1].code() == Some("ConditionalCheckFailed") =>
                {
                    return Ok(Registered::NameTaken);
                }
                Transacted::Refused(_) | Transacted::Busy => backoff.wait().await?,
            }
        }
    }

    // ---- Trim

    /// Trims the log up to this id at most, to the end of a batch: first the trim point, so that a reader
    /// who finds a hole finds out why, then the batches.
    pub(crate) async fn trim(&self, mesh: &str, up_to: u64) -> Result<()> {
        self.move_trim_point(mesh, up_to).await?;
        while self.delete_trimmed(mesh, 25).await? {}
        Ok(())
    }

    /// Moves the trim point to the end of the last batch that ends at this id or before.
    pub(crate) async fn move_trim_point(&self, mesh: &str, up_to: u64) -> Result<()> {
        let newest = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :log AND sk <= :place")
            .expression_attribute_values(":log", text(log_partition(mesh)))
            .expression_attribute_values(":place", text(log_place(up_to)))
            .projection_expression("sk")
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(1)
            .send()
            .await?;
        let Some(batch) = newest.items().first() else {
            return Ok(());
        };
        let end: u64 = read_text(batch, "sk")?.parse()?;
        let mut backoff = Backoff::default();
        loop {
            let moved = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(head_key(mesh)))
                .update_expression("SET trimmed = :end")
                .condition_expression("trimmed < :end AND head >= :end")
                .expression_attribute_values(":end", number(end))
                .send()
                .await;
            match moved {
                Ok(_) => return Ok(()),
                Err(error) => match error.as_service_error() {
                    Some(refusal) if refusal.is_conditional_check_failed_exception() => {
                        return Ok(());
                    }
                    Some(refusal) if refusal.is_transaction_conflict_exception() => {
                        backoff.wait().await?;
                    }
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// Deletes some batches up to the trim point, the oldest first; `true` while there are more.
    pub(crate) async fn delete_trimmed(&self, mesh: &str, at_most: i32) -> Result<bool> {
        let Some(head) = self.head(mesh).await? else {
            return Ok(false);
        };
        let oldest = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :log AND sk <= :end")
            .expression_attribute_values(":log", text(log_partition(mesh)))
            .expression_attribute_values(":end", text(log_place(head.trimmed)))
            .projection_expression("pk, sk")
            .limit(at_most)
            .send()
            .await?;
        for key in oldest.items() {
            let delete = self.client.delete_item().table_name(&self.table);
            delete.set_key(Some(key.clone())).send().await?;
        }
        Ok(oldest.last_evaluated_key().is_some())
    }
}

/// What became of a transaction.
enum Transacted {
    Done,
    /// Nothing is written. One reason for each action, in their order.
    Refused(Vec<CancellationReason>),
    /// The same transaction is under way.
    Busy,
}

/// The item that did not meet the condition of an action; `None` when there was none, or when it is not
/// for the condition that the transaction was refused.
fn refused(reason: &CancellationReason) -> Option<&Item> {
    let failed = reason.code() == Some("ConditionalCheckFailed");
    failed.then(|| reason.item()).flatten()
}

fn sent(item: &Item) -> Result<Sent> {
    Ok(Sent {
        fingerprint: read_text(item, "fingerprint")?.to_owned(),
        id: read_number(item, "id")?,
    })
}

fn is_conflict(error: &SdkError<TransactGetItemsError>) -> bool {
    matches!(
        error.as_service_error(),
        Some(TransactGetItemsError::TransactionCanceledException(refusal))
            if refusal.cancellation_reasons().iter().any(|reason| reason.code() == Some("TransactionConflict"))
    )
}
