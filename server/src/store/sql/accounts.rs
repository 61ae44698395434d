//! Users, sessions, tokens, and the codes of browser sign-ins.

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, TokenId, UserId, person_name};
use serde_json::json;
use sqlx::Row as _;

use super::decode::{self, SESSION_COLUMNS, session_columns, token_columns, user_columns};
use super::log;
use super::meshes::raise_epoch;
use super::{Conn, SqlStore, Tx, store_error};
use crate::error::chain;
use crate::planted;
use crate::store::{
    AccountStore, Bearer, CliCode, Digest, Ended, Exchange, Micros, NewUser, Result, SessionRow,
    TokenMade, TokenRow, UserRow,
};

/// How exactly `last_seen` of a session is kept: it is written at most this often.
const SESSION_SEEN_STEP: Micros = 60 * 60 * 1_000_000;

#[async_trait]
impl AccountStore for SqlStore {
    async fn sign_in_github(&self, user: NewUser) -> Result<UserRow> {
        self.write(move |tx| Box::pin(sign_in_github(tx, user))).await
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<UserRow>> {
        let mut conn = self.pool().acquire().await.map_err(store_error)?;
        user_by_login(&mut conn, login).await.map_err(store_error)
    }

    async fn any_user(&self) -> Result<bool> {
        sqlx::query("SELECT EXISTS (SELECT 1 FROM account)")
            .fetch_one(self.pool())
            .await
            .and_then(|row| row.try_get(0))
            .map_err(store_error)
    }

    async fn create_session(&self, session: SessionRow) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO session (hash, id, user_id, client, created_at, last_seen, expires_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(session.hash.as_slice())
                .bind(session.id)
                .bind(session.user.as_str())
                .bind(session.client)
                .bind(session.created_at)
                .bind(session.last_seen)
                .bind(session.expires_at)
                .execute(tx.conn())
                .await
                .map(drop)
            })
        })
        .await
    }

    async fn session(&self, hash: &Digest, now: Micros) -> Result<Option<(SessionRow, UserRow)>> {
        let found = sqlx::query(concat!(
            "SELECT ",
            session_columns!(),
            ", ",
            user_columns!(),
            " FROM session JOIN account ON account.id = session.user_id
              WHERE session.hash = $1 AND session.expires_at > $2"
        ))
        .bind(hash.as_slice())
        .bind(now)
        .fetch_optional(self.pool())
        .await
        .and_then(|row| {
            row.map(|row| Ok((decode::session(&row)?, decode::user(&row, SESSION_COLUMNS)?)))
                .transpose()
        })
        .map_err(store_error)?;
        if let Some((session, _)) = &found
            && session.last_seen + SESSION_SEEN_STEP < now
        {
            let hash = *hash;
            let noted = self.write(move |tx| {
                Box::pin(async move {
                    sqlx::query("UPDATE session SET last_seen = $2 WHERE hash = $1")
                        .bind(hash.as_slice())
                        .bind(now)
                        .execute(tx.conn())
                        .await
                        .map(drop)
                })
            });
            // A full disk signs nobody out.
            if let Err(error) = noted.await {
                tracing::warn!(error = %chain(&error), "when a session was seen could not be written");
            }
        }
        Ok(found)
    }

    async fn sessions(&self, user: &UserId, now: Micros) -> Result<Vec<SessionRow>> {
        sqlx::query(concat!(
            "SELECT ",
            session_columns!(),
            " FROM session WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC"
        ))
        .bind(user.as_str())
        .bind(now)
        .fetch_all(self.pool())
        .await
        .and_then(|rows| rows.iter().map(decode::session).collect())
        .map_err(store_error)
    }

    async fn end_session(&self, user: &UserId, id: &str) -> Result<bool> {
        let (user, id) = (user.clone(), id.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM session WHERE user_id = $1 AND id = $2")
                    .bind(user.as_str())
                    .bind(id)
                    .execute(tx.conn())
                    .await
                    .map(|done| done.rows_affected() > 0)
            })
        })
        .await
    }

    async fn create_token(&self, token: TokenRow, limit: u32) -> Result<TokenMade> {
        self.write(move |tx| Box::pin(create_token(tx, token, limit))).await
    }

    async fn token(&self, hash: &Digest) -> Result<Option<Bearer>> {
        self.find_token(hash).await
    }

    async fn tokens(&self, user: &UserId, now: Micros) -> Result<Vec<TokenRow>> {
        sqlx::query(concat!(
            "SELECT ",
            token_columns!(),
            " FROM token WHERE user_id = $1 AND revoked_at IS NULL AND coalesce(expires_at > $2, true)
              ORDER BY created_at DESC, id"
        ))
        .bind(user.as_str())
        .bind(now)
        .fetch_all(self.pool())
        .await
        .and_then(|rows| rows.iter().map(decode::token).collect())
        .map_err(store_error)
    }

    async fn revoke_token(&self, user: &UserId, id: &TokenId, now: Micros) -> Result<bool> {
        let (user, id) = (user.clone(), id.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let done = sqlx::query(
                    "UPDATE token SET revoked_at = $3
                     WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL
                         AND coalesce(expires_at > $3, true)",
                )
                .bind(user.as_str())
                .bind(id.as_str())
                .bind(now)
                .execute(tx.conn())
                .await?;
                let revoked = done.rows_affected() > 0;
                if revoked {
                    tx.ended(Ended::Token(id)).await?;
                }
                Ok(revoked)
            })
        })
        .await
    }

    async fn note_used(&self, used: &[(TokenId, Micros)]) -> Result<()> {
        let used = used.to_vec();
        self.write(move |tx| Box::pin(async move { log::note_used(tx, &used).await })).await
    }

    async fn put_cli_code(&self, code: CliCode) -> Result<()> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO code (hash, kind, user_id, challenge, name, expires_at)
                     VALUES ($1, 'cli', $2, $3, $4, $5)",
                )
                .bind(code.hash.as_slice())
                .bind(code.user.as_str())
                .bind(code.challenge)
                .bind(code.token_name)
                .bind(code.expires_at)
                .execute(tx.conn())
                .await
                .map(drop)
            })
        })
        .await
    }

    async fn exchange_cli_code(
        &self,
        hash: &Digest,
        challenge: &str,
        token: TokenRow,
        limit: u32,
        now: Micros,
    ) -> Result<Exchange> {
        let (hash, challenge) = (*hash, challenge.to_owned());
        self.write(move |tx| Box::pin(exchange_cli_code(tx, hash, challenge, token, limit, now)))
            .await
    }
}

