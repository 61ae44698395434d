//! Sign-in on computers without a browser. The links and invites of accounts are in `links` and `invites`.

use std::net::IpAddr;

use async_trait::async_trait;
use meshwire_protocol::{MeshId, UserId};
use serde::{Deserialize, Serialize};

use super::item::{decode, encode_until, hex, n};
use super::keys::Key;
use super::retry::Retry;
use super::transaction::{Transacted, Transaction};
use super::{DynamoStore, keys};
use crate::store::{
    AccountLink, DeviceCode, DevicePoll, DeviceRequest, Digest, LinkPurpose, Linked, Micros,
    NewAccount, NewMember, NewUser, Result, SignInStore, TokenRow, UserRow,
};

/// A device code is known for an hour more, so that its computer is told that it has run out.
pub(super) const KNOWN: Micros = 60 * 60 * 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Pending,
    Approved,
    Denied,
    Used,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeviceItem {
    pub(super) client: String,
    pub(super) token_name: String,
    pub(super) host: String,
    pub(super) address: Option<IpAddr>,
    pub(super) requested_at: Micros,
    pub(super) expires_at: Micros,
    pub(super) state: State,
    /// Who approved it.
    pub(super) user: Option<UserId>,
    pub(super) every: Micros,
    /// A poll before this is too early.
    pub(super) next_poll: Micros,
    /// Raised by every change.
    pub(super) version: i64,
}

/// Which device code a typed one stands for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Typed {
    #[serde(with = "hex")]
    pub(super) device: Digest,
}

impl DeviceItem {
    fn waits(&self, now: Micros) -> bool {
        self.state == State::Pending && self.expires_at > now
    }

    fn until(&self) -> Micros {
        self.expires_at.saturating_add(KNOWN)
    }

    /// Writes it, unless it was changed since it was read.
    fn write(mut self, transaction: &mut Transaction, key: &Key) -> Result<()> {
        let values = [("version", n(self.version))];
        self.version += 1;
        let until = self.until();
        let item = encode_until(key, &self, until)?;
        transaction.put_if(item, Some("#version = :version"), &values).map(drop)
    }
}

impl DynamoStore {
    async fn device(&self, key: &Key) -> Result<Option<DeviceItem>> {
        self.db.get(key).await?.as_ref().map(decode).transpose()
    }

    async fn typed(&self, user_code: &Digest) -> Result<Option<Key>> {
        let found = self.db.get(&keys::user_code(user_code)).await?;
        let typed: Option<Typed> = found.as_ref().map(decode).transpose()?;
        Ok(typed.map(|typed| keys::device(&typed.device)))
    }

    async fn keep_device(&self, code: DeviceCode) -> Result<bool> {
        let requested_at = code.request.requested_at;
        let item = DeviceItem {
            client: code.client,
            token_name: code.token_name,
            host: code.request.host,
            address: code.request.address,
            requested_at,
            expires_at: code.expires_at,
            state: State::Pending,
            user: None,
            every: code.every,
            next_poll: 0,
            version: 0,
        };
        let mut transaction = self.db.transaction();
        let until = item.until();
        let typed =
            encode_until(&keys::user_code(&code.user_code), &Typed { device: code.hash }, until)?;
        // One whose time is over may be used again: the engine deletes it when it likes.
        let free = "attribute_not_exists(pk) OR #until <= :now";
        transaction.put_if(typed, Some(free), &[("now", n(requested_at))])?;
        transaction.put(encode_until(&keys::device(&code.hash), &item, until)?)?;
        Ok(matches!(self.db.transact(transaction).await?, Transacted::Done))
    }

