//! Where the nodes of a case keep their data, on one engine or another.

use std::sync::Arc;

use meshwire_server::settings::Place;
use meshwire_server::store::dynamodb::DynamoStore;
use meshwire_server::store::{self, Store};
use tempfile::TempDir;
use url::Url;

use crate::dynamodb_client::{KEY, REGION, config};
use crate::node::Node;
use crate::{dynamodb, postgres};

#[derive(Clone)]
pub(crate) struct Site {
    place: Place,
    /// Of the engine: for DynamoDB its endpoint, for Postgres the URL of the database, for SQLite the setting.
    url: String,
    /// Of SQLite.
    _folder: Option<Arc<TempDir>>,
}

impl Site {
    /// A file, which one process alone may open at a time.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("soak.db");
        let url = format!("sqlite:{}", file.display());
        Self { place: Place::Sqlite(file), url, _folder: Some(Arc::new(folder)) }
    }

    /// A new schema on the Postgres of the run.
    pub(crate) async fn postgres() -> Self {
        Self::database(postgres::schema().await)
    }

    pub(crate) fn database(url: String) -> Self {
        Self { place: Place::postgres(url.clone()), url, _folder: None }
    }

    /// A new table on the DynamoDB Local of the run.
    pub(crate) fn dynamodb() -> Self {
        let table = dynamodb::table();
        Self::table(table, std::env::var("AWS_ENDPOINT_URL_DYNAMODB").unwrap())
    }

    pub(crate) fn table(table: String, endpoint: String) -> Self {
        Self { place: Place::DynamoDb(table), url: endpoint, _folder: None }
    }

    /// The same data, reached at another port.
    pub(crate) fn over(&self, port: u16) -> Self {
        let mut url = Url::parse(&self.url).unwrap();
        url.set_port(Some(port)).unwrap();
        match &self.place {
            Place::DynamoDb(table) => Self::table(table.clone(), url.into()),
            _ => Self::database(url.into()),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn port(&self) -> u16 {
        Url::parse(&self.url).unwrap().port().unwrap()
    }

    /// Opens it in this process, as a node that has no server.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match &self.place {
            // The environment of this process names one endpoint, and this may be another one.
            Place::DynamoDb(table) => {
                Arc::new(DynamoStore::open_with(table, config(&self.url)).await.unwrap())
            }
            place => store::open(place).await.unwrap(),
        }
    }

    pub(crate) fn node(&self) -> Node {
        self.node_with(Vec::new())
    }

    /// A server on it with further settings in its environment.
    pub(crate) fn node_with(&self, mut environment: Vec<(&'static str, String)>) -> Node {
        let setting = match &self.place {
            Place::DynamoDb(table) => {
                environment.extend(
                    [
                        ("AWS_ENDPOINT_URL_DYNAMODB", self.url.as_str()),
                        ("AWS_REGION", REGION),
                        ("AWS_ACCESS_KEY_ID", KEY),
                        ("AWS_SECRET_ACCESS_KEY", KEY),
                        ("AWS_EC2_METADATA_DISABLED", "true"),
                    ]
                    .map(|(name, value)| (name, value.to_owned())),
                );
                format!("dynamodb:{table}")
            }
            _ => self.url.clone(),
        };
        Node::with(&setting, environment)
    }
}