pub(super) async fn user_by_login(conn: &mut Conn, login: &str) -> sqlx::Result<Option<UserRow>> {
    sqlx::query(concat!("SELECT ", user_columns!(), " FROM account WHERE login_key = $1"))
        .bind(login.to_lowercase())
        .fetch_optional(conn)
        .await?
        .map(|row| decode::user(&row, 0))
        .transpose()
}

pub(super) async fn insert_user(tx: &mut Tx, user: &NewUser) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO account (id, identity, login, login_key, name, password, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(user.id.as_str())
    .bind(&user.identity)
    .bind(&user.login)
    .bind(user.login.to_lowercase())
    .bind(&user.name)
    .bind(&user.password)
    .bind(user.now)
    .execute(tx.conn())
    .await
    .map(drop)
}

async fn sign_in_github(tx: &mut Tx, user: NewUser) -> sqlx::Result<UserRow> {
    let known =
        sqlx::query(concat!("SELECT ", user_columns!(), " FROM account WHERE identity = $1"))
            .bind(&user.identity)
            .fetch_optional(tx.conn())
            .await?
            .map(|row| decode::user(&row, 0))
            .transpose()?;
    if let Some(known) = &known
        && known.login == user.login
        && known.name == user.name
    {
        return Ok(known.clone());
    }

    let holder = user_by_login(tx.conn(), &user.login).await?;
    if let Some(holder) = holder
        && known.as_ref().is_none_or(|known| known.id != holder.id)
    {
        // GitHub gives a login to another account when the first one lets go of it.
        let identity: String = sqlx::query("SELECT identity FROM account WHERE id = $1")
            .bind(holder.id.as_str())
            .fetch_one(tx.conn())
            .await?
            .try_get(0)?;
        let number = identity.strip_prefix("github:").unwrap_or(holder.id.as_str());
        relabel(tx, &holder.id, &format!("{}~{number}", holder.login), &holder.name).await?;
    }
    match known {
        None => insert_user(tx, &user).await?,
        Some(known) => {
            relabel(tx, &known.id, &user.login, &user.name).await?;
            return Ok(UserRow { login: user.login, name: user.name, ..known });
        }
    }
    Ok(UserRow { id: user.id, login: user.login, name: user.name, password: None })
}

/// Gives a user another login and name, and the person's agents the name that follows.
async fn relabel(tx: &mut Tx, user: &UserId, login: &str, name: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE account SET login = $2, login_key = $3, name = $4 WHERE id = $1")
        .bind(user.as_str())
        .bind(login)
        .bind(login.to_lowercase())
        .bind(name)
        .execute(tx.conn())
        .await?;
    let agent = person_name(login);
    sqlx::query("UPDATE agent SET name = $2, name_key = $3 WHERE user_id = $1 AND kind = 'human'")
        .bind(user.as_str())
        .bind(&agent)
        .bind(agent.to_lowercase())
        .execute(tx.conn())
        .await?;
    let meshes: Vec<MeshId> = sqlx::query("SELECT mesh_id FROM member WHERE user_id = $1")
        .bind(user.as_str())
        .fetch_all(tx.conn())
        .await?
        .iter()
        .map(|row| decode::parsed(row, 0))
        .collect::<sqlx::Result<_>>()?;
    for mesh in meshes {
        raise_epoch(tx, &mesh).await?;
    }
    tx.users_changed();
    Ok(())
}

