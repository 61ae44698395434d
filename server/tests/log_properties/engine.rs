//! Where the stories are kept.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder};
use clap::Parser as _;
use meshwire_server::app::App;
use meshwire_server::clock::Clock;
use meshwire_server::settings::{Args, Place, Settings};
use meshwire_server::store::Store;
use meshwire_server::store::dynamodb::DynamoStore;
use meshwire_server::store::postgres::PostgresStore;
use meshwire_server::store::sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use url::Url;

/// One place for all stories of a run, each with a mesh of its own.
pub(crate) enum Engine {
    Sqlite(TempDir),
    Postgres(String),
    DynamoDb(String),
}

impl Engine {
    pub(crate) fn sqlite() -> Self {
        // In memory where that can be: here nothing is about power cuts.
        let shared_memory = Path::new("/dev/shm");
        let folder = if shared_memory.is_dir() {
            tempfile::tempdir_in(shared_memory)
        } else {
            tempfile::tempdir()
        };
        Self::Sqlite(folder.expect("a scratch folder"))
    }

    pub(crate) fn postgres() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        Self::Postgres(runtime.block_on(crate::postgres::schema()))
    }

    pub(crate) fn dynamodb() -> Self {
        Self::DynamoDb(crate::dynamodb::table())
    }

    /// Whether the trim point is always the end of a batch.
    pub(crate) fn trims_batches(&self) -> bool {
        matches!(self, Self::DynamoDb(_))
    }

    async fn store(&self) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Sqlite(folder) => {
                Arc::new(SqliteStore::open(&folder.path().join("test.db")).await?)
            }
            Self::Postgres(url) => Arc::new(PostgresStore::open(url, Place::CONNECTIONS).await?),
            // Without expiry by the engine, whose clock is not that of the stories.
            Self::DynamoDb(table) => {
                let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
                Arc::new(DynamoStore::open_with(table, Builder::from(&config)).await?)
            }
        })
    }

    /// A server without sockets.
    pub(crate) async fn open(&self, clock: &Arc<Clock>) -> Result<App> {
        let settings = Settings::check(Args::try_parse_from([
            "meshwire-server",
            "--store",
            "sqlite:unused",
            "--secret-key",
            "the stories know no other server",
            "--limit-sends-per-second",
            "0",
            "--limit-mesh-sends-per-second",
            "0",
        ])?)?;
        let (_, stopping) = watch::channel(false);
        let url = Url::parse("http://127.0.0.1:4200")?;
        Ok(App::new(settings, url, self.store().await?, Arc::clone(clock), stopping))
    }
}
