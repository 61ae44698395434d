//! How tests reach a DynamoDB without the environment of their process.

use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};

pub(crate) const REGION: &str = "eu-central-1";
/// The key of AWS and its secret: what we run takes any.
pub(crate) const KEY: &str = "test";

/// For a client of the one at this endpoint.
pub(crate) fn config(endpoint: &str) -> Builder {
    aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new(KEY, KEY, None, None, "test"))
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
}
