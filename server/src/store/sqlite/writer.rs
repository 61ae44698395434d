//! The task that writes.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use meshwire_protocol::{AgentId, MeshId, UserId};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};

use super::append::{self, Together, Unsure};
use super::cache::{Cache, Effect};
use super::{decode, is_transient, store_error};
use crate::store::{Appended, Batch, Ended, Head, Position, Result, StoreError};

/// Most pieces of work in one transaction: bounds how long the first of them waits for its answer.
const GROUP: usize = 512;

/// A handle to the writing task.
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Work>,
}

enum Work {
    Append(Batch, oneshot::Sender<Result<Appended>>),
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
        let tx = Some(Tx { conn, effects: Vec::new() });
        let task = Task { options, cache, work, tx, _lock: lock };
        tokio::spawn(task.run());
        Ok(Self { queue })
    }

    pub(super) async fn append(&self, batch: Batch) -> Result<Appended> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Work::Append(batch, reply))?;
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

struct Task {
    options: SqliteConnectOptions,
    cache: Arc<Cache>,
    work: mpsc::UnboundedReceiver<Work>,
    /// `None` after a failure that leaves the connection in doubt; opened again for the next group.
    tx: Option<Tx>,
    /// Says that this process has the database, for as long as anything may be written.
    _lock: File,
}

type Append = (Batch, oneshot::Sender<Result<Appended>>);

