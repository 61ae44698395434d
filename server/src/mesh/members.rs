//! Who may come into a mesh, who has to leave it, and who decides that.
//!
//! Whose role allows what is looked up in the roster, and the store does the act only under the epoch of
//! that roster: an admin who has just been removed or lowered decides nothing any more.

use std::sync::Arc;
use std::time::Duration;

use meshwire_protocol::limits::{
    DEFAULT_INVITE_HOURS, MAX_INVITE_HOURS, MAX_INVITE_USES, MAX_NAME,
};
use meshwire_protocol::{CreateInvite, ErrorCode, MeshId, Role, UserId};

use super::{ATTEMPTS, Meshes, changing, limit_reached, not_a_member};
use crate::clock::micros;
use crate::error::{ApiError, Result, shown};
use crate::planted;
use crate::secret;
use crate::store::{
    InviteRow, Invited, Joining, MemberRow, Micros, RequestRow, RoleChange, Roster, UserRow,
};

const ID_LENGTH: usize = 12;

/// What a new invite shall be.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// For whom, in lower case; `None`: whoever has the code.
    pub login: Option<String>,
    /// How long it lasts.
    pub lasts: Duration,
    /// How many people it lets in.
    pub max_uses: u32,
}

impl TryFrom<CreateInvite> for NewInvite {
    type Error = ApiError;

    fn try_from(request: CreateInvite) -> Result<Self> {
        let CreateInvite { login, expires_in_hours, max_uses } = request;
        if let Some(login) = &login {
            if max_uses.is_some() {
                return Err(ApiError::field(
                    "max_uses",
                    "goes without `login`: one person joins once",
                ));
            }
            // Wide enough for the logins of any GitHub, and for a label that has lost its login.
            let fits = (1..=MAX_NAME).contains(&login.len())
                && login
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~'));
            if !fits {
                return Err(ApiError::field("login", "is not a login: letters, digits and - only"));
            }
        }
        let hours = expires_in_hours.unwrap_or(DEFAULT_INVITE_HOURS);
        if !(1..=MAX_INVITE_HOURS).contains(&hours) {
            let range = format!("must be 1 to {MAX_INVITE_HOURS}");
            return Err(ApiError::field("expires_in_hours", range));
        }
        let max_uses = max_uses.unwrap_or(1);
        if !(1..=MAX_INVITE_USES).contains(&max_uses) {
            return Err(ApiError::field("max_uses", format!("must be 1 to {MAX_INVITE_USES}")));
        }
        Ok(Self {
            login: login.map(|login| login.to_lowercase()),
            lasts: Duration::from_hours(hours.into()),
            max_uses,
        })
    }
}

impl Meshes {
    /// The mesh and the membership of who acts, whose role must be at least this one.
    async fn acting(
        &self,
        mesh: &MeshId,
        by: &UserId,
        least: Role,
    ) -> Result<(Arc<Roster>, MemberRow)> {
        let roster =
            self.roster(mesh).await?.ok_or_else(|| ApiError::mesh_not_found(mesh.as_str()))?;
        let member = roster.member(by).ok_or_else(|| not_a_member(mesh))?.clone();
        check_role(&member, least)?;
        Ok((roster, member))
    }

    /// Gives a member another role, or hands the mesh over; the member as they are then.
    pub async fn set_role(
        &self,
        mesh: &MeshId,
        by: &UserId,
        login: &str,
        role: Role,
    ) -> Result<MemberRow> {
        let limit = self.shared.limits.meshes;
        for _ in 0..ATTEMPTS {
            let (roster, _) = self.acting(mesh, by, Role::Owner).await?;
            let member = find(&roster, login)?;
            if member.role == role {
                return Ok(member.clone());
            }
            if member.role == Role::Owner {
                return Err(owner_must_stay());
            }
            let store = &self.shared.store;
            match store.set_role(mesh, roster.epoch, &member.user, role, limit).await? {
                RoleChange::Done => return Ok(MemberRow { role, ..member.clone() }),
                RoleChange::LimitReached => {
                    let whose = format!("meshes of {}", shown(&member.login));
                    return Err(limit_reached(&whose, limit, "MESHWIRE_LIMIT_MESHES"));
                }
                RoleChange::EpochMoved => {}
            }
        }
        Err(changing())
    }

