//! Tokens.
//!
//! A token lies under the hash of its secret; its user has its public id, and one item with all that live,
//! so that their limit is exact however many are made at once. One that is bound to a mesh, a member or an
//! agent is good for nothing as soon as that is gone: it is looked at whenever the token is, and noted in the
//! token itself right after.

use std::collections::{BTreeMap, HashMap};

use meshwire_protocol::{AgentId, MeshId, Scope, TokenId, UserId};
use serde::{Deserialize, Serialize};

use super::append::HeadRow;
use super::item::{EXPIRES, Item, Place, UNTIL, decode, encode, encode_until, hex, n, s, seconds};
use super::keys::{self, Key};
use super::retry::Retry;
use super::roster::{AgentItem, MemberItem};
use super::transaction::{NEW, THERE, Transacted, Transaction};
use super::{DynamoStore, db::Range};
use crate::store::{Bearer, Digest, Ended, Micros, Result, TokenMade, TokenRow};

/// A token is known for 30 days after its end, so that its holder is told what is wrong.
pub(super) const KNOWN: Micros = 30 * 24 * 60 * 60 * 1_000_000;
/// Tokens of a user that are revoked in one transaction.
const AT_ONCE: usize = 30;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TokenItem {
    #[serde(with = "hex")]
    pub(super) hash: Digest,
    pub(super) id: TokenId,
    pub(super) suffix: String,
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
    pub(super) mesh: Option<MeshId>,
    pub(super) agent: Option<AgentId>,
    pub(super) created_at: Micros,
    pub(super) last_used_at: Option<Micros>,
    pub(super) expires_at: Option<Micros>,
    pub(super) revoked_at: Option<Micros>,
    /// Of a bound one: the `since` of the membership that it rests on.
    pub(super) since: Option<i64>,
}

/// A token among those that are bound to a mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BoundItem {
    #[serde(with = "hex")]
    pub(super) hash: Digest,
    pub(super) user: UserId,
    pub(super) since: i64,
}

/// The tokens of a user that live: when each runs out, 0 when never.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LiveTokens {
    /// 0: there is no item yet.
    pub(super) version: i64,
    pub(super) live: BTreeMap<TokenId, Micros>,
}

impl TokenItem {
    fn new(row: TokenRow, since: Option<i64>) -> Self {
        Self {
            hash: row.hash,
            id: row.id,
            suffix: row.suffix,
            user: row.user,
            name: row.name,
            scopes: row.scopes,
            mesh: row.mesh,
            agent: row.agent,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            since,
        }
    }

    fn row(self) -> TokenRow {
        TokenRow {
            hash: self.hash,
            id: self.id,
            suffix: self.suffix,
            user: self.user,
            name: self.name,
            scopes: self.scopes,
            mesh: self.mesh,
            agent: self.agent,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        }
    }

    fn is_live(&self, now: Micros) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }

    pub(super) fn bound_key(&self) -> Option<Key> {
        let mesh = self.mesh.as_ref()?;
        Some(keys::bound_token(mesh, &self.user, self.agent.as_ref(), &self.id))
    }

    /// What it rests on.
    fn grounds(&self) -> Vec<Key> {
        let Some(mesh) = &self.mesh else { return Vec::new() };
        let mut grounds = vec![keys::head(mesh), keys::member(mesh, &self.user)];
        grounds.extend(self.agent.as_ref().map(|agent| keys::agent(mesh, agent)));
        grounds
    }
}

/// An item that is deleted some time after the end of its token, if that has one.
fn encode_to_end(key: &Key, row: &impl Serialize, end: Option<Micros>) -> Result<Item> {
    match end {
        Some(end) => encode_until(key, row, end.saturating_add(KNOWN)),
        None => encode(key, row),
    }
}

/// What a bound token rests on, as it is now.
struct Grounds {
    mesh: bool,
    deleted_at: Option<Micros>,
    since: Option<i64>,
    agent: bool,
}

