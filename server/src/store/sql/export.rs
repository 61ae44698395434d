//! Taking everything out, as records: one query a kind, whose rows go out while they come in.

use futures_util::TryStreamExt as _;
use meshwire_protocol::MeshId;
use sqlx::Row as _;
use tokio::sync::mpsc;

use super::{Conn, Row, decode};
use crate::store::moving::{
    Account, AccountLink, Agent, CliCode, DeviceCode, Idempotency, Invite, JoinRequest, Member,
    Mesh, Message, Out, Piece, Record, Session, Token,
};

type Decode = fn(&Row) -> sqlx::Result<Record>;

/// What is not in a log. Each query goes along a unique key, so that an export has one order on all engines.
const KINDS: [(&str, Decode); 11] = [
    (
        "SELECT id, identity, login, name, password, by_invite, created_at FROM account ORDER BY id",
        account,
    ),
    (
        "SELECT hash, id, user_id, client, created_at, last_seen, expires_at
         FROM session ORDER BY hash",
        session,
    ),
    (
        "SELECT id, name, paused, epoch, head, trimmed, created_at
         FROM mesh WHERE deleted_at IS NULL ORDER BY id",
        mesh,
    ),
    ("SELECT mesh_id, user_id, role, joined_at FROM member ORDER BY mesh_id, user_id", member),
    (
        "SELECT mesh_id, id, name, kind, user_id, harness, host, description, capabilities, wake, start,
             handed, cursor, last_seen, last_read, created_at
         FROM agent ORDER BY mesh_id, id",
        agent,
    ),
    (
        "SELECT hash, id, suffix, user_id, name, scopes, mesh_id, agent_id, created_at, last_used_at,
             expires_at, revoked_at
         FROM token ORDER BY hash",
        token,
    ),
    (
        "SELECT hash, user_id, challenge, name, used, token_id, expires_at
         FROM code WHERE kind = 'cli' ORDER BY hash",
        cli_code,
    ),
    (
        "SELECT hash, user_code, client, host, address, token_name, state, user_id, every, next_poll,
             requested_at, expires_at
         FROM device_code ORDER BY hash",
        device_code,
    ),
    ("SELECT hash, purpose, login, expires_at FROM account_link ORDER BY hash", account_link),
    (
        "SELECT id, mesh_id, hash, login_key, created_by, created_at, expires_at, max_uses, uses
         FROM invite ORDER BY id",
        invite,
    ),
    (
        "SELECT mesh_id, user_id, requested_at, refused_at
         FROM join_request ORDER BY mesh_id, user_id",
        join_request,
    ),
];

/// The log of a mesh. Asked mesh by mesh, so that nothing has to be sorted.
const LOG: [(&str, Decode); 2] = [
    (
        "SELECT mesh_id, id, stream, batch, from_agent, from_name, from_user, from_kind, via, to_name,
             content, metadata, hops
         FROM message
         WHERE mesh_id = $1 AND id > (SELECT trimmed FROM mesh WHERE id = $1) ORDER BY id",
        message,
    ),
    (
        "SELECT mesh_id, agent_id, key, fingerprint, message_id, expires_at
         FROM sent_key WHERE mesh_id = $1 ORDER BY agent_id, key",
        idempotency,
    ),
];

/// Hands over everything that this transaction sees.
pub(super) async fn everything(conn: &mut Conn, to: mpsc::Sender<Piece>) -> sqlx::Result<()> {
    let mut out = Out::new(to);
    for (sql, decode) in KINDS {
        let mut rows = sqlx::query(sql).fetch(&mut *conn);
        while let Some(row) = rows.try_next().await? {
            out.put(decode(&row)?).await?;
        }
    }
    let meshes: Vec<MeshId> =
        sqlx::query("SELECT id FROM mesh WHERE deleted_at IS NULL ORDER BY id")
            .fetch_all(&mut *conn)
            .await?
            .iter()
            .map(|row| decode::parsed(row, 0))
            .collect::<sqlx::Result<_>>()?;
    for (sql, decode) in LOG {
        for mesh in &meshes {
            let mut rows = sqlx::query(sql).bind(mesh.as_str()).fetch(&mut *conn);
            while let Some(row) = rows.try_next().await? {
                out.put(decode(&row)?).await?;
            }
        }
    }
    Ok(out.end().await?)
}

fn account(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Account(Account {
        id: decode::parsed(row, 0)?,
        identity: row.try_get(1)?,
        login: row.try_get(2)?,
        name: row.try_get(3)?,
        password: row.try_get(4)?,
        by_invite: row.try_get(5)?,
        created_at: row.try_get(6)?,
    }))
}

fn session(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Session(Session {
        hash: decode::digest(row, 0)?,
        id: row.try_get(1)?,
        user: decode::parsed(row, 2)?,
        client: row.try_get(3)?,
        created_at: row.try_get(4)?,
        last_seen: row.try_get(5)?,
        expires_at: row.try_get(6)?,
    }))
}

