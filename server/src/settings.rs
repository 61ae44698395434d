//! Settings, from flags and from the environment. A wrong one is refused at start, by its name.

mod environment;
mod limits;
mod place;
mod retention;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use url::{Host, Url};

pub use self::environment::{Unknown, refusal, unknown};
use self::environment::{address, number, url};
pub use self::limits::{BodyLimits, Limits};
pub use self::place::Place;
pub use self::retention::Retention;
use crate::client_address::Networks;
use crate::moving::{ExportArgs, ImportArgs};
use crate::users::UserCommand;

/// Shortest secret key, in characters.
const MIN_SECRET_KEY: usize = 32;

/// The MeshWire server. Needs no settings: it listens on 127.0.0.1:4200 and keeps its data in a file in
/// your data folder.
#[derive(Parser)]
#[command(
    name = "meshwire-server",
    version,
    after_help = "A variable of the environment that is empty counts as not set. A flag goes before its variable."
)]
pub struct Args {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address and port to listen on
    #[arg(
        long,
        env = "MESHWIRE_BIND",
        default_value = "127.0.0.1:4200",
        value_name = "ADDRESS:PORT",
        value_parser = address,
        global = true
    )]
    pub bind: SocketAddr,

    /// URL under which people and agents reach this server [default: that of BIND]
    #[arg(long, env = "MESHWIRE_PUBLIC_URL", value_name = "URL", value_parser = url, global = true)]
    pub public_url: Option<Url>,

    /// Where data is kept: `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE` or `dynamodb:TABLE` [default:
    /// meshwire/meshwire.db in your data folder]
    #[arg(
        long,
        env = "MESHWIRE_STORE",
        value_name = "STORE",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new(),
        global = true
    )]
    pub store: Option<String>,

    /// File that holds it, for a URL with a password
    #[arg(long, env = "MESHWIRE_STORE_FILE", value_name = "PATH", global = true)]
    pub store_file: Option<PathBuf>,

    /// Most connections of this server to Postgres, one of which only listens; all servers on the database share what it
    /// takes, 100 by default
    #[arg(
        long,
        env = "MESHWIRE_POSTGRES_CONNECTIONS",
        default_value_t = Place::CONNECTIONS,
        value_name = "N",
        global = true,
        value_parser = number(2..=u32::MAX)
    )]
    pub postgres_connections: u32,

    /// Client id of the GitHub OAuth app that people sign in with; without it, local accounts are offered
    #[arg(long, env = "MESHWIRE_GITHUB_CLIENT_ID", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub github_client_id: Option<String>,

    /// Client secret of that app
    #[arg(
        long,
        env = "MESHWIRE_GITHUB_CLIENT_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub github_client_secret: Option<String>,

    /// File that holds the client secret
    #[arg(long, env = "MESHWIRE_GITHUB_CLIENT_SECRET_FILE", value_name = "PATH")]
    pub github_client_secret_file: Option<PathBuf>,

    /// GitHub, or your GitHub Enterprise
    #[arg(
        long,
        env = "MESHWIRE_GITHUB_URL",
        default_value = "https://github.com",
        value_name = "URL",
        value_parser = url
    )]
    pub github_url: Url,

    /// The API that belongs to it
    #[arg(
        long,
        env = "MESHWIRE_GITHUB_API_URL",
        default_value = "https://api.github.com",
        value_name = "URL",
        value_parser = url
    )]
    pub github_api_url: Url,

    /// Key that signs short-lived tickets, at least 32 characters [default: made once and kept beside the data]
    #[arg(long, env = "MESHWIRE_SECRET_KEY", value_name = "KEY", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub secret_key: Option<String>,

    /// File that holds the key
    #[arg(long, env = "MESHWIRE_SECRET_KEY_FILE", value_name = "PATH")]
    pub secret_key_file: Option<PathBuf>,

    /// The key before this one: tickets that it signed are still taken
    #[arg(long, env = "MESHWIRE_SECRET_KEY_PREVIOUS", value_name = "KEY", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub secret_key_previous: Option<String>,

    /// File that holds the key before this one
    #[arg(long, env = "MESHWIRE_SECRET_KEY_PREVIOUS_FILE", value_name = "PATH")]
    pub secret_key_previous_file: Option<PathBuf>,

    /// Where this server runs, as shown by /health
    #[arg(long, env = "MESHWIRE_REGION", default_value = "local", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub region: String,

    /// What to log: error, warn, info, debug, or directives for parts of the server
    #[arg(long, env = "MESHWIRE_LOG", default_value = "info", value_name = "FILTER", value_parser = NonEmptyStringValueParser::new())]
    pub log: String,

    /// How to write the log: text or json
    #[arg(long, env = "MESHWIRE_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Address and port to serve /metrics on, for Prometheus: plain http for a private network, without a
    /// password; nothing about users stands there [default: not served]
    #[arg(long, env = "MESHWIRE_METRICS_BIND", value_name = "ADDRESS:PORT", value_parser = address)]
    pub metrics_bind: Option<SocketAddr>,

    /// Addresses and networks (10.0.0.0/8) of your proxies, with commas between: their X-Forwarded-For is
    /// believed, and they may have any number of connections
    #[arg(long, env = "MESHWIRE_TRUSTED_PROXIES", default_value = "", value_name = "NETWORKS")]
    pub trusted_proxies: Networks,

    /// What people can meet
    #[command(flatten)]
    pub limits: Limits,

    /// How long messages are kept.
    #[command(flatten)]
    pub retention: Retention,

    /// Listen on an address that is not loopback although the public URL is not https
    #[arg(long, global = true)]
    pub allow_insecure: bool,
}

