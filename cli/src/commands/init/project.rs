//! The project's `.mesh.json`.

use std::path::{Path, PathBuf};

use meshwire_protocol::{Harness, MeshId};

use crate::failure::{Failure, Outcome};
use crate::mesh_file::{FILE_NAME, MeshFile, harness_name, parse_harness};
use crate::output::note;
use crate::server_url::ServerUrl;
use crate::settings::Settings;
use crate::wiring::hand_over::HandOver;
use crate::wiring::ledger::{Ledger, User};
use crate::wiring::{Content, Edit, FileEdit, Format, Place};

/// The project's file: the one of this folder or of one above, else a new one here.
pub(super) fn file(settings: &Settings) -> Outcome<MeshFile> {
    if let Some(file) = &settings.mesh_file {
        return Ok(file.clone());
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

/// The name that the environment says, else the one that the harness has in the project, else one made of its own.
pub(super) fn agent_name(
    settings: &Settings,
    file: &MeshFile,
    harness: Harness,
) -> Outcome<String> {
    if let Some(name) = settings.env.agent()? {
        return Ok(name);
    }
    let of_project = file.harness()?;
    let kept = if of_project.is_none() || of_project == Some(harness) {
        file.agent_of(None)?
    } else {
        // The project's agent belongs to another harness; ours may have a name of its own.
        file.agent_of(Some(harness))?
            .filter(|name| file.agent_of(of_project).ok().flatten().as_ref() != Some(name))
    };
    Ok(kept.unwrap_or_else(|| format!("{}-agent", harness_name(harness))))
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

/// What is to stand in it: mesh, agent and harness.
pub(super) fn edit(
    file: &MeshFile,
    settings: &Settings,
    mesh: &MeshId,
    agent: &str,
    harness: Harness,
) -> Outcome<FileEdit> {
    let name = harness_name(harness);
    let mut edits = vec![
        Edit::is(&["mesh_id"], mesh.as_str()),
        Edit::default(&["workspace_name"], file.workspace_name()?),
    ];
    if file.harness()?.is_none_or(|of_project| of_project == harness) {
        edits.push(Edit::is(&["agent_name"], agent));
        edits.push(Edit::is(&["harness"], name));
    } else {
        edits.push(Edit::is(&["agents", &name], agent));
    }
    let url = settings.url.to_string();
    match file.url()? {
        // However it is spelled.
        Some(of_file) if of_file == settings.url => edits.push(Edit::default(&["url"], url)),
        None if ServerUrl::default_url()? == settings.url => {}
        _ => edits.push(Edit::is(&["url"], url)),
    }
    Ok(FileEdit {
        path: file.path().to_owned(),
        place: Place::Project,
        content: Content::Settings { format: Format::Json, edits },
    })
}

/// One of the further harnesses comes into the place of one that goes: the first that was wired in on this computer,
/// else the first. What this version does not know stays where it is: the place is read by everybody.
pub(super) fn hand_over(
    file: &MeshFile,
    harness: Harness,
    ledger: &Ledger,
) -> Outcome<Option<HandOver>> {
    if file.harness()? != Some(harness) {
        return Ok(None);
    }
    let mut known = file.agents()?;
    known.retain(|(name, _)| parse_harness(name).is_some());
    let wired = |(name, _): &(String, String)| ledger.knows(&User::new(&folder(file), name));
    let next = known.iter().position(wired).unwrap_or_default();
    Ok(known.into_iter().nth(next).map(|(next, name)| HandOver {
        path: file.path().to_owned(),
        heir: User::new(&folder(file), &next),
        values: vec![("harness".into(), next.as_str().into()), ("agent_name".into(), name.into())],
        gives: vec!["agents".into(), next],
    }))
}

/// Where we are.
pub(super) fn current_folder() -> Outcome<PathBuf> {
    std::env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current folder: {error}")))
}
