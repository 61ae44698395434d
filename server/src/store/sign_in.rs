//! What is needed for a moment on the way to an account or a token: one-time links of accounts, and
//! sign-in on computers without a browser.

use std::net::IpAddr;

use async_trait::async_trait;
use meshwire_protocol::{MeshId, UserId};

use super::{Digest, Micros, NewUser, Result, TokenRow, UserRow};

/// What a one-time link is for. Of each there is one valid link at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Makes the first account, whose login is chosen on the page.
    First,
    /// Makes the account with this login.
    Add(String),
    /// Gives the account with this login a new password.
    Reset(String),
}

/// A one-time link of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLink {
    /// SHA-256 of its code.
    pub hash: Digest,
    /// What it is for.
    pub purpose: LinkPurpose,
    /// When it runs out.
    pub expires_at: Micros,
}

/// What became of a new link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It is the valid one now.
    Done,
    /// There is an account with this login already.
    LoginTaken,
    /// There is no account with this login.
    NoUser,
}

/// What became of a new local account.
#[derive(Debug, Clone)]
pub enum NewAccount {
    /// The account, and the link is spent.
    Created(UserRow),
    /// The link is unknown, spent, expired, or for something else.
    CodeInvalid,
    /// The login is in use.
    LoginTaken,
}

/// What became of a new local account that an invite shall let in.
#[derive(Debug, Clone)]
pub enum NewMember {
    /// The account; it is a member, and a use of the invite is spent.
    Created(UserRow),
    /// The login is in use.
    LoginTaken,
    /// No invite of this mesh has this code, or it is for another login, or the mesh is gone.
    InviteNotFound,
    /// The invite has run out or is used up.
    InviteExpired,
}

/// A request to sign a computer in (RFC 8628 section 3.1).
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// SHA-256 of the code that the computer holds.
    pub hash: Digest,
    /// SHA-256 of the code that the person types.
    pub user_code: Digest,
    /// The `client_id` that asked.
    pub client: String,
    /// Name of the token to issue.
    pub token_name: String,
    /// What a person sees of it.
    pub request: DeviceRequest,
    /// Time between polls.
    pub every: Micros,
    /// When it runs out.
    pub expires_at: Micros,
}

/// What a person sees of a request before they decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The computer, as it named itself; may be empty.
    pub host: String,
    /// Where it came from, as far as that is known.
    pub address: Option<IpAddr>,
    /// When it came.
    pub requested_at: Micros,
}

/// What a poll of a computer brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevicePoll {
    /// The token is there; the code is spent. Holds the login of its user.
    Issued(String),
    /// Nobody has decided yet.
    Pending,
    /// The same, and it came before its time: the time between polls has grown.
    TooSoon,
    /// The person said no.
    Denied,
    /// The code has run out.
    Expired,
    /// Unknown, spent, or another client's.
    Unknown,
    /// The user has as many tokens as they may have; the code is spent.
    LimitReached,
}

/// One-time links of accounts, and device codes.
#[async_trait]
pub trait SignInStore: Send + Sync + 'static {
    /// Keeps a link; the one before for the same purpose ends. The login of [`LinkPurpose::Add`] must be
    /// free, that of [`LinkPurpose::Reset`] must have an account.
    async fn put_account_link(&self, link: AccountLink) -> Result<Linked>;

    /// What a link is for, while it is valid.
    async fn account_link(&self, hash: &Digest, now: Micros) -> Result<Option<LinkPurpose>>;

    /// Makes a local account against a link, in one act: one for the first account, or for this very login.
    /// With an account there, the link for the first one ends too.
    async fn create_local_user(&self, user: NewUser, link: &Digest) -> Result<NewAccount>;

    /// Makes a local account against an invite and lets it in, in one act that spends one use: as many
    /// accounts as uses, however many ask at once. An invite for a login makes that one alone.
    ///
    /// Such an account has chosen its login alone. Invites for that login that are older than it let it in
    /// with their code only, see [`super::MemberStore::join`].
    async fn create_member(&self, user: NewUser, mesh: &MeshId, code: &Digest)
    -> Result<NewMember>;

    /// Sets a password against a link and ends all sessions of the user, in one act. `None`: the link is not
    /// valid.
    async fn reset_password(
        &self,
        link: &Digest,
        password: &str,
        now: Micros,
    ) -> Result<Option<UserRow>>;

    /// Keeps a device code; `false` when the code that is typed is in use.
    async fn put_device_code(&self, code: DeviceCode) -> Result<bool>;

    /// The request behind a typed code, while it waits for its decision.
    async fn device_request(
        &self,
        user_code: &Digest,
        now: Micros,
    ) -> Result<Option<DeviceRequest>>;

    /// Decides a request that waits for it: for this user, or `None` for no. `false`: there is none.
    async fn decide_device(
        &self,
        user_code: &Digest,
        user: Option<&UserId>,
        now: Micros,
    ) -> Result<bool>;

    /// A computer asks what has become of its request: one act that keeps to the time between polls, and
    /// exchanges an approved code for `token`, whose user and name are taken from the request. A code works
    /// once. `slower` is by how much the time between polls grows when one comes too soon. A `client` that
    /// is given must be the one that asked.
    async fn poll_device(
        &self,
        hash: &Digest,
        client: Option<&str>,
        token: TokenRow,
        slower: Micros,
        limit: u32,
        now: Micros,
    ) -> Result<DevicePoll>;
}
