//! `.mesh.json`: which mesh a project talks in, and as whom. It is committed, so it holds no secret.
//!
//! It is only read here; `init` changes it as it changes other files ([`crate::wiring`]).

use std::fmt;
use std::path::{Path, PathBuf};

use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{Harness, MeshId, TOKEN_LENGTH, TOKEN_PREFIX, check_agent_name};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::failure::{Failure, Outcome};
use crate::files;
use crate::server_url::ServerUrl;

/// Its name.
pub(crate) const FILE_NAME: &str = ".mesh.json";

/// A `.mesh.json`, with every key in its place.
#[derive(Debug, Clone)]
pub(crate) struct MeshFile {
    path: PathBuf,
    keys: Object<Box<RawValue>>,
}

impl MeshFile {
    /// The one of a folder, or of the nearest folder above it.
    pub(crate) fn find(folder: &Path) -> Outcome<Option<Self>> {
        for folder in folder.ancestors() {
            let path = folder.join(FILE_NAME);
            if let Some(text) = files::read(&path)? {
                return Self::parse(path, &text).map(Some);
            }
        }
        Ok(None)
    }

    /// A new one, not yet written.
    pub(crate) fn new_in(folder: &Path) -> Self {
        Self { path: folder.join(FILE_NAME), keys: Object(Vec::new()) }
    }

    fn parse(path: PathBuf, text: &str) -> Outcome<Self> {
        let keys: Object<Box<RawValue>> = serde_json::from_str(text).map_err(|error| {
            Failure::usage(format!(
                "{} is not a JSON object, see line {} column {}",
                path.display(),
                error.line(),
                error.column()
            ))
            .hint("mend it, or remove it and run `meshwire init`")
        })?;
        let file = Self { path, keys };
        for (key, value) in &file.keys.0 {
            let below = serde_json::from_str(value.get()).unwrap_or_default();
            let named = if names_token(key) { Some(key.as_str()) } else { named_token(&below) };
            if named.is_some() || holds_token(key) || holds_token(value.get()) {
                // A key may be the token itself.
                let key = named.unwrap_or(key);
                let key = if holds_token(key) { "a key" } else { key };
                return Err(Failure::usage(format!(
                    "{}: {key:?} looks like a token, and this file is committed",
                    file.path.display()
                ))
                .hint("remove it, revoke the token with `meshwire token revoke`, and run `meshwire login`"));
            }
        }
        // All of ours are read once, so that a slip is told wherever it stands.
        file.mesh_id()?;
        file.harness()?;
        file.agents()?;
        file.workspace_name()?;
        if let Some(name) = file.text("agent_name")? {
            file.check_name("agent_name", &name)?;
        }
        file.url()?;
        Ok(file)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The project's mesh.
    pub(crate) fn mesh_id(&self) -> Outcome<Option<MeshId>> {
        self.text("mesh_id")?
            .map(|id| id.parse().map_err(|error| self.wrong("mesh_id", &format!("{error}"))))
            .transpose()
    }

    /// The project's name for people: its folder's, where the file says none.
    pub(crate) fn workspace_name(&self) -> Outcome<String> {
        let of_folder = || {
            let name = self.path.parent()?.file_name()?;
            // A folder may be named like what this file must not hold.
            Some(clean_line(&name.to_string_lossy())).filter(|name| !holds_token(name))
        };
        let name = self.text("workspace_name")?.or_else(of_folder);
        Ok(name.unwrap_or_else(|| "workspace".into()))
    }

    /// The project's server, when it is not the default.
    pub(crate) fn url(&self) -> Outcome<Option<ServerUrl>> {
        let from = format!("{}: \"url\"", self.path.display());
        self.text("url")?.map(|url| ServerUrl::parse(&url, &from)).transpose()
    }

    /// The harness of `agent_name`.
    pub(crate) fn harness(&self) -> Outcome<Option<Harness>> {
        self.text("harness")?
            .map(|name| {
                parse_harness(&name).ok_or_else(|| {
                    self.wrong(
                        "harness",
                        &format!("{name:?} is no harness that this version knows"),
                    )
                })
            })
            .transpose()
    }

    /// The agent of a harness: its own one under `agents`, else the project's.
    pub(crate) fn agent_of(&self, harness: Option<Harness>) -> Outcome<Option<String>> {
        if let Some(harness) = harness
            && self.harness()? != Some(harness)
            && let Some((_, name)) =
                self.agents()?.into_iter().find(|(key, _)| parse_harness(key) == Some(harness))
        {
            return Ok(Some(name));
        }
        self.text("agent_name")
    }

    /// All harnesses, each with its agent.
    pub(crate) fn harnesses(&self) -> Outcome<Vec<(Harness, String)>> {
        let first = self.harness()?.zip(self.text("agent_name")?);
        let more = self.agents()?.into_iter();
        let more = more.filter_map(|(key, name)| Some((parse_harness(&key)?, name)));
        Ok(first.into_iter().chain(more).collect())
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.0.iter().any(|(found, _)| found == key)
    }

    /// Whether it was read, rather than made new.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.path.exists()
    }