impl Grounds {
    fn of(token: &TokenItem, found: &HashMap<Key, Item>) -> Result<Self> {
        let Some(mesh) = &token.mesh else {
            return Ok(Self { mesh: true, deleted_at: None, since: None, agent: true });
        };
        let head: Option<HeadRow> = found.get(&keys::head(mesh)).map(decode).transpose()?;
        let member = found.get(&keys::member(mesh, &token.user));
        let member: Option<MemberItem> = member.map(decode).transpose()?;
        let since = member.map(|member| member.since);
        let agent = match &token.agent {
            None => true,
            Some(agent) => {
                let agent = found.get(&keys::agent(mesh, agent));
                let agent: Option<AgentItem> = agent.map(decode).transpose()?;
                agent.is_some_and(|agent| agent.user == token.user && Some(agent.since) == since)
            }
        };
        let deleted_at = head.as_ref().and_then(|head| head.deleted_at);
        let mesh = head.is_some() && deleted_at.is_none();
        Ok(Self { mesh, deleted_at, since, agent })
    }
}

impl DynamoStore {
    pub(super) async fn make_token(&self, token: &TokenRow, limit: u32) -> Result<TokenMade> {
        let mut retry = Retry::default();
        loop {
            let place = keys::user_token(&token.user, &token.id);
            if self.db.get(&place).await?.is_some() {
                return Ok(TokenMade::Exists);
            }
            let mut item = TokenItem::new(token.clone(), None);
            let found = self.db.get_many(item.grounds()).await?;
            let grounds = Grounds::of(&item, &found)?;
            if !grounds.mesh {
                return Ok(TokenMade::NoMesh);
            }
            if token.mesh.is_some() && grounds.since.is_none() {
                return Ok(TokenMade::NotMember);
            }
            if !grounds.agent {
                return Ok(TokenMade::NoAgent);
            }
            item.since = grounds.since;
            let mut transaction = self.db.transaction();
            if !self.put_token(&mut transaction, &item, limit).await? {
                return Ok(TokenMade::LimitReached);
            }
            match self.db.transact(transaction).await? {
                Transacted::Done => {
                    self.tokens.put(token.id.clone(), token.hash);
                    return Ok(TokenMade::Created);
                }
                Transacted::Refused(_) => retry.pause("tokens are changing fast").await?,
            }
        }
    }

    /// The same within another act, for a token that is bound to nothing; `false`: it is one too many.
    pub(super) async fn put_free_token(
        &self,
        transaction: &mut Transaction,
        token: TokenRow,
        limit: u32,
    ) -> Result<bool> {
        self.put_token(transaction, &TokenItem::new(token, None), limit).await
    }

    async fn put_token(
        &self,
        transaction: &mut Transaction,
        token: &TokenItem,
        limit: u32,
    ) -> Result<bool> {
        let key = keys::live_tokens(&token.user);
        let found = self.db.get(&key).await?;
        let mut tokens: LiveTokens = found.as_ref().map(decode).transpose()?.unwrap_or_default();
        tokens.live.retain(|_, end| *end == 0 || *end > token.created_at);
        if limit > 0 && tokens.live.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(false);
        }
        tokens.live.insert(token.id.clone(), token.expires_at.unwrap_or(0));
        let version = tokens.version;
        tokens.version += 1;
        let same = if version == 0 { NEW } else { "#version = :version" };
        let values = [("version", n(version))];
        let values: &[_] = if version == 0 { &[] } else { &values };
        transaction.put_if(encode(&key, &tokens)?, Some(same), values)?;

