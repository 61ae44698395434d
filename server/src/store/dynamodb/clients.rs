//! Notes of clients between their calls.

use async_trait::async_trait;

use super::db::Updated;
use super::item::{EXPIRES, UNTIL, n, number, s, seconds, text};
use super::{DynamoStore, keys};
use crate::store::{ClientStore, Digest, Micros, Result};

const NOTE: &str = "note";

#[async_trait]
impl ClientStore for DynamoStore {
    async fn client_note(&self, client: &Digest, now: Micros) -> Result<Option<String>> {
        let Some(item) = self.db.get(&keys::client(client)).await? else { return Ok(None) };
        if number(&item, UNTIL)? <= now {
            return Ok(None);
        }
        text(&item, NOTE).map(|note| Some(note.to_owned()))
    }

    async fn swap_client_note(
        &self,
        client: &Digest,
        was: Option<&str>,
        note: &str,
        now: Micros,
        expires_at: Micros,
    ) -> Result<bool> {
        let mut values = vec![
            ("note", s(note)),
            ("end", n(expires_at)),
            ("expires", n(seconds(expires_at))),
            ("now", n(now)),
        ];
        let condition = match was {
            // What is over is as if it were not there.
            None => "attribute_not_exists(pk) OR #until <= :now OR #note = :note",
            Some(was) => {
                values.push(("was", s(was)));
                "#until > :now AND #note IN (:was, :note)"
            }
        };
        let update = format!("SET #{NOTE} = :note, #{UNTIL} = :end, #{EXPIRES} = :expires");
        let swapped = self.db.update(&keys::client(client), &update, condition, &values).await?;
        Ok(matches!(swapped, Updated::Done(_)))
    }
}
