//! Limits that both sides know. Those that an operator can change are defaults of the server's settings
//! and stand there.

use std::time::Duration;

/// Largest content of a message, in bytes of UTF-8.
pub const MAX_CONTENT_BYTES: usize = 10_240;
/// Largest metadata of a message, in bytes when written compactly, before `reply_to` is added.
pub const MAX_METADATA_BYTES: usize = 4_096;
/// Most replies of agents in a thread without a person.
pub const MAX_HOPS: u32 = 100;
/// Longest `Idempotency-Key`, in characters.
pub const MAX_IDEMPOTENCY_KEY: usize = 255;
/// How long an `Idempotency-Key` is remembered.
pub const IDEMPOTENCY_WINDOW: Duration = Duration::from_hours(24);
/// Longest wait of a poll, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 60;
/// Most messages on one page.
pub const MAX_PAGE: u32 = 1_000;
/// Messages on a page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 100;
/// A page ends early when its messages reach this many bytes of content and metadata.
pub const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// Longest agent name, in characters.
pub const MAX_AGENT_NAME: usize = 64;
/// Longest mesh or token name, in characters.
pub const MAX_NAME: usize = 64;
/// Longest login of a local account, in characters.
pub const MAX_LOGIN: usize = 39;
/// Longest host name and description of an agent, in characters.
pub const MAX_HOST: usize = 255;
/// Longest description of an agent, in characters.
pub const MAX_DESCRIPTION: usize = 1_024;
/// Most capabilities of an agent.
pub const MAX_CAPABILITIES: usize = 32;
/// Longest capability, in characters.
pub const MAX_CAPABILITY: usize = 64;
/// Longest life of a token that expires, in days.
pub const MAX_TOKEN_DAYS: u32 = 365;
/// Longest life of an invite, in hours.
pub const MAX_INVITE_HOURS: u32 = 8_760;
/// Life of an invite when its maker does not say, in hours.
pub const DEFAULT_INVITE_HOURS: u32 = 168;
/// Most people that one link lets in.
pub const MAX_INVITE_USES: u32 = 1_000;
/// Who was refused may ask again after this time.
pub const REFUSAL_WINDOW: Duration = Duration::from_hours(24);
/// An agent that was seen this recently is active.
pub const ACTIVE_WINDOW: Duration = Duration::from_secs(30);