/// What to do instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print one-time links for accounts, on a server that does not use GitHub
    #[command(subcommand)]
    User(UserCommand),
    /// Ask the server on this computer whether it is there; exit 0 when it is, else 1
    ///
    /// It asks /health at the address that BIND says, and needs no other setting. Meant for containers.
    Healthcheck,

    /// Write everything that the store holds to a file
    ///
    /// Accounts, sessions, tokens, meshes, agents, messages and all the rest, of any store and for any store:
    /// `meshwire-server import` reads it. No secret stands in it in the clear, but hashes of passwords and
    /// tokens, and all messages: keep it as you keep the database. Stop the servers first, when they shall go on
    /// with the other store: what they take later is not in the file. One on SQLite must be stopped, and so must
    /// all on a table of DynamoDB, where an export fails when one of them was there meanwhile. Those on Postgres may
    /// run: the file is as of one moment.
    ///
    /// The file is text, a JSON object a line: first {"meshwire":1,"version":"…"}, then one line for each
    /// record, whose `kind` says what it is, at last {"kind":"end","counts":{…},"sha256":"…"} with the number of
    /// records of each kind and the SHA-256 of all lines before. ARCHITECTURE.md has the fields.
    Export(ExportArgs),

    /// Read such a file into an empty store
    ///
    /// The whole file is checked before anything is written. It is written whole or not at all, then read back
    /// and compared by counts and checksums. Tokens, sessions and cursors are what they were; agents go on
    /// without noticing.
    Import(ImportArgs),
}

impl Args {
    /// Where data is kept: all that moving it needs to know. How to log is checked, too.
    ///
    /// # Errors
    /// Names the setting that is wrong and what is expected of it.
    pub fn place(&self) -> Result<Place> {
        check_log(&self.log)?;
        let store = secret("MESHWIRE_STORE", self.store.clone(), self.store_file.as_deref())?;
        Place::check(store.as_deref(), self.postgres_connections)
    }

    /// Where people reach the server, if that is set.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn public_url(&self) -> Result<Option<Url>> {
        self.public_url.clone().map(check_public_url).transpose()
    }
}

/// Settings that were checked.
pub struct Settings {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Under which URL people come; `None`: that of the address.
    pub public_url: Option<Url>,
    /// Where data is kept.
    pub store: Place,
    /// Sign-in with GitHub; `None`: local accounts.
    pub github: Option<GithubSettings>,
    /// Signs tickets.
    pub secret_key: String,
    /// Also checks them.
    pub secret_key_previous: Option<String>,
    /// Where this server runs.
    pub region: String,
    /// What to log.
    pub log: String,
    /// How to log it.
    pub log_format: LogFormat,
    /// Where to serve metrics.
    pub metrics_bind: Option<SocketAddr>,
    /// The operator's own proxies.
    pub trusted_proxies: Networks,
    /// Limits that people can meet.
    pub limits: Limits,
    /// How long messages are kept.
    pub retention: Retention,
}

/// How to sign in with GitHub.
#[derive(Clone)]
pub struct GithubSettings {
    /// Of the OAuth app.
    pub client_id: String,
    /// Of the OAuth app.
    pub client_secret: String,
    /// Where people go.
    pub url: Url,
    /// Where we ask who they are.
    pub api_url: Url,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of text for each event.
    Text,
    /// A JSON object on a line for each event.
    Json,
}

