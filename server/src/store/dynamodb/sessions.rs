//! Browsers that are signed in. A session names how often all sessions of its user had been ended when it
//! began: it ends with all the others in the one act that counts that.

use meshwire_protocol::UserId;
use serde::{Deserialize, Serialize};

use super::item::{Place, UNTIL, decode, encode_until, hex, n, number};
use super::transaction::{THERE, Transacted};
use super::users::UserItem;
use super::{DynamoStore, keys};
use crate::error::chain;
use crate::store::{Digest, Micros, Result, SessionRow, UserRow};

/// How exactly `last_seen` is kept: it is written at most this often.
const SEEN_STEP: Micros = 60 * 60 * 1_000_000;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SessionItem {
    #[serde(with = "hex")]
    pub(super) hash: Digest,
    pub(super) id: String,
    pub(super) user: UserId,
    pub(super) client: String,
    pub(super) created_at: Micros,
    pub(super) last_seen: Micros,
    /// The `sessions` of its user.
    pub(super) of: i64,
}

impl SessionItem {
    fn row(self, expires_at: Micros) -> SessionRow {
        SessionRow {
            hash: self.hash,
            id: self.id,
            user: self.user,
            client: self.client,
            created_at: self.created_at,
            last_seen: self.last_seen,
            expires_at,
        }
    }
}

impl DynamoStore {
    pub(super) async fn begin_session(&self, session: SessionRow) -> Result<()> {
        let user = self.user_item(&session.user).await?;
        let SessionRow { hash, id, user: owner, client, created_at, last_seen, expires_at } =
            session;
        let place = keys::user_session(&owner, &id);
        let item =
            SessionItem { hash, id, user: owner, client, created_at, last_seen, of: user.sessions };
        let mut transaction = self.db.transaction();
        transaction.put_new(encode_until(&keys::session(&hash), &item, expires_at)?)?;
        transaction.put_new(encode_until(&place, &Place { hash }, expires_at)?)?;
        match self.db.transact(transaction).await? {
            Transacted::Done => Ok(()),
            Transacted::Refused(_) => Err(super::item::fault("a session is there already")),
        }
    }

    pub(super) async fn find_session(
        &self,
        hash: &Digest,
        now: Micros,
    ) -> Result<Option<(SessionRow, UserRow)>> {
        let key = keys::session(hash);
        let Some(item) = self.db.get(&key).await? else { return Ok(None) };
        let expires_at = number(&item, UNTIL)?;
        if expires_at <= now {
            return Ok(None);
        }
        let session: SessionItem = decode(&item)?;
        let Some(user) = self.find_user(&session.user).await? else { return Ok(None) };
        if user.sessions != session.of {
            return Ok(None);
        }
        if session.last_seen + SEEN_STEP < now {
            let values = [("now", n(now))];
            // A throttled write signs nobody out.
            if let Err(error) = self.db.update(&key, "SET #last_seen = :now", THERE, &values).await
            {
                tracing::warn!(error = %chain(&error), "when a session was seen could not be written");
            }
        }
        Ok(Some((session.row(expires_at), user.row())))
    }

    pub(super) async fn live_sessions(
        &self,
        user: &UserId,
        now: Micros,
    ) -> Result<Vec<SessionRow>> {
        let Some(UserItem { sessions, .. }) = self.find_user(user).await? else {
            return Ok(Vec::new());
        };
        let mut wanted = Vec::new();
        for item in self.db.beginning(keys::of_user(user), "session#").await? {
            let place: Place = decode(&item)?;
            wanted.push(keys::session(&place.hash));
        }
        let mut rows = Vec::new();
        for item in self.db.get_many(wanted).await?.values() {
            let (session, expires_at): (SessionItem, _) = (decode(item)?, number(item, UNTIL)?);
            if session.of == sessions && expires_at > now {
                rows.push(session.row(expires_at));
            }
        }
        rows.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
        Ok(rows)
    }

    pub(super) async fn stop_session(&self, user: &UserId, id: &str) -> Result<bool> {
        let key = keys::user_session(user, id);
        let Some(item) = self.db.get(&key).await? else { return Ok(false) };
        let place: Place = decode(&item)?;
        let mut transaction = self.db.transaction();
        transaction.delete_if(&key, Some(THERE), &[])?;
        transaction.delete(&keys::session(&place.hash))?;
        Ok(matches!(self.db.transact(transaction).await?, Transacted::Done))
    }
}
