//! How people come into a mesh: invites, and requests.
//!
//! All invites of a mesh are one item with a version, so that their limit and their uses are exact however
//! many come at once.

use meshwire_protocol::limits::REFUSAL_WINDOW;
use meshwire_protocol::{MeshId, UserId};
use serde::{Deserialize, Serialize};

use super::append::HeadRow;
use super::item::{EXPIRES, UNTIL, decode, encode, encode_until, hex, n, seconds, text};
use super::retry::Retry;
use super::roster::{HEAD, MetaItem, RosterChange};
use super::transaction::{NEW, Transacted, Transaction};
use super::{DynamoStore, keys};
use crate::clock::micros;
use crate::store::{
    Digest, InviteRow, Invited, Joining, Micros, NewMember, NewUser, RequestRow, Result, UserRow,
};

/// One that has run out is known for 30 days more, so that its holder is told what is wrong.
const KNOWN: Micros = 30 * 24 * 60 * 60 * 1_000_000;
/// An item has 400 KB, an invite less than 400 bytes of it.
const MOST: usize = 900;

/// An invite among those of its mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Invite {
    pub(super) id: String,
    #[serde(with = "hex")]
    pub(super) hash: Digest,
    pub(super) login: Option<String>,
    pub(super) created_by: UserId,
    pub(super) created_at: Micros,
    pub(super) expires_at: Micros,
    pub(super) max_uses: u32,
    pub(super) uses: u32,
}

/// The invites of a mesh.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Invites {
    /// 0: there is no item yet.
    pub(super) version: i64,
    pub(super) list: Vec<Invite>,
}

impl Invite {
    fn row(self, mesh: &MeshId) -> InviteRow {
        InviteRow {
            id: self.id,
            mesh: mesh.clone(),
            hash: self.hash,
            login: self.login,
            created_by: self.created_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            max_uses: self.max_uses,
            uses: self.uses,
        }
    }

    fn usable(&self, now: Micros) -> bool {
        self.expires_at > now && self.uses < self.max_uses
    }
}

/// What a code is worth to somebody.
pub(super) enum Usable {
    /// It lets them in: the place of the invite.
    Yes(usize),
    NotFound,
    Expired,
}

impl Invites {
    pub(super) fn keep(&mut self, keep: impl FnMut(&Invite) -> bool) {
        self.list.retain(keep);
    }

    pub(super) fn newest_first(self, mesh: &MeshId) -> Vec<InviteRow> {
        let mut rows: Vec<_> = self.list.into_iter().map(|invite| invite.row(mesh)).collect();
        rows.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        rows
    }

    pub(super) fn with_code(self, mesh: &MeshId, code: &Digest) -> Option<InviteRow> {
        self.list.into_iter().find(|invite| invite.hash == *code).map(|invite| invite.row(mesh))
    }

    /// Whether the invite with this code lets in whoever has this login, in lower case.
    fn for_code(&self, code: &Digest, login: &str, now: Micros) -> Usable {
        let found = self.list.iter().position(|invite| {
            invite.hash == *code && invite.login.as_ref().is_none_or(|bound| bound == login)
        });
        match found {
            None => Usable::NotFound,
            Some(place) if self.list[place].usable(now) => Usable::Yes(place),
            Some(_) => Usable::Expired,
        }
    }

    /// The oldest one that waits for this login and is newer than `newer_than`.
    fn for_login(&self, login: &str, now: Micros, newer_than: Option<Micros>) -> Option<usize> {
        let waits = |invite: &Invite| {
            invite.login.as_deref() == Some(login)
                && invite.usable(now)
                && newer_than.is_none_or(|account| account < invite.created_at)
        };
        let waiting = self.list.iter().enumerate().filter(|(_, invite)| waits(invite));
        waiting.min_by_key(|(_, invite)| invite.created_at).map(|(place, _)| place)
    }

    /// Writes them, unless they were changed since they were read.
    pub(super) fn write(mut self, transaction: &mut Transaction, mesh: &MeshId) -> Result<usize> {
        let version = self.version;
        let key = keys::invite_list(mesh);
        let until = self.list.iter().map(|invite| invite.expires_at.saturating_add(KNOWN)).max();
        self.version += 1;
        // Without invites it stays for its version, which goes with the mesh.
        let item = match until {
            Some(until) => encode_until(&key, &self, until)?,
            None => encode(&key, &self)?,
        };
        if version == 0 {
            return transaction.put_new(item);
        }
        let values = [("version", n(version))];
        transaction.put_if(item, Some("#version = :version"), &values)
    }
}

/// Somebody who asks to join, or who was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RequestItem {
    pub(super) user: UserId,
    pub(super) requested_at: Micros,
    pub(super) refused_at: Option<Micros>,
}

const LIVE_EPOCH: &str = "#epoch = :epoch AND attribute_not_exists(#deleted_at)";
const LIVE: &str = "attribute_exists(pk) AND attribute_not_exists(#deleted_at)";

impl DynamoStore {
    pub(super) async fn invite_list(&self, mesh: &MeshId) -> Result<Invites> {
        let found = self.db.get(&keys::invite_list(mesh)).await?;
        Ok(found.as_ref().map(decode).transpose()?.unwrap_or_default())
    }

