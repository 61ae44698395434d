//! What every request may use.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use url::Url;

use crate::access::Strangers;
use crate::clock::Clock;
use crate::mesh::Meshes;
use crate::metrics::Metrics;
use crate::reach::Reach;
use crate::settings::Settings;
use crate::sign_in::SignIn;
use crate::store::{Measured, Store};

/// The running service; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of the service.
pub struct Inner {
    /// What the operator chose.
    pub settings: Settings,
    /// Under which URL people come, without a slash at the end.
    pub public_url: Url,
    /// What time it is.
    pub clock: Arc<Clock>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// Logs, rosters, presence.
    pub meshes: Meshes,
    /// GitHub or local accounts, tickets, limits on guessing.
    pub sign_in: SignIn,
    /// Unknown tokens by address.
    pub strangers: Strangers,
    /// What is counted for the operator.
    pub metrics: Metrics,
    /// Whether the store answers.
    pub(crate) reach: Reach,
    /// When the service started.
    pub started: Instant,
}

impl App {
    /// Puts the service together. `stopping` turns true when open polls shall be answered.
    pub fn new(
        settings: Settings,
        public_url: Url,
        store: Arc<dyn Store>,
        clock: Arc<Clock>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let metrics = Metrics::new();
        let store: Arc<dyn Store> = Arc::new(Measured::new(store, metrics.clone()));
        let meshes = Meshes::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            settings.limits,
            settings.retention,
            metrics.mesh(),
            stopping,
        );
        let strangers = Strangers::new(settings.limits.bad_tokens_per_minute);
        let sign_in = SignIn::new(&settings, &public_url);
        Self(Arc::new(Inner {
            settings,
            public_url,
            clock,
            store,
            meshes,
            sign_in,
            strangers,
            metrics,
            reach: Reach::default(),
            started: Instant::now(),
        }))
    }

    /// Whether people reach this server over https.
    pub fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// The public URL of a path on this server; `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
