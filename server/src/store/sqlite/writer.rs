//! The way to the task that writes.

mod task;

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use meshwire_protocol::{AgentId, MeshId, UserId};
use sqlx::ConnectOptions as _;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use self::task::Task;
pub(super) use self::task::statement;
use super::cache::{Cache, Effect};
use super::cursors::{CursorMove, Moved};
use super::{append, decode};
use crate::store::{Appended, Batch, Ended, Head, Position, Result, StoreError};

/// A handle to the writing task.
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Work>,
}

enum Work {
    Append(Arc<Batch>, oneshot::Sender<Result<Appended>>),
    Move(CursorMove, oneshot::Sender<Moved>),
    Act(Box<dyn Act>),
    /// Only reads, for the cache.
    Look(Box<dyn Act>),
    Stop(oneshot::Sender<()>),
}

/// The connection inside a transaction, and what its commit will mean for the cache.
pub(super) struct Tx {
    pub(super) conn: SqliteConnection,
    pub(super) effects: Vec<Effect>,
}

// What acts on any engine say of their doing.
impl Tx {
    pub(super) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    /// The head row; it stays as it is until the transaction ends, as there is one writer.
    pub(super) async fn lock_head(&mut self, mesh: &MeshId) -> sqlx::Result<Option<Head>> {
        decode::head(&mut self.conn, mesh).await
    }

    /// Keeps others from counting what this account has; there is one writer.
    #[expect(clippy::unused_async, reason = "other engines wait for a lock here")]
    pub(super) async fn lock_account(&mut self, _: &UserId) -> sqlx::Result<()> {
        Ok(())
    }

    /// Notes the new head row of a mesh, or that the mesh is gone.
    pub(super) fn head_is(&mut self, mesh: &MeshId, head: Option<Head>) {
        self.effects.push(Effect::Head(mesh.clone(), head));
    }

    /// Notes the three numbers of an agent.
    pub(super) fn position_is(&mut self, mesh: &MeshId, agent: &AgentId, position: Position) {
        self.effects.push(Effect::Position(mesh.clone(), agent.clone(), position));
    }

    /// Notes that accounts have other names now.
    pub(super) fn users_changed(&mut self) {
        self.effects.push(Effect::TokensChanged);
    }

    /// Notes what has ended, so that nobody remembers it.
    #[expect(clippy::unused_async, reason = "other engines write it down for other nodes")]
    pub(super) async fn ended(&mut self, what: Ended) -> sqlx::Result<()> {
        self.effects.push(Effect::TokensChanged);
        if let Ended::Mesh(mesh) = what {
            self.effects.push(Effect::LeftMesh(mesh));
        }
        Ok(())
    }
}

/// Some piece of a transaction with someone who waits for its result.
#[async_trait]
trait Act: Send {
    async fn run(&mut self, tx: &mut Tx) -> sqlx::Result<()>;
    /// Answers: with the result when `failed` is `None`.
    fn finish(self: Box<Self>, failed: Option<StoreError>);
}

struct Waiting<T, F> {
    act: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

#[async_trait]
impl<T, F> Act for Waiting<T, F>
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, sqlx::Result<T>> + Send + 'static,
{
    async fn run(&mut self, tx: &mut Tx) -> sqlx::Result<()> {
        if let Some(act) = self.act.take() {
            self.result = Some(act(tx).await?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, failed: Option<StoreError>) {
        let answer = match (failed, self.result) {
            (None, Some(result)) => Ok(result),
            (Some(error), _) => Err(error),
            (None, None) => Err(unavailable("the write was not run")),
        };
        // Nobody waits any more when the request was dropped; the write stands all the same.
        let _ = self.reply.send(answer);
    }
}

impl Writer {
    /// Opens the connection, brings the schema up to date, and starts the task.
    pub(super) async fn start(
        options: SqliteConnectOptions,
        cache: Arc<Cache>,
        migrator: &Migrator,
        lock: File,
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut conn = options.connect().await?;
        migrator.run(&mut conn).await?;
        append::prepare(&mut conn).await?;
        let (queue, work) = mpsc::unbounded_channel();
        let tx = Tx { conn, effects: Vec::new() };
        tokio::spawn(Task::new(options, cache, work, tx, lock).run());
        Ok(Self { queue })
    }

    pub(super) async fn append(&self, batch: Arc<Batch>) -> Result<Appended> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Work::Append(batch, reply))?;
        answer.await.map_err(|_| unavailable("the store is closed"))?
    }

    pub(super) async fn move_cursor(&self, to: CursorMove) -> Moved {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Work::Move(to, reply))?;
        answer.await.map_err(|_| unavailable("the store is closed"))?
    }

    /// Writes, in one transaction with whatever else waits.
    pub(super) async fn run<T, F>(&self, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, sqlx::Result<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { act: Some(act), result: None, reply };
        self.hand_in(Work::Act(Box::new(waiting)))?;
        answer.await.map_err(|_| unavailable("the store is closed"))?
    }

    /// Reads what the cache shall know, after all that was handed in and answered before. It shares no fate
    /// with those that write: on a full disk reading goes on.
    pub(super) async fn look<T, F>(&self, act: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, sqlx::Result<T>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { act: Some(act), result: None, reply };
        self.hand_in(Work::Look(Box::new(waiting)))?;
        answer.await.map_err(|_| unavailable("the store is closed"))?
    }

    /// Writes what was handed in before, then ends the task and closes the connection.
    pub(super) async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.hand_in(Work::Stop(reply)).is_ok() {
            let _ = stopped.await;
        }
    }

    fn hand_in(&self, work: Work) -> Result<()> {
        self.queue.send(work).map_err(|_| unavailable("the store is closed"))
    }
}

fn unavailable(why: &'static str) -> StoreError {
    StoreError::Unavailable(why.into())
}

/// An error that several waiters hear of.
fn shared(error: &str) -> StoreError {
    StoreError::Unavailable(error.to_owned().into())
}
