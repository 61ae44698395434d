//! Who may come into a mesh, and who has to leave it.

use async_trait::async_trait;
use meshwire_protocol::limits::REFUSAL_WINDOW;
use meshwire_protocol::{MeshId, Role, UserId};
use sqlx::Row as _;

use super::meshes::{owned, raise_epoch};
use super::{Row, SqlStore, Tx, decode, store_error};
use crate::clock::micros;
use crate::store::{
    Digest, Ended, InviteRow, Invited, Joining, MemberStore, Micros, RemovedMember, RequestRow,
    Result, RoleChange, UserRow,
};

#[async_trait]
impl MemberStore for SqlStore {
    async fn set_role(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        role: Role,
        limit: u32,
    ) -> Result<RoleChange> {
        let (mesh, user) = (mesh.clone(), user.clone());
        self.write(move |tx| Box::pin(set_role(tx, mesh, epoch, user, role, limit))).await
    }

    async fn remove_member(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        now: Micros,
    ) -> Result<Option<RemovedMember>> {
        let (mesh, user) = (mesh.clone(), user.clone());
        self.write(move |tx| Box::pin(remove_member(tx, mesh, epoch, user, now))).await
    }

    async fn create_invite(&self, invite: InviteRow, epoch: i64, limit: u32) -> Result<Invited> {
        self.write(move |tx| Box::pin(create_invite(tx, invite, epoch, limit))).await
    }

    async fn invites(&self, mesh: &MeshId) -> Result<Vec<InviteRow>> {
        sqlx::query(
            "SELECT id, hash, login_key, created_by, created_at, expires_at, max_uses, uses
             FROM invite WHERE mesh_id = $1 ORDER BY created_at DESC, id",
        )
        .bind(mesh.as_str())
        .fetch_all(self.pool())
        .await
        .and_then(|rows| rows.iter().map(|row| invite(row, mesh)).collect())
        .map_err(store_error)
    }

    async fn withdraw_invite(&self, mesh: &MeshId, epoch: i64, id: &str) -> Result<Option<bool>> {
        let (mesh, id) = (mesh.clone(), id.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                if !is_epoch(tx, &mesh, epoch).await? {
                    return Ok(None);
                }
                let done = sqlx::query("DELETE FROM invite WHERE mesh_id = $1 AND id = $2")
                    .bind(mesh.as_str())
                    .bind(id)
                    .execute(tx.conn())
                    .await?;
                Ok(Some(done.rows_affected() > 0))
            })
        })
        .await
    }

    async fn join(
        &self,
        mesh: &MeshId,
        user: &UserRow,
        code: Option<Digest>,
        now: Micros,
    ) -> Result<Joining> {
        let (mesh, user) = (mesh.clone(), user.clone());
        self.write(move |tx| Box::pin(join(tx, mesh, user, code, now))).await
    }

    async fn invite_by_code(&self, mesh: &MeshId, code: &Digest) -> Result<Option<InviteRow>> {
        sqlx::query(
            "SELECT invite.id, hash, login_key, created_by, invite.created_at, expires_at, max_uses, uses
             FROM invite JOIN mesh ON mesh.id = invite.mesh_id
             WHERE mesh_id = $1 AND hash = $2 AND mesh.deleted_at IS NULL",
        )
        .bind(mesh.as_str())
        .bind(code.as_slice())
        .fetch_optional(self.pool())
        .await
        .and_then(|row| row.map(|row| invite(&row, mesh)).transpose())
        .map_err(store_error)
    }

    async fn join_requests(&self, mesh: &MeshId) -> Result<Vec<RequestRow>> {
        sqlx::query(
            "SELECT account.id, account.login, account.name, join_request.requested_at
             FROM join_request JOIN account ON account.id = join_request.user_id
             WHERE join_request.mesh_id = $1 AND join_request.refused_at IS NULL
             ORDER BY join_request.requested_at, account.login_key",
        )
        .bind(mesh.as_str())
        .fetch_all(self.pool())
        .await
        .and_then(|rows| {
            rows.iter()
                .map(|row| {
                    Ok(RequestRow {
                        user: decode::parsed(row, 0)?,
                        login: row.try_get(1)?,
                        name: row.try_get(2)?,
                        requested_at: row.try_get(3)?,
                    })
                })
                .collect()
        })
        .map_err(store_error)
    }

    async fn decide_request(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        accept: bool,
        now: Micros,
    ) -> Result<Option<bool>> {
        let (mesh, user) = (mesh.clone(), user.clone());
        self.write(move |tx| Box::pin(decide_request(tx, mesh, epoch, user, accept, now))).await
    }
}

fn invite(row: &Row, mesh: &MeshId) -> sqlx::Result<InviteRow> {
    Ok(InviteRow {
        id: row.try_get(0)?,
        mesh: mesh.clone(),
        hash: decode::digest(row, 1)?,
        login: row.try_get(2)?,
        created_by: decode::parsed(row, 3)?,
        created_at: row.try_get(4)?,
        expires_at: row.try_get(5)?,
        max_uses: decode::number(row, 6)?,
        uses: decode::number(row, 7)?,
    })
}

