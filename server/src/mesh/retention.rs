//! Retention: logs are trimmed from their oldest message on, never out of their middle.
//!
//! A message goes when it is older than the history window and every agent that holds has acknowledged it. An
//! agent holds until it has not read its inbox for a while, and nothing is held beyond the longest time. A
//! rewind that races a pass may find its place trimmed, as if it had come a moment later: the reader is told
//! of the gap.

use std::time::Duration;

use meshwire_protocol::{MeshId, MessageId};
use rand::RngExt as _;
use tokio::time::Instant;

use super::Meshes;
use crate::error::chain;
use crate::settings::Retention;
use crate::store::{self, Micros};

/// The time between two passes, in seconds: so that with the time that a pass takes it is within an hour
/// that messages go. Nodes that were started together drift apart.
const BETWEEN: std::ops::Range<u64> = 30 * 60..45 * 60;
/// The first pass, in seconds after the start: a server that is often restarted trims too.
const FIRST: std::ops::Range<u64> = 5..60;
/// How many meshes are listed at a time.
const MESHES: u32 = 100;

const DAY: Micros = 24 * 60 * 60 * 1_000_000;

impl Meshes {
    pub(super) async fn keep_trimming(&self) {
        let mut wait = FIRST;
        loop {
            let seconds = rand::rng().random_range(wait);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            self.trim_all().await;
            wait = BETWEEN;
        }
    }

    /// Trims every mesh; done when nothing more is to be removed.
    pub async fn trim_all(&self) {
        if self.shared.retention.days == 0 {
            return;
        }
        // Who has read a moment ago holds.
        self.flush().await;
        let mut last: Option<MeshId> = None;
        loop {
            let meshes = match self.shared.store.meshes(last.as_ref(), MESHES).await {
                Ok(meshes) => meshes,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "old messages could not be removed");
                    return;
                }
            };
            for mesh in &meshes {
                if let Err(error) = self.trim(mesh).await {
                    let error = chain(&error);
                    tracing::warn!(%mesh, error, "old messages could not be removed");
                }
            }
            last = match meshes.last() {
                Some(mesh) => Some(mesh.clone()),
                None => return,
            };
        }
    }

    async fn trim(&self, mesh: &MeshId) -> store::Result<()> {
        let store = &self.shared.store;
        let terms = Terms::of(self.shared.retention, self.shared.clock.now());
        let held = store.held_from(mesh, terms.holds_since).await?;
        // Everything before is there: the trim point first, then the messages.
        store.trim(mesh, terms.up_to(held)).await?;
        let mut began = Instant::now();
        while store.delete_trimmed(mesh).await? {
            pause_after(began).await;
            began = Instant::now();
        }
        Ok(())
    }
}

/// Between two steps of a removal: leaves the store alone for as long as the step took that began then, so
/// that others are never held up for long.
pub(super) async fn pause_after(began: Instant) {
    tokio::time::sleep(began.elapsed()).await;
}

/// What the settings mean at one moment. An id is a time.
struct Terms {
    /// The newest id that is older than the history window.
    window: Micros,
    /// Who has read since then holds.
    holds_since: Micros,
    /// The newest id that is held for nobody.
    longest: Micros,
}

impl Terms {
    fn of(retention: Retention, now: Micros) -> Self {
        let before = |days: u32| now - i64::from(days) * DAY;
        Self {
            window: before(retention.days) - 1,
            holds_since: if retention.hold_days == 0 {
                Micros::MIN
            } else {
                // One that has not read for exactly as long as that does not hold any more.
                before(retention.hold_days) + 1
            },
            longest: if retention.max_days == 0 {
                Micros::MIN
            } else {
                before(retention.max_days) - 1
            },
        }
    }

    /// Up to where may be trimmed when agents hold what is after `held`.
    fn up_to(&self, held: Option<MessageId>) -> MessageId {
        let held = held.map_or(Micros::MAX, MessageId::get);
        MessageId::new(self.window.min(held).max(self.longest)).unwrap_or(MessageId::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = 1_760_000_000_000_000;
    const USUAL: Retention = Retention { days: 7, hold_days: 7, max_days: 30 };

    fn up_to(retention: Retention, held: Option<Micros>) -> Micros {
        let held = held.map(|held| MessageId::new(held).expect("an id"));
        Terms::of(retention, NOW).up_to(held).get()
    }

    #[test]
    fn what_is_old_and_acknowledged_goes() {
        assert_eq!(up_to(USUAL, None), NOW - 7 * DAY - 1, "nobody holds");
        assert_eq!(up_to(USUAL, Some(NOW)), NOW - 7 * DAY - 1, "all is acknowledged");
        assert_eq!(up_to(USUAL, Some(NOW - 9 * DAY)), NOW - 9 * DAY, "some of it");
        assert_eq!(up_to(USUAL, Some(0)), NOW - 30 * DAY - 1, "nothing");
    }

    #[test]
    fn zero_is_for_ever() {
        let no_end = Retention { max_days: 0, ..USUAL };
        assert_eq!(up_to(no_end, Some(5)), 5);
        assert_eq!(Terms::of(USUAL, NOW).holds_since, NOW - 7 * DAY + 1);
        let holding = Retention { hold_days: 0, ..USUAL };
        assert_eq!(Terms::of(holding, NOW).holds_since, Micros::MIN);
    }

    #[test]
    fn a_clock_near_1970_trims_nothing() {
        assert_eq!(Terms::of(USUAL, 5).up_to(None), MessageId::ZERO);
    }
}
