//! Sign-in on computers without a browser. The links and invites of accounts are in `links`.

use async_trait::async_trait;
use meshwire_protocol::{MeshId, UserId};
use sqlx::Row as _;

use super::accounts::insert_token;
use super::{Row, SqlStore, Tx, decode, links, store_error};
use crate::store::{
    AccountLink, DeviceCode, DevicePoll, DeviceRequest, Digest, LinkPurpose, Linked, Micros,
    NewAccount, NewMember, NewUser, Result, SignInStore, TokenRow, UserRow,
};

#[async_trait]
impl SignInStore for SqlStore {
    async fn put_account_link(&self, link: AccountLink) -> Result<Linked> {
        self.write(move |tx| Box::pin(links::insert_link(tx.conn(), link))).await
    }

    async fn account_link(&self, hash: &Digest, now: Micros) -> Result<Option<LinkPurpose>> {
        let mut conn = self.pool().acquire().await.map_err(store_error)?;
        links::find_link(&mut conn, hash, now).await.map_err(store_error)
    }

    async fn create_local_user(&self, user: NewUser, link: &Digest) -> Result<NewAccount> {
        let link = *link;
        self.write(move |tx| Box::pin(links::create_local_user(tx, user, link))).await
    }

    async fn create_member(
        &self,
        user: NewUser,
        mesh: &MeshId,
        code: &Digest,
    ) -> Result<NewMember> {
        let (mesh, code) = (mesh.clone(), *code);
        self.write(move |tx| Box::pin(links::create_member(tx, user, mesh, code))).await
    }

    async fn reset_password(
        &self,
        link: &Digest,
        password: &str,
        now: Micros,
    ) -> Result<Option<UserRow>> {
        let (link, password) = (*link, password.to_owned());
        self.write(move |tx| Box::pin(links::reset_password(tx, link, password, now))).await
    }

    async fn put_device_code(&self, code: DeviceCode) -> Result<bool> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO device_code (hash, user_code, client, host, address, token_name,
                         state, every, requested_at, expires_at)
                     VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $8, $9)
                     ON CONFLICT (user_code) DO NOTHING",
                )
                .bind(code.hash.as_slice())
                .bind(code.user_code.as_slice())
                .bind(code.client)
                .bind(code.request.host)
                .bind(code.request.address.map(|address| address.to_string()))
                .bind(code.token_name)
                .bind(code.every)
                .bind(code.request.requested_at)
                .bind(code.expires_at)
                .execute(tx.conn())
                .await
                .map(|done| done.rows_affected() > 0)
            })
        })
        .await
    }

    async fn device_request(
        &self,
        user_code: &Digest,
        now: Micros,
    ) -> Result<Option<DeviceRequest>> {
        sqlx::query(
            "SELECT host, address, requested_at FROM device_code
             WHERE user_code = $1 AND state = 'pending' AND expires_at > $2",
        )
        .bind(user_code.as_slice())
        .bind(now)
        .fetch_optional(self.pool())
        .await
        .and_then(|row| row.map(|row| request(&row)).transpose())
        .map_err(store_error)
    }

    async fn decide_device(
        &self,
        user_code: &Digest,
        user: Option<&UserId>,
        now: Micros,
    ) -> Result<bool> {
        let (user_code, user) = (*user_code, user.cloned());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE device_code SET user_id = $2, state = CASE WHEN $2 IS NULL THEN 'denied' ELSE 'approved' END
                     WHERE user_code = $1 AND state = 'pending' AND expires_at > $3",
                )
                .bind(user_code.as_slice())
                .bind(user.as_ref().map(UserId::as_str))
                .bind(now)
                .execute(tx.conn())
                .await
                .map(|done| done.rows_affected() > 0)
            })
        })
        .await
    }

    async fn poll_device(
        &self,
        hash: &Digest,
        client: Option<&str>,
        token: TokenRow,
        slower: Micros,
        limit: u32,
        now: Micros,
    ) -> Result<DevicePoll> {
        let (hash, client) = (*hash, client.map(str::to_owned));
        self.write(move |tx| Box::pin(poll(tx, hash, client, token, slower, limit, now))).await
    }
}

fn request(row: &Row) -> sqlx::Result<DeviceRequest> {
    Ok(DeviceRequest {
        host: row.try_get(0)?,
        address: decode::optional(row, 1)?,
        requested_at: row.try_get(2)?,
    })
}

async fn poll(
    tx: &mut Tx,
    hash: Digest,
    client: Option<String>,
    mut token: TokenRow,
    slower: Micros,
    limit: u32,
    now: Micros,
) -> sqlx::Result<DevicePoll> {
    // Takes the row, so that of two who come at once the second sees what the first has done.
    sqlx::query("UPDATE device_code SET state = state WHERE hash = $1")
        .bind(hash.as_slice())
        .execute(tx.conn())
        .await?;
    let row = sqlx::query(
        "SELECT state, expires_at, next_poll, every, user_id, account.login, token_name
         FROM device_code
         LEFT JOIN account ON account.id = device_code.user_id
         WHERE hash = $1 AND state != 'used' AND coalesce(client = $2, true)",
    )
    .bind(hash.as_slice())
    .bind(client)
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(DevicePoll::Unknown) };
    let state: &str = row.try_get(0)?;
    if state == "denied" {
        return Ok(DevicePoll::Denied);
    }
    if row.try_get::<Micros, _>(1)? <= now {
        return Ok(DevicePoll::Expired);
    }
    if state == "pending" {
        let too_soon = now < row.try_get(2)?;
        let every: Micros = row.try_get(3)?;
        let every = if too_soon { every.saturating_add(slower) } else { every };
        sqlx::query("UPDATE device_code SET every = $2, next_poll = $3 WHERE hash = $1")
            .bind(hash.as_slice())
            .bind(every)
            .bind(now.saturating_add(every))
            .execute(tx.conn())
            .await?;
        return Ok(if too_soon { DevicePoll::TooSoon } else { DevicePoll::Pending });
    }
    sqlx::query("UPDATE device_code SET state = 'used' WHERE hash = $1")
        .bind(hash.as_slice())
        .execute(tx.conn())
        .await?;
    token.user = decode::parsed(&row, 4)?;
    token.name = row.try_get(6)?;
    Ok(if insert_token(tx, token, limit).await? {
        DevicePoll::Issued(row.try_get(5)?)
    } else {
        DevicePoll::LimitReached
    })
}
