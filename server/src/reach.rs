//! Whether the store answers, for a page that anybody may open: it is asked once a second at the most, however
//! often the page is.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::store::Store;

/// How long an answer is believed.
const KEPT: Duration = Duration::from_secs(1);
/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// When the store was last asked, and how long it took; `None`: it did not answer.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<Option<(Instant, Option<Duration>)>>);

impl Reach {
    /// How long the store took to answer, not longer than a second ago; `None`: it does not. Who comes meanwhile
    /// waits for the same answer.
    pub(crate) async fn look(&self, store: &dyn Store) -> Option<Duration> {
        let mut last = self.0.lock().await;
        if let Some((at, took)) = *last
            && at.elapsed() < KEPT
        {
            return took;
        }
        let asked = Instant::now();
        let answer = timeout(PATIENCE, store.ping()).await;
        let took = matches!(answer, Ok(Ok(()))).then(|| asked.elapsed());
        *last = Some((Instant::now(), took));
        took
    }
}
