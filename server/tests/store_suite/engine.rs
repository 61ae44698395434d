//! What an engine must offer to be put through the suite.

use std::sync::Arc;

use async_trait::async_trait;
use meshwire_protocol::MeshId;
use meshwire_server::settings::Place;
use meshwire_server::store::postgres::PostgresStore;
use meshwire_server::store::sqlite::SqliteStore;
use meshwire_server::store::{Micros, Store};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

/// A database of its own, for one case. (Its futures need not be `Send`: a case waits for them where it is.)
#[async_trait(?Send)]
pub(crate) trait Engine {
    /// An empty one.
    async fn fresh() -> Self
    where
        Self: Sized;

    /// The store on it.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes the store and opens it again.
    async fn reopen(&mut self);

    /// Has the engine itself delete some of what has expired, where it does; `true` when there was something.
    async fn expire(&self, _now: Micros) -> bool {
        false
    }

    /// How many rows or items there are of a mesh, without the tokens that were bound to it.
    async fn left_of(&self, mesh: &MeshId) -> i64;
}

/// The embedded store.
pub(crate) struct Sqlite {
    pub(crate) folder: TempDir,
    store: Arc<SqliteStore>,
}

impl Sqlite {
    async fn open(folder: &TempDir) -> Arc<SqliteStore> {
        let store = SqliteStore::open(&folder.path().join("meshwire.db")).await;
        Arc::new(store.expect("the database opens"))
    }

    /// Another connection to the file.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("meshwire.db"));
        options.connect().await.expect("the file can be opened twice in one process")
    }
}

#[async_trait(?Send)]
impl Engine for Sqlite {
    async fn fresh() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let store = Self::open(&folder).await;
        Self { folder, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Self::open(&self.folder).await;
    }

    async fn left_of(&self, mesh: &MeshId) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query(
            "SELECT (SELECT count(*) FROM message WHERE mesh_id = ?1)
                  + (SELECT count(*) FROM sent_key WHERE mesh_id = ?1)
                  + (SELECT count(*) FROM agent WHERE mesh_id = ?1)
                  + (SELECT count(*) FROM member WHERE mesh_id = ?1)
                  + (SELECT count(*) FROM invite WHERE mesh_id = ?1)
                  + (SELECT count(*) FROM join_request WHERE mesh_id = ?1)
                  + (SELECT count(*) FROM mesh WHERE id = ?1)",
        )
        .bind(mesh.as_str())
        .fetch_one(&mut connection)
        .await
        .and_then(|row| row.try_get(0))
        .expect("the tables have these names")
    }
}

/// A schema of its own on a real server.
pub(crate) struct Postgres {
    url: String,
    store: Arc<PostgresStore>,
}

impl Postgres {
    async fn open(url: &str) -> Arc<PostgresStore> {
        Arc::new(PostgresStore::open(url, Place::CONNECTIONS).await.expect("the database opens"))
    }

    /// Another connection to the schema.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("the server answers")
    }
}

#[async_trait(?Send)]
impl Engine for Postgres {
    async fn fresh() -> Self {
        let url = crate::postgres_server::schema().await;
        let store = Self::open(&url).await;
        Self { url, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn reopen(&mut self) {
        self.store.close().await;
        self.store = Self::open(&self.url).await;
    }

    async fn left_of(&self, mesh: &MeshId) -> i64 {
        let mut connection = self.connect().await;
        sqlx::query(
            "SELECT (SELECT count(*) FROM message WHERE mesh_id = $1)
                  + (SELECT count(*) FROM sent_key WHERE mesh_id = $1)
                  + (SELECT count(*) FROM agent WHERE mesh_id = $1)
                  + (SELECT count(*) FROM member WHERE mesh_id = $1)
                  + (SELECT count(*) FROM invite WHERE mesh_id = $1)
                  + (SELECT count(*) FROM join_request WHERE mesh_id = $1)
                  + (SELECT count(*) FROM mesh WHERE id = $1)",
        )
        .bind(mesh.as_str())
        .fetch_one(&mut connection)
        .await
        .and_then(|row| row.try_get(0))
        .expect("the tables have these names")
    }
}
