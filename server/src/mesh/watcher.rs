//! People who look on: told that something has happened in a mesh, whomever it is for.
//!
//! What they may see they read themselves, each time anew.

use std::sync::Arc;

use meshwire_protocol::MeshId;
use tokio::sync::watch;

use super::open_polls::OpenPoll;
use super::{MeshState, Meshes, Speaker};
use crate::error::Result;

/// Someone who looks on; counted among the open polls until it is dropped.
pub struct Watcher {
    news: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
    /// Keeps this node in touch with the mesh.
    _state: Arc<MeshState>,
    _open: OpenPoll,
}

impl Meshes {
    /// Looks on from now: read after this, and read again whenever the watcher says so.
    pub async fn watch(&self, mesh: &MeshId, speaker: &Speaker) -> Result<Watcher> {
        let shared = &self.shared;
        let open = shared.open_polls.open(&speaker.token, &shared.limits)?;
        let state = shared.state(mesh);
        let news = state.tail.look_on();
        state.tail.begin_at(&shared.head(mesh).await?);
        Ok(Watcher { news, stopping: shared.stopping.clone(), _state: state, _open: open })
    }
}

impl Watcher {
    /// Waits until messages have come, or somebody's access may have ended, since this was last asked; or
    /// until the server stops.
    pub async fn changed(&mut self) {
        tokio::select! {
            // Its sender lives as long as the state does.
            _ = self.news.changed() => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
        }
    }
}
