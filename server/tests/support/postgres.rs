//! Databases on the Postgres of the run.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

/// The URL of a new schema on the server of the run.
pub(crate) async fn schema() -> String {
    let server = std::env::var("MESHWIRE_TEST_POSTGRES")
        .expect("MESHWIRE_TEST_POSTGRES: run this by infra/test.sh -- cargo test …");
    let schema = format!("case_{:016x}", rand::random::<u64>());
    let mut connection = PgConnection::connect(&server).await.expect("the server answers");
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
        .execute(&mut connection)
        .await
        .expect("a new schema");
    connection.close().await.expect("it ends well");
    format!("{server}?options=-csearch_path%3D{schema}")
}
