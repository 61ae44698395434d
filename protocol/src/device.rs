//! Signing in on a computer without a browser: RFC 8628, with the errors of RFC 6749.

use serde::{Deserialize, Serialize};

use crate::UserLogin;

/// The `client_id` of our own command line.
pub const CLI_CLIENT_ID: &str = "meshwire";

/// The `grant_type` of a poll (RFC 8628 section 3.4).
pub const DEVICE_GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Body of `POST /auth/device/code`. An empty value counts as none (RFC 6749 section 3.1).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DeviceCodeRequest {
    /// Which program asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The computer that it runs on, for the person who is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Answer of `POST /auth/device/code` (RFC 8628 section 3.2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceCodeAnswer {
    /// What the computer polls with.
    pub device_code: String,
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// How long both codes are good for, in seconds.
    pub expires_in: u64,
    /// Least time between two polls, in seconds.
    #[serde(default = "default_interval")]
    pub interval: u64,
}

/// RFC 8628 section 3.2: "If no value is provided, clients MUST use 5 as the default."
const fn default_interval() -> u64 {
    5
}

/// Body of `POST /auth/device/token` (RFC 8628 section 3.4).
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct DeviceTokenRequest {
    /// [`DEVICE_GRANT_TYPE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// From the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<String>,
    /// Which program asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// Answer of `POST /auth/device/token` (RFC 6749 section 5.1).
#[derive(Clone, Serialize, Deserialize)]
pub struct DeviceTokenAnswer {
    /// The secret, shown this once.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// What the token may do, separated by spaces.
    #[serde(default)]
    pub scope: String,
    /// Whose it is.
    pub user: UserLogin,
}

/// An error of the two calls (RFC 6749 section 5.2, RFC 8628 section 3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthProblem {
    /// One word that programs go by.
    pub error: String,
    /// What was wrong here, for people.
    #[serde(default)]
    pub error_description: String,
}
