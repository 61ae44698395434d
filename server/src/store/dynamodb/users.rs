//! Accounts: who somebody is, and what they are called.

use meshwire_protocol::{AgentKind, MeshId, UserId, person_name};
use serde::{Deserialize, Serialize};

use super::item::{decode, encode, fault, n, s, text};
use super::retry::Retry;
use super::roster::RosterChange;
use super::transaction::{THERE, Transacted, Transaction};
use super::unfinished::Unfinished;
use super::{DynamoStore, keys};
use crate::store::{Micros, NewUser, Result, UserRow};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UserItem {
    pub(super) id: UserId,
    pub(super) identity: String,
    pub(super) login: String,
    pub(super) name: String,
    pub(super) password: Option<String>,
    pub(super) created_at: Micros,
    /// Whether an invite made it: then nobody who runs the server stands for the login.
    pub(super) by_invite: bool,
    /// Raised by what ends all sessions.
    pub(super) sessions: i64,
}

/// Which user has an identity or a login.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) user: UserId,
}

impl UserItem {
    pub(super) fn row(&self) -> UserRow {
        UserRow {
            id: self.id.clone(),
            login: self.login.clone(),
            name: self.name.clone(),
            password: self.password.clone(),
        }
    }

    /// Has a transaction that copies the label go wrong when it has changed: a change finds all copies that
    /// were made before it.
    pub(super) fn still_labelled(&self, transaction: &mut Transaction) -> Result<()> {
        let values = [("login", s(&self.login)), ("name", s(&self.name))];
        transaction
            .check(&keys::user(&self.id), "#login = :login AND #name = :name", &values)
            .map(drop)
    }
}

pub(super) fn row_of(user: &NewUser) -> UserRow {
    UserRow {
        id: user.id.clone(),
        login: user.login.clone(),
        name: user.name.clone(),
        password: user.password.clone(),
    }
}

impl DynamoStore {
    pub(super) async fn find_user(&self, user: &UserId) -> Result<Option<UserItem>> {
        self.db.get(&keys::user(user)).await?.as_ref().map(decode).transpose()
    }

    /// A user who must be there.
    pub(super) async fn user_item(&self, user: &UserId) -> Result<UserItem> {
        self.find_user(user).await?.ok_or_else(|| fault(format!("there is no user {user}")))
    }

    async fn holder(&self, key: &keys::Key) -> Result<Option<UserItem>> {
        let Some(found) = self.db.get(key).await? else { return Ok(None) };
        let holder: Holder = decode(&found)?;
        self.find_user(&holder.user).await
    }

    pub(super) async fn user_with_login(&self, login: &str) -> Result<Option<UserItem>> {
        let mut retry = Retry::default();
        loop {
            let found = self.holder(&keys::login(login)).await?;
            match found {
                // It changes hands right now.
                Some(user) if user.login.to_lowercase() != login.to_lowercase() => {
                    retry.pause("a login changes hands").await?;
                }
                found => return Ok(found),
            }
        }
    }

    pub(super) async fn anyone(&self) -> Result<bool> {
        Ok(self.db.get(&keys::any_account()).await?.is_some())
    }

    /// Whether a local account may not have this login. One that somebody from GitHub has relabelled keeps
    /// the identity that it was made with.
    pub(super) async fn is_taken(&self, user: &NewUser) -> Result<bool> {
        let wanted = vec![keys::login(&user.login), keys::identity(&user.identity)];
        Ok(!self.db.get_many(wanted).await?.is_empty())
    }

    /// Makes an account, unless the login is another's or the identity has one.
    pub(super) async fn put_user(
        &self,
        transaction: &mut Transaction,
        user: &NewUser,
        by_invite: bool,
    ) -> Result<()> {
        let holder = Holder { user: user.id.clone() };
        transaction.put_new(encode(&keys::login(&user.login), &holder)?)?;
        self.put_user_with_login(transaction, user, by_invite).await
    }

    async fn put_user_with_login(
        &self,
        transaction: &mut Transaction,
        user: &NewUser,
        by_invite: bool,
    ) -> Result<()> {
        let holder = Holder { user: user.id.clone() };
        transaction.put_new(encode(&keys::identity(&user.identity), &holder)?)?;
        let item = UserItem {
            id: user.id.clone(),
            identity: user.identity.clone(),
            login: user.login.clone(),
            name: user.name.clone(),
            password: user.password.clone(),
            created_at: user.now,
            by_invite,
            sessions: 0,
        };
        transaction.put_new(encode(&keys::user(&user.id), &item)?)?;
        if !self.anyone().await? {
            transaction.put(keys::any_account().item())?;
        }
        Ok(())
    }