    /// Ends a member's access, tokens and agents at once. Anyone may leave, admins remove members, the owner
    /// anybody.
    pub async fn remove_member(&self, mesh: &MeshId, by: &UserId, login: &str) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (roster, acting) = self.acting(mesh, by, Role::Member).await?;
            let member = find(&roster, login)?;
            if member.user != acting.user {
                // Whom one may remove stands below oneself.
                check_role(&acting, Role::Admin)?;
                if member.role >= acting.role {
                    return Err(ApiError::new(
                        ErrorCode::Forbidden,
                        "An admin removes neither the owner nor another admin.",
                    )
                    .hint("The owner may remove anybody."));
                }
            }
            if member.role == Role::Owner {
                return Err(owner_must_stay());
            }
            let now = self.shared.clock.now();
            let store = &self.shared.store;
            let Some(removed) = store.remove_member(mesh, roster.epoch, &member.user, now).await?
            else {
                continue;
            };
            let state = self.shared.state(mesh);
            for agent in &removed.agents {
                state.presence.forget(agent);
            }
            state.tail.end(|waiter| {
                if planted::is("removed-stays-parked") {
                    return false;
                }
                removed.agents.contains(&waiter.agent) || removed.tokens.contains(&waiter.token)
            });
            return Ok(());
        }
        Err(changing())
    }

    /// Makes an invite; the code is given this once.
    pub async fn invite(
        &self,
        mesh: &MeshId,
        by: &UserId,
        new: &NewInvite,
    ) -> Result<(InviteRow, String)> {
        for _ in 0..ATTEMPTS {
            let (roster, _) = self.acting(mesh, by, Role::Admin).await?;
            if let Some(login) = &new.login
                && roster.member_by_login(login).is_some()
            {
                return Err(ApiError::field("login", format!("{login} is a member already")));
            }
            let now = self.shared.clock.now();
            let code = secret::one_time();
            let invite = InviteRow {
                id: secret::base62(ID_LENGTH),
                mesh: mesh.clone(),
                hash: secret::digest(&code),
                login: new.login.clone(),
                created_by: by.clone(),
                created_at: now,
                expires_at: now + micros(new.lasts),
                max_uses: new.max_uses,
                uses: 0,
            };
            let store = &self.shared.store;
            let limit = self.shared.limits.invites;
            match store.create_invite(invite.clone(), roster.epoch, limit).await? {
                Invited::Created => return Ok((invite, code)),
                Invited::LimitReached => {
                    return Err(limit_reached(
                        "invites to this mesh",
                        limit,
                        "MESHWIRE_LIMIT_INVITES",
                    ));
                }
                Invited::EpochMoved => {}
            }
        }
        Err(changing())
    }

    /// The invites of a mesh, newest first.
    pub async fn invites(&self, mesh: &MeshId) -> Result<Vec<InviteRow>> {
        Ok(self.shared.store.invites(mesh).await?)
    }

    /// Withdraws an invite.
    pub async fn withdraw_invite(&self, mesh: &MeshId, by: &UserId, id: &str) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (roster, _) = self.acting(mesh, by, Role::Admin).await?;
            match self.shared.store.withdraw_invite(mesh, roster.epoch, id).await? {
                Some(true) => return Ok(()),
                Some(false) => {
                    return Err(ApiError::new(
                        ErrorCode::InviteNotFound,
                        format!("There is no invite {} to this mesh.", shown(id)),
                    ));
                }
                None => {}
            }
        }
        Err(changing())
    }

    /// Lets a user in who is invited; else notes that they ask. `true`: they are a member.
    pub async fn join(&self, mesh: &MeshId, user: &UserRow, code: Option<&str>) -> Result<bool> {
        let now = self.shared.clock.now();
        let hash = code.map(secret::digest);
        match self.shared.store.join(mesh, user, hash, now).await? {
            Joining::Member | Joining::AlreadyMember => Ok(true),
            Joining::Requested => Ok(false),
            Joining::InviteNotFound => Err(ApiError::new(
                ErrorCode::InviteNotFound,
                "This is no invite to this mesh, or it was withdrawn, or it is for somebody else.",
            )
            .hint("Ask for a new one, or join without one: an admin then decides.")),
            Joining::InviteExpired => Err(ApiError::new(
                ErrorCode::InviteExpired,
                "This invite has run out or is used up.",
            )
            .hint("Ask for a new one, or join without one: an admin then decides.")),
            Joining::RefusedLately(until) => Err(refused_lately(until - now)),
            Joining::NoMesh => Err(ApiError::mesh_not_found(mesh.as_str())),
        }
    }

    /// Who asks to join, oldest first.
    pub async fn join_requests(&self, mesh: &MeshId) -> Result<Vec<RequestRow>> {
        Ok(self.shared.store.join_requests(mesh).await?)
    }

    /// Decides a request; the login of who asked.
    pub async fn decide(
        &self,
        mesh: &MeshId,
        by: &UserId,
        login: &str,
        accept: bool,
    ) -> Result<String> {
        let not_found = || {
            ApiError::new(
                ErrorCode::RequestNotFound,
                format!("{} does not ask to join this mesh, or it was decided.", shown(login)),
            )
        };
        for _ in 0..ATTEMPTS {
            let (roster, _) = self.acting(mesh, by, Role::Admin).await?;
            let requests = self.join_requests(mesh).await?;
            let request = requests
                .into_iter()
                .find(|request| request.login.eq_ignore_ascii_case(login))
                .ok_or_else(not_found)?;
            let now = self.shared.clock.now();
            let store = &self.shared.store;
            match store.decide_request(mesh, roster.epoch, &request.user, accept, now).await? {
                Some(true) => return Ok(request.login),
                Some(false) => return Err(not_found()),
                None => {}
            }
        }
        Err(changing())
    }
}

fn find<'r>(roster: &'r Roster, login: &str) -> Result<&'r MemberRow> {
    roster.member_by_login(login).ok_or_else(|| {
        ApiError::new(
            ErrorCode::MemberNotFound,
            format!("There is no member {} in this mesh.", shown(login)),
        )
        .hint("`meshwire mesh members` shows who is in it.")
    })
}

/// Checks what a member's role allows.
pub(crate) fn check_role(member: &MemberRow, least: Role) -> Result<()> {
    if member.role >= least {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::Forbidden,
        format!("This needs the role {}; yours is {}.", least.as_str(), member.role.as_str()),
    )
    .because(least.as_str()))
}

fn owner_must_stay() -> ApiError {
    ApiError::new(ErrorCode::OwnerMustStay, "A mesh is never without its owner.")
        .hint("Hand it over to another member first: `meshwire mesh role LOGIN owner`.")
}

fn refused_lately(wait: Micros) -> ApiError {
    // At least a second, and never before the time is over.
    let seconds = u64::try_from(wait / 1_000_000 + 1).unwrap_or(1);
    ApiError::new(ErrorCode::RateLimited, "An admin has refused your request; ask again tomorrow.")
        .hint("An invite lets you in at once.")
        .because("refused lately")
        .retry_after(seconds)
}