    async fn decide_on_device(
        &self,
        user_code: &Digest,
        user: Option<&UserId>,
        now: Micros,
    ) -> Result<bool> {
        let mut retry = Retry::default();
        loop {
            let Some(key) = self.typed(user_code).await? else { return Ok(false) };
            let device = self.device(&key).await?.filter(|device| device.waits(now));
            let Some(mut device) = device else { return Ok(false) };
            device.state = if user.is_some() { State::Approved } else { State::Denied };
            device.user = user.cloned();
            let mut transaction = self.db.transaction();
            device.write(&mut transaction, &key)?;
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(true),
                Transacted::Refused(_) => retry.pause("a code is decided at once").await?,
            }
        }
    }

    async fn poll_for_token(
        &self,
        hash: &Digest,
        client: Option<&str>,
        token: TokenRow,
        slower: Micros,
        limit: u32,
        now: Micros,
    ) -> Result<DevicePoll> {
        let key = keys::device(hash);
        let mut retry = Retry::default();
        loop {
            let Some(mut device) = self.device(&key).await? else {
                return Ok(DevicePoll::Unknown);
            };
            if client.is_some_and(|client| client != device.client) {
                return Ok(DevicePoll::Unknown);
            }
            let mut transaction = self.db.transaction();
            let mut issued = None;
            let answer = match device.state {
                State::Used => return Ok(DevicePoll::Unknown),
                State::Denied => return Ok(DevicePoll::Denied),
                _ if device.expires_at <= now => return Ok(DevicePoll::Expired),
                State::Pending => {
                    let too_soon = now < device.next_poll;
                    if too_soon {
                        device.every = device.every.saturating_add(slower);
                    }
                    device.next_poll = now.saturating_add(device.every);
                    if too_soon { DevicePoll::TooSoon } else { DevicePoll::Pending }
                }
                State::Approved => {
                    device.state = State::Used;
                    let Some(user) = device.user.clone() else {
                        return Err(super::item::fault("a device code approved by nobody"));
                    };
                    let login = self.user_item(&user).await?.login;
                    let token = TokenRow { user, name: device.token_name.clone(), ..token.clone() };
                    let place = (token.id.clone(), token.hash);
                    if self.put_free_token(&mut transaction, token, limit).await? {
                        issued = Some(place);
                        DevicePoll::Issued(login)
                    } else {
                        DevicePoll::LimitReached
                    }
                }
            };
            device.write(&mut transaction, &key)?;
            match self.db.transact(transaction).await? {
                Transacted::Done => {
                    if let Some((id, hash)) = issued {
                        self.tokens.put(id, hash);
                    }
                    return Ok(answer);
                }
                Transacted::Refused(_) => retry.pause("a code is polled at once").await?,
            }
        }
    }
}

#[async_trait]
impl SignInStore for DynamoStore {
    async fn put_account_link(&self, link: AccountLink) -> Result<Linked> {
        self.put_link(link).await
    }

    async fn account_link(&self, hash: &Digest, now: Micros) -> Result<Option<LinkPurpose>> {
        self.find_link(hash, now).await
    }

    async fn create_local_user(&self, user: NewUser, link: &Digest) -> Result<NewAccount> {
        self.put_local_user(&user, link).await
    }

    async fn create_member(
        &self,
        user: NewUser,
        mesh: &MeshId,
        code: &Digest,
    ) -> Result<NewMember> {
        self.put_member(&user, mesh, code).await
    }

    async fn reset_password(
        &self,
        link: &Digest,
        password: &str,
        now: Micros,
    ) -> Result<Option<UserRow>> {
        self.change_password(link, password, now).await
    }

    async fn put_device_code(&self, code: DeviceCode) -> Result<bool> {
        self.keep_device(code).await
    }

    async fn device_request(
        &self,
        user_code: &Digest,
        now: Micros,
    ) -> Result<Option<DeviceRequest>> {
        let Some(key) = self.typed(user_code).await? else { return Ok(None) };
        let waiting = self.device(&key).await?.filter(|device| device.waits(now));
        Ok(waiting.map(|DeviceItem { host, address, requested_at, .. }| DeviceRequest {
            host,
            address,
            requested_at,
        }))
    }

    async fn decide_device(
        &self,
        user_code: &Digest,
        user: Option<&UserId>,
        now: Micros,
    ) -> Result<bool> {
        self.decide_on_device(user_code, user, now).await
    }

    async fn poll_device(
        &self,
        hash: &Digest,
        client: Option<&str>,
        token: TokenRow,
        slower: Micros,
        limit: u32,
        now: Micros,
    ) -> Result<DevicePoll> {
        self.poll_for_token(hash, client, token, slower, limit, now).await
    }
}
