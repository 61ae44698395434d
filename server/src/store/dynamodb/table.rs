//! The table: made when it is missing.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use tokio::time::Instant;

use super::OpenError;
use super::item::EXPIRES;

/// How long a new table may take until it can be used.
const SOON: Duration = Duration::from_mins(1);

/// Sees to it that the table is there and is ours. Several nodes may do so at once.
pub(super) async fn prepare(client: &Client, table: &str) -> Result<(), OpenError> {
    let until = Instant::now() + SOON;
    let mut made = false;
    loop {
        let status = match describe(client, table).await? {
            Some(found) => {
                check(&found, table)?;
                found.table_status
            }
            None if made => None,
            None => {
                create(client, table).await?;
                made = true;
                continue;
            }
        };
        if matches!(status, Some(TableStatus::Active | TableStatus::Updating)) {
            break;
        }
        if Instant::now() >= until {
            return Err(error(table, format!("it is {status:?} and not active")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn describe(client: &Client, table: &str) -> Result<Option<TableDescription>, OpenError> {
    match client.describe_table().table_name(table).send().await {
        Ok(answer) => Ok(answer.table),
        Err(SdkError::ServiceError(refused)) if refused.err().is_resource_not_found_exception() => {
            Ok(None)
        }
        Err(cause) => Err(failed(table, &cause)),
    }
}

/// A table with other keys is another program's.
fn check(found: &TableDescription, table: &str) -> Result<(), OpenError> {
    let keys: Vec<_> = found.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
    if keys == ["pk", "sk"] {
        return Ok(());
    }
    Err(error(
        table,
        format!("its keys are {}: it is another program's, and is left as it is", keys.join(", ")),
    ))
}

async fn create(client: &Client, table: &str) -> Result<(), OpenError> {
    let mut create =
        client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let broken = |cause| error(table, format!("{cause}"));
        create = create
            .attribute_definitions(attribute.map_err(broken)?)
            .key_schema(key.map_err(broken)?);
    }
    match create.send().await {
        Ok(_) => Ok(()),
        // Another node was faster.
        Err(SdkError::ServiceError(refused)) if refused.err().is_resource_in_use_exception() => {
            Ok(())
        }
        Err(cause) => Err(failed(table, &cause)),
    }
}

/// Has the engine delete what has expired. Without it nothing is wrong, there is only ever more.
pub(super) async fn expire(client: &Client, table: &str) {
    let known = client.describe_time_to_live().table_name(table).send().await;
    let status = known.ok().and_then(|known| known.time_to_live_description?.time_to_live_status);
    if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return;
    }
    let Ok(how) = TimeToLiveSpecification::builder().attribute_name(EXPIRES).enabled(true).build()
    else {
        return;
    };
    let set = client.update_time_to_live().table_name(table).time_to_live_specification(how);
    if let Err(cause) = set.send().await {
        tracing::warn!(
            table,
            error = %DisplayErrorContext(&cause),
            "time to live could not be turned on: turn it on for the attribute {EXPIRES:?}"
        );
    }
}

fn error(table: &str, cause: String) -> OpenError {
    OpenError { table: table.to_owned(), cause, what_to_do: "name another table" }
}

fn failed<E: std::error::Error>(table: &str, cause: &E) -> OpenError {
    let cause = DisplayErrorContext(cause).to_string();
    let what_to_do = if cause.contains("redential") || cause.contains("UnrecognizedClient") {
        "give the server credentials: a role of its container or machine, or AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY"
    } else if cause.contains("region") || cause.contains("Region") {
        "say in which region it lies with AWS_REGION"
    } else if cause.contains("AccessDenied") {
        "let the server's role describe, create, read and write this table"
    } else {
        "see that DynamoDB can be reached from here, and that AWS_REGION and AWS_ENDPOINT_URL_DYNAMODB, \
         if set, are right"
    };
    OpenError { table: table.to_owned(), cause, what_to_do }
}
