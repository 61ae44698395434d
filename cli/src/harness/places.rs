//! Where things are on a computer. The platform is a value, so that each can be tried on any.

use std::path::{Path, PathBuf};

use meshwire_protocol::MeshId;

use super::NAME;
use crate::credentials::Token;
use crate::failure::{Failure, Outcome};
use crate::server_url::ServerUrl;
use crate::wiring::{Content, Edit, FileEdit, Format, Place};

/// A platform, as far as folders go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Os {
    Linux,
    Mac,
    Windows,
}

impl Os {
    /// This computer's.
    pub(crate) fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Mac
        } else {
            Self::Linux
        }
    }
}

/// The variables of the environment that say where a harness keeps its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vars {
    /// `COPILOT_HOME`
    pub(crate) copilot_home: Option<String>,
    /// `CODEX_HOME`
    pub(crate) codex_home: Option<String>,
    /// `CLAUDE_CONFIG_DIR`
    pub(crate) claude_config: Option<String>,
    /// `GEMINI_CLI_HOME`, which stands for the home folder.
    pub(crate) gemini_home: Option<String>,
    /// `HERMES_HOME`
    pub(crate) hermes_home: Option<String>,
    /// `PI_CODING_AGENT_DIR`
    pub(crate) pi_agent: Option<String>,
    /// `XDG_CONFIG_HOME`
    pub(crate) xdg_config: Option<String>,
    /// `APPDATA`, on Windows.
    pub(crate) app_data: Option<String>,
    /// `LOCALAPPDATA`, on Windows.
    pub(crate) local_app_data: Option<String>,
}

impl Vars {
    /// This process's.
    pub(crate) fn of_process() -> Self {
        // A relative one would mean another folder in every project.
        let get =
            |name: &str| std::env::var(name).ok().filter(|value| Path::new(value).is_absolute());
        Self {
            copilot_home: get("COPILOT_HOME"),
            codex_home: get("CODEX_HOME"),
            claude_config: get("CLAUDE_CONFIG_DIR"),
            gemini_home: get("GEMINI_CLI_HOME"),
            hermes_home: get("HERMES_HOME"),
            pi_agent: get("PI_CODING_AGENT_DIR"),
            local_app_data: get("LOCALAPPDATA"),
            xdg_config: get("XDG_CONFIG_HOME"),
            app_data: get("APPDATA"),
        }
    }
}

/// Where things are, and what is wired in.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The platform.
    pub(crate) os: Os,
    /// The home folder.
    pub(crate) home: String,
    /// What the environment says.
    pub(crate) vars: Vars,
    /// The project's folder: where its `.mesh.json` is.
    pub(crate) project: String,
    /// This program, by its absolute path.
    pub(crate) program: String,
    /// The project's mesh.
    pub(crate) mesh: MeshId,
    /// The name of our MCP server, where each project needs one of its own.
    pub(crate) server: String,
    /// The server that the mesh is on.
    pub(crate) url: String,
    /// The agent's name in it.
    pub(crate) agent: String,
    /// The agent's own token, for a harness that needs one.
    pub(crate) token: Option<Token>,
    /// Which of some files are there: a harness may read several, and has one already.
    pub(crate) exists: fn(&Path) -> bool,
}

impl Places {
    /// This computer's.
    pub(crate) fn here(
        project: &Path,
        mesh: &MeshId,
        url: &ServerUrl,
        agent: String,
    ) -> Outcome<Self> {
        let home = etcetera::home_dir()
            .map_err(|_| Failure::failed("cannot find your home folder").hint("set HOME"))?;
        Ok(Self {
            os: Os::here(),
            home: utf8(&home)?,
            vars: Vars::of_process(),
            project: utf8(project)?,
            program: program()?,
            mesh: mesh.clone(),
            server: NAME.to_owned(),
            url: url.to_string(),
            agent,
            token: None,
            exists: Path::exists,
        })
    }

    /// A path below a folder; `/` stands between its parts.
    pub(crate) fn below(&self, folder: &str, path: &str) -> PathBuf {
        PathBuf::from(match self.os {
            Os::Windows => format!("{folder}\\{}", path.replace('/', "\\")),
            _ => format!("{folder}/{path}"),
        })
    }

    /// A path below the home folder, or below the folder that a variable names instead of `default`.
    pub(crate) fn home(&self, named: Option<&str>, default: &str, path: &str) -> PathBuf {
        match named {
            Some(folder) => self.below(folder.trim_end_matches(['/', '\\']), path),
            None => self.below(&self.home, &format!("{default}/{path}")),
        }
    }

    /// A path below the folder in which desktop programs keep their settings.
    pub(crate) fn app_data(&self, path: &str) -> PathBuf {
        match self.os {
            Os::Linux => self.home(self.vars.xdg_config.as_deref(), ".config", path),
            Os::Mac => self.below(&self.home, &format!("Library/Application Support/{path}")),
            Os::Windows => self.home(self.vars.app_data.as_deref(), "AppData/Roaming", path),
        }
    }
}

/// As text, written in one way only: what we hold where is found by it.
fn utf8(path: &Path) -> Outcome<String> {
    let path: PathBuf = path.components().collect();
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::failed(format!("{} is not UTF-8, which harnesses need", path.display()))
    })
}

/// A file of settings below the home folder.
pub(super) fn settings(path: PathBuf, format: Format, edits: Vec<Edit>) -> FileEdit {
    FileEdit { path, place: Place::Home, content: Content::Settings { format, edits } }
}

/// A file of our own below the home folder.
pub(super) fn own(path: PathBuf, text: String) -> FileEdit {
    FileEdit { path, place: Place::Home, content: Content::Own { text, secret: false } }
}

/// A file in the project.
pub(super) fn in_project(places: &Places, path: &str, content: Content) -> FileEdit {
    FileEdit { path: places.below(&places.project, path), place: Place::Project, content }
}

/// This program, as other programs are to start it: as the user starts it where that is a link that stays when a
/// new version comes.
fn program() -> Outcome<String> {
    let failed = |why: &str| Failure::failed(format!("cannot tell where this program is: {why}"));
    let own = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let real = std::fs::canonicalize(&own).unwrap_or_else(|_| own.clone());
    let name = own.file_name().unwrap_or_default();
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>()
    });
    let linked = on_path
        .filter(|path| path.is_absolute())
        .find(|path| std::fs::canonicalize(path).is_ok_and(|found| found == real));
    let path = linked.unwrap_or(own);
    path.into_os_string().into_string().map_err(|_| failed("its path is not UTF-8"))
}
