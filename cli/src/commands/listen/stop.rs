//! Ctrl+C and SIGTERM: a listener ends in order.

use tokio::signal;

use crate::failure::{Failure, Outcome};

/// Waits for the wish to end.
pub(in crate::commands) struct Stop {
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
    #[cfg(unix)]
    terminate: signal::unix::Signal,
}

impl Stop {
    /// Takes over the signals, from now on.
    pub(in crate::commands) fn install() -> Outcome<Self> {
        #[cfg(unix)]
        {
            use signal::unix::{SignalKind, signal};
            let failed = |error| Failure::failed(format!("cannot listen for signals: {error}"));
            Ok(Self {
                interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
                terminate: signal(SignalKind::terminate()).map_err(failed)?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Ends when the user or the system wants us to.
    pub(in crate::commands) async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
