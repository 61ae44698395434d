//! Tables on the DynamoDB Local of the run, which is named by the usual environment of AWS programs.

/// A table that is not there yet.
pub(crate) fn table() -> String {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL_DYNAMODB").is_some(),
        "AWS_ENDPOINT_URL_DYNAMODB: run this by infra/test.sh -- cargo test …"
    );
    format!("case_{:016x}", rand::random::<u64>())
}
