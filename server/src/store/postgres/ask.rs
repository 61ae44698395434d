//! A question that changes nothing: put again when the connection turns out to be dead.

use std::collections::HashMap;
use std::hash::Hash;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::time::timeout;

use super::failure::{is_lost, store_error};
use super::gather::Gather;
use super::session::Silence;
use super::tx::LIMIT;
use super::{ATTEMPTS, Result, StoreError};

/// Finds what belongs to some keys, with one statement; what is not there is missing.
type Find<K, V> =
    for<'c> fn(&'c mut PgConnection, &'c [K]) -> BoxFuture<'c, sqlx::Result<HashMap<K, V>>>;

/// A kind of question of which those that come together are asked together.
pub(super) fn together<K, V>(pool: &PgPool, silence: &Silence, find: Find<K, V>) -> Gather<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + 'static,
{
    let (pool, silence) = (pool.clone(), silence.clone());
    Gather::new(move |keys: Vec<K>| {
        let (pool, silence) = (pool.clone(), silence.clone());
        Box::pin(async move { ask(&pool, &silence, &keys, find).await })
    })
}

async fn ask<K, V>(
    pool: &PgPool,
    silence: &Silence,
    keys: &[K],
    find: Find<K, V>,
) -> Result<HashMap<K, V>> {
    let mut attempt = 1;
    loop {
        let mut conn = pool.acquire().await.map_err(store_error)?;
        match timeout(LIMIT, find(&mut conn, keys)).await {
            Ok(Ok(found)) => return Ok(found),
            // Of those that lie in the pool others may be dead, too.
            Ok(Err(error)) if attempt < ATTEMPTS && is_lost(&error) => attempt += 1,
            Ok(Err(error)) => return Err(store_error(error)),
            Err(_) => {
                silence.note();
                conn.close_on_drop();
                return Err(StoreError::Unavailable("the database does not answer".into()));
            }
        }
    }
}