    /// The further harnesses, each with its agent.
    pub(crate) fn agents(&self) -> Outcome<Vec<(String, String)>> {
        let agents: Option<Object<String>> =
            self.value("agents", "must be an object of harness and agent name")?;
        let agents = agents.map(|object| object.0).unwrap_or_default();
        for (_, name) in &agents {
            self.check_name("agents", name)?;
        }
        Ok(agents)
    }

    fn text(&self, key: &str) -> Outcome<Option<String>> {
        self.value(key, "must be a string")
    }

    fn value<T: DeserializeOwned>(&self, key: &str, rule: &str) -> Outcome<Option<T>> {
        self.keys
            .0
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| serde_json::from_str(value.get()).map_err(|_| self.wrong(key, rule)))
            .transpose()
    }

    fn check_name(&self, key: &str, name: &str) -> Outcome<()> {
        check_agent_name(name)
            .map_err(|rule| self.wrong(key, &format!("{name:?}: an agent's name {rule}")))
    }

    fn wrong(&self, key: &str, what: &str) -> Failure {
        Failure::usage(format!("{}: {key:?}: {what}", self.path.display()))
            .hint("correct it there, or remove the key and run `meshwire init`")
    }
}

/// Reads the name of a harness.
pub(crate) fn parse_harness(name: &str) -> Option<Harness> {
    serde_json::from_value(serde_json::Value::from(name)).ok()
}

/// The name of a harness, as it is written.
pub(crate) fn harness_name(harness: Harness) -> String {
    match serde_json::to_value(harness) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn names_token(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("token")
}

/// The key below a value that names a token.
fn named_token(value: &serde_json::Value) -> Option<&str> {
    match value {
        serde_json::Value::Object(keys) => keys.iter().find_map(|(key, value)| {
            if names_token(key) { Some(key.as_str()) } else { named_token(value) }
        }),
        serde_json::Value::Array(list) => list.iter().find_map(named_token),
        _ => None,
    }
}

/// Whether a text holds what looks like a token, real or not.
pub(crate) fn holds_token(text: &str) -> bool {
    text.match_indices(TOKEN_PREFIX).any(|(at, _)| {
        let body = text.as_bytes().iter().skip(at + TOKEN_PREFIX.len());
        let length = TOKEN_LENGTH - TOKEN_PREFIX.len();
        body.take(length).filter(|byte| byte.is_ascii_alphanumeric()).count() == length
    })
}

fn put<T>(keys: &mut Vec<(String, T)>, key: &str, value: T) {
    match keys.iter_mut().find(|(found, _)| found == key) {
        Some((_, old)) => *old = value,
        None => keys.push((key.to_owned(), value)),
    }
}

/// A JSON object whose keys keep their order.
#[derive(Debug, Clone)]
struct Object<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<T>, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    // As every JSON reader does: of two equal keys the last one counts.
                    put(&mut keys, &key, value);
                }
                Ok(Object(keys))
            }
        }

        deserializer.deserialize_map(Keys(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests;
