//! Gathers records to pieces.

use std::io;

use tokio::sync::mpsc;

use super::{Piece, Record};

/// Records in a piece, at the most; an import writes them with one statement.
const PIECE: usize = 500;
/// Bytes in a piece, about.
const PIECE_BYTES: usize = 1024 * 1024;

/// What an export puts its records into.
pub(in crate::store) struct Out {
    to: mpsc::Sender<Piece>,
    records: Vec<Record>,
    bytes: usize,
}

impl Out {
    pub(in crate::store) fn new(to: mpsc::Sender<Piece>) -> Self {
        Self { to, records: Vec::new(), bytes: 0 }
    }

    /// # Errors
    /// When nobody takes them any more; so for [`Self::end`].
    pub(in crate::store) async fn put(&mut self, record: Record) -> io::Result<()> {
        self.bytes += record.size();
        self.records.push(record);
        if self.records.len() >= PIECE || self.bytes >= PIECE_BYTES {
            self.hand_over().await?;
        }
        Ok(())
    }

    pub(in crate::store) async fn end(mut self) -> io::Result<()> {
        self.hand_over().await?;
        self.send(Piece::End).await
    }

    async fn hand_over(&mut self) -> io::Result<()> {
        self.bytes = 0;
        let records = std::mem::take(&mut self.records);
        self.send(Piece::Records(records)).await
    }

    async fn send(&self, piece: Piece) -> io::Result<()> {
        let sent = self.to.send(piece).await;
        sent.map_err(|_| {
            io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the records any more")
        })
    }
}
