//! Everything out of the table, and into it. There is no one moment of a whole table, so no server may run.

mod export;
mod import;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use meshwire_protocol::MeshId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::append::HeadRow;
use super::item::{decode, encode};
use super::{DynamoStore, keys};
use crate::store::moving::{Imported, Moving, Piece};
use crate::store::{NodeStore as _, Result, StoreError};

/// For how long the table is held without saying so again.
const LEASE: Duration = Duration::from_secs(30);

/// Which time a server has opened the table.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Opened {
    /// Random.
    id: i64,
}

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

    /// Says that a server uses the table from now on; `false`: an import goes on, or broke off.
    ///
    /// First the lease, then the mark: an export looks for them the other way round, so that it finds the lease of a
    /// server whose mark was there before it began, and another mark at its end when one has come later.
    pub(super) async fn enter(&self) -> Result<bool> {
        self.renew(LEASE).await?;
        if self.is_half_imported().await? {
            self.node.leave(&self.db).await;
            return Ok(false);
        }
        let opened = Opened { id: rand::random() };
        self.db.put(encode(&keys::opened(), &opened)?).await?;
        Ok(true)
    }

    async fn opened(&self) -> Result<Option<Opened>> {
        self.db.get(&keys::opened()).await?.as_ref().map(decode).transpose()
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

    /// Sees that all that was read is of one time: that no server has come since the mark was read, none is there, and
    /// no mesh has moved under one that did not say so.
    async fn refuse_change(
        &self,
        opened: Option<&Opened>,
        meshes: &BTreeMap<MeshId, HeadRow>,
    ) -> Result<()> {
        let heads = self.db.get_many(meshes.keys().map(keys::head).collect()).await?;
        let mut has_changed = false;
        for (mesh, before) in meshes {
            let now: Option<HeadRow> = heads.get(&keys::head(mesh)).map(decode).transpose()?;
            has_changed |=
                now.is_none_or(|now| (now.head, now.epoch) != (before.head, before.epoch));
        }
        if has_changed || self.is_shared().await? || self.opened().await?.as_ref() != opened {
            return Err(StoreError::Unavailable(
                "a server has used this table while it was read, so that what it took may be missing: stop all \
                 servers, and export again"
                    .into(),
            ));
        }
        Ok(())
    }
}
