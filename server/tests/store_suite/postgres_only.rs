//! What only a database that is somewhere else can do to us.

use futures_util::future::join_all;
use meshwire_server::secret;
use meshwire_server::settings::Place;
use meshwire_server::store::postgres::PostgresStore;
use meshwire_server::store::{AccountStore as _, LogStore as _};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use url::Url;

/// The URL of a new database, of which all connections can be told from those of other tests.
async fn database() -> String {
    let server = std::env::var("MESHWIRE_TEST_POSTGRES")
        .expect("MESHWIRE_TEST_POSTGRES: run this by infra/test.sh -- cargo test …");
    let database = format!("case_{:016x}", rand::random::<u64>());
    let mut connection = PgConnection::connect(&server).await.expect("the server answers");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {database}")))
        .execute(&mut connection)
        .await
        .expect("a new database");
    let mut url: Url = server.parse().expect("a URL");
    url.set_path(&database);
    url.into()
}

#[tokio::test]
async fn a_connection_that_has_died_fails_no_look_up() {
    let url = database().await;
    let store = PostgresStore::open(&url, Place::CONNECTIONS).await.unwrap();
    let mut other = PgConnection::connect(&url).await.unwrap();
    let (mesh, hash) = (secret::mesh_id(), secret::digest("nobody's"));
    for round in 0..10 {
        // Used a moment ago, so that none of them is tried before it is used again.
        for head in join_all((0..8).map(|_| store.head(&mesh))).await {
            assert_eq!(head.unwrap(), None);
        }
        let killed: i64 = sqlx::query_scalar(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut other)
        .await
        .unwrap();
        assert!(killed > 0, "round {round}");
        let (head, token) = tokio::join!(store.head(&mesh), store.token(&hash));
        assert_eq!(head.unwrap(), None, "round {round}");
        assert!(token.unwrap().is_none(), "round {round}");
    }
}
