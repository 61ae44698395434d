//! What this process logs, at its most talkative, in a file: nothing secret may ever stand there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Stands in the passwords and messages of tests. `infra/test.sh` looks for it, and for tokens and codes, in the
/// logs of the whole run.
pub(crate) const CANARY: &str = "CaNaRy5f1e";

/// Begins to log, once for this process; where to.
pub(crate) fn start() -> &'static Path {
    static LOG: OnceLock<PathBuf> = OnceLock::new();
    LOG.get_or_init(|| {
        let name = env!("CARGO_CRATE_NAME");
        let path = match std::env::var_os("MESHWIRE_TEST_LOGS") {
            Some(folder) => Path::new(&folder).join(format!("{name}-{}.log", std::process::id())),
            None => Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log")),
        };
        let file = File::create(&path).expect("a log of our own");
        tracing_subscriber::fmt()
            .with_env_filter("debug,meshwire_server=trace")
            .with_ansi(false)
            .with_writer(Arc::new(file))
            .finish()
            .with(filter_fn(meshwire_server::log::may_write))
            .init();
        path
    })
}
