//! Which server, token, mesh and agent a command uses, and where each was said.
//!
//! The first that says something wins: a flag, the environment, `.mesh.json` in this folder or above, the
//! profile in `~/.meshwire/credentials.json`.

use std::path::Path;

use meshwire_protocol::{Harness, MeshId, check_agent_name};

use crate::client::Client;
use crate::credentials::{Credentials, Entry, Home, Token};
use crate::failure::{Failure, Outcome};
use crate::mesh_file::MeshFile;
use crate::server_url::ServerUrl;

/// The profile when nobody names one.
pub(crate) const DEFAULT_PROFILE: &str = "default";

/// The variables that settings are read from.
pub(crate) const VARIABLES: [&str; 5] = [
    "MESHWIRE_TOKEN",
    "MESHWIRE_URL",
    "MESHWIRE_MESH_ID",
    "MESHWIRE_AGENT_NAME",
    "MESHWIRE_PROFILE",
];

/// Variables that harnesses set in the shells that they run for a model. Only those that a person's own
/// terminal does not have: an editor's terminal says `CURSOR_TRACE_ID` and is still the person.
const HARNESS_MARKS: &[(&str, Harness)] = &[
    // Claude Code sets it to 1 in every command that it runs.
    ("CLAUDECODE", Harness::Claude),
    // Gemini CLI sets it to 1 in its shell tool.
    ("GEMINI_CLI", Harness::Gemini),
    // Codex CLI: the thread that runs the command; the others tell how it is confined.
    ("CODEX_THREAD_ID", Harness::Codex),
    ("CODEX_SANDBOX", Harness::Codex),
    ("CODEX_SANDBOX_NETWORK_DISABLED", Harness::Codex),
    // Cursor's agent, not its terminal.
    ("CURSOR_AGENT", Harness::Cursor),
    // GitHub Copilot CLI: seen in its children, not documented, hence both.
    ("COPILOT_CLI", Harness::Copilot),
    ("COPILOT_AGENT_SESSION_ID", Harness::Copilot),
    // opencode sets it to 1.
    ("OPENCODE", Harness::Opencode),
    // Pi sets it to true.
    ("PI_CODING_AGENT", Harness::Pi),
    // Hermes hands it to what its terminal tool runs.
    ("HERMES_SESSION_ID", Harness::Hermes),
];

/// What the environment says. A variable that is set to nothing says nothing.
#[derive(Debug, Default)]
pub(crate) struct Env {
    token: Option<String>,
    url: Option<String>,
    mesh: Option<String>,
    agent: Option<String>,
    pub(crate) profile: Option<String>,
    /// The harness that runs this shell for its model.
    pub(crate) harness: Option<Harness>,
}

impl Env {
    /// The environment of this process.
    pub(crate) fn of_process() -> Outcome<Self> {
        for name in VARIABLES {
            if matches!(std::env::var(name), Err(std::env::VarError::NotUnicode(_))) {
                return Err(Failure::usage(format!("{name} is not UTF-8")));
            }
        }
        Ok(Self::read(|name| std::env::var(name).ok()))
    }

    fn read(look_up: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| look_up(name).filter(|value| !value.trim().is_empty());
        Self {
            token: get("MESHWIRE_TOKEN"),
            url: get("MESHWIRE_URL"),
            mesh: get("MESHWIRE_MESH_ID"),
            agent: get("MESHWIRE_AGENT_NAME"),
            profile: get("MESHWIRE_PROFILE"),
            harness: HARNESS_MARKS
                .iter()
                .find(|(name, _)| get(name).is_some())
                .map(|&(_, harness)| harness),
        }
    }

    /// Whether there is no `MESHWIRE_TOKEN`.
    pub(crate) fn says_no_token(&self) -> bool {
        self.token.is_none()
    }

    /// `MESHWIRE_AGENT_NAME`.
    pub(crate) fn agent(&self) -> Outcome<Option<String>> {
        self.agent.as_deref().map(|name| checked_agent(name, "MESHWIRE_AGENT_NAME")).transpose()
    }
}

/// What the flags say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--url`.
    pub(crate) url: Option<String>,
    /// `--profile`.
    pub(crate) profile: Option<String>,
}

/// Where a setting was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// By a flag.
    Flag,
    /// In the environment.
    Environment,
    /// In `.mesh.json`.
    MeshFile,
    /// In the profile.
    Profile,
    /// Nowhere.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flag => "a flag",
            Self::Environment => "the environment",
            Self::MeshFile => ".mesh.json",
            Self::Profile => "the profile",
            Self::Default => "the default",
        })
    }
}

/// What a command uses.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the environment says.
    pub(crate) env: Env,
    /// The profile's name.
    pub(crate) profile: String,
    /// The server.
    pub(crate) url: ServerUrl,
    /// Where the server was said.
    pub(crate) url_source: Source,
    /// The project's file.
    pub(crate) mesh_file: Option<MeshFile>,
    /// What the profile holds, whichever server it belongs to.
    pub(crate) entry: Option<Entry>,
    /// Where this computer remembers things.
    pub(crate) home: Home,
}

impl Settings {
    /// Of this process, in this folder.
    pub(crate) fn load(flags: &Flags) -> Outcome<Self> {
        let folder = std::env::current_dir()
            .map_err(|error| Failure::failed(format!("cannot tell the current folder: {error}")))?;
        Self::load_in(flags, Some(&folder))
    }

    /// Of this process, for what has nothing to do with a project.
    pub(crate) fn load_outside_project(flags: &Flags) -> Outcome<Self> {
        Self::load_in(flags, None)
    }

