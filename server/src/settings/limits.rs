//! The limits that people can meet. Each has a default, a setting, and an error that names the setting.

use std::time::Duration;

use clap::Args;

use super::environment::number;

/// Limits that people can meet; 0 = none, where there can be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Limits {
    /// Most agents in a mesh, people not counted; 0 = no limit
    #[arg(
        long = "limit-agents",
        env = "MESHWIRE_LIMIT_AGENTS",
        default_value_t = 1_000,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub agents: u32,
    /// Most meshes that a user owns; 0 = no limit
    #[arg(
        long = "limit-meshes",
        env = "MESHWIRE_LIMIT_MESHES",
        default_value_t = 100,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub meshes: u32,
    /// Most live tokens of a user; 0 = no limit
    #[arg(
        long = "limit-tokens",
        env = "MESHWIRE_LIMIT_TOKENS",
        default_value_t = 200,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub tokens: u32,
    /// Most invites of a mesh that have not run out; 0 = no limit
    #[arg(
        long = "limit-invites",
        env = "MESHWIRE_LIMIT_INVITES",
        default_value_t = 1_000,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub invites: u32,
    /// Most messages a second sent with one token, in bursts of twice as many; 0 = no limit
    #[arg(
        long = "limit-sends-per-second",
        env = "MESHWIRE_LIMIT_SENDS_PER_SECOND",
        default_value_t = 500,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub sends_per_second: u32,
    /// Most messages a second sent to one mesh, in bursts of twice as many; 0 = no limit
    #[arg(
        long = "limit-mesh-sends-per-second",
        env = "MESHWIRE_LIMIT_MESH_SENDS_PER_SECOND",
        default_value_t = 1_000,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub mesh_sends_per_second: u32,
    /// Most polls that one token holds open at a time; 0 = no limit
    #[arg(
        long = "limit-open-polls",
        env = "MESHWIRE_LIMIT_OPEN_POLLS",
        default_value_t = 64,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub open_polls: u32,
    /// Most polls that are open at a time in all; 0 = no limit
    #[arg(
        long = "limit-open-polls-total",
        env = "MESHWIRE_LIMIT_OPEN_POLLS_TOTAL",
        default_value_t = 20_000,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub open_polls_total: u32,
    /// Most replies a minute between the same two agents, both ways counted; 0 = no limit
    #[arg(
        long = "limit-replies-per-minute",
        env = "MESHWIRE_LIMIT_REPLIES_PER_MINUTE",
        default_value_t = 60,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub replies_per_minute: u32,
    /// Most unknown tokens a minute from one address; known ones go on; 0 = no limit
    #[arg(
        long = "limit-bad-tokens-per-minute",
        env = "MESHWIRE_LIMIT_BAD_TOKENS_PER_MINUTE",
        default_value_t = 60,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub bad_tokens_per_minute: u32,
    /// Most requests a minute to the pages of sign-in from one address; 0 = no limit
    #[arg(
        long = "limit-sign-ins-per-minute",
        env = "MESHWIRE_LIMIT_SIGN_INS_PER_MINUTE",
        default_value_t = 300,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub sign_ins_per_minute: u32,
    /// Most connections at a time, more than open polls; further ones wait; 0 = no limit
    #[arg(
        long = "limit-connections",
        env = "MESHWIRE_LIMIT_CONNECTIONS",
        default_value_t = 24_000,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub connections: u32,
    /// Most connections at a time from one address, loopback and trusted proxies excepted; 0 = no limit
    #[arg(
        long = "limit-connections-per-address",
        env = "MESHWIRE_LIMIT_CONNECTIONS_PER_ADDRESS",
        default_value_t = 4_000,
        value_name = "N",
        value_parser = number(0..=u32::MAX)
    )]
    pub connections_per_address: u32,
    /// Most bytes in the request line, with its query, and the header of a request
    #[arg(long = "limit-header-bytes", env = "MESHWIRE_LIMIT_HEADER_BYTES", default_value_t = 32_768, value_name = "N", value_parser = number(4_096..=1_048_576))]
    pub header_bytes: u32,
    /// Most header fields in a request
    #[arg(long = "limit-header-fields", env = "MESHWIRE_LIMIT_HEADER_FIELDS", default_value_t = 64, value_name = "N", value_parser = number(32..=1_000))]
    pub header_fields: u32,
    /// Most seconds that a header may take to arrive
    #[arg(long = "limit-header-seconds", env = "MESHWIRE_LIMIT_HEADER_SECONDS", default_value_t = 10, value_name = "N", value_parser = number(1..=600))]
    pub header_seconds: u32,
    /// Most bytes in the body of a request
    #[arg(long = "limit-body-bytes", env = "MESHWIRE_LIMIT_BODY_BYTES", default_value_t = 131_072, value_name = "N", value_parser = number(1_024..=16_777_216))]
    pub body_bytes: u32,
    /// Most seconds that a body may take to arrive
    #[arg(long = "limit-body-seconds", env = "MESHWIRE_LIMIT_BODY_SECONDS", default_value_t = 13, value_name = "N", value_parser = number(1..=600))]
    pub body_seconds: u32,
}

impl Limits {
    /// No limits but those of a request, which are the defaults.
    pub const NONE: Self = Self {
        agents: 0,
        meshes: 0,
        tokens: 0,
        invites: 0,
        sends_per_second: 0,
        mesh_sends_per_second: 0,
        open_polls: 0,
        open_polls_total: 0,
        replies_per_minute: 0,
        bad_tokens_per_minute: 0,
        sign_ins_per_minute: 0,
        connections: 0,
        connections_per_address: 0,
        header_bytes: 32_768,
        header_fields: 64,
        header_seconds: 10,
        body_bytes: 131_072,
        body_seconds: 13,
    };

    /// What the body of a request may take.
    pub fn body(&self) -> BodyLimits {
        BodyLimits {
            bytes: usize::try_from(self.body_bytes).unwrap_or(usize::MAX),
            deadline: Duration::from_secs(self.body_seconds.into()),
        }
    }
}

/// What the body of a request may take. It goes along with the request, in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Its size. Default: 128 KiB, a message of the largest size with every character escaped, and its
    /// metadata.
    pub bytes: usize,
    /// How long it may take to arrive. Default: 13 s.
    pub deadline: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Limits::NONE.body()
    }
}