impl Task {
    async fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP);
        loop {
            if self.work.recv_many(&mut waiting, GROUP).await == 0 {
                break;
            }
            let mut appends = Vec::new();
            let (mut acts, mut looks) = (Vec::new(), Vec::new());
            let mut stop = None;
            for work in waiting.drain(..) {
                match work {
                    Work::Append(batch, reply) => appends.push((batch, reply)),
                    Work::Act(act) => acts.push(act),
                    Work::Look(act) => looks.push(act),
                    Work::Stop(reply) => stop = Some(reply),
                }
            }
            for look in looks {
                self.look(look).await;
            }
            if !(appends.is_empty() && acts.is_empty()) {
                self.group(appends, acts).await;
            }
            if let Some(stopped) = stop {
                if let Some(tx) = self.tx.take() {
                    let _ = tx.conn.close().await;
                }
                // With the lock, so that whoever waits for us may open the file again.
                drop(self);
                let _ = stopped.send(());
                return;
            }
        }
    }

    /// Reads outside of any transaction: nobody else writes, so what is there is as of the last commit.
    async fn look(&mut self, mut look: Box<dyn Act>) {
        let mut tx = match self.connection().await {
            Ok(tx) => tx,
            Err(error) => return look.finish(Some(store_error(error))),
        };
        tx.effects.clear();
        let failed = match look.run(&mut tx).await {
            Ok(()) => {
                self.cache.apply(std::mem::take(&mut tx.effects));
                self.tx = Some(tx);
                None
            }
            // The connection is not used again.
            Err(error) => Some(store_error(error)),
        };
        look.finish(failed);
    }

    /// Runs one group in one transaction and answers everyone in it.
    async fn group(&mut self, appends: Vec<Append>, acts: Vec<Box<dyn Act>>) {
        let mut tx = match self.connection().await {
            Ok(tx) => tx,
            Err(error) => return refuse_all(appends, acts, &error),
        };
        if let Err(Broken) = self.write(&mut tx, appends, acts).await {
            // A failed write or sync leaves the connection in doubt: it is not used again.
            self.cache.clear();
            return;
        }
        self.tx = Some(tx);
    }

    async fn connection(&mut self) -> sqlx::Result<Tx> {
        if let Some(tx) = self.tx.take() {
            return Ok(tx);
        }
        let mut conn = self.options.connect().await?;
        append::prepare(&mut conn).await?;
        Ok(Tx { conn, effects: Vec::new() })
    }

    async fn write(
        &mut self,
        tx: &mut Tx,
        appends: Vec<Append>,
        acts: Vec<Box<dyn Act>>,
    ) -> std::result::Result<(), Broken> {
        tx.effects.clear();
        let (batches, replies): (Vec<_>, Vec<_>) = appends.into_iter().unzip();
        if acts.is_empty() {
            match append::append_together(tx, &self.cache, &batches).await {
                Together::Committed(outcomes) => {
                    self.cache.apply(std::mem::take(&mut tx.effects));
                    for (reply, outcome) in replies.into_iter().zip(outcomes) {
                        let _ = reply.send(Ok(outcome));
                    }
                    return Ok(());
                }
                Together::Unknown(error, outcomes) => {
                    let outcomes = outcomes.into_iter().map(Ok).collect();
                    self.find_out(&error, &batches, replies, outcomes).await;
                    return Err(Broken);
                }
                Together::OneByOne => {}
            }
        }
        if let Err(error) = statement(&mut tx.conn, "BEGIN IMMEDIATE").await {
            refuse_all(batches.into_iter().zip(replies).collect(), acts, &error);
            return Err(Broken);
        }

        // Appends first: they find the heads as of the last commit in the cache.
        let appended = match append::append_all(tx, &self.cache, &batches).await {
            Ok(appended) => appended,
            Err(error) => {
                let appends = batches.into_iter().zip(replies).collect();
                refuse_all(appends, acts, &error);
                return Err(Broken);
            }
        };

        // With nothing else in the transaction there is nothing that one of them could undo.
        let alone = batches.is_empty() && acts.len() == 1;
        let mut finished: Vec<(Box<dyn Act>, Option<StoreError>)> = Vec::with_capacity(acts.len());
        let mut acts = acts.into_iter();
        while let Some(mut act) = acts.next() {
            let ran = if alone { act.run(tx).await } else { run_alone(tx, act.as_mut()).await };
            let error = match ran {
                Ok(()) => None,
                Err(error) if is_transient(&error) => {
                    let text = error.to_string();
                    let rest = std::iter::once(act).chain(acts);
                    for act in finished.into_iter().map(|(act, _)| act).chain(rest) {
                        act.finish(Some(shared(&text)));
                    }
                    for reply in replies {
                        let _ = reply.send(Err(shared(&text)));
                    }
                    return Err(Broken);
                }
                Err(error) if alone => {
                    act.finish(Some(store_error(error)));
                    tx.effects.clear();
                    return statement(&mut tx.conn, "ROLLBACK").await.map_err(|_| Broken);
                }
                Err(error) => Some(store_error(error)),
            };
            finished.push((act, error));
        }

        let Err(error) = statement(&mut tx.conn, "COMMIT").await else {
            self.cache.apply(std::mem::take(&mut tx.effects));
            for (reply, outcome) in replies.into_iter().zip(appended) {
                let _ = reply.send(outcome);
            }
            for (act, failed) in finished {
                act.finish(failed);
            }
            return Ok(());
        };

        self.find_out(&error, &batches, replies, appended).await;
        for (act, _) in finished {
            act.finish(Some(shared(&error.to_string())));
        }
        Err(Broken)
    }

    /// Whether the commit was made is not known. For messages we can ask; anything else may be sent again without harm.
    async fn find_out(
        &self,
        error: &sqlx::Error,
        batches: &[Batch],
        replies: Vec<oneshot::Sender<Result<Appended>>>,
        appended: Vec<Result<Appended>>,
    ) {
        let text = error.to_string();
        tracing::error!(error = %text, "a commit failed");
        let mut unsure = Unsure::new(&self.options).await;
        for ((reply, outcome), batch) in replies.into_iter().zip(appended).zip(batches) {
            let outcome = match outcome {
                Ok(Appended::Written { follows, first }) => {
                    if unsure.is_there(batch, first).await {
                        Ok(Appended::Written { follows, first })
                    } else {
                        Err(shared(&text))
                    }
                }
                other => other,
            };
            let _ = reply.send(outcome);
        }
    }
}

/// The connection must not be used any more.
struct Broken;

/// Runs one act so that its failure undoes nothing but its own doing.
async fn run_alone(tx: &mut Tx, act: &mut dyn Act) -> sqlx::Result<()> {
    let effects = tx.effects.len();
    statement(&mut tx.conn, "SAVEPOINT act").await?;
    match act.run(tx).await {
        Ok(()) => statement(&mut tx.conn, "RELEASE act").await,
        Err(error) if is_transient(&error) => Err(error),
        Err(error) => {
            tx.effects.truncate(effects);
            statement(&mut tx.conn, "ROLLBACK TO act").await?;
            statement(&mut tx.conn, "RELEASE act").await?;
            Err(error)
        }
    }
}

pub(super) async fn statement(conn: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(conn).await.map(drop)
}

fn refuse_all(appends: Vec<Append>, acts: Vec<Box<dyn Act>>, error: &sqlx::Error) {
    let text = error.to_string();
    tracing::error!(error = %text, "the store refused to write");
    for (_, reply) in appends {
        let _ = reply.send(Err(shared(&text)));
    }
    for act in acts {
        act.finish(Some(shared(&text)));
    }
}