/// Whether the epoch under which somebody's role was looked at still stands.
async fn is_epoch(tx: &mut Tx, mesh: &MeshId, epoch: i64) -> sqlx::Result<bool> {
    Ok(tx.lock_head(mesh).await?.is_some_and(|head| head.epoch == epoch))
}

async fn set_role(
    tx: &mut Tx,
    mesh: MeshId,
    epoch: i64,
    user: UserId,
    role: Role,
    limit: u32,
) -> sqlx::Result<RoleChange> {
    if !is_epoch(tx, &mesh, epoch).await? {
        return Ok(RoleChange::EpochMoved);
    }
    if role == Role::Owner && limit > 0 && owned(tx, &user).await? >= i64::from(limit) {
        return Ok(RoleChange::LimitReached);
    }
    // Not the owner's: that one changes only by the statement below.
    let done = sqlx::query(
        "UPDATE member SET role = $3 WHERE mesh_id = $1 AND user_id = $2 AND role != 'owner'",
    )
    .bind(mesh.as_str())
    .bind(user.as_str())
    .bind(role.as_str())
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(RoleChange::EpochMoved);
    }
    if role == Role::Owner {
        sqlx::query(
            "UPDATE member SET role = 'admin'
             WHERE mesh_id = $1 AND user_id != $2 AND role = 'owner'",
        )
        .bind(mesh.as_str())
        .bind(user.as_str())
        .execute(tx.conn())
        .await?;
    }
    raise_epoch(tx, &mesh).await?;
    Ok(RoleChange::Done)
}

async fn remove_member(
    tx: &mut Tx,
    mesh: MeshId,
    epoch: i64,
    user: UserId,
    now: Micros,
) -> sqlx::Result<Option<RemovedMember>> {
    if !is_epoch(tx, &mesh, epoch).await? {
        return Ok(None);
    }
    let done =
        sqlx::query("DELETE FROM member WHERE mesh_id = $1 AND user_id = $2 AND role != 'owner'")
            .bind(mesh.as_str())
            .bind(user.as_str())
            .execute(tx.conn())
            .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let agents = sqlx::query("DELETE FROM agent WHERE mesh_id = $1 AND user_id = $2 RETURNING id")
        .bind(mesh.as_str())
        .bind(user.as_str())
        .fetch_all(tx.conn())
        .await?;
    let tokens = sqlx::query(
        "UPDATE token SET revoked_at = $3
         WHERE mesh_id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id",
    )
    .bind(mesh.as_str())
    .bind(user.as_str())
    .bind(now)
    .fetch_all(tx.conn())
    .await?;
    // Nothing that they prepared before, or that waits for them, lets them in again.
    sqlx::query(
        "DELETE FROM invite WHERE mesh_id = $1 AND
             (created_by = $2 OR login_key = (SELECT login_key FROM account WHERE id = $2))",
    )
    .bind(mesh.as_str())
    .bind(user.as_str())
    .execute(tx.conn())
    .await?;
    raise_epoch(tx, &mesh).await?;
    let removed = RemovedMember {
        agents: agents.iter().map(|row| decode::parsed(row, 0)).collect::<sqlx::Result<_>>()?,
        tokens: tokens.iter().map(|row| decode::parsed(row, 0)).collect::<sqlx::Result<_>>()?,
    };
    tx.ended(Ended::Mesh(mesh)).await?;
    Ok(Some(removed))
}

