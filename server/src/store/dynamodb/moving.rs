//! Everything out of the table, and into it. There is no one moment of a whole table, so no server may run.

mod export;
mod import;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{DynamoStore, keys};
use crate::store::moving::{Imported, Moving, Piece};
use crate::store::{Result, StoreError};

#[async_trait]
impl Moving for DynamoStore {
    async fn export(&self, to: mpsc::Sender<Piece>) -> Result<()> {
        self.hand_over_everything(to).await
    }

    async fn import(&self, from: mpsc::Receiver<Piece>) -> Result<Imported> {
        self.take_everything(from).await
    }
}

impl DynamoStore {
    /// Whether an import goes on, or broke off.
    pub(super) async fn is_half_imported(&self) -> Result<bool> {
        Ok(self.db.get(&keys::importing()).await?.is_some())
    }

    async fn refuse_company(&self) -> Result<()> {
        if self.is_shared().await? {
            return Err(StoreError::Unavailable(
                "a server or an import uses this table, or ended less than half a minute ago without \
                 saying so: stop all servers, and wait until then"
                    .into(),
            ));
        }
        Ok(())
    }
}
