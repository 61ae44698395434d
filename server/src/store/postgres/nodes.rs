//! What nodes on one database tell each other: hints by NOTIFY, the rest in tables.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, MessageId};
use sqlx::Row as _;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::{PostgresStore, decode, log, store_error};
use crate::planted;
use crate::store::{Ended, EndedRow, Head, Micros, NodeStore, Present, Result};

/// The channel of NOTIFY.
const CHANNEL: &str = "meshwire_heads";
/// Most bytes of one notification; Postgres takes fewer than 8,000.
const MOST_BYTES: usize = 7_500;
/// The least time between two notifications of a node: each takes a lock on the whole database.
const BETWEEN: Duration = Duration::from_millis(3);
/// How long nothing may come before the connection that listens is tried.
const QUIET: Duration = Duration::from_secs(10);
/// How long it is given to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often the heads of meshes with waiting polls are looked at, whatever is told of them.
const SWEEP: Duration = Duration::from_secs(1);

/// The connection that listens, made when it is first needed, and again when it was lost.
pub(super) struct Listener {
    pool: PgPool,
    listener: Mutex<Option<PgListener>>,
}

impl Listener {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, listener: Mutex::new(None) }
    }

    /// The text of the next notification; `None` when some may have been lost.
    async fn next(&self) -> sqlx::Result<Option<String>> {
        let mut kept = self.listener.lock().await;
        if kept.is_none() {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            *kept = Some(listener);
            // What was told before we listened.
            return Ok(None);
        }
        while let Some(listener) = kept.as_mut() {
            match timeout(QUIET, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => return Ok(Some(notification.payload().to_owned())),
                Ok(Ok(None)) => *kept = None,
                Ok(Err(error)) => {
                    *kept = None;
                    return Err(error);
                }
                // A connection that was cut off looks like a quiet one.
                Err(_) => {
                    let answers = sqlx::query("SELECT 1").execute(&mut *listener);
                    if !matches!(timeout(ANSWER, answers).await, Ok(Ok(_))) {
                        *kept = None;
                    }
                }
            }
        }
        Ok(None)
    }

    pub(super) fn close(&self) {
        // Whoever waits for a notification holds the lock, and ends with the pool.
        if let Ok(mut kept) = self.listener.try_lock() {
            *kept = None;
        }
    }
}

#[async_trait]
impl NodeStore for PostgresStore {
    fn sweep(&self) -> Duration {
        SWEEP
    }

    async fn heads(&self, meshes: &[MeshId]) -> Result<HashMap<MeshId, Head>> {
        let mut conn = self.pool.acquire().await.map_err(store_error)?;
        log::heads(&mut conn, meshes).await.map_err(store_error)
    }

    async fn hint(&self, heads: &[(MeshId, MessageId)]) -> Result<()> {
        if planted::is("hints-dropped") {
            return Ok(());
        }
        let mut told = String::new();
        for (place, (mesh, head)) in heads.iter().enumerate() {
            if told.is_empty() {
                told = self.node.to_string();
            }
            let _ = write!(told, " {mesh}:{head}");
            if told.len() > MOST_BYTES - 64 || place + 1 == heads.len() {
                sqlx::query("SELECT pg_notify($1, $2)")
                    .bind(CHANNEL)
                    .bind(std::mem::take(&mut told))
                    .execute(&self.pool)
                    .await
                    .map_err(store_error)?;
            }
        }
        sleep(BETWEEN).await;
        Ok(())
    }

