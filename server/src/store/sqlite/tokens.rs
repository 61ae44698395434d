//! Finding tokens: from memory, where the writer has put them.

use sqlx::sqlite::SqliteConnection;

use super::cache::Effect;
use super::decode::{self, TOKEN_COLUMNS, token_columns, user_columns};
use super::{SqliteStore, store_error};
use crate::store::{Bearer, Digest, Result};

impl SqliteStore {
    pub(super) async fn find_token(&self, hash: &Digest) -> Result<Option<Bearer>> {
        let cached = self.cache.read().tokens.get(hash).cloned();
        if cached.is_some() {
            return Ok(cached);
        }
        let mut conn = self.readers.acquire().await.map_err(store_error)?;
        let found = token_by_hash(&mut conn, hash).await.map_err(store_error)?;
        drop(conn);
        if found.is_none() {
            // Not kept: anyone can ask for tokens that do not exist.
            return Ok(None);
        }
        let hash = *hash;
        self.look(move |tx| {
            Box::pin(async move {
                let found = token_by_hash(tx.conn(), &hash).await?;
                tx.effects.extend(found.clone().map(Effect::Token));
                Ok(found)
            })
        })
        .await
    }
}

async fn token_by_hash(conn: &mut SqliteConnection, hash: &Digest) -> sqlx::Result<Option<Bearer>> {
    sqlx::query(concat!(
        "SELECT ",
        token_columns!(),
        ", ",
        user_columns!(),
        " FROM token JOIN account ON account.id = token.user_id WHERE token.hash = $1"
    ))
    .bind(hash.as_slice())
    .fetch_optional(conn)
    .await?
    .map(|row| Ok((decode::token(&row)?.into(), decode::user(&row, TOKEN_COLUMNS)?.into())))
    .transpose()
}
