//! The task that writes.

use std::fs::File;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};

use super::{Act, Tx, Work, shared};
use crate::store::sqlite::append::{self, Together, Unsure};
use crate::store::sqlite::cache::Cache;
use crate::store::sqlite::cursors::{self, CursorMove, Moved};
use crate::store::sqlite::{is_transient, store_error};
use crate::store::{Appended, Batch, Result, StoreError};

/// Most pieces of work in one transaction: bounds how long the first of them waits for its answer.
const GROUP: usize = 512;

/// The one that writes, and all that it needs.
pub(super) struct Task {
    options: SqliteConnectOptions,
    cache: Arc<Cache>,
    work: mpsc::UnboundedReceiver<Work>,
    /// `None` after a failure that leaves the connection in doubt; opened again for the next group.
    tx: Option<Tx>,
    /// Says that this process has the database, for as long as anything may be written.
    _lock: File,
}

/// What is written in one transaction.
#[derive(Default)]
struct Group {
    appends: Vec<(Arc<Batch>, oneshot::Sender<Result<Appended>>)>,
    moves: Vec<(CursorMove, oneshot::Sender<Moved>)>,
    acts: Vec<Box<dyn Act>>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.moves.is_empty() && self.acts.is_empty()
    }

    fn refuse(self, error: &sqlx::Error) {
        let text = error.to_string();
        tracing::error!(error = %text, "the store refused to write");
        for (_, reply) in self.appends {
            let _ = reply.send(Err(shared(&text)));
        }
        for (_, reply) in self.moves {
            let _ = reply.send(Err(shared(&text)));
        }
        for act in self.acts {
            act.finish(Some(shared(&text)));
        }
    }
}

impl Task {
    pub(super) fn new(
        options: SqliteConnectOptions,
        cache: Arc<Cache>,
        work: mpsc::UnboundedReceiver<Work>,
        tx: Tx,
        lock: File,
    ) -> Self {
        Self { options, cache, work, tx: Some(tx), _lock: lock }
    }

