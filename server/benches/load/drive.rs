//! Drives clients as fast as they are answered, or at a pace.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::Client;
use crate::stats::{percentile, real};

/// How it went.
pub(crate) struct Drive {
    pub(crate) times: Vec<Duration>,
    /// From the first send to the last answer.
    pub(crate) took: Duration,
}

impl Drive {
    /// Median time from a send to its answer, in seconds.
    pub(crate) fn p50(&self) -> f64 {
        percentile(&self.times, 0.5)
    }

    pub(crate) fn sends(&self) -> f64 {
        real(self.times.len())
    }

    /// Answered sends a second.
    pub(crate) fn rate(&self) -> f64 {
        self.sends() / self.took.as_secs_f64()
    }
}

/// Each client sends as soon as it was answered, for this long.
pub(crate) async fn drive<C: Client + 'static>(clients: Vec<C>, span: Duration) -> Drive {
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for mut client in clients {
        tasks.spawn_local(async move {
            let mut times = Vec::new();
            loop {
                let at = Instant::now();
                if at - began >= span {
                    return times;
                }
                client.send().await;
                times.push(at.elapsed());
            }
        });
    }
    let times = tasks.join_all().await.concat();
    Drive { times, took: began.elapsed() }
}
