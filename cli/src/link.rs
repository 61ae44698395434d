//! The connection as the person sees it: there, gone, there again.

use std::time::Duration;

use meshwire_protocol::clean::clean_line;

use crate::failure::{Exit, Failure, Outcome};
use crate::output::note;

/// Pauses between attempts; the last one is kept.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// No server's wish keeps a listener away for longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Tries again for as long as there is hope, and says so once.
#[derive(Debug)]
pub(crate) struct Link {
    server: String,
    down: bool,
    quiet: bool,
}

impl Link {
    /// To a server that is presumed to be there.
    pub(crate) fn new(server: String) -> Self {
        Self { server, down: false, quiet: false }
    }

    /// One that says nothing: nobody reads it, or it would be taken for something else.
    #[must_use]
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    /// Repeats `attempt` until it works, or fails in a way that is not `hopeful`.
    pub(crate) async fn keep_trying<T>(
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
                        self.say(&format!("connected to {} again", self.server));
                    }
                    return Ok(value);
                }
                Err(failure) if hopeful(&failure) => failure,
                Err(failure) => return Err(failure),
            };
            if !self.down {
                self.down = true;
                self.say(&format!(
                    "{}; trying again until it works",
                    clean_line(failure.message())
                ));
            }
            tokio::time::sleep(pause(failures, failure.retry_after())).await;
            failures += 1;
        }
    }
}

/// Only a clear no ends a listener: everything else may be gone in a while.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    failure.is_transient() || !matches!(failure.exit(), Exit::Refused | Exit::NotFound)
}

/// How long to wait after this many failures before, when the server asks for a wait of its own or not.
fn pause(failures: usize, told: Option<Duration>) -> Duration {
    let own = PAUSES.get(failures).unwrap_or(&PAUSES[PAUSES.len() - 1]);
    (*own).max(told.unwrap_or_default().min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_fifteen_seconds_and_heed_the_server() {
        let seconds: Vec<u64> = (0..6).map(|failures| pause(failures, None).as_secs()).collect();
        assert_eq!(seconds, [2, 5, 15, 15, 15, 15]);
        let told = |seconds| pause(0, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!([told(0), told(1), told(30), told(86_400)], [2, 2, 30, 300]);
    }
}