    /// Writes until nothing more can come, or it is told to stop.
    pub(super) async fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP);
        loop {
            if self.work.recv_many(&mut waiting, GROUP).await == 0 {
                break;
            }
            let mut group = Group::default();
            let (mut looks, mut stop) = (Vec::new(), None);
            for work in waiting.drain(..) {
                match work {
                    Work::Append(batch, reply) => group.appends.push((batch, reply)),
                    Work::Move(to, reply) => group.moves.push((to, reply)),
                    Work::Act(act) => group.acts.push(act),
                    Work::Look(act) => looks.push(act),
                    Work::Stop(reply) => stop = Some(reply),
                }
            }
            for look in looks {
                self.look(look).await;
            }
            if !group.is_empty() {
                self.group(group).await;
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
    async fn group(&mut self, group: Group) {
        let mut tx = match self.connection().await {
            Ok(tx) => tx,
            Err(error) => return group.refuse(&error),
        };
        tx.effects.clear();
        let only_appends = group.moves.is_empty() && group.acts.is_empty();
        let only_moves =
            group.appends.is_empty() && group.acts.is_empty() && cursors::once_each(&group.moves);
        let written = if only_appends {
            self.append(&mut tx, group).await
        } else if only_moves {
            self.move_cursors(&mut tx, group).await
        } else {
            self.write(&mut tx, group).await
        };
        match written {
            Ok(()) => self.tx = Some(tx),
            // A failed write or sync leaves the connection in doubt: it is not used again.
            Err(Broken) => self.cache.clear(),
        }
    }

    async fn connection(&mut self) -> sqlx::Result<Tx> {
        if let Some(tx) = self.tx.take() {
            return Ok(tx);
        }
        let mut conn = self.options.connect().await?;
        append::prepare(&mut conn).await?;
        Ok(Tx { conn, effects: Vec::new() })
    }

    /// Appends with one statement, which is a transaction of its own, unless something stands in the way.
    async fn append(&mut self, tx: &mut Tx, group: Group) -> std::result::Result<(), Broken> {
        let (batches, replies): (Vec<_>, Vec<_>) = group.appends.into_iter().unzip();
        match append::append_together(tx, &self.cache, &batches).await {
            Together::Done(outcomes) => {
                // Whoever is answered has it to themselves again.
                drop(batches);
                self.cache.apply(std::mem::take(&mut tx.effects));
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    let _ = reply.send(Ok(outcome));
                }
                Ok(())
            }
            Together::Unknown(error, outcomes) => {
                let outcomes = outcomes.into_iter().map(Ok).collect();
                self.find_out(&error, &batches, replies, outcomes).await;
                Err(Broken)
            }
            Together::OneByOne => {
                let appends = batches.into_iter().zip(replies).collect();
                self.write(tx, Group { appends, ..Group::default() }).await
            }
        }
    }

    /// Moves cursors, each of another agent, with one statement, which is a transaction of its own.
    async fn move_cursors(&mut self, tx: &mut Tx, group: Group) -> std::result::Result<(), Broken> {
        match cursors::move_all(tx, &group.moves).await {
            Ok(cursors) => {
                self.cache.apply(std::mem::take(&mut tx.effects));
                for ((_, reply), cursor) in group.moves.into_iter().zip(cursors) {
                    let _ = reply.send(cursor);
                }
                Ok(())
            }
            Err(error) => {
                self.cache.clear();
                group.refuse(&error);
                Err(Broken)
            }
        }
    }

    async fn write(&mut self, tx: &mut Tx, group: Group) -> std::result::Result<(), Broken> {
        if let Err(error) = statement(&mut tx.conn, "BEGIN IMMEDIATE").await {
            group.refuse(&error);
            return Err(Broken);
        }
        let Group { appends, moves, acts } = group;
        let (batches, replies): (Vec<_>, Vec<_>) = appends.into_iter().unzip();

        // Appends first: they find the heads as of the last commit in the cache.
        let appended = match append::append_all(tx, &self.cache, &batches).await {
            Ok(appended) => appended,
            Err(error) => {
                let appends = batches.into_iter().zip(replies).collect();
                Group { appends, moves, acts }.refuse(&error);
                return Err(Broken);
            }
        };
        let cursors = match cursors::move_all(tx, &moves).await {
            Ok(cursors) => cursors,
            Err(error) => {
                let appends = batches.into_iter().zip(replies).collect();
                Group { appends, moves, acts }.refuse(&error);
                return Err(Broken);
            }
        };

        // With nothing else in the transaction there is nothing that one of them could undo.
        let alone = batches.is_empty() && moves.is_empty() && acts.len() == 1;
        let mut finished: Vec<(Box<dyn Act>, Option<StoreError>)> = Vec::with_capacity(acts.len());
        let mut acts = acts.into_iter();
        while let Some(mut act) = acts.next() {
            let ran = if alone { act.run(tx).await } else { run_alone(tx, act.as_mut()).await };
            let error = match ran {
                Ok(()) => None,
                Err(error) if is_transient(&error) => {
                    let rest = std::iter::once(act).chain(acts);
                    let acts = finished.into_iter().map(|(act, _)| act).chain(rest).collect();
                    let appends = batches.into_iter().zip(replies).collect();
                    Group { appends, moves, acts }.refuse(&error);
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
            drop(batches);
            self.cache.apply(std::mem::take(&mut tx.effects));
            for (reply, outcome) in replies.into_iter().zip(appended) {
                let _ = reply.send(outcome);
            }
            for ((_, reply), cursor) in moves.into_iter().zip(cursors) {
                let _ = reply.send(cursor);
            }
            for (act, failed) in finished {
                act.finish(failed);
            }
            return Ok(());
        };

        self.find_out(&error, &batches, replies, appended).await;
        let acts = finished.into_iter().map(|(act, _)| act).collect();
        Group { moves, acts, ..Group::default() }.refuse(&error);
        Err(Broken)
    }

    /// Whether the commit was made is not known. For messages we can ask; anything else may be sent again without harm.
    async fn find_out(
        &self,
        error: &sqlx::Error,
        batches: &[Arc<Batch>],
        replies: Vec<oneshot::Sender<Result<Appended>>>,
        appended: Vec<Result<Appended>>,
    ) {
        // Before anyone is answered: what it says may be older than what is in the file.
        self.cache.clear();
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

pub(in crate::store::sqlite) async fn statement(
    conn: &mut SqliteConnection,
    sql: &'static str,
) -> sqlx::Result<()> {
    sqlx::query(sql).execute(conn).await.map(drop)
}
