//! Rows into types. A row that does not decode is a fault, never a default.

use std::fmt::Display;
use std::str::FromStr;

use meshwire_protocol::{AgentKind, MeshId, Message, MessageId, Role, Via, Wake};
use serde::de::DeserializeOwned;
use sqlx::Row as _;

use super::{Conn, Row};

use crate::clock::timestamp;
use crate::store::{
    AgentRow, Digest, Head, Position, SessionRow, Stored, Stream, TokenRow, UserRow,
};

/// Columns of a message, in the order that [`message`] reads them.
macro_rules! message_columns {
    () => {
        "id, stream, from_agent, from_name, from_user, from_kind, via, to_name, content, metadata, hops"
    };
}
/// Columns of an agent, in the order that [`agent`] reads them.
macro_rules! agent_columns {
    () => {
        "id, name, kind, user_id, harness, host, description, capabilities, wake, start, cursor, last_seen"
    };
}
/// Columns of a user, in the order that [`user`] reads them.
macro_rules! user_columns {
    () => {
        "account.id, account.login, account.name, account.password"
    };
}
/// Columns of a token, in the order that [`token`] reads them.
macro_rules! token_columns {
    () => {
        "token.hash, token.id, token.suffix, token.user_id, token.name, token.scopes, token.mesh_id, \
         token.agent_id, token.created_at, token.last_used_at, token.expires_at, token.revoked_at"
    };
}
/// Columns of a session, in the order that [`session`] reads them.
macro_rules! session_columns {
    () => {
        "session.hash, session.id, session.user_id, session.client, session.created_at, \
         session.last_seen, session.expires_at"
    };
}
pub(super) use {agent_columns, message_columns, session_columns, token_columns, user_columns};

fn fault(error: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(error.to_string().into())
}

/// Reads a column that is kept as the text of a type.
pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row, column: usize) -> sqlx::Result<T> {
    row.try_get::<&str, _>(column)?.parse().map_err(fault)
}

pub(super) fn optional<T: FromStr<Err: Display>>(
    row: &Row,
    column: usize,
) -> sqlx::Result<Option<T>> {
    row.try_get::<Option<&str>, _>(column)?.map(|text| text.parse().map_err(fault)).transpose()
}

/// Reads a word that serde knows, such as a role.
pub(super) fn word<T: DeserializeOwned>(row: &Row, column: usize) -> sqlx::Result<T> {
    from_word(row.try_get(column)?)
}

pub(super) fn from_word<T: DeserializeOwned>(word: &str) -> sqlx::Result<T> {
    T::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(word))
        .map_err(fault)
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(fault)
}

pub(super) fn id(row: &Row, column: usize) -> sqlx::Result<MessageId> {
    let value = row.try_get(column)?;
    MessageId::new(value).ok_or_else(|| fault(format!("message id {value}")))
}

/// Reads the three numbers of an agent, which the row begins with.
pub(super) fn position(row: &Row) -> sqlx::Result<Position> {
    Ok(Position { start: id(row, 0)?, handed: id(row, 1)?, cursor: id(row, 2)? })
}

/// Reads a count, which columns keep with a sign.
pub(super) fn number(row: &Row, column: usize) -> sqlx::Result<u32> {
    row.try_get::<i64, _>(column)?.try_into().map_err(fault)
}

pub(super) fn digest(row: &Row, column: usize) -> sqlx::Result<Digest> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(fault)
}

pub(super) fn message(row: &Row, mesh: &MeshId) -> sqlx::Result<Stored> {
    let id = id(row, 0)?;
    let stream: Stream = parsed(row, 1)?;
    let to_agent_id = match &stream {
        Stream::All => None,
        Stream::Agent(agent) => Some(agent.clone()),
    };
    Ok(Stored {
        stream,
        message: Message {
            id,
            mesh_id: mesh.clone(),
            from: row.try_get(3)?,
            from_agent_id: parsed(row, 2)?,
            from_user: row.try_get(4)?,
            from_kind: word::<AgentKind>(row, 5)?,
            via: word::<Via>(row, 6)?,
            to: row.try_get(7)?,
            to_agent_id,
            content: row.try_get(8)?,
            metadata: json(row, 9)?,
            hops: number(row, 10)?,
            sent_at: timestamp(id.get()),
        },
    })
}

pub(super) fn agent(row: &Row) -> sqlx::Result<AgentRow> {
    Ok(AgentRow {
        id: parsed(row, 0)?,
        name: row.try_get(1)?,
        kind: word(row, 2)?,
        user: parsed(row, 3)?,
        harness: row.try_get::<Option<&str>, _>(4)?.map(from_word).transpose()?,
        host: row.try_get(5)?,
        description: row.try_get(6)?,
        capabilities: json(row, 7)?,
        wake: word::<Wake>(row, 8)?,
        start: id(row, 9)?,
        cursor: id(row, 10)?,
        last_seen: row.try_get(11)?,
    })
}

pub(super) fn role(row: &Row, column: usize) -> sqlx::Result<Role> {
    word(row, column)
}

/// Reads a user whose columns begin at `at`.
pub(super) fn user(row: &Row, at: usize) -> sqlx::Result<UserRow> {
    Ok(UserRow {
        id: parsed(row, at)?,
        login: row.try_get(at + 1)?,
        name: row.try_get(at + 2)?,
        password: row.try_get(at + 3)?,
    })
}

/// How many columns [`token`] reads.
pub(super) const TOKEN_COLUMNS: usize = 12;

pub(super) fn token(row: &Row) -> sqlx::Result<TokenRow> {
    Ok(TokenRow {
        hash: digest(row, 0)?,
        id: parsed(row, 1)?,
        suffix: row.try_get(2)?,
        user: parsed(row, 3)?,
        name: row.try_get(4)?,
        scopes: json(row, 5)?,
        mesh: optional(row, 6)?,
        agent: optional(row, 7)?,
        created_at: row.try_get(8)?,
        last_used_at: row.try_get(9)?,
        expires_at: row.try_get(10)?,
        revoked_at: row.try_get(11)?,
    })
}

/// How many columns [`session`] reads.
pub(super) const SESSION_COLUMNS: usize = 7;

pub(super) fn session(row: &Row) -> sqlx::Result<SessionRow> {
    Ok(SessionRow {
        hash: digest(row, 0)?,
        id: row.try_get(1)?,
        user: parsed(row, 2)?,
        client: row.try_get(3)?,
        created_at: row.try_get(4)?,
        last_seen: row.try_get(5)?,
        expires_at: row.try_get(6)?,
    })
}

/// The head row as this connection sees it.
pub(super) async fn head(conn: &mut Conn, mesh: &MeshId) -> sqlx::Result<Option<Head>> {
    sqlx::query("SELECT epoch, head, trimmed FROM mesh WHERE id = $1 AND deleted_at IS NULL")
        .bind(mesh.as_str())
        .fetch_optional(conn)
        .await?
        .map(|row| head_row(&row))
        .transpose()
}

pub(super) fn head_row(row: &Row) -> sqlx::Result<Head> {
    head_at(row, 0)
}

/// Reads a head whose columns begin at `at`.
pub(super) fn head_at(row: &Row, at: usize) -> sqlx::Result<Head> {
    Ok(Head { epoch: row.try_get(at)?, head: id(row, at + 1)?, trimmed: id(row, at + 2)? })
}