    async fn hinted(
        &self,
        _waits: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<(MeshId, MessageId)>>> {
        loop {
            let Some(told) = self.listener.next().await.map_err(store_error)? else {
                return Ok(None);
            };
            let mut words = told.split(' ');
            if words.next().and_then(|node| node.parse().ok()) == Some(self.node) {
                continue;
            }
            // Anyone with access to the database may notify: what is no hint is none.
            let heads = words.filter_map(|word| {
                let (mesh, head) = word.split_once(':')?;
                Some((mesh.parse().ok()?, MessageId::new(head.parse().ok()?)?))
            });
            return Ok(Some(heads.collect()));
        }
    }

    async fn ended(&self) -> Result<Vec<EndedRow>> {
        // Longer than any transaction takes from its entry to its commit.
        let rows = sqlx::query(
            "SELECT id, token_id, mesh_id FROM ended WHERE at > now() - interval '20 s'",
        )
        .fetch_all(&self.pool)
        .await;
        rows.and_then(|rows| {
            let mut ended = Vec::with_capacity(rows.len());
            for row in &rows {
                let id = row.try_get(0)?;
                if let Some(token) = decode::optional(row, 1)? {
                    ended.push(EndedRow { id, what: Ended::Token(token) });
                } else if let Some(mesh) = decode::optional(row, 2)? {
                    ended.push(EndedRow { id, what: Ended::Mesh(mesh) });
                }
            }
            Ok(ended)
        })
        .map_err(store_error)
    }

    fn gave_up(&self) {
        self.silence.note();
    }

    async fn now(&self) -> Result<Option<Micros>> {
        sqlx::query("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            .fetch_one(&self.pool)
            .await
            .and_then(|row| row.try_get(0))
            .map(Some)
            .map_err(store_error)
    }

    async fn renew(&self, lease: Duration) -> Result<()> {
        sqlx::query(
            "INSERT INTO node (id, until) VALUES ($1, clock_timestamp() + $2 * interval '1 s')
             ON CONFLICT (id) DO UPDATE SET until = excluded.until",
        )
        .bind(self.node)
        .bind(lease.as_secs_f64())
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(store_error)
    }

    async fn note_present(&self, mesh: &MeshId, present: &Present) -> Result<()> {
        let Present { polling, recent } = present;
        let done = if polling.is_empty() && recent.is_empty() {
            sqlx::query("DELETE FROM polling WHERE mesh_id = $1 AND node_id = $2")
                .bind(mesh.as_str())
                .bind(self.node)
                .execute(&self.pool)
                .await
        } else {
            sqlx::query(
                "INSERT INTO polling (mesh_id, node_id, agents, recent) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (mesh_id, node_id)
                 DO UPDATE SET agents = excluded.agents, recent = excluded.recent",
            )
            .bind(mesh.as_str())
            .bind(self.node)
            .bind(ids(polling))
            .bind(ids(recent))
            .execute(&self.pool)
            .await
        };
        done.map(drop).map_err(store_error)
    }

    async fn present(&self, mesh: &MeshId) -> Result<Present> {
        let rows = sqlx::query(
            "SELECT unnest(agents), true FROM polling JOIN node ON node.id = polling.node_id
             WHERE mesh_id = $1 AND node_id <> $2 AND until > clock_timestamp()
             UNION ALL
             SELECT unnest(recent), false FROM polling JOIN node ON node.id = polling.node_id
             WHERE mesh_id = $1 AND node_id <> $2 AND until > clock_timestamp()",
        )
        .bind(mesh.as_str())
        .bind(self.node)
        .fetch_all(&self.pool)
        .await;
        rows.and_then(|rows| {
            let mut present = Present::default();
            for row in &rows {
                let polls: bool = row.try_get(1)?;
                let agents = if polls { &mut present.polling } else { &mut present.recent };
                agents.push(decode::parsed(row, 0)?);
            }
            Ok(present)
        })
        .map_err(store_error)
    }

    async fn last_seen(&self, mesh: &MeshId, agents: &[AgentId]) -> Result<Vec<(AgentId, Micros)>> {
        sqlx::query(
            "SELECT id, last_seen FROM agent
             WHERE mesh_id = $1 AND id = ANY($2) AND last_seen IS NOT NULL",
        )
        .bind(mesh.as_str())
        .bind(ids(agents))
        .fetch_all(&self.pool)
        .await
        .and_then(|rows| {
            rows.iter().map(|row| Ok((decode::parsed(row, 0)?, row.try_get(1)?))).collect()
        })
        .map_err(store_error)
    }
}

fn ids(agents: &[AgentId]) -> Vec<&str> {
    agents.iter().map(AgentId::as_str).collect()
}