fn mesh(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Mesh(Mesh {
        id: decode::parsed(row, 0)?,
        name: row.try_get(1)?,
        paused: row.try_get(2)?,
        epoch: row.try_get(3)?,
        head: decode::id(row, 4)?,
        trimmed: decode::id(row, 5)?,
        created_at: row.try_get(6)?,
    }))
}

fn member(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Member(Member {
        mesh: decode::parsed(row, 0)?,
        user: decode::parsed(row, 1)?,
        role: decode::role(row, 2)?,
        joined_at: row.try_get(3)?,
    }))
}

fn agent(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Agent(Agent {
        mesh: decode::parsed(row, 0)?,
        id: decode::parsed(row, 1)?,
        name: row.try_get(2)?,
        agent_kind: decode::word(row, 3)?,
        user: decode::parsed(row, 4)?,
        harness: row.try_get::<Option<&str>, _>(5)?.map(decode::from_word).transpose()?,
        host: row.try_get(6)?,
        description: row.try_get(7)?,
        capabilities: decode::json(row, 8)?,
        wake: decode::word(row, 9)?,
        start: decode::id(row, 10)?,
        handed: decode::id(row, 11)?,
        cursor: decode::id(row, 12)?,
        last_seen: row.try_get(13)?,
        last_read: row.try_get(14)?,
        created_at: row.try_get(15)?,
    }))
}

fn token(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Token(Token {
        hash: decode::digest(row, 0)?,
        id: decode::parsed(row, 1)?,
        suffix: row.try_get(2)?,
        user: decode::parsed(row, 3)?,
        name: row.try_get(4)?,
        scopes: decode::json(row, 5)?,
        mesh: decode::optional(row, 6)?,
        agent: decode::optional(row, 7)?,
        created_at: row.try_get(8)?,
        last_used_at: row.try_get(9)?,
        expires_at: row.try_get(10)?,
        revoked_at: row.try_get(11)?,
    }))
}

fn cli_code(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::CliCode(CliCode {
        hash: decode::digest(row, 0)?,
        user: decode::parsed(row, 1)?,
        challenge: row.try_get(2)?,
        token_name: row.try_get(3)?,
        used: row.try_get(4)?,
        token: decode::optional(row, 5)?,
        expires_at: row.try_get(6)?,
    }))
}

fn device_code(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::DeviceCode(DeviceCode {
        hash: decode::digest(row, 0)?,
        user_code: decode::digest(row, 1)?,
        client: row.try_get(2)?,
        host: row.try_get(3)?,
        address: decode::optional(row, 4)?,
        token_name: row.try_get(5)?,
        state: decode::word(row, 6)?,
        user: decode::optional(row, 7)?,
        every: row.try_get(8)?,
        next_poll: row.try_get(9)?,
        requested_at: row.try_get(10)?,
        expires_at: row.try_get(11)?,
    }))
}

fn account_link(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::AccountLink(AccountLink {
        hash: decode::digest(row, 0)?,
        purpose: decode::word(row, 1)?,
        login: row.try_get(2)?,
        expires_at: row.try_get(3)?,
    }))
}

fn invite(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Invite(Invite {
        id: row.try_get(0)?,
        mesh: decode::parsed(row, 1)?,
        hash: decode::digest(row, 2)?,
        login: row.try_get(3)?,
        created_by: decode::parsed(row, 4)?,
        created_at: row.try_get(5)?,
        expires_at: row.try_get(6)?,
        max_uses: decode::number(row, 7)?,
        uses: decode::number(row, 8)?,
    }))
}

fn join_request(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::JoinRequest(JoinRequest {
        mesh: decode::parsed(row, 0)?,
        user: decode::parsed(row, 1)?,
        requested_at: row.try_get(2)?,
        refused_at: row.try_get(3)?,
    }))
}

fn message(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Message(Message {
        mesh: decode::parsed(row, 0)?,
        id: decode::id(row, 1)?,
        stream: row.try_get(2)?,
        batch: row.try_get(3)?,
        from_agent: decode::parsed(row, 4)?,
        from: row.try_get(5)?,
        from_user: row.try_get(6)?,
        from_kind: decode::word(row, 7)?,
        via: decode::word(row, 8)?,
        to: row.try_get(9)?,
        content: row.try_get(10)?,
        metadata: row.try_get(11)?,
        hops: decode::number(row, 12)?,
    }))
}

fn idempotency(row: &Row) -> sqlx::Result<Record> {
    Ok(Record::Idempotency(Idempotency {
        mesh: decode::parsed(row, 0)?,
        agent: decode::parsed(row, 1)?,
        key: row.try_get(2)?,
        fingerprint: decode::digest(row, 3)?,
        message: decode::id(row, 4)?,
        expires_at: row.try_get(5)?,
    }))
}
