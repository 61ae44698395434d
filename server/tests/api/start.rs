//! A server on a place of its own.

use crate::place;
use crate::server::Server;

impl Server {
    /// Without limits on how fast may be sent: tests send in loops.
    pub(crate) async fn start() -> Self {
        Self::with(&["--limit-sends-per-second", "0", "--limit-mesh-sends-per-second", "0"]).await
    }

    /// With these arguments of the command line.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let place = place::fresh(&data).await;
        Self::on(place, data, arguments).await
    }
}
