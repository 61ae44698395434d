//! A DynamoDB Local of the test's own, with its data in files.
//!
//! It answers before it has committed, so that a kill loses what it has just answered, which the engine that it stands
//! for never does. So before it ends nobody reaches it any more, and a write of ours says that it has done the rest.

use std::path::PathBuf;
use std::process::Command;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};

use crate::dynamodb;
use crate::dynamodb_client::config;
use crate::own::{Own, Process};
use crate::proxy::{Proxy, Wire};
use crate::site::Site;

pub(crate) struct Local {
    process: Process,
    table: String,
    /// Between it and the nodes.
    proxy: Proxy,
}

/// A table of ours, and the key in it.
const OURS: (&str, &str) = ("ours", "key");

impl Own for Local {
    const STOP: &str = "-TERM";

    async fn new(process: Process) -> Self {
        let proxy = Proxy::start(process.port).await;
        Self { process, table: dynamodb::table(), proxy }
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn command(&self) -> Command {
        let program = std::env::var_os("MESHWIRE_TEST_DYNAMODB_LOCAL")
            .expect("MESHWIRE_TEST_DYNAMODB_LOCAL: run this by infra/test.sh -- cargo test …");
        let program = PathBuf::from(program);
        let mut command = Command::new("java");
        command
            .current_dir(&program)
            .args([
                "-Xmx512m",
                "-Djava.library.path=DynamoDBLocal_lib",
                "-jar",
                "DynamoDBLocal.jar",
            ])
            .args(["-disableTelemetry", "-port", &self.process.port.to_string(), "-dbPath"])
            .arg(self.process.path());
        command
    }

    async fn answers(&self) -> bool {
        self.client().list_tables().send().await.is_ok()
    }

    async fn before_it_ends(&self) {
        self.proxy.cut(Wire::Reset).await;
        self.write().await;
    }

    fn is_back(&self) {
        self.proxy.mend(true);
    }

    fn site(&self) -> Site {
        Site::table(self.table.clone(), format!("http://127.0.0.1:{}", self.proxy.port()))
    }
}

impl Local {
    fn client(&self) -> Client {
        let endpoint = format!("http://127.0.0.1:{}", self.process.port);
        Client::from_conf(config(&endpoint).build())
    }

    async fn write(&self) {
        let (client, (table, key)) = (self.client(), OURS);
        let attribute = AttributeDefinition::builder()
            .attribute_name(key)
            .attribute_type(ScalarAttributeType::S);
        let keys = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
        // It is there the second time.
        let _ = client
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute.build().unwrap())
            .key_schema(keys.build().unwrap())
            .send()
            .await;
        let value = AttributeValue::S("the last one".to_owned());
        client.put_item().table_name(table).item(key, value).send().await.unwrap();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.process.end_if_it_runs("-KILL");
    }
}
