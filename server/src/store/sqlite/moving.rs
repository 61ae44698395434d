//! What is SQLite's own in taking everything out and putting it in.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::import::insert;
use super::{Conn, Db, SqliteStore, export, import, store_error};
use crate::store::Result;
use crate::store::moving::{Imported, Moving, Piece, Record};

#[async_trait]
impl Moving for SqliteStore {
    async fn export(&self, to: mpsc::Sender<Piece>) -> Result<()> {
        let mut tx = self.snapshot().await?;
        let exported = export::everything(&mut tx, to).await;
        tx.rollback().await.map_err(store_error)?;
        exported.map_err(store_error)
    }

    async fn import(&self, from: mpsc::Receiver<Piece>) -> Result<Imported> {
        // One piece of one transaction, for which everything else waits.
        self.write(move |tx| Box::pin(import::everything(tx.conn(), from))).await
    }
}

/// Inserts messages. Other engines keep here where they are in the log.
#[derive(Default)]
pub(super) struct Messages {}

impl Messages {
    pub(super) async fn insert(&mut self, conn: &mut Conn, records: &[Record]) -> sqlx::Result<()> {
        insert!(conn, records, "message", Message(r) {
            "mesh_id": r.mesh.as_str(),
            "id": r.id.get(),
            "stream": &r.stream,
            "batch": r.batch,
            "from_agent": r.from_agent.as_str(),
            "from_name": &r.from,
            "from_user": &r.from_user,
            "from_kind": r.from_kind.as_str(),
            "via": r.via.as_str(),
            "to_name": &r.to,
            "content": &r.content,
            "metadata": &r.metadata,
            "hops": i64::from(r.hops),
        })
    }
}
