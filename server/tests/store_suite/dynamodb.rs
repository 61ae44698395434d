//! The store on Amazon's DynamoDB Local, which `infra/test.sh` starts.

use std::cell::Cell;
use std::env;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use meshwire_protocol::MeshId;
use meshwire_server::store::dynamodb::DynamoStore;
use meshwire_server::store::{Micros, Store};

use crate::dynamodb_client;
use crate::engine::Engine;

/// A table of its own, for one case.
pub(crate) struct DynamoDb {
    pub(crate) table: String,
    pub(crate) client: Client,
    store: Arc<DynamoStore>,
    /// By when all was deleted whose time was over.
    expired: Cell<Micros>,
}

/// How the engine of the tests is reached.
pub(crate) fn config() -> Builder {
    let endpoint = env::var("MESHWIRE_TEST_DYNAMODB").expect(
        "MESHWIRE_TEST_DYNAMODB is not set: run the tests by ./infra/test.sh, which starts DynamoDB Local \
         for them; only these: ./infra/test.sh -- cargo test --test store dynamodb",
    );
    dynamodb_client::config(&endpoint)
}

async fn open(table: &str) -> Arc<DynamoStore> {
    Arc::new(DynamoStore::open_with(table, config()).await.expect("the table can be used"))
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

impl DynamoDb {
    /// Another node on the same table.
    pub(crate) async fn again(&self) -> Self {
        let (table, client) = (self.table.clone(), self.client.clone());
        let store = open(&table).await;
        Self { table, client, store, expired: Cell::new(0) }
    }

    /// What the messages in the items of a log add up to.
    async fn messages_of(&self, mesh: &MeshId) -> i64 {
        let pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :log")
            .expression_attribute_values(":log", text(format!("log#{mesh}")))
            .projection_expression("#count")
            .expression_attribute_names("#count", "count");
        let mut items = pages.into_paginator().items().send();
        let mut messages = 0;
        while let Some(item) = items.next().await {
            let item = item.expect("the log can be read");
            let count = item.get("count").and_then(|count| count.as_n().ok());
            messages += count.and_then(|count| count.parse::<i64>().ok()).expect("it has a count");
        }
        messages
    }

    /// How many items there are that a filter lets through.
    async fn count(&self, filter: &str, values: &[(&str, String)]) -> i64 {
        let mut scan = self
            .client
            .scan()
            .table_name(&self.table)
            .select(Select::Count)
            .filter_expression(filter);
        for (name, value) in values {
            scan = scan.expression_attribute_values(*name, text(value));
        }
        let mut pages = scan.into_paginator().send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += i64::from(page.expect("the table can be read").count());
        }
        count
    }
}

#[async_trait(?Send)]
impl Engine for DynamoDb {
    async fn fresh() -> Self {
        let table = format!("meshwire-{:016x}", rand::random::<u64>());
        let store = open(&table).await;
        Self { table, client: Client::from_conf(config().build()), store, expired: Cell::new(0) }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = open(&self.table).await;
    }

    /// By the clock of the case, what the engine does by its own, some days late.
    async fn expire(&self, now: Micros) -> bool {
        // Nothing expires while time stands still.
        if self.expired.replace(now) == now {
            return false;
        }
        let due = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("#until <= :now AND attribute_exists(expires)")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
            .projection_expression("pk, sk");
        let mut due = due.into_paginator().items().send();
        let mut some = false;
        while let Some(item) = due.next().await {
            let key = item.expect("the table can be read");
            let delete = self.client.delete_item().table_name(&self.table).set_key(Some(key));
            delete.send().await.expect("it can be deleted");
            some = true;
        }
        some
    }

    async fn left_of(&self, mesh: &MeshId) -> i64 {
        let head = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(format!("head#{mesh}")))
            .key("sk", text("head"))
            .send()
            .await
            .expect("the head can be read");
        if head.item().is_none() {
            // Nothing at all of it may be left.
            let any = "contains(pk, :mesh) OR contains(sk, :mesh)";
            return self.count(any, &[(":mesh", mesh.to_string())]).await;
        }
        let rest = "begins_with(pk, :sent) OR (pk = :roster AND sk <> :meta) OR pk = :invites";
        let values = [
            (":sent", format!("sent#{mesh}#")),
            (":roster", format!("mesh#{mesh}")),
            (":meta", "meta".to_owned()),
            (":invites", format!("invites#{mesh}")),
        ];
        1 + self.messages_of(mesh).await + self.count(rest, &values).await
    }
}
