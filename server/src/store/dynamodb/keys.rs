//! The key of every item; ARCHITECTURE.md has the table.

use meshwire_protocol::{AgentId, MeshId, TokenId, UserId};
use sha2::{Digest as _, Sha256};

use super::item::{Item, hex, s, text};
use crate::store::{Digest, Result};

/// Where an item lies: its partition, and its place in there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    pub(super) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    pub(super) fn of(item: &Item) -> Result<Self> {
        Ok(Self::new(text(item, "pk")?, text(item, "sk")?))
    }

    pub(super) fn item(&self) -> Item {
        Item::from([("pk".to_owned(), s(&self.pk)), ("sk".to_owned(), s(&self.sk))])
    }
}

/// The head of a mesh: moved by every append, so it has a partition to itself.
pub(super) fn head(mesh: &MeshId) -> Key {
    Key::new(format!("head#{mesh}"), "head")
}

/// The partition with the log of a mesh.
pub(super) fn log(mesh: &MeshId) -> String {
    format!("log#{mesh}")
}

/// Where the batch that ends with this id lies in its partition: ids have 16 digits at most (53 bits), so
/// that the order of the text is the order of the numbers.
pub(super) fn log_place(last: i64) -> String {
    format!("{last:016}")
}

/// The hash of an idempotency key, which may be long and hold anything.
pub(super) fn key_hash(key: &str) -> Digest {
    Sha256::digest(key.as_bytes()).into()
}

/// The record of what an agent sent under an idempotency key. Each has a partition of its own: sends of one
/// mesh write many of them.
pub(super) fn sent(mesh: &MeshId, agent: &AgentId, key: &Digest) -> Key {
    Key::new(format!("sent#{mesh}#{agent}#{}", hex::hex_of(key)), "sent")
}

/// The partition with the roster of a mesh.
pub(super) fn mesh(mesh: &MeshId) -> String {
    format!("mesh#{mesh}")
}

pub(super) fn meta(mesh: &MeshId) -> Key {
    Key::new(self::mesh(mesh), "meta")
}

pub(super) fn member(mesh: &MeshId, user: &UserId) -> Key {
    Key::new(self::mesh(mesh), format!("member#{user}"))
}

pub(super) fn agent(mesh: &MeshId, agent: &AgentId) -> Key {
    Key::new(self::mesh(mesh), format!("agent#{agent}"))
}

/// The delivery state of an agent, written with each acknowledgement: not in the roster's partition.
pub(super) fn position(mesh: &MeshId, agent: &AgentId) -> Key {
    Key::new(format!("position#{mesh}#{agent}"), "position")
}

/// The partition with the invites and requests of a mesh.
pub(super) fn invites(mesh: &MeshId) -> String {
    format!("invites#{mesh}")
}

pub(super) fn invite_list(mesh: &MeshId) -> Key {
    Key::new(invites(mesh), "invites")
}

pub(super) fn request(mesh: &MeshId, user: &UserId) -> Key {
    Key::new(invites(mesh), format!("request#{user}"))
}

/// A mesh in the list of all: spread by the first character.
pub(super) fn listed(mesh: &MeshId) -> Key {
    Key::new(format!("meshes#{}", &mesh.as_str()[..1]), mesh.as_str())
}

/// The tokens that are bound to a mesh.
pub(super) fn bound(mesh: &MeshId) -> String {
    format!("bound#{mesh}")
}

/// Where those of one member begin, or those of one of their agents.
pub(super) fn bound_place(user: &UserId, agent: Option<&AgentId>) -> String {
    agent.map_or_else(|| format!("{user}#"), |agent| format!("{user}#{agent}#"))
}

pub(super) fn bound_token(
    mesh: &MeshId,
    user: &UserId,
    agent: Option<&AgentId>,
    token: &TokenId,
) -> Key {
    let agent = agent.map_or("", AgentId::as_str);
    Key::new(bound(mesh), format!("{user}#{agent}#{token}"))
}

/// The partition with what a user is and has.
pub(super) fn of_user(user: &UserId) -> String {
    format!("user#{user}")
}

pub(super) fn user(user: &UserId) -> Key {
    Key::new(of_user(user), "user")
}

/// How many meshes a user owns.
pub(super) fn owned(user: &UserId) -> Key {
    Key::new(of_user(user), "owned")
}

/// The live tokens of a user.
pub(super) fn live_tokens(user: &UserId) -> Key {
    Key::new(of_user(user), "tokens")
}

pub(super) fn user_mesh(user: &UserId, mesh: &MeshId) -> Key {
    Key::new(of_user(user), format!("mesh#{mesh}"))
}

pub(super) fn user_token(user: &UserId, token: &TokenId) -> Key {
    Key::new(of_user(user), format!("token#{token}"))
}

pub(super) fn user_session(user: &UserId, session: &str) -> Key {
    Key::new(of_user(user), format!("session#{session}"))
}

pub(super) fn identity(identity: &str) -> Key {
    Key::new(format!("identity#{identity}"), "user")
}

pub(super) fn login(login: &str) -> Key {
    Key::new(format!("login#{}", login.to_lowercase()), "user")
}

/// There when anyone has an account.
pub(super) fn any_account() -> Key {
    Key::new("accounts", "any")
}

pub(super) fn token(hash: &Digest) -> Key {
    Key::new(format!("token#{}", hex::hex_of(hash)), "secret")
}

pub(super) fn session(hash: &Digest) -> Key {
    Key::new(format!("session#{}", hex::hex_of(hash)), "secret")
}

pub(super) fn code(hash: &Digest) -> Key {
    Key::new(format!("code#{}", hex::hex_of(hash)), "secret")
}

pub(super) fn link(hash: &Digest) -> Key {
    Key::new(format!("link#{}", hex::hex_of(hash)), "link")
}

/// The valid link for a purpose.
pub(super) fn valid_link(purpose: &str) -> Key {
    Key::new("links", purpose)
}

pub(super) fn device(hash: &Digest) -> Key {
    Key::new(format!("device#{}", hex::hex_of(hash)), "device")
}

pub(super) fn user_code(hash: &Digest) -> Key {
    Key::new(format!("user-code#{}", hex::hex_of(hash)), "device")
}

pub(super) fn client(client: &Digest) -> Key {
    Key::new(format!("client#{}", hex::hex_of(client)), "note")
}

/// There while an import goes on, and after one that broke off.
pub(super) fn importing() -> Key {
    Key::new("import", "begun")
}

/// Another one whenever a server has opened the table.
pub(super) fn opened() -> Key {
    Key::new("opened", "server")
}

/// What was begun and may not have come to its end.
pub(super) const UNFINISHED: &str = "unfinished";
/// The leases of nodes.
pub(super) const NODES: &str = "nodes";
/// What nodes tell each other of heads.
pub(super) const HINTS: &str = "hints";

/// What has ended in a minute since 1970.
pub(super) fn ended(minute: i64) -> String {
    format!("ended#{minute}")
}

/// The agents that poll on a mesh, by node.
pub(super) fn polling(mesh: &MeshId) -> String {
    format!("polling#{mesh}")
}