        let end = token.expires_at;
        transaction.put_new(encode_to_end(&keys::token(&token.hash), token, end)?)?;
        let place = Place { hash: token.hash };
        let key = keys::user_token(&token.user, &token.id);
        transaction.put_new(encode_to_end(&key, &place, end)?)?;
        if let Some(mesh) = &token.mesh
            && let Some(key) = token.bound_key()
        {
            let since = token.since.unwrap_or(0);
            let bound = BoundItem { hash: token.hash, user: token.user.clone(), since };
            transaction.put_new(encode_to_end(&key, &bound, end)?)?;
            let values = [("since", n(since))];
            let live = "attribute_exists(pk) AND attribute_not_exists(#deleted_at)";
            transaction.check(&keys::head(mesh), live, &[])?;
            transaction.check(&keys::member(mesh, &token.user), "#since = :since", &values)?;
            if let Some(agent) = &token.agent {
                let values = [("since", n(since)), ("user", s(token.user.as_str()))];
                let same = "#since = :since AND #user = :user";
                transaction.check(&keys::agent(mesh, agent), same, &values)?;
            }
        }
        Ok(true)
    }

    async fn token_item(&self, hash: &Digest) -> Result<Option<TokenItem>> {
        self.db.get(&keys::token(hash)).await?.as_ref().map(decode).transpose()
    }

    pub(super) async fn find_token(&self, hash: &Digest) -> Result<Option<Bearer>> {
        let Some(mut token) = self.token_item(hash).await? else { return Ok(None) };
        let mut wanted = token.grounds();
        wanted.push(keys::user(&token.user));
        let found = self.db.get_many(wanted).await?;
        let Some(user) = found.get(&keys::user(&token.user)) else { return Ok(None) };
        let user: super::users::UserItem = decode(user)?;
        let grounds = Grounds::of(&token, &found)?;
        let stands = grounds.mesh && grounds.agent && grounds.since == token.since;
        if !stands && token.revoked_at.is_none() {
            token.revoked_at = Some(grounds.deleted_at.unwrap_or_else(|| self.clock.now()));
        }
        self.tokens.put(token.id.clone(), token.hash);
        Ok(Some((token.row().into(), user.row().into())))
    }

    pub(super) async fn live_tokens(&self, user: &UserId, now: Micros) -> Result<Vec<TokenRow>> {
        let mut wanted = Vec::new();
        for item in self.db.beginning(keys::of_user(user), "token#").await? {
            let place: Place = decode(&item)?;
            wanted.push(keys::token(&place.hash));
        }
        let mut rows = Vec::new();
        for item in self.db.get_many(wanted).await?.values() {
            let token: TokenItem = decode(item)?;
            if token.is_live(now) {
                rows.push(token.row());
            }
        }
        rows.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(rows)
    }

    pub(super) async fn end_token(&self, user: &UserId, id: &TokenId, now: Micros) -> Result<bool> {
        let found = self.db.get(&keys::user_token(user, id)).await?;
        let place: Option<Place> = found.as_ref().map(decode).transpose()?;
        let Some(Place { hash }) = place else { return Ok(false) };
        self.end_token_at(&hash, now, |token| token.is_live(now)).await
    }

    /// Revokes one, with a note of it for the other nodes.
    pub(super) async fn end_token_at(
        &self,
        hash: &Digest,
        now: Micros,
        which: impl Fn(&TokenItem) -> bool + Send,
    ) -> Result<bool> {
        let mut retry = Retry::default();
        loop {
            let Some(token) = self.token_item(hash).await? else { return Ok(false) };
            if token.revoked_at.is_some() || !which(&token) {
                return Ok(false);
            }
            let mut transaction = self.db.transaction();
            revoke(&mut transaction, std::slice::from_ref(&token), now)?;
            transaction.put(self.ended_item(&Ended::Token(token.id.clone()))?)?;
            match self.db.transact(transaction).await? {
                Transacted::Done => return Ok(true),
                Transacted::Refused(_) => retry.pause("a token is changing fast").await?,
            }
        }
    }

    /// Revokes the tokens that are bound to a mesh and whose place there begins so, of memberships from
    /// before an epoch if one is given.
    pub(super) async fn revoke_bound(
        &self,
        mesh: &MeshId,
        place: &str,
        before: Option<i64>,
        at: Micros,
    ) -> Result<Vec<TokenId>> {
        let items = if place.is_empty() {
            self.db.range(&Range::all(keys::bound(mesh))).await?
        } else {
            self.db.beginning(keys::bound(mesh), place).await?
        };
        let mut by_user: HashMap<UserId, Vec<(Key, Digest)>> = HashMap::new();
        for item in items {
            let bound: BoundItem = decode(&item)?;
            if before.is_none_or(|before| bound.since < before) {
                by_user.entry(bound.user).or_default().push((Key::of(&item)?, bound.hash));
            }
        }
        let mut revoked = Vec::new();
        for tokens in by_user.into_values() {
            for some in tokens.chunks(AT_ONCE) {
                revoked.extend(self.revoke_some(some, at).await?);
            }
        }
        Ok(revoked)
    }

    /// Revokes some tokens of one user.
    async fn revoke_some(&self, some: &[(Key, Digest)], at: Micros) -> Result<Vec<TokenId>> {
        let mut retry = Retry::default();
        loop {
            let wanted = some.iter().map(|(_, hash)| keys::token(hash)).collect();
            let found = self.db.get_many(wanted).await?;
            let mut tokens = Vec::new();
            for item in found.values() {
                let token: TokenItem = decode(item)?;
                if token.revoked_at.is_none() {
                    tokens.push(token);
                }
            }
            if !tokens.is_empty() {
                let mut transaction = self.db.transaction();
                revoke(&mut transaction, &tokens, at)?;
                if let Transacted::Refused(_) = self.db.transact(transaction).await? {
                    retry.pause("tokens are changing fast").await?;
                    continue;
                }
            }
            self.db.delete_many(some.iter().map(|(key, _)| key.clone()).collect()).await?;
            return Ok(tokens.into_iter().map(|token| token.id).collect());
        }
    }

    pub(super) async fn merge_used(&self, used: &[(TokenId, Micros)]) -> Result<()> {
        let mut merged: HashMap<&TokenId, Micros> = HashMap::new();
        for (id, at) in used {
            let last = merged.entry(id).or_insert(*at);
            *last = (*last).max(*at);
        }
        for (id, at) in merged {
            // One that was used on this node was looked up here.
            let Some(hash) = self.tokens.get(id) else { continue };
            let newer = "attribute_exists(pk) AND (attribute_not_exists(#last_used_at) \
                         OR #last_used_at < :at)";
            let values = [("at", n(at))];
            let key = keys::token(&hash);
            self.db.update(&key, "SET #last_used_at = :at", newer, &values).await?;
        }
        Ok(())
    }
}

