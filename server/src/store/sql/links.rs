//! Local accounts, and the one-time links and invites that make them.

use meshwire_protocol::MeshId;
use sqlx::Row as _;

use super::accounts::{insert_user, user_by_login};
use super::members::{Usable, invite_for, use_invite};
use super::{Conn, Row, Tx};
use crate::store::{
    AccountLink, Digest, LinkPurpose, Linked, Micros, NewAccount, NewMember, NewUser, UserRow,
};

pub(super) async fn insert_link(conn: &mut Conn, link: AccountLink) -> sqlx::Result<Linked> {
    let (purpose, login) = columns(&link.purpose);
    let known = user_by_login(conn, login).await?.is_some();
    match link.purpose {
        LinkPurpose::Add(_) if known => return Ok(Linked::LoginTaken),
        LinkPurpose::Reset(_) if !known => return Ok(Linked::NoUser),
        _ => {}
    }
    sqlx::query(
        "INSERT INTO account_link (hash, purpose, login, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (purpose, login)
         DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at",
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
    conn: &mut Conn,
    hash: &Digest,
    now: Micros,
) -> sqlx::Result<Option<LinkPurpose>> {
    let row =
        sqlx::query("SELECT purpose, login FROM account_link WHERE hash = $1 AND expires_at > $2")
            .bind(hash.as_slice())
            .bind(now)
            .fetch_optional(conn)
            .await?;
    row.map(|row| purpose(&row)).transpose()
}

/// The same for whoever goes on to spend it: takes the row, so that of two who come at once the second finds
/// it spent.
async fn take_link(tx: &mut Tx, hash: &Digest, now: Micros) -> sqlx::Result<Option<LinkPurpose>> {
    let row = sqlx::query(
        "UPDATE account_link SET expires_at = expires_at WHERE hash = $1 AND expires_at > $2
         RETURNING purpose, login",
    )
    .bind(hash.as_slice())
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| purpose(&row)).transpose()
}

fn purpose(row: &Row) -> sqlx::Result<LinkPurpose> {
    let login = row.try_get(1)?;
    match row.try_get(0)? {
        "first" => Ok(LinkPurpose::First),
        "add" => Ok(LinkPurpose::Add(login)),
        "reset" => Ok(LinkPurpose::Reset(login)),
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
    match take_link(tx, &link, user.now).await? {
        Some(LinkPurpose::First) => {}
        Some(LinkPurpose::Add(login)) if login == user.login => {}
        _ => return Ok(NewAccount::CodeInvalid),
    }
    if is_taken(tx.conn(), &user).await? {
        return Ok(NewAccount::LoginTaken);
    }
    insert_user(tx, &user).await?;
    sqlx::query("DELETE FROM account_link WHERE hash = $1 OR purpose = 'first'")
        .bind(link.as_slice())
        .execute(tx.conn())
        .await?;
    Ok(NewAccount::Created(row_of(user)))
}

pub(super) async fn create_member(
    tx: &mut Tx,
    user: NewUser,
    mesh: MeshId,
    code: Digest,
) -> sqlx::Result<NewMember> {
    if tx.lock_head(&mesh).await?.is_none() {
        return Ok(NewMember::InviteNotFound);
    }
    let login = user.login.to_lowercase();
    let invite = match invite_for(tx, &mesh, &code, &login, user.now).await? {
        Usable::Yes(invite) => invite,
        Usable::NotFound => return Ok(NewMember::InviteNotFound),
        Usable::Expired => return Ok(NewMember::InviteExpired),
    };
    if is_taken(tx.conn(), &user).await? {
        return Ok(NewMember::LoginTaken);
    }
    insert_user(tx, &user).await?;
    sqlx::query("UPDATE account SET by_invite = true WHERE id = $1")
        .bind(user.id.as_str())
        .execute(tx.conn())
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
    let Some(LinkPurpose::Reset(login)) = take_link(tx, &link, now).await? else {
        return Ok(None);
    };
    sqlx::query("DELETE FROM account_link WHERE hash = $1")
        .bind(link.as_slice())
        .execute(tx.conn())
        .await?;
    let Some(user) = user_by_login(tx.conn(), &login).await? else { return Ok(None) };
    sqlx::query("UPDATE account SET password = $2 WHERE id = $1")
        .bind(user.id.as_str())
        .bind(&password)
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM session WHERE user_id = $1")
        .bind(user.id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(Some(UserRow { password: Some(password), ..user }))
}

/// An account that somebody from GitHub has relabelled keeps the identity that it was made with.
async fn is_taken(conn: &mut Conn, user: &NewUser) -> sqlx::Result<bool> {
    sqlx::query("SELECT 1 FROM account WHERE login_key = $1 OR identity = $2")
        .bind(user.login.to_lowercase())
        .bind(&user.identity)
        .fetch_optional(conn)
        .await
        .map(|row| row.is_some())
}

fn row_of(user: NewUser) -> UserRow {
    UserRow { id: user.id, login: user.login, name: user.name, password: user.password }
}
