//! Putting everything into an empty store: one statement for some hundred records of a kind.

use meshwire_protocol::{AgentId, MeshId, TokenId, UserId};
use serde_json::json;
use sqlx::Row as _;
use tokio::sync::mpsc;

use super::moving::Messages;
use super::{Conn, Db};
use crate::store::moving::{DeviceState, Imported, Kind, Piece, Purpose, Record};

/// Inserts the records of a kind: each column stands with its value. Below all limits on what one statement
/// may bind, for the records of one piece.
macro_rules! insert {
    ($conn:expr, $records:expr, $table:literal, $kind:ident($record:ident) {
        $first:literal: $first_value:expr, $($column:literal: $value:expr,)*
    }) => {{
        let mut insert = sqlx::QueryBuilder::<Db>::new(concat!(
            "INSERT INTO ", $table, " (", $first, $(", ", $column,)* ") "
        ));
        let records = $records.iter().filter_map(|record| match record {
            Record::$kind(record) => Some(record),
            _ => None,
        });
        insert.push_values(records, |mut row, $record| {
            row.push_bind($first_value);
            $(row.push_bind($value);)*
        });
        insert.build().execute($conn).await.map(drop)
    }};
}
pub(super) use insert;

/// Writes what comes, in the transaction of this connection. An error when it ends before its end: then the
/// transaction is to be undone.
pub(super) async fn everything(
    conn: &mut Conn,
    mut from: mpsc::Receiver<Piece>,
) -> sqlx::Result<Imported> {
    let holds_something: bool = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM mesh)
             OR EXISTS (SELECT 1 FROM message) OR EXISTS (SELECT 1 FROM sent_key)",
    )
    .fetch_one(&mut *conn)
    .await?
    .try_get(0)?;
    if holds_something {
        return Ok(Imported::NotEmpty);
    }
    // Of nobody: a server that was started once has made a link for the first account.
    for sql in ["DELETE FROM account_link", "DELETE FROM device_code"] {
        sqlx::query(sql).execute(&mut *conn).await?;
    }
    let mut messages = Messages::default();
    while let Some(piece) = from.recv().await {
        let records = match piece {
            Piece::Records(records) => records,
            Piece::End => return Ok(Imported::Done),
        };
        for records in records.chunk_by(|one, next| one.kind() == next.kind()) {
            if let Some(first) = records.first() {
                insert_all(conn, first.kind(), records, &mut messages).await?;
            }
        }
    }
    Err(sqlx::Error::Protocol("the records end before their end".to_owned()))
}

/// Inserts records, all of this kind.
async fn insert_all(
    conn: &mut Conn,
    kind: Kind,
    records: &[Record],
    messages: &mut Messages,
) -> sqlx::Result<()> {
    match kind {
        Kind::Message => messages.insert(conn, records).await,
        Kind::Account | Kind::Session | Kind::Token => people(conn, kind, records).await,
        Kind::Mesh | Kind::Member | Kind::Agent => meshes(conn, kind, records).await,
        Kind::CliCode | Kind::DeviceCode | Kind::AccountLink => codes(conn, kind, records).await,
        Kind::Invite => insert!(conn, records, "invite", Invite(r) {
            "id": &r.id,
            "mesh_id": r.mesh.as_str(),
            "hash": r.hash.as_slice(),
            "login_key": r.login.as_deref(),
            "created_by": r.created_by.as_str(),
            "created_at": r.created_at,
            "expires_at": r.expires_at,
            "max_uses": i64::from(r.max_uses),
            "uses": i64::from(r.uses),
        }),
        Kind::JoinRequest => insert!(conn, records, "join_request", JoinRequest(r) {
            "mesh_id": r.mesh.as_str(),
            "user_id": r.user.as_str(),
            "requested_at": r.requested_at,
            "refused_at": r.refused_at,
        }),
        Kind::Idempotency => insert!(conn, records, "sent_key", Idempotency(r) {
            "mesh_id": r.mesh.as_str(),
            "agent_id": r.agent.as_str(),
            "key": &r.key,
            "fingerprint": r.fingerprint.as_slice(),
            "message_id": r.message.get(),
            "expires_at": r.expires_at,
        }),
    }
}