/// Adds what revokes some live tokens of one user.
fn revoke(transaction: &mut Transaction, tokens: &[TokenItem], at: Micros) -> Result<()> {
    let mut dead = Vec::with_capacity(tokens.len());
    for token in tokens {
        // The first of its two ends counts.
        let end = token.expires_at.map_or(at, |end| end.min(at)).saturating_add(KNOWN);
        let kept = [("until", n(end)), ("expires", n(seconds(end)))];
        let mut values = kept.to_vec();
        values.push(("at", n(at)));
        let keep = format!("SET #{UNTIL} = :until, #{EXPIRES} = :expires");
        transaction.update(
            &keys::token(&token.hash),
            &format!("{keep}, #revoked_at = :at"),
            Some("attribute_exists(pk) AND attribute_not_exists(#revoked_at)"),
            &values,
        )?;
        let mut place =
            encode(&keys::user_token(&token.user, &token.id), &Place { hash: token.hash })?;
        place.extend(kept.map(|(name, value)| (name.to_owned(), value)));
        transaction.put(place)?;
        if let Some(bound) = token.bound_key() {
            transaction.delete(&bound)?;
        }
        dead.push(format!("#live.#{}", token.id));
    }
    if let Some(token) = tokens.first() {
        let update = format!("SET #version = #version + :one REMOVE {}", dead.join(", "));
        let one = [("one", n(1))];
        transaction.update(&keys::live_tokens(&token.user), &update, Some(THERE), &one)?;
    }
    Ok(())
}
