//! Where the servers of a run keep their data: in files, or in what `MESHWIRE_TEST_ENGINE` names.

#[path = "dynamodb.rs"]
mod dynamodb;
#[path = "postgres.rs"]
mod postgres;

use meshwire_server::settings::Place;
use tempfile::TempDir;

/// A new place, empty.
pub(crate) async fn fresh(folder: &TempDir) -> Place {
    match std::env::var("MESHWIRE_TEST_ENGINE").as_deref() {
        Err(_) | Ok("sqlite") => Place::Sqlite(folder.path().join("test.db")),
        Ok("postgres") => Place::postgres(postgres::schema().await),
        Ok("dynamodb") => Place::DynamoDb(dynamodb::table()),
        Ok(other) => panic!("MESHWIRE_TEST_ENGINE={other}: expected sqlite, postgres or dynamodb"),
    }
}
