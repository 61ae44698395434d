//! The codes that end a browser sign-in for the command line.

use meshwire_protocol::{TokenId, UserId};
use serde::{Deserialize, Serialize};

use super::item::{decode, encode, encode_until, hex, s};
use super::retry::Retry;
use super::transaction::Transacted;
use super::{DynamoStore, keys};
use crate::store::{CliCode, Digest, Exchange, Micros, Result, TokenRow};

/// A spent code is known for a day more, so that its second use is recognised.
pub(super) const KNOWN: Micros = 24 * 60 * 60 * 1_000_000;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CodeItem {
    pub(super) user: UserId,
    pub(super) challenge: String,
    pub(super) token_name: String,
    pub(super) expires_at: Micros,
    /// Since it was used, whatever came of it.
    pub(super) used: Option<bool>,
    /// What it got.
    pub(super) token: Option<Issued>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Issued {
    pub(super) id: TokenId,
    #[serde(with = "hex")]
    pub(super) hash: Digest,
}

impl DynamoStore {
    pub(super) async fn keep_cli_code(&self, code: CliCode) -> Result<()> {
        let key = keys::code(&code.hash);
        let until = code.expires_at.saturating_add(KNOWN);
        let CliCode { user, challenge, token_name, expires_at, .. } = code;
        let item = CodeItem { user, challenge, token_name, expires_at, used: None, token: None };
        self.db.put(encode_until(&key, &item, until)?).await
    }

    pub(super) async fn exchange_code(
        &self,
        hash: &Digest,
        challenge: &str,
        token: TokenRow,
        limit: u32,
        now: Micros,
    ) -> Result<Exchange> {
        let key = keys::code(hash);
        let mut retry = Retry::default();
        loop {
            let Some(item) = self.db.get(&key).await? else { return Ok(Exchange::Unknown) };
            let mut code: CodeItem = decode(&item)?;
            if code.used.is_some() {
                if let Some(issued) = &code.token {
                    self.end_token_at(&issued.hash, now, |_| true).await?;
                }
                return Ok(Exchange::Reused(code.token.map(|issued| issued.id)));
            }
            if code.expires_at <= now {
                return Ok(Exchange::Unknown);
            }
            let mut transaction = self.db.transaction();
            let outcome = if code.challenge == challenge {
                let token = TokenRow {
                    user: code.user.clone(),
                    name: code.token_name.clone(),
                    ..token.clone()
                };
                let issued = Issued { id: token.id.clone(), hash: token.hash };
                let login = self.user_item(&code.user).await?.login;
                if self.put_free_token(&mut transaction, token, limit).await? {
                    code.token = Some(issued);
                    Exchange::Issued(login)
                } else {
                    Exchange::LimitReached
                }
            } else {
                Exchange::WrongVerifier
            };
            code.used = Some(true);
            let mut spent = encode(&key, &code)?;
            for name in [super::item::UNTIL, super::item::EXPIRES] {
                spent.extend(item.get(name).map(|value| (name.to_owned(), value.clone())));
            }
            let unused = "#challenge = :challenge AND attribute_not_exists(#used)";
            transaction.put_if(spent, Some(unused), &[("challenge", s(&code.challenge))])?;
            match self.db.transact(transaction).await? {
                Transacted::Done => {
                    if let Some(issued) = code.token {
                        self.tokens.put(issued.id, issued.hash);
                    }
                    return Ok(outcome);
                }
                Transacted::Refused(_) => retry.pause("a code is used at once").await?,
            }
        }
    }
}
