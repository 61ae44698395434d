//! What DynamoDB says that requests have consumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::config::interceptors::{
    BeforeSerializationInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use meshwire_server::settings::Place;
use meshwire_server::store::dynamodb::DynamoStore;

use crate::dynamodb_client::config;
use crate::world::Site;

/// Adds up the units of a store, in thousandths: those of reads, and those of transactions that write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<AtomicU64>);

impl Meter {
    /// What was consumed since it was last asked.
    pub(crate) fn take(&self) -> f64 {
        let thousandths = self.0.swap(0, Ordering::SeqCst);
        f64::from(u32::try_from(thousandths).expect("it is small")) / 1_000.0
    }

    /// Opens the table of a site as a node that knows nothing yet, and counts what it consumes.
    pub(crate) async fn open(&self, site: &Site) -> DynamoStore {
        let Place::DynamoDb(table) = &site.place else { panic!("it is no table") };
        let endpoint = std::env::var("AWS_ENDPOINT_URL_DYNAMODB").expect("one is up");
        let config = config(&endpoint).interceptor(self.clone());
        DynamoStore::open_with(table, config).await.expect("the table can be used")
    }
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let total = Some(ReturnConsumedCapacity::Total);
        let input = context.input_mut();
        if let Some(get) = input.downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
        } else if let Some(query) = input.downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
        } else if let Some(write) = input.downcast_mut::<TransactWriteItemsInput>() {
            write.return_consumed_capacity = total;
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Ok(output)) = context.output_or_error() else { return Ok(()) };
        let get = output.downcast_ref::<GetItemOutput>();
        let query = output.downcast_ref::<QueryOutput>();
        let write = output.downcast_ref::<TransactWriteItemsOutput>();
        let read = get
            .and_then(GetItemOutput::consumed_capacity)
            .or_else(|| query.and_then(QueryOutput::consumed_capacity));
        let written = write.map(TransactWriteItemsOutput::consumed_capacity).unwrap_or_default();
        let units: f64 =
            read.into_iter().chain(written).filter_map(ConsumedCapacity::capacity_units).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        self.0.fetch_add((units * 1_000.0) as u64, Ordering::SeqCst);
        Ok(())
    }
}
