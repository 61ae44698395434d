//! The connection as the person sees it: there, gone, there again.

use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::output::note;

/// Pauses between attempts; the last one is kept.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// No server's wish keeps a listener away for longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Tries again for as long as there is hope, and says so once.
pub(super) struct Link {
    server: String,
    down: bool,
}

impl Link {
    pub(super) fn new(server: String) -> Self {
        Self { server, down: false }
    }

    /// Repeats `attempt` until it works, or fails in a way that is not `hopeful`.
    pub(super) async fn keep_trying<T>(
        &mut self,
        hopeful: impl Fn(&Failure) -> bool,
        mut attempt: impl AsyncFnMut() -> Outcome<T>,
    ) -> Outcome<T> {
        let mut failures = 0;
        loop {
            let failure = match attempt().await {
                Ok(value) => {
                    if self.down {
                        self.down = false;
                        note(&format!("connected to {} again", self.server));
                    }
                    return Ok(value);
                }
                Err(failure) if hopeful(&failure) => failure,
                Err(failure) => return Err(failure),
            };
            if !self.down {
                self.down = true;
                note(&format!(
                    "{}; trying again until it works",
                    crate::clean::clean_line(failure.message())
                ));
            }
            let pause = PAUSES.get(failures).unwrap_or(&PAUSES[PAUSES.len() - 1]);
            failures += 1;
            let told = failure.retry_after().unwrap_or_default().min(LONGEST_PAUSE);
            tokio::time::sleep((*pause).max(told)).await;
        }
    }
}
