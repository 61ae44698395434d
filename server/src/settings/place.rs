//! Where data is kept.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use etcetera::BaseStrategy as _;
use url::Url;

/// Where data is kept. As text, it names the place without its password.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, used by one server.
    Sqlite(PathBuf),
    /// A database on a Postgres server, used by one or several.
    Postgres {
        /// Names the server, the database and the user, with the password.
        url: String,
        /// Most connections to it at a time.
        connections: u32,
    },
    /// A table of DynamoDB, used by one or several.
    DynamoDb(String),
}

impl Place {
    /// Most connections to Postgres, unless a setting says otherwise.
    pub const CONNECTIONS: u32 = 16;

    /// A database on a Postgres server, with the usual number of connections.
    pub const fn postgres(url: String) -> Self {
        Self::Postgres { url, connections: Self::CONNECTIONS }
    }

    /// Reads the setting; `None`: a file in the data folder of the user.
    ///
    /// # Errors
    /// Says which forms there are.
    pub(super) fn check(store: Option<&str>, connections: u32) -> Result<Self> {
        let Some(store) = store else {
            let folders = etcetera::choose_base_strategy().context(
                "no home folder to keep data in: set MESHWIRE_STORE=sqlite:PATH, or HOME",
            )?;
            return Ok(Self::Sqlite(folders.data_dir().join("meshwire").join("meshwire.db")));
        };
        if let Some(path) = store.strip_prefix("sqlite:") {
            // SQLite gives a meaning of its own to names with a colon in front.
            ensure!(
                !path.is_empty() && !path.starts_with(':'),
                "MESHWIRE_STORE: {store:?} names no file; write sqlite:PATH"
            );
            let path = PathBuf::from(path);
            ensure!(!path.is_dir(), "MESHWIRE_STORE: {} is a folder, not a file", path.display());
            return Ok(Self::Sqlite(path));
        }
        if store.starts_with("postgres://") || store.starts_with("postgresql://") {
            // Its text is not shown: a password may stand in it, wherever the mistake is.
            let url = Url::parse(store)
                .context("MESHWIRE_STORE: this is no URL of Postgres; write postgres://USER:PASSWORD@HOST/DATABASE")?;
            ensure!(
                url.path().len() > 1,
                "MESHWIRE_STORE: the URL names no database; write postgres://USER:PASSWORD@HOST/DATABASE"
            );
            check_parameters(&url)?;
            return Ok(Self::Postgres { url: store.to_owned(), connections });
        }
        if let Some(table) = store.strip_prefix("dynamodb:") {
            // AWS: "table names must be between 3 and 255 characters long" of these.
            let sound = (3..=255).contains(&table.len())
                && table.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            ensure!(
                sound,
                "MESHWIRE_STORE: {table:?} is not the name of a table of DynamoDB: 3 to 255 characters of \
                 a-z A-Z 0-9 _ - and ."
            );
            return Ok(Self::DynamoDb(table.to_owned()));
        }
        bail!(
            "MESHWIRE_STORE: expected sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or dynamodb:TABLE"
        )
    }
}

/// Refuses parameters that sqlx would leave out with no more than a line in the log: what somebody has asked for, a
/// time-out or another server, would silently not be so. The values are not shown, as one may be a password.
fn check_parameters(url: &Url) -> Result<()> {
    // As of `PgConnectOptions::parse_from_url`.
    const KNOWN: [&str; 18] = [
        "application_name",
        "dbname",
        "host",
        "hostaddr",
        "options",
        "password",
        "port",
        "ssl-ca",
        "ssl-cert",
        "ssl-key",
        "ssl-mode",
        "ssl-root-cert",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "statement-cache-capacity",
        "user",
    ];
    let is_known = |name: &str| {
        let is_option = name.strip_prefix("options[").is_some_and(|name| name.ends_with(']'));
        KNOWN.contains(&name) || is_option
    };
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| !is_known(name)) {
        bail!(
            "MESHWIRE_STORE: the URL of Postgres has the parameter {name:?}, which is not known here; leave it out. \
             Known are {}, and options[NAME] for a setting of the session",
            KNOWN.join(", ")
        );
    }
    Ok(())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres { url, .. } => match Url::parse(url) {
                Ok(url) => {
                    let (host, name) = (url.host_str().unwrap_or("localhost"), url.path());
                    write!(f, "Postgres on {host}, database {}", name.trim_start_matches('/'))
                }
                Err(_) => write!(f, "Postgres"),
            },
            Self::DynamoDb(table) => write!(f, "DynamoDB, table {table}"),
        }
    }
}