    pub(super) async fn come_from_github(&self, user: &NewUser) -> Result<UserRow> {
        let mut retry = Retry::default();
        loop {
            let known = self.holder(&keys::identity(&user.identity)).await?;
            if let Some(known) = &known
                && known.login == user.login
                && known.name == user.name
            {
                return Ok(known.row());
            }
            let mut transaction = self.db.transaction();
            let mut notes = Vec::new();
            let own = known.as_ref().map_or(&user.id, |known| &known.id);
            let login = keys::login(&user.login);
            let holder = self.holder(&login).await?.filter(|holder| holder.id != *own);
            let ours = encode(&login, &Holder { user: own.clone() })?;
            if let Some(holder) = &holder {
                // GitHub gives a login to another account when the first one lets go of it.
                let number =
                    holder.identity.strip_prefix("github:").unwrap_or_else(|| holder.id.as_str());
                let label = format!("{}~{number}", holder.login);
                transaction
                    .put_new(encode(&keys::login(&label), &Holder { user: holder.id.clone() })?)?;
                set_label(&mut transaction, holder, &label, &holder.name)?;
                let values = [("holder", s(holder.id.as_str()))];
                transaction.put_if(ours, Some("#user = :holder"), &values)?;
                notes.push(Unfinished::Label { user: holder.id.clone() });
            } else {
                let free = "attribute_not_exists(pk) OR #user = :own";
                transaction.put_if(ours, Some(free), &[("own", s(own.as_str()))])?;
            }
            let row = match &known {
                None => {
                    self.put_user_with_login(&mut transaction, user, false).await?;
                    row_of(user)
                }
                Some(known) => {
                    if keys::login(&known.login) != login {
                        let values = [("own", s(own.as_str()))];
                        let old = keys::login(&known.login);
                        transaction.delete_if(&old, Some("#user = :own"), &values)?;
                    }
                    set_label(&mut transaction, known, &user.login, &user.name)?;
                    notes.push(Unfinished::Label { user: known.id.clone() });
                    UserRow { login: user.login.clone(), name: user.name.clone(), ..known.row() }
                }
            };
            let notes = notes
                .into_iter()
                .map(|note| note.noted(&mut transaction))
                .collect::<Result<Vec<_>>>()?;
            match self.db.transact(transaction).await? {
                Transacted::Done => {
                    for note in notes {
                        self.finish_soon(&note).await;
                    }
                    return Ok(row);
                }
                Transacted::Refused(_) => retry.pause("a login changes hands").await?,
            }
        }
    }

    /// Brings the copies of a user's label up to date: in the rosters of their meshes, and in the names of
    /// the person's agents there.
    pub(super) async fn relabel(&self, user: &UserId) -> Result<()> {
        for item in self.db.beginning(keys::of_user(user), "mesh#").await? {
            let mesh = text(&item, "sk")?.trim_start_matches("mesh#");
            self.relabel_in(&mesh.parse().map_err(fault)?, user).await?;
        }
        Ok(())
    }

    async fn relabel_in(&self, mesh: &MeshId, user: &UserId) -> Result<()> {
        let mut retry = Retry::default();
        loop {
            let Some(roster) = self.snapshot(mesh).await? else { return Ok(()) };
            let Some(member) = roster.member(user) else { return Ok(()) };
            let now = self.user_item(user).await?;
            let mut change = RosterChange::new(self, mesh, &roster.head);
            if (&member.login, &member.name) != (&now.login, &now.name) {
                let mut row = member.clone();
                row.login.clone_from(&now.login);
                row.name.clone_from(&now.name);
                change.replace(&keys::member(mesh, user), &row, member.changed)?;
            }
            let name = person_name(&now.login);
            let persons = roster
                .agents()
                .filter(|agent| agent.user == *user && agent.kind == AgentKind::Human)
                .filter(|agent| agent.name != name);
            for agent in persons {
                let mut row = agent.clone();
                row.name.clone_from(&name);
                change.replace(&keys::agent(mesh, &agent.id), &row, agent.changed)?;
            }
            if change.len() == 1 {
                return Ok(());
            }
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => return Ok(()),
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }

    /// Gives a user another password and ends all sessions.
    pub(super) fn set_password(
        transaction: &mut Transaction,
        user: &UserId,
        password: &str,
    ) -> Result<()> {
        transaction
            .update(
                &keys::user(user),
                "SET #password = :password, #sessions = #sessions + :one",
                Some(THERE),
                &[("password", s(password)), ("one", n(1))],
            )
            .map(drop)
    }
}

fn set_label(
    transaction: &mut Transaction,
    user: &UserItem,
    login: &str,
    name: &str,
) -> Result<()> {
    transaction
        .update(
            &keys::user(&user.id),
            "SET #login = :login, #name = :name",
            Some("#login = :was AND #name = :was_name"),
            &[
                ("login", s(login)),
                ("name", s(name)),
                ("was", s(&user.login)),
                ("was_name", s(&user.name)),
            ],
        )
        .map(drop)
}
