//! What DynamoDB says when it does not do what it is asked for, in its own words.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

fn error(name: &str, message: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": message})
}

/// A transaction that was canceled for what one of its actions met.
fn canceled(actions: usize, code: &str, message: &str, below: impl Fn(usize) -> usize) -> Value {
    let mut reasons = vec![json!({"Code": "None"}); actions];
    reasons[below(actions)] = json!({"Code": code, "Message": message});
    let codes: Vec<_> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let codes = codes.join(", ");
    json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        ),
        "CancellationReasons": reasons,
    })
}

pub(crate) fn conflict(actions: usize, below: impl Fn(usize) -> usize) -> Value {
    if actions > 0 {
        let message = "Transaction is ongoing for the item";
        return canceled(actions, "TransactionConflict", message, below);
    }
    error("TransactionConflictException", "Transaction is ongoing for the item")
}

/// One of the ways to say so; a transaction has two more.
pub(crate) fn throttled(actions: usize, below: impl Fn(usize) -> usize) -> Value {
    let message = "The level of configured provisioned throughput for the table was exceeded.";
    match below(if actions > 0 { 5 } else { 3 }) {
        0 => json!({
            "__type": "com.amazon.coral.availability#ThrottlingException",
            "message": "Rate of requests exceeds the allowed throughput.",
        }),
        1 => error("ProvisionedThroughputExceededException", message),
        2 => error("RequestLimitExceeded", "Throughput exceeds the current limit of the account."),
        3 => {
            canceled(actions, "ThrottlingError", "Throughput exceeds the current capacity.", below)
        }
        _ => canceled(actions, "ProvisionedThroughputExceeded", message, below),
    }
}

pub(crate) fn in_progress() -> Value {
    let message = "The transaction with the given request token is already in progress.";
    error("TransactionInProgressException", message)
}

/// How far from now a request may be signed.
pub(crate) const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

pub(crate) fn misdated(signed: Timestamp, now: Timestamp) -> Value {
    let written = |at: Timestamp| at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (signature, at) = (written(signed), written(now));
    let message = if signed < now {
        let oldest = written(now - TOLERANCE);
        format!("Signature expired: {signature} is now earlier than {oldest} ({at} - 5 min.)")
    } else {
        let newest = written(now + TOLERANCE);
        format!(
            "Signature not yet current: {signature} is still later than {newest} ({at} + 5 min.)"
        )
    };
    json!({"__type": "com.amazon.coral.service#InvalidSignatureException", "message": message})
}

pub(crate) fn failure() -> Value {
    error("InternalServerError", "The request processing has failed because of an unknown error.")
}
