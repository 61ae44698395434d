//! The store for many nodes without a database server of one's own: one table of Amazon DynamoDB.
//!
//! Every act is one request that happens whole or not at all: a transaction whose conditions hold the
//! invariants, or the write of one item. Nothing relies on a clock, on a lock that must be given back, or on
//! the order in which a query shows what several transactions wrote. What one act cannot hold, because it
//! may touch more items than a transaction has, decides in one transaction who may do what, and leaves a note
//! of the rest, which is done at once and, should the node die over it, by [`Store::purge`].

mod accounts;
mod agents;
mod append;
mod cache;
mod chunk;
mod clients;
mod clock;
mod codes;
mod db;
mod devices;
mod history;
mod invites;
mod item;
mod keys;
mod links;
mod log;
mod members;
mod meshes;
mod moving;
mod nodes;
mod positions;
mod read;
mod retention;
mod retry;
mod roster;
mod sessions;
mod table;
mod tokens;
mod transaction;
mod unfinished;
mod users;

use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;

use self::cache::{Chunks, Heads, Recent, Turns};
use self::clock::EngineClock;
use self::db::Db;
use self::nodes::Node;
use super::{Digest, Micros, NodeStore, Result, Store};
use meshwire_protocol::TokenId;

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the DynamoDB table {table}: {cause}; {what_to_do}")]
pub struct OpenError {
    table: String,
    /// Part of the text, and so no source.
    cause: String,
    what_to_do: &'static str,
}

/// One table of DynamoDB. Each handle is a node.
pub struct DynamoStore {
    db: Db,
    clock: EngineClock,
    heads: Heads,
    chunks: Chunks,
    turns: Turns,
    /// Where the tokens lie that were looked up here: what notes their use knows only their public ids.
    tokens: Recent<TokenId, Digest>,
    node: Node,
}

impl DynamoStore {
    /// Opens a table, and makes it when it is missing. Where it lies and as whom it is used is said by the
    /// usual environment of AWS programs.
    ///
    /// # Errors
    /// When the table cannot be reached, made or used, or is another program's.
    pub async fn open(table: &str) -> std::result::Result<Self, OpenError> {
        let store = Self::open_to_move(table).await?;
        match store.enter().await {
            Ok(true) => Ok(store),
            Ok(false) => Err(OpenError {
                table: table.to_owned(),
                cause: "an import into it goes on, or has broken off".to_owned(),
                what_to_do: "wait for its end, import into it again, or name another table",
            }),
            Err(error) => Err(OpenError {
                table: table.to_owned(),
                cause: crate::error::chain(&error),
                what_to_do: "see that the server may read and write this table",
            }),
        }
    }

    /// The same for an import, which goes on where another one broke off.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_to_move(table: &str) -> std::result::Result<Self, OpenError> {
        let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let config = aws_sdk_dynamodb::config::Builder::from(&config);
        let store = Self::open_with(table, config).await?;
        table::expire(&store.db.client, table).await;
        Ok(store)
    }

    /// Opens a table at a place that is known. The engine is not told to delete what has expired: it would go
    /// by its own clock, and the caller's may be another.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        table: &str,
        config: aws_sdk_dynamodb::config::Builder,
    ) -> std::result::Result<Self, OpenError> {
        // An engine that is away is noticed within seconds, whatever it does with our packets.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_millis(2_500))
            .operation_timeout(Duration::from_secs(5))
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(50))
            .with_max_backoff(Duration::from_secs(1));
        let clock = EngineClock::default();
        let config = config
            .timeout_config(timeouts)
            .retry_config(retries)
            .interceptor(clock.clone())
            .build();
        let client = Client::from_conf(config);
        table::prepare(&client, table).await?;
        Ok(Self {
            db: Db::new(client, table.to_owned()),
            clock,
            heads: Heads::default(),
            chunks: Chunks::default(),
            turns: Turns::default(),
            tokens: Recent::default(),
            node: Node::default(),
        })
    }
}

#[async_trait]
impl Store for DynamoStore {
    async fn ping(&self) -> Result<()> {
        self.db.get(&keys::any_account()).await.map(drop)
    }

    async fn purge(&self, _now: Micros) -> Result<bool> {
        self.finish_something().await
    }

    async fn close(&self) {
        self.node.leave(&self.db).await;
        self.db.close();
    }

    fn nodes(&self) -> Option<&dyn NodeStore> {
        Some(self)
    }
}
