//! When to try again, and what an error of the engine means.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use crate::store::{Result, StoreError};

/// How long conflicts and throttling are met with another try.
const AT_MOST: Duration = Duration::from_secs(8);
/// The first pause is below this, each one after that below twice as much.
const FIRST: Duration = Duration::from_millis(4);
/// And never longer.
const LONGEST: Duration = Duration::from_millis(250);

/// Pauses between tries, of a random length (full jitter) up to a bound that doubles: those who were in
/// each other's way do not meet again.
#[derive(Debug)]
pub(super) struct Retry {
    until: Instant,
    bound: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { until: Instant::now() + AT_MOST, bound: FIRST }
    }
}

impl Retry {
    /// Waits before another try; when there have been enough, it is an error instead.
    pub(super) async fn pause(&mut self, why: &'static str) -> Result<()> {
        if Instant::now() >= self.until {
            return Err(StoreError::Unavailable(why.into()));
        }
        tokio::time::sleep(self.bound.mul_f64(rand::random())).await;
        self.bound = (self.bound * 2).min(LONGEST);
        Ok(())
    }

    /// The same without growing: for who was only overtaken, and would fall back ever further behind those
    /// who overtake.
    pub(super) async fn pause_shortly(&mut self, why: &'static str) -> Result<()> {
        self.bound = FIRST;
        self.pause(why).await
    }
}

/// Says whether trying again may help.
pub(super) fn store_error<E>(error: SdkError<E>) -> StoreError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let wrong = matches!(&error, SdkError::ServiceError(refused)
        if refused.raw().status().as_u16() < 500 && is_our_mistake(refused.err().code()));
    if wrong { StoreError::Fault(error.into()) } else { StoreError::Unavailable(error.into()) }
}

/// Whether the engine may have done what it was asked for, and did not say so.
pub(super) fn is_lost<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_none_or(|answer| answer.status().as_u16() >= 500)
}

/// Whether the engine says that the request itself is wrong. All else may be another way later: load, a
/// conflict, credentials or rights that are being changed.
fn is_our_mistake(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ValidationException"
                | "SerializationException"
                | "ItemCollectionSizeLimitExceededException"
                | "IdempotentParameterMismatchException"
                | "ConditionalCheckFailedException"
        )
    )
}

/// Whether the engine was only too busy, with others at the same items or with all.
pub(super) fn is_busy(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "TransactionConflict"
                | "TransactionConflictException"
                | "TransactionInProgressException"
                | "ThrottlingError"
                | "ThrottlingException"
                | "ProvisionedThroughputExceeded"
                | "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "ReplicatedWriteConflictException"
        )
    )
}
