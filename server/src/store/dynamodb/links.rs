//! Local accounts, and the one-time links that make them.

use meshwire_protocol::UserId;
use serde::{Deserialize, Serialize};

use super::item::{UNTIL, decode, encode_until, hex, number, s};
use super::retry::Retry;
use super::transaction::{NEW, THERE, Transacted, Transaction};
use super::users::row_of;
use super::{DynamoStore, keys};
use crate::store::{
    AccountLink, Digest, LinkPurpose, Linked, Micros, NewAccount, NewUser, Result, UserRow,
};

/// What a link is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Purpose {
    First,
    Add(String),
    Reset(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LinkItem {
    pub(super) purpose: Purpose,
}

/// Which link is the valid one for a purpose.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Valid {
    #[serde(with = "hex")]
    pub(super) link: Digest,
}

impl From<LinkPurpose> for Purpose {
    fn from(purpose: LinkPurpose) -> Self {
        match purpose {
            LinkPurpose::First => Self::First,
            LinkPurpose::Add(login) => Self::Add(login),
            LinkPurpose::Reset(login) => Self::Reset(login),
        }
    }
}

impl From<Purpose> for LinkPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::First => Self::First,
            Purpose::Add(login) => Self::Add(login),
            Purpose::Reset(login) => Self::Reset(login),
        }
    }
}

impl Purpose {
    pub(super) fn key(&self) -> keys::Key {
        match self {
            Self::First => keys::valid_link("first"),
            Self::Add(login) => keys::valid_link(&format!("add#{login}")),
            Self::Reset(login) => keys::valid_link(&format!("reset#{login}")),
        }
    }
}

/// Spends a link, which must still be the valid one.
fn spend(transaction: &mut Transaction, link: &Digest, purpose: &Purpose) -> Result<()> {
    let values = [("link", s(hex::hex_of(link)))];
    transaction.delete_if(&purpose.key(), Some("#link = :link"), &values)?;
    transaction.delete(&keys::link(link)).map(drop)
}

impl DynamoStore {
    pub(super) async fn put_link(&self, link: AccountLink) -> Result<Linked> {
        let AccountLink { hash, purpose, expires_at } = link;
        let purpose = Purpose::from(purpose);
        let mut transaction = self.db.transaction();
        let item = LinkItem { purpose: purpose.clone() };
        transaction.put(encode_until(&keys::link(&hash), &item, expires_at)?)?;
        transaction.put(encode_until(&purpose.key(), &Valid { link: hash }, expires_at)?)?;
        let refused = match &purpose {
            Purpose::First => Linked::Done,
            Purpose::Add(login) => {
                transaction.check(&keys::login(login), NEW, &[])?;
                Linked::LoginTaken
            }
            Purpose::Reset(login) => {
                transaction.check(&keys::login(login), THERE, &[])?;
                Linked::NoUser
            }
        };
        Ok(match self.db.transact(transaction).await? {
            Transacted::Done => Linked::Done,
            Transacted::Refused(_) => refused,
        })
    }

    pub(super) async fn find_link(
        &self,
        hash: &Digest,
        now: Micros,
    ) -> Result<Option<LinkPurpose>> {
        let Some(item) = self.db.get(&keys::link(hash)).await? else { return Ok(None) };
        if number(&item, UNTIL)? <= now {
            return Ok(None);
        }
        let LinkItem { purpose } = decode(&item)?;
        let valid = self.db.get(&purpose.key()).await?;
        let valid: Option<Valid> = valid.as_ref().map(decode).transpose()?;
        Ok(valid.filter(|valid| valid.link == *hash).map(|_| purpose.into()))
    }

    pub(super) async fn put_local_user(&self, user: &NewUser, link: &Digest) -> Result<NewAccount> {
        let mut retry = Retry::default();
        loop {
            let purpose = match self.find_link(link, user.now).await? {
                Some(LinkPurpose::First) => Purpose::First,
                Some(LinkPurpose::Add(login)) if login == user.login => Purpose::Add(login),
                _ => return Ok(NewAccount::CodeInvalid),
            };
            if self.is_taken(user).await? {
                return Ok(NewAccount::LoginTaken);
            }
            let mut transaction = self.db.transaction();
            spend(&mut transaction, link, &purpose)?;
            if !matches!(purpose, Purpose::First) {
                transaction.delete(&Purpose::First.key())?;
            }
            self.put_user(&mut transaction, user, false).await?;
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(NewAccount::Created(row_of(user))),
                Transacted::Refused(_) => retry.pause("a link is used at once").await?,
            }
        }
    }

    pub(super) async fn change_password(
        &self,
        link: &Digest,
        password: &str,
        now: Micros,
    ) -> Result<Option<UserRow>> {
        let mut retry = Retry::default();
        loop {
            let Some(LinkPurpose::Reset(login)) = self.find_link(link, now).await? else {
                return Ok(None);
            };
            let user = self.user_with_login(&login).await?;
            let mut transaction = self.db.transaction();
            spend(&mut transaction, link, &Purpose::Reset(login.clone()))?;
            if let Some(user) = &user {
                Self::set_password(&mut transaction, &user.id, password)?;
                // The login may go to somebody else meanwhile.
                transaction.check(
                    &keys::login(&login),
                    "#user = :user",
                    &[("user", s(UserId::as_str(&user.id)))],
                )?;
            }
            match self.db.transact(transaction).await? {
                Transacted::Done => {
                    let password = Some(password.to_owned());
                    return Ok(user.map(|user| UserRow { password, ..user.row() }));
                }
                Transacted::Refused(_) => retry.pause("a link is used at once").await?,
            }
        }
    }
}
