//! What is Postgres' own in taking everything out and putting it in.

use async_trait::async_trait;
use meshwire_protocol::{MeshId, MessageId};
use tokio::sync::mpsc;

use super::import::insert;
use super::{Conn, Db, PostgresStore, export, import, store_error};
use crate::store::Result;
use crate::store::moving::{Imported, Message, Moving, Piece, Record};

/// A session's limits are for requests; here a statement lasts as long as what it reads.
const PATIENCE: [&str; 3] = [
    "SET LOCAL statement_timeout = 0",
    // Whoever writes the file may stop for a while, and does not take what the server has sent; when its
    // process goes, so does the connection.
    "SET LOCAL idle_in_transaction_session_timeout = '10min'",
    "SET LOCAL tcp_user_timeout = '10min'",
];

#[async_trait]
impl Moving for PostgresStore {
    async fn export(&self, to: mpsc::Sender<Piece>) -> Result<()> {
        let mut tx = self.snapshot().await?;
        let exported = async {
            run(&mut tx, &PATIENCE).await?;
            export::everything(&mut tx, to).await
        };
        let exported = exported.await;
        // What the connection still sends of a query that was given up is not waited for.
        if exported.is_ok() {
            tx.rollback().await.map_err(store_error)?;
        }
        exported.map_err(store_error)
    }

    async fn import(&self, from: mpsc::Receiver<Piece>) -> Result<Imported> {
        let mut tx = self.pool.begin().await.map_err(store_error)?;
        let imported = async {
            run(&mut tx, &PATIENCE).await?;
            // A server that runs on the empty database makes no account in the meantime.
            run(&mut tx, &["LOCK TABLE account, account_link, device_code IN EXCLUSIVE MODE"])
                .await?;
            let imported = import::everything(&mut tx, from).await?;
            if imported == Imported::Done {
                // Else the first queries would be planned as for empty tables.
                run(
                    &mut tx,
                    &["ANALYZE account, session, token, mesh, member, agent, message, sent_key"],
                )
                .await?;
            }
            Ok(imported)
        };
        match imported.await {
            Ok(imported) => tx.commit().await.map(|()| imported).map_err(store_error),
            Err(error) => {
                // The error that it began with says more than one of its end.
                let _ = tx.rollback().await;
                Err(store_error(error))
            }
        }
    }
}

async fn run(conn: &mut Conn, statements: &[&'static str]) -> sqlx::Result<()> {
    for statement in statements {
        sqlx::query(*statement).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Inserts messages, and keeps which batch it is in: a message names the head that its batch follows.
#[derive(Default)]
pub(super) struct Messages {
    at: Option<(MeshId, i64)>,
    follows: MessageId,
    last: MessageId,
}

impl Messages {
    pub(super) async fn insert(&mut self, conn: &mut Conn, records: &[Record]) -> sqlx::Result<()> {
        insert!(conn, records, "message", Message(r) {
            "mesh_id": r.mesh.as_str(),
            "id": r.id.get(),
            "stream": &r.stream,
            "batch": r.batch,
            "follows": self.follows(r).get(),
            "size": i64::try_from(r.size()).unwrap_or(i64::MAX),
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

    /// The head that the batch of the next message follows; 0 for the oldest one that is there.
    fn follows(&mut self, message: &Message) -> MessageId {
        let is_next = self
            .at
            .as_ref()
            .is_some_and(|(mesh, batch)| (mesh, batch) == (&message.mesh, &message.batch));
        if !is_next {
            let goes_on = self.at.as_ref().is_some_and(|(mesh, _)| *mesh == message.mesh);
            self.follows = if goes_on { self.last } else { MessageId::ZERO };
            self.at = Some((message.mesh.clone(), message.batch));
        }
        self.last = message.id;
        self.follows
    }
}