impl Settings {
    /// Checks the arguments, and makes what may be made: the data folder and the secret key.
    ///
    /// # Errors
    /// Names the setting that is wrong and what is expected of it.
    pub fn check(args: Args) -> Result<Self> {
        let public_url = args.public_url()?;
        let https = public_url.as_ref().is_some_and(|url| url.scheme() == "https");
        ensure!(
            args.bind.ip().is_loopback() || https || args.allow_insecure,
            "MESHWIRE_BIND: {} can be reached from other machines, but MESHWIRE_PUBLIC_URL is not https, so \
             tokens and messages would cross the network in the clear. Put a TLS proxy in front and set \
             MESHWIRE_PUBLIC_URL=https://…, or say --allow-insecure if the network is yours alone",
            args.bind
        );
        let store = args.place()?;
        let client_secret = secret(
            "MESHWIRE_GITHUB_CLIENT_SECRET",
            args.github_client_secret,
            args.github_client_secret_file.as_deref(),
        )?;
        let github = match (args.github_client_id, client_secret) {
            (None, None) => None,
            (Some(client_id), Some(client_secret)) => Some(GithubSettings {
                client_id,
                client_secret,
                url: check_secret_url("MESHWIRE_GITHUB_URL", args.github_url)?,
                api_url: check_secret_url("MESHWIRE_GITHUB_API_URL", args.github_api_url)?,
            }),
            (Some(_), None) => {
                bail!("MESHWIRE_GITHUB_CLIENT_SECRET is missing: MESHWIRE_GITHUB_CLIENT_ID is set")
            }
            (None, Some(_)) => {
                bail!("MESHWIRE_GITHUB_CLIENT_ID is missing: MESHWIRE_GITHUB_CLIENT_SECRET is set")
            }
        };
        let given =
            secret("MESHWIRE_SECRET_KEY", args.secret_key, args.secret_key_file.as_deref())?;
        let secret_key = match given {
            Some(key) => key,
            None => match &store {
                Place::Sqlite(path) => kept_secret_key(path)
                    .context("MESHWIRE_STORE: the place for the data cannot be used")?,
                shared @ (Place::Postgres { .. } | Place::DynamoDb(_)) => bail!(
                    "MESHWIRE_SECRET_KEY is missing: with {shared} it must be set, the same on all nodes, to \
                     at least {MIN_SECRET_KEY} random characters, for example those that \
                     `openssl rand -base64 48` prints"
                ),
            },
        };
        let secret_key_previous = secret(
            "MESHWIRE_SECRET_KEY_PREVIOUS",
            args.secret_key_previous,
            args.secret_key_previous_file.as_deref(),
        )?;
        for (name, key) in [
            ("MESHWIRE_SECRET_KEY", Some(&secret_key)),
            ("MESHWIRE_SECRET_KEY_PREVIOUS", secret_key_previous.as_ref()),
        ] {
            ensure!(
                key.is_none_or(|key| key.chars().count() >= MIN_SECRET_KEY),
                "{name} is too short: it needs at least {MIN_SECRET_KEY} characters"
            );
        }
        Ok(Self {
            bind: args.bind,
            public_url,
            store,
            github,
            secret_key,
            secret_key_previous,
            region: args.region,
            log: args.log,
            log_format: args.log_format,
            metrics_bind: args.metrics_bind,
            trusted_proxies: args.trusted_proxies,
            limits: args.limits,
            retention: args.retention.check()?,
        })
    }
}

fn check_base_url(name: &str, url: Url) -> Result<Url> {
    ensure!(
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none(),
        "{name}: {url} is not the URL of a server, such as https://mesh.example.com"
    );
    Ok(url)
}

/// A filter that `tracing` would take for the name of a module, and so log nothing, is a slip.
fn check_log(filter: &str) -> Result<()> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    let sound = filter.split(',').all(|directive| match directive.trim().rsplit_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(directive.trim()),
    });
    ensure!(
        sound,
        "MESHWIRE_LOG: {filter:?} is not a log filter; expected off, error, warn, info, debug or trace, or \
         directives such as info,meshwire_server=debug"
    );
    Ok(())
}

/// A URL that secrets are sent to: https, unless it is on this computer.
fn check_secret_url(name: &str, url: Url) -> Result<Url> {
    let url = check_base_url(name, url)?;
    let here = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    ensure!(url.scheme() == "https" || here, "{name}: {url} is not https");
    Ok(url)
}

fn check_public_url(url: Url) -> Result<Url> {
    let url = check_base_url("MESHWIRE_PUBLIC_URL", url)?;
    ensure!(
        url.path() == "/",
        "MESHWIRE_PUBLIC_URL: {url} has a path; MeshWire needs a host name of its own"
    );
    Ok(url)
}

/// A secret that is given itself or in a file.
fn secret(name: &str, value: Option<String>, file: Option<&Path>) -> Result<Option<String>> {
    match (value, file) {
        (Some(_), Some(_)) => bail!("{name} and {name}_FILE are both set: set one of them"),
        (Some(value), None) => Ok(Some(value)),
        (None, None) => Ok(None),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{name}_FILE: cannot read {}", path.display()))?;
            let text = text.trim_end_matches(['\r', '\n']);
            ensure!(!text.is_empty(), "{name}_FILE: {} is empty", path.display());
            Ok(Some(text.to_owned()))
        }
    }
}

/// The key that this server made for itself, beside its database; made now when it is not there.
fn kept_secret_key(sqlite: &Path) -> Result<String> {
    let path = sqlite.with_extension("key");
    if let Some(key) = read_if_there(&path)? {
        return Ok(key);
    }
    if let Some(folder) = path.parent() {
        create_private_folder(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let key = crate::secret::base62(64);
    match options.open(&path) {
        Ok(mut file) => {
            use std::io::Write as _;
            file.write_all(key.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write the secret key to {}", path.display()))?;
            Ok(key)
        }
        // Another server was quicker; the lock on the database will tell it or us.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => read_if_there(&path)?
            .with_context(|| format!("the secret key {} has just gone", path.display())),
        Err(error) => {
            Err(error).with_context(|| format!("cannot write the secret key to {}", path.display()))
        }
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read the secret key {}", path.display()))
        }
    }
}

/// Makes a folder that only its owner may enter; leaves one that exists as it is.
pub(crate) fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests;
