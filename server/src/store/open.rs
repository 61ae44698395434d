//! Opening the store that the settings name.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::dynamodb::DynamoStore;
use super::moving::Moving;
use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{AccountLink, Linked, Store, sqlite};
use crate::settings::Place;

/// Opens a store, makes what is missing there, and brings it up to date.
///
/// # Errors
/// Says what is wrong with the place, and what to do.
pub async fn open(place: &Place) -> Result<Arc<dyn Store>> {
    if let Place::DynamoDb(table) = place {
        return Ok(Arc::new(DynamoStore::open(table).await.context("MESHWIRE_STORE")?));
    }
    Ok(open_to_move(place).await?)
}

/// The same, for all of its content to go out or in.
///
/// # Errors
/// As for [`open`].
pub async fn open_to_move(place: &Place) -> Result<Arc<dyn Moving>> {
    let store: Result<Arc<dyn Moving>> = match place {
        Place::Sqlite(path) => match SqliteStore::open(path).await {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => Err(error.into()),
        },
        Place::Postgres { url, connections } => {
            match PostgresStore::open(url, *connections).await {
                Ok(store) => Ok(Arc::new(store)),
                Err(error) => Err(error.into()),
            }
        }
        Place::DynamoDb(table) => match DynamoStore::open_to_move(table).await {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => Err(error.into()),
        },
    };
    store.context("MESHWIRE_STORE")
}

/// Keeps a one-time link from outside of the servers, whether they run or not.
///
/// # Errors
/// When the store cannot be used.
pub async fn put_account_link(place: &Place, link: AccountLink) -> Result<Linked> {
    // One process alone may open the file.
    if let Place::Sqlite(path) = place {
        return sqlite::put_account_link(path, link).await.context("MESHWIRE_STORE");
    }
    let store = open(place).await?;
    let linked = store.put_account_link(link).await;
    store.close().await;
    Ok(linked?)
}
