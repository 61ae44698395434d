//! The project's `.mesh.json`.

use std::path::{Path, PathBuf};

use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{Harness, MeshId};

use crate::failure::{Failure, Outcome};
use crate::mesh_file::{FILE_NAME, MeshFile, harness_name};
use crate::output::note;
use crate::server_url::ServerUrl;
use crate::settings::Settings;

/// The keys of ours.
pub(super) const KEYS: [&str; 5] = ["mesh_id", "workspace_name", "agent_name", "harness", "url"];

/// The project's file: the one of this folder or of one above, else a new one here.
pub(super) fn file(settings: &mut Settings) -> Outcome<MeshFile> {
    if let Some(file) = settings.mesh_file.take() {
        return Ok(file);
    }
    let folder = current_folder()?;
    warn_of(&folder);
    Ok(MeshFile::new_in(&folder))
}

/// A file in some folders does what few people mean.
fn warn_of(folder: &Path) {
    if etcetera::home_dir().is_ok_and(|home| home == folder) {
        note(&format!(
            "note: this is your home folder, and {FILE_NAME} here holds for every folder below that has none of \
             its own"
        ));
    }
    let above = folder.ancestors().skip(1).find(|above| above.join(".git").exists());
    if let Some(above) = above.filter(|_| !folder.join(".git").exists()) {
        note(&format!(
            "note: agents that are started in {} itself do not see the {FILE_NAME} of this folder",
            above.display()
        ));
    }
}

/// The folder of a file.
pub(super) fn folder(file: &MeshFile) -> PathBuf {
    file.path().parent().map(Path::to_owned).unwrap_or_default()
}

/// The name that the harness has in the project, else one made of its own.
pub(super) fn agent_name(
    settings: &Settings,
    file: &MeshFile,
    harness: Harness,
) -> Outcome<String> {
    let of_project = file.harness()?;
    let kept = if of_project.is_none() || of_project == Some(harness) {
        file.agent_of(None)?
    } else {
        // The project's agent belongs to another harness; ours may have a name of its own.
        file.agent_of(Some(harness))?
            .filter(|name| file.agent_of(of_project).ok().flatten().as_ref() != Some(name))
    };
    match kept {
        Some(name) => Ok(name),
        None => {
            Ok(settings.env.agent()?.unwrap_or_else(|| format!("{}-agent", harness_name(harness))))
        }
    }
}

/// Two harnesses with one agent would take each other's messages, and neither could be told apart.
pub(super) fn refuse_agent_of_another(
    file: &MeshFile,
    harness: Harness,
    agent: &str,
) -> Outcome<()> {
    let harnesses = file.harnesses()?;
    let other = harnesses
        .iter()
        .find(|(other, name)| *other != harness && name.eq_ignore_ascii_case(agent));
    let Some((other, name)) = other else { return Ok(()) };
    Err(Failure::usage(format!("{name} is the agent of {} in this project", harness_name(*other)))
        .hint("each harness is an agent of its own: name another with --agent"))
}

/// Writes down mesh, agent and harness. Says which keys were not there before.
pub(super) fn fill(
    file: &mut MeshFile,
    settings: &Settings,
    mesh: &MeshId,
    agent: &str,
    harness: Harness,
) -> Outcome<Vec<String>> {
    let missing: Vec<&str> = KEYS.into_iter().filter(|key| !file.has(key)).collect();
    let knew = file.knows(harness)?;
    file.set("mesh_id", mesh.as_str())?;
    if !file.has("workspace_name") {
        let name = folder(file)
            .file_name()
            .map_or_else(|| "workspace".into(), |name| clean_line(&name.to_string_lossy()));
        file.set("workspace_name", &name)?;
    }
    if file.harness()?.is_none_or(|of_project| of_project == harness) {
        file.set("agent_name", agent)?;
        file.set("harness", &harness_name(harness))?;
    } else {
        file.set_agent_of(harness, agent)?;
    }
    if ServerUrl::default_url()? == settings.url {
        file.remove("url");
    } else {
        file.set("url", &settings.url.to_string())?;
    }
    let written = missing.into_iter().filter(|key| file.has(key)).map(str::to_owned);
    let harness = (!knew).then(|| harness_name(harness));
    Ok(written.chain(harness).collect())
}

/// Where we are.
pub(super) fn current_folder() -> Outcome<PathBuf> {
    std::env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current folder: {error}")))
}
