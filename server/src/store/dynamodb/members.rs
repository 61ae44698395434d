//! Who may come into a mesh, and who has to leave it. How people come in is in `invites`.

use async_trait::async_trait;
use meshwire_protocol::{MeshId, Role, UserId};

use super::item::encode;
use super::meshes::{UserMesh, count_less, count_owned};
use super::roster::{MemberItem, RosterChange, Snapshot};
use super::transaction::Transacted;
use super::unfinished::{AGENTS_AT_ONCE, Unfinished};
use super::users::UserItem;
use super::{DynamoStore, keys};
use crate::store::{
    Digest, Ended, InviteRow, Invited, Joining, MemberStore, Micros, RemovedMember, RequestRow,
    Result, RoleChange, UserRow,
};

impl DynamoStore {
    /// The roster in which somebody has their role, unless it has moved on.
    async fn roster_of_epoch(&self, mesh: &MeshId, epoch: i64) -> Result<Option<Snapshot>> {
        Ok(self.snapshot(mesh).await?.filter(|roster| roster.head.epoch == epoch))
    }

    async fn give_role(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        role: Role,
        limit: u32,
    ) -> Result<RoleChange> {
        let Some(roster) = self.roster_of_epoch(mesh, epoch).await? else {
            return Ok(RoleChange::EpochMoved);
        };
        let Some(member) = roster.member(user).filter(|member| member.role != Role::Owner) else {
            return Ok(RoleChange::EpochMoved);
        };
        let mut change = RosterChange::new(self, mesh, &roster.head);
        let mut counted = None;
        if role == Role::Owner {
            counted = Some(count_owned(change.with(), user, limit)? + 1);
            if let Some(owner) = roster.owner() {
                count_less(change.with(), &owner.user)?;
                let row = MemberItem { role: Role::Admin, ..owner.clone() };
                change.replace(&keys::member(mesh, &owner.user), &row, owner.changed)?;
            }
        }
        let row = MemberItem { role, ..member.clone() };
        change.replace(&keys::member(mesh, user), &row, member.changed)?;
        Ok(match self.db.transact(change.finish()?).await? {
            Transacted::Done => RoleChange::Done,
            Transacted::Refused(refusal) if counted.is_some_and(|place| refusal.failed(place)) => {
                RoleChange::LimitReached
            }
            Transacted::Refused(_) => RoleChange::EpochMoved,
        })
    }

    /// Adds what makes a user a member.
    pub(super) fn admit(
        change: &mut RosterChange,
        mesh: &MeshId,
        mesh_created_at: Micros,
        user: &UserRow,
        now: Micros,
    ) -> Result<()> {
        let member = MemberItem {
            user: user.id.clone(),
            login: user.login.clone(),
            name: user.name.clone(),
            role: Role::Member,
            joined_at: now,
            since: change.epoch(),
            changed: 0,
        };
        change.put_new(&keys::member(mesh, &user.id), &member)?;
        let own = UserMesh { created_at: mesh_created_at };
        change.with().put(encode(&keys::user_mesh(&user.id, mesh), &own)?).map(drop)
    }

    async fn expel(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        now: Micros,
    ) -> Result<Option<RemovedMember>> {
        let Some(roster) = self.roster_of_epoch(mesh, epoch).await? else { return Ok(None) };
        let Some(member) = roster.member(user).filter(|member| member.role != Role::Owner) else {
            return Ok(None);
        };
        let agents: Vec<_> = roster.agents().filter(|agent| agent.user == *user).cloned().collect();
        let UserItem { login, .. } = self.user_item(user).await?;
        let mut retry = super::retry::Retry::default();
        loop {
            let mut change = RosterChange::new(self, mesh, &roster.head);
            change.remove(&keys::member(mesh, user), member.changed)?;
            change.with().delete(&keys::user_mesh(user, mesh))?;
            // Those beyond are hidden without their member, and removed right after.
            for agent in agents.iter().take(AGENTS_AT_ONCE) {
                change.remove(&keys::agent(mesh, &agent.id), agent.changed)?;
                change.with().delete(&keys::position(mesh, &agent.id))?;
            }
            // Nothing that they prepared before, or that waits for them, lets them in again.
            let mut invites = self.invite_list(mesh).await?;
            let key = login.to_lowercase();
            invites
                .keep(|invite| invite.created_by != *user && invite.login.as_ref() != Some(&key));
            invites.write(change.with(), mesh)?;
            change.with().put(self.ended_item(&Ended::Mesh(mesh.clone()))?)?;
            let ended = Unfinished::Member {
                mesh: mesh.clone(),
                user: user.clone(),
                epoch: change.epoch(),
                at: now,
            };
            let note = ended.noted(change.with())?;
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => {
                    let tokens = self.finish_soon(&note).await;
                    let agents = agents.into_iter().map(|agent| agent.id).collect();
                    return Ok(Some(RemovedMember { agents, tokens }));
                }
                Transacted::Refused(refusal) if refusal.failed(super::roster::HEAD) => {
                    return Ok(None);
                }
                // The invites have changed.
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }
}

#[async_trait]
impl MemberStore for DynamoStore {
    async fn set_role(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        role: Role,
        limit: u32,
    ) -> Result<RoleChange> {
        self.give_role(mesh, epoch, user, role, limit).await
    }

    async fn remove_member(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        now: Micros,
    ) -> Result<Option<RemovedMember>> {
        self.expel(mesh, epoch, user, now).await
    }

    async fn create_invite(&self, invite: InviteRow, epoch: i64, limit: u32) -> Result<Invited> {
        self.put_invite(invite, epoch, limit).await
    }

    async fn invites(&self, mesh: &MeshId) -> Result<Vec<InviteRow>> {
        Ok(self.invite_list(mesh).await?.newest_first(mesh))
    }

    async fn withdraw_invite(&self, mesh: &MeshId, epoch: i64, id: &str) -> Result<Option<bool>> {
        self.drop_invite(mesh, epoch, id).await
    }

    async fn join(
        &self,
        mesh: &MeshId,
        user: &UserRow,
        code: Option<Digest>,
        now: Micros,
    ) -> Result<Joining> {
        self.let_in(mesh, user, code, now).await
    }

    async fn invite_by_code(&self, mesh: &MeshId, code: &Digest) -> Result<Option<InviteRow>> {
        if self.live_head(mesh).await?.is_none() {
            return Ok(None);
        }
        Ok(self.invite_list(mesh).await?.with_code(mesh, code))
    }

    async fn join_requests(&self, mesh: &MeshId) -> Result<Vec<RequestRow>> {
        self.open_requests(mesh).await
    }

    async fn decide_request(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        accept: bool,
        now: Micros,
    ) -> Result<Option<bool>> {
        self.decide(mesh, epoch, user, accept, now).await
    }
}