async fn create_invite(
    tx: &mut Tx,
    invite: InviteRow,
    epoch: i64,
    limit: u32,
) -> sqlx::Result<Invited> {
    if !is_epoch(tx, &invite.mesh, epoch).await? {
        return Ok(Invited::EpochMoved);
    }
    let open: i64 =
        sqlx::query("SELECT count(*) FROM invite WHERE mesh_id = $1 AND expires_at > $2")
            .bind(invite.mesh.as_str())
            .bind(invite.created_at)
            .fetch_one(tx.conn())
            .await?
            .try_get(0)?;
    if limit > 0 && open >= i64::from(limit) {
        return Ok(Invited::LimitReached);
    }
    sqlx::query(
        "INSERT INTO invite
             (id, mesh_id, hash, login_key, created_by, created_at, expires_at, max_uses, uses)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(invite.id)
    .bind(invite.mesh.as_str())
    .bind(invite.hash.as_slice())
    .bind(invite.login)
    .bind(invite.created_by.as_str())
    .bind(invite.created_at)
    .bind(invite.expires_at)
    .bind(i64::from(invite.max_uses))
    .bind(i64::from(invite.uses))
    .execute(tx.conn())
    .await?;
    Ok(Invited::Created)
}

async fn join(
    tx: &mut Tx,
    mesh: MeshId,
    user: UserRow,
    code: Option<Digest>,
    now: Micros,
) -> sqlx::Result<Joining> {
    if tx.lock_head(&mesh).await?.is_none() {
        return Ok(Joining::NoMesh);
    }
    let member = sqlx::query("SELECT 1 FROM member WHERE mesh_id = $1 AND user_id = $2")
        .bind(mesh.as_str())
        .bind(user.id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    if member.is_some() {
        return Ok(Joining::AlreadyMember);
    }
    let login = user.login.to_lowercase();
    let invite: Option<String> = match code {
        Some(code) => match invite_for(tx, &mesh, &code, &login, now).await? {
            Usable::Yes(id) => Some(id),
            Usable::NotFound => return Ok(Joining::InviteNotFound),
            Usable::Expired => return Ok(Joining::InviteExpired),
        },
        None => {
            sqlx::query(
                "SELECT invite.id FROM invite JOIN account ON account.id = $4
                 WHERE mesh_id = $1 AND invite.login_key = $2 AND expires_at > $3 AND uses < max_uses
                     AND (NOT account.by_invite OR account.created_at < invite.created_at)
                 ORDER BY invite.created_at LIMIT 1",
            )
            .bind(mesh.as_str())
            .bind(login)
            .bind(now)
            .bind(user.id.as_str())
            .fetch_optional(tx.conn())
            .await?
            .map(|row| row.try_get(0))
            .transpose()?
        }
    };
    let Some(invite) = invite else { return ask(tx, &mesh, &user.id, now).await };
    use_invite(tx, &mesh, &invite, &user.id, now).await?;
    Ok(Joining::Member)
}

/// What a code is worth to somebody.
pub(super) enum Usable {
    /// It lets them in: the id of the invite.
    Yes(String),
    NotFound,
    Expired,
}

/// Whether the invite with this code lets in whoever has this login, in lower case.
pub(super) async fn invite_for(
    tx: &mut Tx,
    mesh: &MeshId,
    code: &Digest,
    login: &str,
    now: Micros,
) -> sqlx::Result<Usable> {
    let found = sqlx::query(
        "SELECT id, expires_at > $4 AND uses < max_uses FROM invite
         WHERE mesh_id = $1 AND hash = $2 AND coalesce(login_key = $3, true)",
    )
    .bind(mesh.as_str())
    .bind(code.as_slice())
    .bind(login)
    .bind(now)
    .fetch_optional(tx.conn())
    .await?;
    let Some(found) = found else { return Ok(Usable::NotFound) };
    Ok(if found.try_get(1)? { Usable::Yes(found.try_get(0)?) } else { Usable::Expired })
}

/// Lets a user in and spends one use.
pub(super) async fn use_invite(
    tx: &mut Tx,
    mesh: &MeshId,
    invite: &str,
    user: &UserId,
    now: Micros,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE invite SET uses = uses + 1 WHERE id = $1")
        .bind(invite)
        .execute(tx.conn())
        .await?;
    admit(tx, mesh, user, now).await
}

/// Notes that a user asks to join: once, however often they do.
async fn ask(tx: &mut Tx, mesh: &MeshId, user: &UserId, now: Micros) -> sqlx::Result<Joining> {
    let refused: Option<Micros> =
        sqlx::query("SELECT refused_at FROM join_request WHERE mesh_id = $1 AND user_id = $2")
            .bind(mesh.as_str())
            .bind(user.as_str())
            .fetch_optional(tx.conn())
            .await?
            .map(|row| row.try_get(0))
            .transpose()?
            .flatten();
    if let Some(until) = refused.map(|at| at + micros(REFUSAL_WINDOW))
        && until > now
    {
        return Ok(Joining::RefusedLately(until));
    }
    sqlx::query(
        "INSERT INTO join_request (mesh_id, user_id, requested_at) VALUES ($1, $2, $3)
         ON CONFLICT (mesh_id, user_id) DO UPDATE
         SET requested_at = excluded.requested_at, refused_at = NULL WHERE join_request.refused_at IS NOT NULL",
    )
    .bind(mesh.as_str())
    .bind(user.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(Joining::Requested)
}

async fn admit(tx: &mut Tx, mesh: &MeshId, user: &UserId, now: Micros) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO member (mesh_id, user_id, role, joined_at) VALUES ($1, $2, 'member', $3)",
    )
    .bind(mesh.as_str())
    .bind(user.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM join_request WHERE mesh_id = $1 AND user_id = $2")
        .bind(mesh.as_str())
        .bind(user.as_str())
        .execute(tx.conn())
        .await?;
    raise_epoch(tx, mesh).await.map(drop)
}

async fn decide_request(
    tx: &mut Tx,
    mesh: MeshId,
    epoch: i64,
    user: UserId,
    accept: bool,
    now: Micros,
) -> sqlx::Result<Option<bool>> {
    if !is_epoch(tx, &mesh, epoch).await? {
        return Ok(None);
    }
    let decided = sqlx::query(
        "UPDATE join_request SET refused_at = $3
         WHERE mesh_id = $1 AND user_id = $2 AND refused_at IS NULL",
    )
    .bind(mesh.as_str())
    .bind(user.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?
    .rows_affected()
        > 0;
    if decided && accept {
        admit(tx, &mesh, &user, now).await?;
    }
    Ok(Some(decided))
}