async fn people(conn: &mut Conn, kind: Kind, records: &[Record]) -> sqlx::Result<()> {
    match kind {
        Kind::Account => insert!(conn, records, "account", Account(r) {
            "id": r.id.as_str(),
            "identity": &r.identity,
            "login": &r.login,
            "login_key": r.login.to_lowercase(),
            "name": &r.name,
            "password": r.password.as_deref(),
            "by_invite": r.by_invite,
            "created_at": r.created_at,
        }),
        Kind::Session => insert!(conn, records, "session", Session(r) {
            "hash": r.hash.as_slice(),
            "id": &r.id,
            "user_id": r.user.as_str(),
            "client": &r.client,
            "created_at": r.created_at,
            "last_seen": r.last_seen,
            "expires_at": r.expires_at,
        }),
        _ => insert!(conn, records, "token", Token(r) {
            "hash": r.hash.as_slice(),
            "id": r.id.as_str(),
            "suffix": &r.suffix,
            "user_id": r.user.as_str(),
            "name": &r.name,
            "scopes": json!(r.scopes).to_string(),
            "mesh_id": r.mesh.as_ref().map(MeshId::as_str),
            "agent_id": r.agent.as_ref().map(AgentId::as_str),
            "created_at": r.created_at,
            "last_used_at": r.last_used_at,
            "expires_at": r.expires_at,
            "revoked_at": r.revoked_at,
        }),
    }
}

async fn meshes(conn: &mut Conn, kind: Kind, records: &[Record]) -> sqlx::Result<()> {
    // Words that serde knows.
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
    match kind {
        Kind::Mesh => insert!(conn, records, "mesh", Mesh(r) {
            "id": r.id.as_str(),
            "name": &r.name,
            "paused": r.paused,
            "epoch": r.epoch,
            "head": r.head.get(),
            "trimmed": r.trimmed.get(),
            "created_at": r.created_at,
        }),
        Kind::Member => insert!(conn, records, "member", Member(r) {
            "mesh_id": r.mesh.as_str(),
            "user_id": r.user.as_str(),
            "role": r.role.as_str(),
            "joined_at": r.joined_at,
        }),
        _ => insert!(conn, records, "agent", Agent(r) {
            "mesh_id": r.mesh.as_str(),
            "id": r.id.as_str(),
            "name": &r.name,
            "name_key": r.name.to_lowercase(),
            "kind": r.agent_kind.as_str(),
            "user_id": r.user.as_str(),
            "harness": word(json!(r.harness)),
            "host": r.host.as_deref(),
            "description": r.description.as_deref(),
            "capabilities": json!(r.capabilities).to_string(),
            "wake": word(json!(r.wake)),
            "start": r.start.get(),
            "handed": r.handed.get(),
            "cursor": r.cursor.get(),
            "last_seen": r.last_seen,
            "last_read": r.last_read,
            "created_at": r.created_at,
        }),
    }
}

async fn codes(conn: &mut Conn, kind: Kind, records: &[Record]) -> sqlx::Result<()> {
    match kind {
        Kind::CliCode => insert!(conn, records, "code", CliCode(r) {
            "hash": r.hash.as_slice(),
            "kind": "cli",
            "user_id": r.user.as_str(),
            "challenge": &r.challenge,
            "name": &r.token_name,
            "used": r.used,
            "token_id": r.token.as_ref().map(TokenId::as_str),
            "expires_at": r.expires_at,
        }),
        Kind::DeviceCode => insert!(conn, records, "device_code", DeviceCode(r) {
            "hash": r.hash.as_slice(),
            "user_code": r.user_code.as_slice(),
            "client": &r.client,
            "host": &r.host,
            "address": r.address.map(|address| address.to_string()),
            "token_name": &r.token_name,
            "state": DeviceState::as_str(r.state),
            "user_id": r.user.as_ref().map(UserId::as_str),
            "every": r.every,
            "next_poll": r.next_poll,
            "requested_at": r.requested_at,
            "expires_at": r.expires_at,
        }),
        _ => insert!(conn, records, "account_link", AccountLink(r) {
            "hash": r.hash.as_slice(),
            "purpose": Purpose::as_str(r.purpose),
            "login": &r.login,
            "expires_at": r.expires_at,
        }),
    }
}