    fn load_in(flags: &Flags, folder: Option<&Path>) -> Outcome<Self> {
        let home = Home::find()?;
        let env = Env::of_process()?;
        let mesh_file = folder.map(MeshFile::find).transpose()?.flatten();
        let credentials = match home.credentials() {
            // With a token of the environment, nothing in the file is needed.
            Err(_) if env.token.is_some() => Credentials::default(),
            credentials => credentials?,
        };
        Self::resolve(env, flags, mesh_file, &credentials, home)
    }

    /// From what was read already.
    pub(crate) fn resolve(
        env: Env,
        flags: &Flags,
        mesh_file: Option<MeshFile>,
        credentials: &Credentials,
        home: Home,
    ) -> Outcome<Self> {
        let profile = flags.profile.as_ref().or(env.profile.as_ref());
        let profile =
            profile.map_or_else(|| DEFAULT_PROFILE.to_owned(), |name| name.trim().to_owned());
        if profile.is_empty() || profile.chars().any(char::is_control) {
            return Err(Failure::usage("a profile's name is printable and not empty"));
        }
        let entry = credentials.profiles.get(&profile).cloned();
        let file_url = mesh_file.as_ref().map(MeshFile::url).transpose()?.flatten();
        let (url, url_source) = if let Some(url) = &flags.url {
            (ServerUrl::parse(url, "--url")?, Source::Flag)
        } else if let Some(url) = &env.url {
            (ServerUrl::parse(url, "MESHWIRE_URL")?, Source::Environment)
        } else if let Some(url) = file_url {
            (url, Source::MeshFile)
        } else if let Some(entry) = entry.as_ref().filter(|_| env.token.is_none()) {
            // Not with a token of the environment: that one belongs to another server than this.
            let from = home.credentials_path().display().to_string();
            (ServerUrl::parse(&entry.url, &from)?, Source::Profile)
        } else {
            (ServerUrl::default_url()?, Source::Default)
        };
        Ok(Self { env, profile, url, url_source, mesh_file, entry, home })
    }

    /// The profile's entry, if this server issued its token.
    pub(crate) fn entry_here(&self) -> Option<&Entry> {
        self.entry
            .as_ref()
            .filter(|entry| ServerUrl::parse(&entry.url, "").is_ok_and(|url| url == self.url))
    }

    /// Refuses a server that only `.mesh.json` names: whoever wrote that file is not to be sent a token
    /// that this server may not have issued.
    pub(crate) fn refuse_url_of_mesh_file(&self, token: &str) -> Outcome<()> {
        if self.url_source != Source::MeshFile || ServerUrl::default_url()? == self.url {
            return Ok(());
        }
        let path = self.mesh_file.as_ref().map(|file| file.path().display().to_string());
        Err(Failure::refused(format!(
            "{token} is not sent to {}, which only {} names",
            self.url,
            path.unwrap_or_default()
        ))
        .hint(format!("if you trust that server, say so: --url {0} or MESHWIRE_URL={0}", self.url)))
    }

    /// The token for this server.
    pub(crate) fn token(&self) -> Outcome<Token> {
        if let Some(token) = &self.env.token {
            self.refuse_url_of_mesh_file("MESHWIRE_TOKEN")?;
            return Token::parse(token, "MESHWIRE_TOKEN");
        }
        if let Some(entry) = self.entry_here() {
            return Ok(entry.token.clone());
        }
        let how = match self.profile.as_str() {
            DEFAULT_PROFILE => format!("run `meshwire login --url {}`", self.url),
            name => format!("run `meshwire login --url {} --profile {name}`", self.url),
        };
        Err(match &self.entry {
            Some(entry) => Failure::refused(format!(
                "not signed in to {}: the profile {:?} belongs to {}",
                self.url, self.profile, entry.url
            ))
            .hint(format!("{how}, or name another profile with --profile")),
            None => Failure::refused(format!("not signed in to {}", self.url))
                .hint(format!("{how}, or set MESHWIRE_TOKEN")),
        })
    }

    /// Whether the token comes from the environment.
    pub(crate) fn token_is_of_environment(&self) -> bool {
        self.env.token.is_some()
    }

    /// A client with the token for this server.
    pub(crate) fn client(&self) -> Outcome<Client> {
        Client::new(self.url.clone(), Some(self.token()?))
    }

    /// Whether the environment or the project names a mesh. The profile's holds for every folder.
    pub(crate) fn says_mesh_here(&self) -> Outcome<bool> {
        let of_file = self.mesh_file.as_ref().map(MeshFile::mesh_id).transpose()?.flatten();
        Ok(self.env.mesh.is_some() || of_file.is_some())
    }

    /// The mesh that was said, if any was.
    pub(crate) fn mesh(&self, flag: Option<&str>) -> Outcome<Option<(MeshId, Source)>> {
        let parse = |text: &str, from: &str| {
            text.trim().parse().map_err(|error| {
                Failure::usage(format!("{from}: {error}")).hint("`meshwire mesh list` shows yours")
            })
        };
        if let Some(id) = flag {
            return Ok(Some((parse(id, "--mesh")?, Source::Flag)));
        }
        if let Some(id) = &self.env.mesh {
            return Ok(Some((parse(id, "MESHWIRE_MESH_ID")?, Source::Environment)));
        }
        if let Some(id) = self.mesh_file.as_ref().map(MeshFile::mesh_id).transpose()?.flatten() {
            return Ok(Some((id, Source::MeshFile)));
        }
        let kept = self.entry_here().and_then(|entry| entry.mesh_id.clone());
        Ok(kept.map(|id| (id, Source::Profile)))
    }
}

/// Checks the name of an agent that the user gave.
pub(crate) fn checked_agent(name: &str, from: &str) -> Outcome<String> {
    let name = name.trim();
    check_agent_name(name).map_err(|rule| {
        Failure::usage(format!("{from}: {name:?} {rule}")).hint("choose a name like builder-1")
    })?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
