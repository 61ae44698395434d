//! Meshes, members and agents.

use async_trait::async_trait;
use meshwire_protocol::{AgentId, MeshId, UserId};
use serde_json::json;
use sqlx::Row as _;

use super::decode::{self, agent_columns};
use super::{Conn, SqlStore, Tx, log, store_error};
use crate::store::{
    AgentChange, AgentRow, Change, Ended, Head, MemberRow, MeshChange, MeshRow, MeshStore, Micros,
    NewAgent, NewMesh, Register, Result, Roster,
};

#[async_trait]
impl MeshStore for SqlStore {
    async fn create_mesh(&self, mesh: NewMesh, limit: u32) -> Result<bool> {
        self.write(move |tx| Box::pin(create_mesh(tx, mesh, limit))).await
    }

    async fn update_mesh(&self, mesh: &MeshId, change: MeshChange) -> Result<bool> {
        let mesh = mesh.clone();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE mesh SET name = coalesce($2, name), paused = coalesce($3, paused)
                     WHERE id = $1",
                )
                .bind(mesh.as_str())
                .bind(change.name)
                .bind(change.paused)
                .execute(tx.conn())
                .await?;
                Ok(raise_epoch(tx, &mesh).await?.is_some())
            })
        })
        .await
    }

    async fn delete_mesh(&self, mesh: &MeshId, now: Micros) -> Result<bool> {
        let mesh = mesh.clone();
        self.write(move |tx| Box::pin(delete_mesh(tx, mesh, now))).await
    }

    async fn meshes_of(&self, user: &UserId) -> Result<Vec<MeshId>> {
        sqlx::query(
            "SELECT mesh.id FROM member JOIN mesh ON mesh.id = member.mesh_id
             WHERE member.user_id = $1 AND mesh.deleted_at IS NULL ORDER BY mesh.created_at, mesh.id",
        )
        .bind(user.as_str())
        .fetch_all(self.pool())
        .await
        .and_then(|rows| rows.iter().map(|row| decode::parsed(row, 0)).collect())
        .map_err(store_error)
    }

    async fn meshes(&self, after: Option<&MeshId>, limit: u32) -> Result<Vec<MeshId>> {
        sqlx::query("SELECT id FROM mesh WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2")
            .bind(after.map_or("", MeshId::as_str))
            .bind(i64::from(limit))
            .fetch_all(self.pool())
            .await
            .and_then(|rows| rows.iter().map(|row| decode::parsed(row, 0)).collect())
            .map_err(store_error)
    }

    async fn roster(&self, mesh: &MeshId) -> Result<Option<Roster>> {
        let mut tx = self.snapshot().await?;
        let roster = roster(&mut tx, mesh).await;
        tx.rollback().await.map_err(store_error)?;
        roster.map_err(store_error)
    }

    async fn register_agent(&self, agent: NewAgent, limit: u32) -> Result<Register> {
        self.write(move |tx| Box::pin(register_agent(tx, agent, limit))).await
    }

    async fn update_agent(
        &self,
        mesh: &MeshId,
        agent: &AgentId,
        change: AgentChange,
    ) -> Result<Change> {
        let (mesh, agent) = (mesh.clone(), agent.clone());
        self.write(move |tx| Box::pin(update_agent(tx, mesh, agent, change))).await
    }

    async fn remove_agent(&self, mesh: &MeshId, agent: &AgentId, now: Micros) -> Result<bool> {
        let (mesh, agent) = (mesh.clone(), agent.clone());
        self.write(move |tx| Box::pin(remove_agent(tx, mesh, agent, now))).await
    }
}

/// Raises the epoch, which every change of members, agents, names, pause or deletion does.
pub(super) async fn raise_epoch(tx: &mut Tx, mesh: &MeshId) -> sqlx::Result<Option<Head>> {
    let head = sqlx::query(
        "UPDATE mesh SET epoch = epoch + 1 WHERE id = $1 AND deleted_at IS NULL
         RETURNING epoch, head, trimmed",
    )
    .bind(mesh.as_str())
    .fetch_optional(tx.conn())
    .await?
    .map(|row| decode::head_row(&row))
    .transpose()?;
    tx.head_is(mesh, head);
    Ok(head)
}

/// How many meshes a user owns.
pub(super) async fn owned(tx: &mut Tx, user: &UserId) -> sqlx::Result<i64> {
    tx.lock_account(user).await?;
    sqlx::query(
        "SELECT count(*) FROM member JOIN mesh ON mesh.id = member.mesh_id
         WHERE member.user_id = $1 AND role = 'owner' AND mesh.deleted_at IS NULL",
    )
    .bind(user.as_str())
    .fetch_one(tx.conn())
    .await?
    .try_get(0)
}

