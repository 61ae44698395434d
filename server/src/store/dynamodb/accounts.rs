//! Users, sessions, tokens, and codes of browser sign-ins: what is asked for, and where it is answered.

use async_trait::async_trait;
use meshwire_protocol::{TokenId, UserId};

use super::DynamoStore;
use crate::store::{
    AccountStore, Bearer, CliCode, Digest, Exchange, Micros, NewUser, Result, SessionRow,
    TokenMade, TokenRow, UserRow,
};

#[async_trait]
impl AccountStore for DynamoStore {
    async fn sign_in_github(&self, user: NewUser) -> Result<UserRow> {
        self.come_from_github(&user).await
    }

    async fn user_by_login(&self, login: &str) -> Result<Option<UserRow>> {
        Ok(self.user_with_login(login).await?.map(|user| user.row()))
    }

    async fn any_user(&self) -> Result<bool> {
        self.anyone().await
    }

    async fn create_session(&self, session: SessionRow) -> Result<()> {
        self.begin_session(session).await
    }

    async fn session(&self, hash: &Digest, now: Micros) -> Result<Option<(SessionRow, UserRow)>> {
        self.find_session(hash, now).await
    }

    async fn sessions(&self, user: &UserId, now: Micros) -> Result<Vec<SessionRow>> {
        self.live_sessions(user, now).await
    }

    async fn end_session(&self, user: &UserId, id: &str) -> Result<bool> {
        self.stop_session(user, id).await
    }

    async fn create_token(&self, token: TokenRow, limit: u32) -> Result<TokenMade> {
        self.make_token(&token, limit).await
    }

    async fn token(&self, hash: &Digest) -> Result<Option<Bearer>> {
        self.find_token(hash).await
    }

    async fn tokens(&self, user: &UserId, now: Micros) -> Result<Vec<TokenRow>> {
        self.live_tokens(user, now).await
    }

    async fn revoke_token(&self, user: &UserId, id: &TokenId, now: Micros) -> Result<bool> {
        self.end_token(user, id, now).await
    }

    async fn note_used(&self, used: &[(TokenId, Micros)]) -> Result<()> {
        self.merge_used(used).await
    }

    async fn put_cli_code(&self, code: CliCode) -> Result<()> {
        self.keep_cli_code(code).await
    }

    async fn exchange_cli_code(
        &self,
        hash: &Digest,
        challenge: &str,
        token: TokenRow,
        limit: u32,
        now: Micros,
    ) -> Result<Exchange> {
        self.exchange_code(hash, challenge, token, limit, now).await
    }
}
