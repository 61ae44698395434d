//! The items of a log: messages packed together, that name the id which they follow.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwire_protocol::{AgentId, AgentKind, MeshId, MessageId, Via};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::item::{Item, b, bytes, fault, n, number};
use super::keys::{self, Key};
use crate::store::{Batch, Digest, NewMessage, Result, Stored, Stream};

/// An item may have 400 KB with everything in it; packed messages are kept below that.
const MOST_BYTES: usize = 350 * 1024;

/// One item of a log: a batch, or a part of one that is too large for one item. It never changes.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The id before it.
    pub(super) follows: i64,
    /// The id of its last message.
    pub(super) last: i64,
    /// Oldest first.
    pub(super) messages: Vec<Stored>,
    /// The idempotency keys under which some of them were sent.
    pub(super) keys: Vec<(AgentId, Digest)>,
    /// What it takes as an item, about.
    pub(super) bytes: usize,
}

/// A message in an item: a list, so that no names of fields are kept.
#[derive(Serialize)]
struct PackedRef<'a>(
    Option<&'a AgentId>,
    &'a AgentId,
    &'a str,
    &'a str,
    AgentKind,
    Via,
    &'a str,
    &'a str,
    &'a Map<String, Value>,
    u32,
    Option<String>,
);

#[derive(Deserialize)]
struct Packed(
    Option<AgentId>,
    AgentId,
    String,
    String,
    AgentKind,
    Via,
    String,
    String,
    Map<String, Value>,
    u32,
    Option<String>,
);

fn pack(message: &NewMessage) -> Result<Vec<u8>> {
    let to = match &message.stream {
        Stream::All => None,
        Stream::Agent(agent) => Some(agent),
    };
    let key = message.key.as_ref().map(|key| URL_SAFE_NO_PAD.encode(keys::key_hash(&key.key)));
    serde_json::to_vec(&PackedRef(
        to,
        &message.from_agent,
        &message.from,
        &message.from_user,
        message.from_kind,
        message.via,
        &message.to,
        &message.content,
        &message.metadata,
        message.hops,
        key,
    ))
    .map_err(fault)
}

/// The items of a batch behind a head.
pub(super) fn encode(batch: &Batch, follows: i64, first: i64) -> Result<Vec<Item>> {
    let mut items = Vec::with_capacity(1);
    let (mut packed, mut count) = (Vec::new(), 0);
    let (mut before, mut next) = (follows, first);
    for message in &batch.messages {
        let more = pack(message)?;
        if count > 0 && packed.len() + more.len() + 2 > MOST_BYTES {
            items.push(item(batch, before, next, count, &mut packed));
            (before, next, count) = (next + count - 1, next + count, 0);
        }
        packed.push(if count == 0 { b'[' } else { b',' });
        packed.extend(more);
        count += 1;
    }
    items.push(item(batch, before, next, count, &mut packed));
    Ok(items)
}

fn item(batch: &Batch, follows: i64, first: i64, count: i64, packed: &mut Vec<u8>) -> Item {
    packed.push(b']');
    let key = Key::new(keys::log(&batch.mesh), keys::log_place(first + count - 1));
    let mut item = key.item();
    item.extend(
        [
            ("follows", n(follows)),
            ("first", n(first)),
            ("batch_id", n(batch.id)),
            ("count", n(count)),
            ("messages", b(std::mem::take(packed))),
        ]
        .map(|(name, value): (&str, AttributeValue)| (name.to_owned(), value)),
    );
    item
}

impl Chunk {
    pub(super) fn decode(mesh: &MeshId, item: &Item) -> Result<Self> {
        let (follows, first) = (number(item, "follows")?, number(item, "first")?);
        let bytes = bytes(item, "messages")?;
        let packed: Vec<Packed> = serde_json::from_slice(bytes).map_err(fault)?;
        let (mut messages, mut keys) = (Vec::with_capacity(packed.len()), Vec::new());
        for (id, message) in (first..).zip(packed) {
            let Packed(to_agent, from_agent, from, from_user, from_kind, via, to, ..) = message;
            let Packed(.., content, metadata, hops, key) = message;
            if let Some(key) = key {
                let hash = URL_SAFE_NO_PAD.decode(key).map_err(fault)?;
                let hash = hash.try_into().map_err(|_| fault("no SHA-256 of a key"))?;
                keys.push((from_agent.clone(), hash));
            }
            let message = NewMessage {
                stream: to_agent.map_or(Stream::All, Stream::Agent),
                from,
                from_agent,
                from_user,
                from_kind,
                via,
                to,
                content,
                metadata,
                hops,
                key: None,
            };
            let id = MessageId::new(id).ok_or_else(|| fault(format!("message id {id}")))?;
            messages.push(message.into_stored(mesh.clone(), id));
        }
        let last = messages.last().map_or(follows, |last| last.message.id.get());
        Ok(Self { follows, last, messages, keys, bytes: bytes.len() + 128 })
    }

    /// Its messages after an id.
    pub(super) fn after(&self, id: i64) -> &[Stored] {
        let begin = self.messages.partition_point(|stored| stored.message.id.get() <= id);
        &self.messages[begin..]
    }

    /// Its messages before an id.
    pub(super) fn before(&self, id: i64) -> &[Stored] {
        let end = self.messages.partition_point(|stored| stored.message.id.get() < id);
        &self.messages[..end]
    }
}
