//! Tables on the DynamoDB Local of the run, which is named by the usual environment of AWS programs.

/// A table that is not there yet.
pub(crate) fn table() -> String {
    assert!(
        std::env::var_os("AWS_ENDPOINT_URL_DYNAMODB").is_some(),
        "AWS_ENDPOINT_URL_DYNAMODB: run this by infra/test.sh -- cargo test …"
    );
    format!("case_{:016x}", rand::random::<u64>())
}

/// What names that engine to a program whose environment is empty otherwise.
#[allow(dead_code, reason = "not all that have tables start programs")]
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| name.starts_with("AWS_"))
}