async fn create_token(tx: &mut Tx, token: TokenRow, limit: u32) -> sqlx::Result<TokenMade> {
    let known = sqlx::query("SELECT 1 FROM token WHERE id = $1")
        .bind(token.id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    if known.is_some() {
        return Ok(TokenMade::Exists);
    }
    if let Some(mesh) = &token.mesh {
        // Nobody leaves the mesh before the token is there.
        tx.lock_head(mesh).await?;
        let row = sqlx::query(
            "SELECT
                 EXISTS (SELECT 1 FROM mesh WHERE id = $1 AND deleted_at IS NULL),
                 EXISTS (SELECT 1 FROM member WHERE mesh_id = $1 AND user_id = $2),
                 EXISTS (SELECT 1 FROM agent WHERE mesh_id = $1 AND user_id = $2 AND id = $3)",
        )
        .bind(mesh.as_str())
        .bind(token.user.as_str())
        .bind(token.agent.as_ref().map(AgentId::as_str))
        .fetch_one(tx.conn())
        .await?;
        if !row.try_get::<bool, _>(0)? {
            return Ok(TokenMade::NoMesh);
        }
        if !row.try_get::<bool, _>(1)? {
            return Ok(TokenMade::NotMember);
        }
        if token.agent.is_some() && !row.try_get::<bool, _>(2)? {
            return Ok(TokenMade::NoAgent);
        }
    }
    let made = insert_token(tx, token, limit).await?;
    Ok(if made { TokenMade::Created } else { TokenMade::LimitReached })
}

pub(super) async fn insert_token(tx: &mut Tx, token: TokenRow, limit: u32) -> sqlx::Result<bool> {
    tx.lock_account(&token.user).await?;
    let live: i64 = sqlx::query(
        "SELECT count(*) FROM token
         WHERE user_id = $1 AND revoked_at IS NULL AND coalesce(expires_at > $2, true)",
    )
    .bind(token.user.as_str())
    .bind(token.created_at)
    .fetch_one(tx.conn())
    .await?
    .try_get(0)?;
    if limit > 0 && live >= i64::from(limit) {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO token (hash, id, suffix, user_id, name, scopes, mesh_id, agent_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(token.hash.as_slice())
    .bind(token.id.as_str())
    .bind(token.suffix)
    .bind(token.user.as_str())
    .bind(token.name)
    .bind(json!(token.scopes).to_string())
    .bind(token.mesh.as_ref().map(MeshId::as_str))
    .bind(token.agent.as_ref().map(AgentId::as_str))
    .bind(token.created_at)
    .bind(token.expires_at)
    .execute(tx.conn())
    .await?;
    Ok(true)
}

async fn exchange_cli_code(
    tx: &mut Tx,
    hash: Digest,
    challenge: String,
    mut token: TokenRow,
    limit: u32,
    now: Micros,
) -> sqlx::Result<Exchange> {
    // Takes the row, so that of two who come at once the second sees what the first has done.
    sqlx::query("UPDATE code SET used = used WHERE hash = $1")
        .bind(hash.as_slice())
        .execute(tx.conn())
        .await?;
    let row = sqlx::query(
        "SELECT code.user_id, code.challenge, code.name, code.used, code.token_id, account.login
         FROM code JOIN account ON account.id = code.user_id
         WHERE code.hash = $1 AND code.kind = 'cli' AND (code.used OR code.expires_at > $2)",
    )
    .bind(hash.as_slice())
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(Exchange::Unknown) };
    if row.try_get(3)? && !planted::is("code-reusable") {
        let issued: Option<String> = row.try_get(4)?;
        sqlx::query("UPDATE token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(&issued)
            .bind(now)
            .execute(tx.conn())
            .await?;
        let issued: Option<TokenId> = issued.and_then(|id| id.parse().ok());
        if let Some(id) = &issued {
            tx.ended(Ended::Token(id.clone())).await?;
        }
        return Ok(Exchange::Reused(issued));
    }
    let matches = row.try_get::<&str, _>(1)? == challenge || planted::is("pkce-skipped");
    let outcome = if matches {
        token.user = decode::parsed(&row, 0)?;
        token.name = row.try_get(2)?;
        let id = token.id.clone();
        if insert_token(tx, token, limit).await? {
            sqlx::query("UPDATE code SET token_id = $2 WHERE hash = $1")
                .bind(hash.as_slice())
                .bind(id.as_str())
                .execute(tx.conn())
                .await?;
            Exchange::Issued(row.try_get(5)?)
        } else {
            Exchange::LimitReached
        }
    } else {
        Exchange::WrongVerifier
    };
    sqlx::query("UPDATE code SET used = true WHERE hash = $1")
        .bind(hash.as_slice())
        .execute(tx.conn())
        .await?;
    Ok(outcome)
}