async fn create_mesh(tx: &mut Tx, mesh: NewMesh, limit: u32) -> sqlx::Result<bool> {
    if limit > 0 && owned(tx, &mesh.owner).await? >= i64::from(limit) {
        return Ok(false);
    }
    sqlx::query("INSERT INTO mesh (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(mesh.id.as_str())
        .bind(mesh.name)
        .bind(mesh.created_at)
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO member (mesh_id, user_id, role, joined_at) VALUES ($1, $2, 'owner', $3)",
    )
    .bind(mesh.id.as_str())
    .bind(mesh.owner.as_str())
    .bind(mesh.created_at)
    .execute(tx.conn())
    .await?;
    let head = decode::head(tx.conn(), &mesh.id).await?;
    tx.head_is(&mesh.id, head);
    Ok(true)
}

async fn delete_mesh(tx: &mut Tx, mesh: MeshId, now: Micros) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE mesh SET deleted_at = $2, epoch = epoch + 1 WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(mesh.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("UPDATE token SET revoked_at = $2 WHERE mesh_id = $1 AND revoked_at IS NULL")
        .bind(mesh.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    for sql in [
        "DELETE FROM member WHERE mesh_id = $1",
        "DELETE FROM agent WHERE mesh_id = $1",
        "DELETE FROM invite WHERE mesh_id = $1",
        "DELETE FROM join_request WHERE mesh_id = $1",
    ] {
        sqlx::query(sql).bind(mesh.as_str()).execute(tx.conn()).await?;
    }
    tx.ended(Ended::Mesh(mesh)).await?;
    Ok(true)
}

async fn roster(conn: &mut Conn, mesh: &MeshId) -> sqlx::Result<Option<Roster>> {
    let row = sqlx::query(
        "SELECT epoch, name, paused, created_at FROM mesh WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(mesh.as_str())
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let members = sqlx::query(
        "SELECT member.user_id, account.login, account.name, member.role, member.joined_at
         FROM member JOIN account ON account.id = member.user_id
         WHERE member.mesh_id = $1 ORDER BY account.login_key",
    )
    .bind(mesh.as_str())
    .fetch_all(&mut *conn)
    .await?
    .iter()
    .map(|row| {
        Ok(MemberRow {
            user: decode::parsed(row, 0)?,
            login: row.try_get(1)?,
            name: row.try_get(2)?,
            role: decode::role(row, 3)?,
            joined_at: row.try_get(4)?,
        })
    })
    .collect::<sqlx::Result<_>>()?;
    let agents = sqlx::query(concat!(
        "SELECT ",
        agent_columns!(),
        " FROM agent WHERE mesh_id = $1 ORDER BY name_key"
    ))
    .bind(mesh.as_str())
    .fetch_all(&mut *conn)
    .await?
    .iter()
    .map(decode::agent)
    .collect::<sqlx::Result<_>>()?;
    Ok(Some(Roster {
        epoch: row.try_get(0)?,
        mesh: MeshRow {
            id: mesh.clone(),
            name: row.try_get(1)?,
            paused: row.try_get(2)?,
            created_at: row.try_get(3)?,
        },
        members,
        agents,
    }))
}

async fn agent_where(
    conn: &mut Conn,
    sql: &'static str,
    mesh: &MeshId,
    key: &str,
) -> sqlx::Result<Option<AgentRow>> {
    sqlx::query(sql)
        .bind(mesh.as_str())
        .bind(key)
        .fetch_optional(conn)
        .await?
        .map(|row| decode::agent(&row))
        .transpose()
}

/// An agent whose id a name looks like: names are compared without regard to case.
const AGENT_BY_ID: &str = concat!(
    "SELECT ",
    agent_columns!(),
    " FROM agent WHERE mesh_id = $1 AND lower(id) = lower($2)"
);
const AGENT_BY_NAME: &str =
    concat!("SELECT ", agent_columns!(), " FROM agent WHERE mesh_id = $1 AND name_key = $2");

async fn register_agent(tx: &mut Tx, agent: NewAgent, limit: u32) -> sqlx::Result<Register> {
    let mesh = &agent.mesh;
    // Nobody else comes or goes until it is there.
    tx.lock_head(mesh).await?;
    let member = sqlx::query(
        "SELECT 1 FROM member JOIN mesh ON mesh.id = member.mesh_id
         WHERE member.mesh_id = $1 AND member.user_id = $2 AND mesh.deleted_at IS NULL",
    )
    .bind(mesh.as_str())
    .bind(agent.user.as_str())
    .fetch_optional(tx.conn())
    .await?;
    if member.is_none() {
        return Ok(Register::NoMesh);
    }
    if agent_where(tx.conn(), AGENT_BY_ID, mesh, &agent.name).await?.is_some() {
        return Ok(Register::NameTaken);
    }
    let name_key = agent.name.to_lowercase();
    if let Some(existing) = agent_where(tx.conn(), AGENT_BY_NAME, mesh, &name_key).await? {
        if existing.user != agent.user {
            return Ok(Register::NameTaken);
        }
        let unchanged = AgentChange::default() == agent.fields;
        if unchanged {
            return Ok(Register::Existing(existing));
        }
        return match update_agent(tx, agent.mesh, existing.id, agent.fields).await? {
            Change::Done(row) => Ok(Register::Existing(row)),
            Change::NameTaken => Ok(Register::NameTaken),
            Change::NoAgent => Ok(Register::NoMesh),
        };
    }
    if agent_where(tx.conn(), AGENT_BY_NAME, mesh, &agent.id.as_str().to_lowercase())
        .await?
        .is_some()
    {
        // One in 10^16: the new id is another agent's name. Refused, so that an address stays unambiguous.
        return Err(sqlx::Error::Protocol("a new agent id is an existing name".to_owned()));
    }
    if limit > 0 {
        let count: i64 =
            sqlx::query("SELECT count(*) FROM agent WHERE mesh_id = $1 AND kind = 'agent'")
                .bind(mesh.as_str())
                .fetch_one(tx.conn())
                .await?
                .try_get(0)?;
        if agent.kind == meshwire_protocol::AgentKind::Agent && count >= i64::from(limit) {
            return Ok(Register::LimitReached);
        }
    }
    let Some(head) = raise_epoch(tx, mesh).await? else { return Ok(Register::NoMesh) };
    sqlx::query(
        "INSERT INTO agent (mesh_id, id, name, name_key, kind, user_id, start, handed, cursor, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7, $8)",
    )
    .bind(mesh.as_str())
    .bind(agent.id.as_str())
    .bind(&agent.name)
    .bind(name_key)
    .bind(agent.kind.as_str())
    .bind(agent.user.as_str())
    .bind(head.head.get())
    .bind(agent.now)
    .execute(tx.conn())
    .await?;
    let row = set_fields(tx, mesh, &agent.id, agent.fields).await?;
    if let Some(position) = log::position(tx.conn(), mesh, &agent.id).await? {
        tx.position_is(&agent.mesh, &agent.id, position);
    }
    row.map(Register::Created).ok_or(sqlx::Error::RowNotFound)
}

async fn update_agent(
    tx: &mut Tx,
    mesh: MeshId,
    agent: AgentId,
    change: AgentChange,
) -> sqlx::Result<Change> {
    tx.lock_head(&mesh).await?;
    if let Some(name) = &change.name {
        let by_id = agent_where(tx.conn(), AGENT_BY_ID, &mesh, name).await?;
        let by_name = agent_where(tx.conn(), AGENT_BY_NAME, &mesh, &name.to_lowercase()).await?;
        if by_id.into_iter().chain(by_name).any(|other| other.id != agent) {
            return Ok(Change::NameTaken);
        }
    }
    let Some(row) = set_fields(tx, &mesh, &agent, change).await? else {
        return Ok(Change::NoAgent);
    };
    raise_epoch(tx, &mesh).await?;
    Ok(Change::Done(row))
}

async fn set_fields(
    tx: &mut Tx,
    mesh: &MeshId,
    agent: &AgentId,
    change: AgentChange,
) -> sqlx::Result<Option<AgentRow>> {
    let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
    sqlx::query(concat!(
        "UPDATE agent SET
             name = coalesce($3, name),
             name_key = coalesce($4, name_key),
             harness = coalesce($5, harness),
             host = coalesce($6, host),
             description = coalesce($7, description),
             capabilities = coalesce($8, capabilities),
             wake = coalesce($9, wake)
         WHERE mesh_id = $1 AND id = $2
         RETURNING ",
        agent_columns!()
    ))
    .bind(mesh.as_str())
    .bind(agent.as_str())
    .bind(&change.name)
    .bind(change.name.as_ref().map(|name| name.to_lowercase()))
    .bind(word(json!(change.harness)))
    .bind(change.host)
    .bind(change.description)
    .bind(change.capabilities.map(|list| json!(list).to_string()))
    .bind(word(json!(change.wake)))
    .fetch_optional(tx.conn())
    .await?
    .map(|row| decode::agent(&row))
    .transpose()
}

async fn remove_agent(
    tx: &mut Tx,
    mesh: MeshId,
    agent: AgentId,
    now: Micros,
) -> sqlx::Result<bool> {
    tx.lock_head(&mesh).await?;
    let done = sqlx::query("DELETE FROM agent WHERE mesh_id = $1 AND id = $2")
        .bind(mesh.as_str())
        .bind(agent.as_str())
        .execute(tx.conn())
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE token SET revoked_at = $3
         WHERE mesh_id = $1 AND agent_id = $2 AND revoked_at IS NULL",
    )
    .bind(mesh.as_str())
    .bind(agent.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    raise_epoch(tx, &mesh).await?;
    tx.ended(Ended::Mesh(mesh)).await?;
    Ok(true)
}
