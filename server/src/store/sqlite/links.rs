//! Local accounts, and the one-time links and invites that make them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use meshwire_protocol::MeshId;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::accounts::{insert_user, user_by_login};
use super::members::{Usable, invite_for, use_invite};
use super::writer::{Tx, statement};
use super::{MIGRATOR, decode, options};
use crate::store::{
    AccountLink, Digest, LinkPurpose, Linked, Micros, NewAccount, NewMember, NewUser, UserRow,
};

/// Keeps a link from outside of the server, which may be running: SQLite's own locks put the two writers in
/// order, and of these links nothing is ever kept in the server's memory.
///
/// # Errors
/// When there is no database, when it cannot be used, or when it is not of this version.
pub async fn put_account_link(path: &Path, link: AccountLink) -> anyhow::Result<Linked> {
    ensure!(
        path.exists(),
        "there is no database {}: start the server once, or name its database with \
         MESHWIRE_STORE=sqlite:PATH",
        path.display()
    );
    let mut conn = options(path)
        .create_if_missing(false)
        .connect()
        .await
        .with_context(|| format!("cannot open the database {}", path.display()))?;
    let version: Option<i64> =
        sqlx::query("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut conn)
            .await
            .and_then(|row| row.try_get(0))
            .with_context(|| format!("{} is no database of a MeshWire server", path.display()))?;
    ensure!(
        version == MIGRATOR.iter().map(|migration| migration.version).max(),
        "the database {} is of another version of meshwire-server: start this version once, or use the \
         program of the server that runs",
        path.display()
    );
    statement(&mut conn, "BEGIN IMMEDIATE").await?;
    let linked = insert_link(&mut conn, link).await?;
    statement(&mut conn, "COMMIT").await?;
    conn.close().await?;
    Ok(linked)
}

pub(super) async fn insert_link(
    conn: &mut SqliteConnection,
    link: AccountLink,
) -> sqlx::Result<Linked> {
    let (purpose, login) = columns(&link.purpose);
    let known = user_by_login(conn, login).await?.is_some();
    match link.purpose {
        LinkPurpose::Add(_) if known => return Ok(Linked::LoginTaken),
        LinkPurpose::Reset(_) if !known => return Ok(Linked::NoUser),
        _ => {}
    }
    sqlx::query(
        "INSERT OR REPLACE INTO account_link (hash, purpose, login, expires_at)
         VALUES (?1, ?2, ?3, ?4)",
    )
    .bind(link.hash.as_slice())
    .bind(purpose)
    .bind(login)
    .bind(link.expires_at)
    .execute(conn)
    .await?;
    Ok(Linked::Done)
}

pub(super) async fn find_link(
    conn: &mut SqliteConnection,
    hash: &Digest,
    now: Micros,
) -> sqlx::Result<Option<LinkPurpose>> {
    let row =
        sqlx::query("SELECT purpose, login FROM account_link WHERE hash = ?1 AND expires_at > ?2")
            .bind(hash.as_slice())
            .bind(now)
            .fetch_optional(conn)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let login = row.try_get(1)?;
    match row.try_get(0)? {
        "first" => Ok(Some(LinkPurpose::First)),
        "add" => Ok(Some(LinkPurpose::Add(login))),
        "reset" => Ok(Some(LinkPurpose::Reset(login))),
        other => Err(sqlx::Error::Decode(format!("the purpose {other:?}").into())),
    }
}

fn columns(purpose: &LinkPurpose) -> (&'static str, &str) {
    match purpose {
        LinkPurpose::First => ("first", ""),
        LinkPurpose::Add(login) => ("add", login),
        LinkPurpose::Reset(login) => ("reset", login),
    }
}

pub(super) async fn create_local_user(
    tx: &mut Tx,
    user: NewUser,
    link: Digest,
) -> sqlx::Result<NewAccount> {
    match find_link(&mut tx.conn, &link, user.now).await? {
        Some(LinkPurpose::First) => {}
        Some(LinkPurpose::Add(login)) if login == user.login => {}
        _ => return Ok(NewAccount::CodeInvalid),
    }
    if is_taken(&mut tx.conn, &user).await? {
        return Ok(NewAccount::LoginTaken);
    }
    insert_user(tx, &user).await?;
    sqlx::query("DELETE FROM account_link WHERE hash = ?1 OR purpose = 'first'")
        .bind(link.as_slice())
        .execute(&mut tx.conn)
        .await?;
    Ok(NewAccount::Created(row_of(user)))
}

pub(super) async fn create_member(
    tx: &mut Tx,
    user: NewUser,
    mesh: MeshId,
    code: Digest,
) -> sqlx::Result<NewMember> {
    if decode::head(&mut tx.conn, &mesh).await?.is_none() {
        return Ok(NewMember::InviteNotFound);
    }
    let login = user.login.to_lowercase();
    let invite = match invite_for(tx, &mesh, &code, &login, user.now).await? {
        Usable::Yes(invite) => invite,
        Usable::NotFound => return Ok(NewMember::InviteNotFound),
        Usable::Expired => return Ok(NewMember::InviteExpired),
    };
    if is_taken(&mut tx.conn, &user).await? {
        return Ok(NewMember::LoginTaken);
    }
    insert_user(tx, &user).await?;
    sqlx::query("UPDATE user SET by_invite = 1 WHERE id = ?1")
        .bind(user.id.as_str())
        .execute(&mut tx.conn)
        .await?;
    use_invite(tx, &mesh, &invite, &user.id, user.now).await?;
    Ok(NewMember::Created(row_of(user)))
}

pub(super) async fn reset_password(
    tx: &mut Tx,
    link: Digest,
    password: String,
    now: Micros,
) -> sqlx::Result<Option<UserRow>> {
    let Some(LinkPurpose::Reset(login)) = find_link(&mut tx.conn, &link, now).await? else {
        return Ok(None);
    };
    sqlx::query("DELETE FROM account_link WHERE hash = ?1")
        .bind(link.as_slice())
        .execute(&mut tx.conn)
        .await?;
    let Some(user) = user_by_login(&mut tx.conn, &login).await? else { return Ok(None) };
    sqlx::query("UPDATE user SET password = ?2 WHERE id = ?1")
        .bind(user.id.as_str())
        .bind(&password)
        .execute(&mut tx.conn)
        .await?;
    sqlx::query("DELETE FROM session WHERE user_id = ?1")
        .bind(user.id.as_str())
        .execute(&mut tx.conn)
        .await?;
    Ok(Some(UserRow { password: Some(password), ..user }))
}

/// An account that somebody from GitHub has relabelled keeps the identity that it was made with.
async fn is_taken(conn: &mut SqliteConnection, user: &NewUser) -> sqlx::Result<bool> {
    sqlx::query("SELECT 1 FROM user WHERE login_key = ?1 OR identity = ?2")
        .bind(user.login.to_lowercase())
        .bind(&user.identity)
        .fetch_optional(conn)
        .await
        .map(|row| row.is_some())
}

fn row_of(user: NewUser) -> UserRow {
    UserRow { id: user.id, login: user.login, name: user.name, password: user.password }
}
