//! Everything that a store holds, as records that belong to no engine, and how they go in and out.
//!
//! What is gone for everyone is no part of it: deleted meshes, messages up to the trim point. Nor is what nodes
//! tell each other of the moment.

pub(super) mod hex;
mod out;
mod records;

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use self::hex::{digest_of, hex_of};
pub(super) use self::out::Out;
pub use self::records::{
    Account, AccountLink, Agent, CliCode, DeviceCode, DeviceState, Idempotency, Invite,
    JoinRequest, Member, Mesh, Message, Purpose, Session, Token,
};
use super::{Result, Store};

/// One thing that a store holds. As JSON, a record is an object whose `kind` says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are named like what they hold")]
pub enum Record {
    Account(Account),
    Session(Session),
    Mesh(Mesh),
    Member(Member),
    Agent(Agent),
    Token(Token),
    CliCode(CliCode),
    DeviceCode(DeviceCode),
    AccountLink(AccountLink),
    Invite(Invite),
    JoinRequest(JoinRequest),
    Message(Message),
    Idempotency(Idempotency),
}

/// What a record is of, in the order in which an export has them: each after what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are named like what they hold")]
pub enum Kind {
    Account,
    Session,
    Mesh,
    Member,
    Agent,
    Token,
    CliCode,
    DeviceCode,
    AccountLink,
    Invite,
    JoinRequest,
    Message,
    Idempotency,
}

impl Kind {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Account,
        Self::Session,
        Self::Mesh,
        Self::Member,
        Self::Agent,
        Self::Token,
        Self::CliCode,
        Self::DeviceCode,
        Self::AccountLink,
        Self::Invite,
        Self::JoinRequest,
        Self::Message,
        Self::Idempotency,
    ];

    /// As it stands in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Session => "session",
            Self::Mesh => "mesh",
            Self::Member => "member",
            Self::Agent => "agent",
            Self::Token => "token",
            Self::CliCode => "cli_code",
            Self::DeviceCode => "device_code",
            Self::AccountLink => "account_link",
            Self::Invite => "invite",
            Self::JoinRequest => "join_request",
            Self::Message => "message",
            Self::Idempotency => "idempotency",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Record {
    /// What it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Account(_) => Kind::Account,
            Self::Session(_) => Kind::Session,
            Self::Mesh(_) => Kind::Mesh,
            Self::Member(_) => Kind::Member,
            Self::Agent(_) => Kind::Agent,
            Self::Token(_) => Kind::Token,
            Self::CliCode(_) => Kind::CliCode,
            Self::DeviceCode(_) => Kind::DeviceCode,
            Self::AccountLink(_) => Kind::AccountLink,
            Self::Invite(_) => Kind::Invite,
            Self::JoinRequest(_) => Kind::JoinRequest,
            Self::Message(_) => Kind::Message,
            Self::Idempotency(_) => Kind::Idempotency,
        }
    }

    /// About how many bytes it takes: messages are what differs.
    pub fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size() + 256,
            _ => 256,
        }
    }
}

/// A piece of all that goes in or out.
#[derive(Debug)]
pub enum Piece {
    /// Some records; about a mebibyte at the most.
    Records(Vec<Record>),
    /// That was all. Without it, what came before is cut off.
    End,
}

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// All of it is durable.
    Done,
    /// The store holds something already; nothing was written.
    NotEmpty,
}

/// A store whose whole content can be taken out and put in.
#[async_trait]
pub trait Moving: Store {
    /// Hands over everything, then [`Piece::End`]; each kind after those that it refers to, the messages of
    /// a mesh together and by their ids. Where the engine can, as of one moment; elsewhere no server may be
    /// running. An error when nobody takes it.
    async fn export(&self, to: mpsc::Sender<Piece>) -> Result<()>;

    /// Puts everything into an empty store, in the order in which [`Self::export`] hands it over. When it
    /// ends without [`Piece::End`], nothing of it is visible to a server. One-time links and device codes that
    /// a server has made on the empty store are dropped.
    async fn import(&self, from: mpsc::Receiver<Piece>) -> Result<Imported>;
}