    async fn head_of_epoch(&self, mesh: &MeshId, epoch: i64) -> Result<Option<HeadRow>> {
        Ok(self.live_head(mesh).await?.filter(|head| head.epoch == epoch))
    }

    pub(super) async fn put_invite(
        &self,
        invite: InviteRow,
        epoch: i64,
        limit: u32,
    ) -> Result<Invited> {
        let InviteRow { id, mesh, hash, login, created_by, created_at, expires_at, .. } = invite;
        let (max_uses, uses) = (invite.max_uses, invite.uses);
        let new = Invite { id, hash, login, created_by, created_at, expires_at, max_uses, uses };
        let mut retry = Retry::default();
        loop {
            if self.head_of_epoch(&mesh, epoch).await?.is_none() {
                return Ok(Invited::EpochMoved);
            }
            let mut invites = self.invite_list(&mesh).await?;
            invites.keep(|invite| invite.expires_at.saturating_add(KNOWN) > created_at);
            let open = invites.list.iter().filter(|invite| invite.expires_at > created_at).count();
            if limit > 0 && open >= usize::try_from(limit).unwrap_or(usize::MAX) {
                return Ok(Invited::LimitReached);
            }
            if invites.list.len() >= MOST {
                // Those that have run out make room.
                invites.keep(|invite| invite.expires_at > created_at);
                if invites.list.len() >= MOST {
                    return Ok(Invited::LimitReached);
                }
            }
            invites.list.push(new.clone());
            let mut transaction = self.db.transaction();
            transaction.check(&keys::head(&mesh), LIVE_EPOCH, &[("epoch", n(epoch))])?;
            invites.write(&mut transaction, &mesh)?;
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(Invited::Created),
                Transacted::Refused(_) => retry.pause("invites are changing fast").await?,
            }
        }
    }

    pub(super) async fn drop_invite(
        &self,
        mesh: &MeshId,
        epoch: i64,
        id: &str,
    ) -> Result<Option<bool>> {
        let mut retry = Retry::default();
        loop {
            if self.head_of_epoch(mesh, epoch).await?.is_none() {
                return Ok(None);
            }
            let mut invites = self.invite_list(mesh).await?;
            let before = invites.list.len();
            invites.keep(|invite| invite.id != id);
            if invites.list.len() == before {
                return Ok(Some(false));
            }
            let mut transaction = self.db.transaction();
            transaction.check(&keys::head(mesh), LIVE_EPOCH, &[("epoch", n(epoch))])?;
            invites.write(&mut transaction, mesh)?;
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(Some(true)),
                Transacted::Refused(_) => retry.pause("invites are changing fast").await?,
            }
        }
    }

    async fn mesh_created_at(&self, mesh: &MeshId) -> Result<Micros> {
        let found = self.db.get(&keys::meta(mesh)).await?;
        let meta: Option<MetaItem> = found.as_ref().map(decode).transpose()?;
        // Just deleted: then what is about to be written is refused.
        Ok(meta.map_or(0, |meta| meta.created_at))
    }

    pub(super) async fn let_in(
        &self,
        mesh: &MeshId,
        user: &UserRow,
        code: Option<Digest>,
        now: Micros,
    ) -> Result<Joining> {
        let login = user.login.to_lowercase();
        let mut retry = Retry::default();
        loop {
            let Some(head) = self.live_head(mesh).await? else { return Ok(Joining::NoMesh) };
            if self.db.get(&keys::member(mesh, &user.id)).await?.is_some() {
                return Ok(Joining::AlreadyMember);
            }
            let account = self.user_item(&user.id).await?;
            let mut invites = self.invite_list(mesh).await?;
            let place = if let Some(code) = &code {
                match invites.for_code(code, &login, now) {
                    Usable::Yes(place) => Some(place),
                    Usable::NotFound => return Ok(Joining::InviteNotFound),
                    Usable::Expired => return Ok(Joining::InviteExpired),
                }
            } else {
                let newer_than = account.by_invite.then_some(account.created_at);
                invites.for_login(&login, now, newer_than)
            };
            let Some(place) = place else {
                if let Some(answer) = self.ask(mesh, &user.id, now).await? {
                    return Ok(answer);
                }
                retry.pause("a mesh is changing fast").await?;
                continue;
            };
            invites.list[place].uses += 1;
            let mut change = RosterChange::new(self, mesh, &head);
            let created_at = self.mesh_created_at(mesh).await?;
            Self::admit(&mut change, mesh, created_at, &account.row(), now)?;
            account.still_labelled(change.with())?;
            invites.write(change.with(), mesh)?;
            change.with().delete(&keys::request(mesh, &user.id))?;
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => return Ok(Joining::Member),
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }

    /// Notes that a user asks to join: once, however often they do. `None`: something has changed meanwhile.
    async fn ask(&self, mesh: &MeshId, user: &UserId, now: Micros) -> Result<Option<Joining>> {
        let key = keys::request(mesh, user);
        let found = self.db.get(&key).await?;
        let found: Option<RequestItem> = found.as_ref().map(decode).transpose()?;
        let refused = found.as_ref().and_then(|request| request.refused_at);
        if let Some(until) = refused.map(|at| at + micros(REFUSAL_WINDOW))
            && until > now
        {
            return Ok(Some(Joining::RefusedLately(until)));
        }
        if found.is_some() && refused.is_none() {
            return Ok(Some(Joining::Requested));
        }
        let request = RequestItem { user: user.clone(), requested_at: now, refused_at: None };
        let mut transaction = self.db.transaction();
        transaction.check(&keys::head(mesh), LIVE, &[])?;
        transaction.check(&keys::member(mesh, user), NEW, &[])?;
        let item = encode(&key, &request)?;
        match refused {
            Some(at) => {
                let same = "attribute_not_exists(pk) OR #refused_at = :at";
                transaction.put_if(item, Some(same), &[("at", n(at))])?
            }
            None => transaction.put_new(item)?,
        };
        Ok(match self.db.transact(transaction).await? {
            Transacted::Done => Some(Joining::Requested),
            Transacted::Refused(_) => None,
        })
    }

    pub(super) async fn open_requests(&self, mesh: &MeshId) -> Result<Vec<RequestRow>> {
        let mut open: Vec<RequestItem> = Vec::new();
        for item in self.db.beginning(keys::invites(mesh), "request#").await? {
            let request: RequestItem = decode(&item)?;
            if request.refused_at.is_none() {
                open.push(request);
            }
        }
        let users = open.iter().map(|request| keys::user(&request.user)).collect();
        let users = self.db.get_many(users).await?;
        let mut rows = Vec::with_capacity(open.len());
        for request in open {
            let Some(user) = users.get(&keys::user(&request.user)) else { continue };
            rows.push(RequestRow {
                user: request.user,
                login: text(user, "login")?.to_owned(),
                name: text(user, "name")?.to_owned(),
                requested_at: request.requested_at,
            });
        }
        rows.sort_by_cached_key(|row| (row.requested_at, row.login.to_lowercase()));
        Ok(rows)
    }

    pub(super) async fn decide(
        &self,
        mesh: &MeshId,
        epoch: i64,
        user: &UserId,
        accept: bool,
        now: Micros,
    ) -> Result<Option<bool>> {
        const OPEN: &str = "attribute_exists(pk) AND attribute_not_exists(#refused_at)";
        let key = keys::request(mesh, user);
        let mut retry = Retry::default();
        loop {
            let Some(head) = self.head_of_epoch(mesh, epoch).await? else { return Ok(None) };
            let found = self.db.get(&key).await?;
            let request: Option<RequestItem> = found.as_ref().map(decode).transpose()?;
            if request.is_none_or(|request| request.refused_at.is_some()) {
                return Ok(Some(false));
            }
            let transaction = if accept {
                let account = self.user_item(user).await?;
                let mut change = RosterChange::new(self, mesh, &head);
                let created_at = self.mesh_created_at(mesh).await?;
                Self::admit(&mut change, mesh, created_at, &account.row(), now)?;
                account.still_labelled(change.with())?;
                change.with().delete_if(&key, Some(OPEN), &[])?;
                change.finish()?
            } else {
                let mut transaction = self.db.transaction();
                transaction.check(&keys::head(mesh), LIVE_EPOCH, &[("epoch", n(epoch))])?;
                let until = now.saturating_add(micros(REFUSAL_WINDOW));
                transaction.update(
                    &key,
                    &format!("SET #refused_at = :at, #{UNTIL} = :until, #{EXPIRES} = :expires"),
                    Some(OPEN),
                    &[("at", n(now)), ("until", n(until)), ("expires", n(seconds(until)))],
                )?;
                transaction
            };
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(Some(true)),
                Transacted::Refused(refusal) if refusal.failed(HEAD) => return Ok(None),
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }

    /// Makes a local account against an invite and lets it in.
    pub(super) async fn put_member(
        &self,
        user: &NewUser,
        mesh: &MeshId,
        code: &Digest,
    ) -> Result<NewMember> {
        let login = user.login.to_lowercase();
        let mut retry = Retry::default();
        loop {
            let Some(head) = self.live_head(mesh).await? else {
                return Ok(NewMember::InviteNotFound);
            };
            let mut invites = self.invite_list(mesh).await?;
            let place = match invites.for_code(code, &login, user.now) {
                Usable::Yes(place) => place,
                Usable::NotFound => return Ok(NewMember::InviteNotFound),
                Usable::Expired => return Ok(NewMember::InviteExpired),
            };
            if self.is_taken(user).await? {
                return Ok(NewMember::LoginTaken);
            }
            invites.list[place].uses += 1;
            let row = super::users::row_of(user);
            let mut change = RosterChange::new(self, mesh, &head);
            let created_at = self.mesh_created_at(mesh).await?;
            Self::admit(&mut change, mesh, created_at, &row, user.now)?;
            invites.write(change.with(), mesh)?;
            self.put_user(change.with(), user, true).await?;
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => return Ok(NewMember::Created(row)),
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }
}
