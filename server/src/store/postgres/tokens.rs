//! Who a token stands for: asked by each request.

use std::collections::HashMap;

use sqlx::postgres::PgConnection;

use super::decode::{self, TOKEN_COLUMNS, token_columns, user_columns};
use crate::store::{Bearer, Digest};

/// The tokens with some hashes, and their users; what is no token's is missing.
pub(super) async fn by_hash(
    conn: &mut PgConnection,
    hashes: &[Digest],
) -> sqlx::Result<HashMap<Digest, Bearer>> {
    let hashes: Vec<&[u8]> = hashes.iter().map(Digest::as_slice).collect();
    let rows = sqlx::query(concat!(
        "SELECT ",
        token_columns!(),
        ", ",
        user_columns!(),
        " FROM token JOIN account ON account.id = token.user_id WHERE token.hash = ANY($1)"
    ))
    .bind(hashes)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let token = decode::token(row)?;
            Ok((token.hash, (token.into(), decode::user(row, TOKEN_COLUMNS)?.into())))
        })
        .collect()
}
