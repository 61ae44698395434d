//! The fields of the records.

use std::net::IpAddr;

use meshwire_protocol::{
    AgentId, AgentKind, Harness, MeshId, MessageId, Role, Scope, TokenId, UserId, Via, Wake,
};
use serde::{Deserialize, Serialize};

use super::hex;
use crate::store::{Digest, Micros};

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        )*
    };
}

records! {
    /// A user.
    Account {
        /// Never changes.
        id: UserId,
        /// `github:<numeric id>` or `local:<login at creation>`.
        identity: String,
        /// The label, which may change.
        login: String,
        /// The name that the person goes by.
        name: String,
        /// argon2id, as a PHC string; local accounts only.
        password: Option<String>,
        /// Whether an invite made it.
        by_invite: bool,
        /// When it was made.
        created_at: Micros,
    }

    /// A browser that is signed in.
    Session {
        /// SHA-256 of the cookie's secret.
        #[serde(with = "hex")]
        hash: Digest,
        /// Its public name.
        id: String,
        /// Whose.
        user: UserId,
        /// The browser, as it named itself.
        client: String,
        /// When it began.
        created_at: Micros,
        /// When it was last seen.
        last_seen: Micros,
        /// When it ends.
        expires_at: Micros,
    }

    /// A mesh with the head row of its log.
    Mesh {
        /// Its id.
        id: MeshId,
        /// Its name.
        name: String,
        /// Whether sends are refused.
        paused: bool,
        /// The epoch.
        epoch: i64,
        /// The id of the newest message, also when that was trimmed.
        head: MessageId,
        /// Messages up to this id were trimmed.
        trimmed: MessageId,
        /// When it was made.
        created_at: Micros,
    }

    /// A member of a mesh.
    Member {
        /// Where.
        mesh: MeshId,
        /// Who.
        user: UserId,
        /// What they may do.
        role: Role,
        /// Since when.
        joined_at: Micros,
    }

    /// An agent with its position in the log.
    Agent {
        /// Where.
        mesh: MeshId,
        /// Its id.
        id: AgentId,
        /// Its name.
        name: String,
        /// A program's or a person's.
        agent_kind: AgentKind,
        /// The member who runs it.
        user: UserId,
        /// The harness that runs it.
        harness: Option<Harness>,
        /// The computer that it runs on.
        host: Option<String>,
        /// What it is there for.
        description: Option<String>,
        /// What it can do.
        capabilities: Vec<String>,
        /// How soon it notices a message.
        wake: Wake,
        /// The head when it registered.
        start: MessageId,
        /// The highest id that was put into an answer.
        handed: MessageId,
        /// The id up to which it has acknowledged.
        cursor: MessageId,
        /// When it was last seen.
        last_seen: Option<Micros>,
        /// When it last read its inbox.
        last_read: Option<Micros>,
        /// When it registered.
        created_at: Micros,
    }

    /// A token, also one that was revoked or has run out.
    Token {
        /// SHA-256 of the secret.
        #[serde(with = "hex")]
        hash: Digest,
        /// Its public name.
        id: TokenId,
        /// The last six characters of the secret.
        suffix: String,
        /// Whose.
        user: UserId,
        /// What it is for.
        name: String,
        /// What it may do.
        scopes: Vec<Scope>,
        /// The mesh that it is bound to, which may be gone.
        mesh: Option<MeshId>,
        /// The agent that it is bound to, which may be gone.
        agent: Option<AgentId>,
        /// When it was made.
        created_at: Micros,
        /// When it was last used.
        last_used_at: Option<Micros>,
        /// When it runs out.
        expires_at: Option<Micros>,
        /// When it was revoked.
        revoked_at: Option<Micros>,
    }

    /// A code that ends a browser sign-in for the command line.
    CliCode {
        /// SHA-256 of the code.
        #[serde(with = "hex")]
        hash: Digest,
        /// Who signed in.
        user: UserId,
        /// PKCE, S256.
        challenge: String,
        /// Name of the token to issue.
        token_name: String,
        /// Whether it is spent.
        used: bool,
        /// The token that it was exchanged for.
        token: Option<TokenId>,
        /// When it runs out.
        expires_at: Micros,
    }

    /// A request to sign a computer in.
    DeviceCode {
        /// SHA-256 of the code that the computer holds.
        #[serde(with = "hex")]
        hash: Digest,
        /// SHA-256 of the code that the person types.
        #[serde(with = "hex")]
        user_code: Digest,
        /// The `client_id` that asked.
        client: String,
        /// The computer, as it named itself.
        host: String,
        /// Where it came from.
        address: Option<IpAddr>,
        /// Name of the token to issue.
        token_name: String,
        /// What became of it.
        state: DeviceState,
        /// Who said yes.
        user: Option<UserId>,
        /// Time between polls.
        every: Micros,
        /// A poll before this is too early.
        next_poll: Micros,
        /// When it came.
        requested_at: Micros,
        /// When it runs out.
        expires_at: Micros,
    }

    /// A one-time link of an account.
    AccountLink {
        /// SHA-256 of its code.
        #[serde(with = "hex")]
        hash: Digest,
        /// What it is for.
        purpose: Purpose,
        /// Whose; empty for the first account, whose login is chosen.
        login: String,
        /// When it runs out.
        expires_at: Micros,
    }

    /// An invite.
    Invite {
        /// Its public id.
        id: String,
        /// Into which mesh.
        mesh: MeshId,
        /// SHA-256 of the code.
        #[serde(with = "hex")]
        hash: Digest,
        /// Whom it lets in, in lower case.
        login: Option<String>,
        /// Who made it.
        created_by: UserId,
        /// When.
        created_at: Micros,
        /// When it runs out.
        expires_at: Micros,
        /// How many people it lets in.
        max_uses: u32,
        /// How many it has let in.
        uses: u32,
    }

    /// Someone who asks to join, or was refused lately.
    JoinRequest {
        /// Where.
        mesh: MeshId,
        /// Who.
        user: UserId,
        /// Since when they ask.
        requested_at: Micros,
        /// When they were refused.
        refused_at: Option<Micros>,
    }

    /// A message.
    Message {
        /// Where.
        mesh: MeshId,
        /// Its id.
        id: MessageId,
        /// `all` or `agent:<id>`.
        stream: String,
        /// The random id of the batch that it was written with: any 64 bits, with a sign.
        batch: i64,
        /// Id of the sending agent.
        from_agent: AgentId,
        /// Its name.
        from: String,
        /// Login of its owner.
        from_user: String,
        /// Its kind.
        from_kind: AgentKind,
        /// Kind of the credential.
        via: Via,
        /// `all`, or the receiver's name.
        to: String,
        /// The text.
        content: String,
        /// The text of a JSON object, as it is kept.
        metadata: String,
        /// Replies since a person or a new thread began.
        hops: u32,
    }

    /// What was sent under an idempotency key.
    Idempotency {
        /// Where.
        mesh: MeshId,
        /// Who sent it.
        agent: AgentId,
        /// The key.
        key: String,
        /// SHA-256 of the fields as sent.
        #[serde(with = "hex")]
        fingerprint: Digest,
        /// The message.
        message: MessageId,
        /// When the key may be forgotten.
        expires_at: Micros,
    }
}

impl Message {
    /// The bytes of content and metadata, as a page counts them.
    pub fn size(&self) -> usize {
        self.content.len() + self.metadata.len()
    }
}

/// What became of a device code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words say it")]
pub enum DeviceState {
    Pending,
    Approved,
    Denied,
    Used,
}

impl DeviceState {
    /// As it stands in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
        }
    }
}

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Purpose {
    First,
    Add,
    Reset,
}

impl Purpose {
    /// As it stands in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Add => "add",
            Self::Reset => "reset",
        }
    }
}
