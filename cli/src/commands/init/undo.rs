//! `meshwire init --undo`

use std::path::Path;

use meshwire_protocol::Harness;

use super::{Init, project, secret, tell};
use crate::failure::{Failure, Outcome};
use crate::harness::headless::SECRET_FILE;
use crate::identity;
use crate::mesh_file::{MeshFile, harness_name};
use crate::settings::Settings;
use crate::wiring::ledger::{Done, User};
use crate::wiring::plan::Plan;

pub(super) async fn run(args: &Init, settings: Settings, harness: Harness) -> Outcome<()> {
    let mut ledger = settings.home.wiring()?;
    let file = match &settings.mesh_file {
        Some(file) => file.clone(),
        // Perhaps somebody has removed it by hand.
        None => MeshFile::new_in(&project::current_folder()?),
    };
    ledger.follow(&file);
    let folder = project::folder(&file);
    let user = User::new(&folder, &harness_name(harness));
    if !ledger.knows(&user) {
        return Err(nothing_to_undo(&file, &folder, harness));
    }
    let hand_over = project::hand_over(&file, harness, &ledger)?;
    let is_ours = ledger.holds(file.path(), &user);
    let done = ledger.users.remove(&user.key()).unwrap_or_default();
    let how = how_to_remove(&settings, &done)?;
    let gone = ledger.take_gone();
    let mut plan = Plan::undo(&ledger, &user, &folder, hand_over.as_ref())?;
    plan.notes.extend(gone.iter().filter_map(|(folder, done)| {
        let (id, url) = done.token.as_ref()?;
        Some(format!(
            "{folder} is there no more, and its agent's token may still work: run `meshwire token revoke {id} --url {url}`"
        ))
    }));
    if args.dry_run {
        return tell::dry_run(args, &plan);
    }
    if let Some((id, url)) = &done.token
        && let Err(failure) = secret::revoke(&settings, &folder, id, url).await
    {
        // The files go all the same: what they hold must not stay behind.
        plan.notes.push(format!(
            "the token of this harness could not be revoked at {url} ({failure}): run `meshwire token revoke {id}`"
        ));
    }
    let mut plan = plan.apply(&settings.home)?;
    if !is_ours && file.is_on_disk() {
        plan.notes.push(format!(
            "{} stays as it was: init has put nothing into it on this computer",
            file.path().display()
        ));
    }
    for agent in
        gone.iter().map(|(_, done)| done).chain([&done]).filter_map(|done| done.agent.as_ref())
    {
        // Unless another one goes by that name, too.
        if !ledger.users.values().any(|other| other.agent.as_ref() == Some(agent)) {
            settings.home.forget_alias(&agent.0, &agent.1)?;
        }
    }
    tell::undone(args, &plan, &how)
}

/// What is not remembered here was put in by somebody else, or before what we remembered was lost.
fn nothing_to_undo(file: &MeshFile, folder: &Path, harness: Harness) -> Failure {
    let name = harness_name(harness);
    if !file.is_on_disk() {
        return Failure::usage(format!(
            "there is no .mesh.json in this folder or above, and {name} was not wired in here"
        ))
        .hint("run this in the project that was wired in");
    }
    let failure = Failure::usage(format!(
        "nothing to undo: {name} was not wired in on this computer for {}",
        folder.display()
    ));
    let secret = folder.join(SECRET_FILE);
    if !secret.exists() {
        return failure.hint("what somebody else has committed is not ours to take out");
    }
    failure.hint(format!(
        "{} holds a token: end that one with `meshwire token list` and `meshwire token revoke ID`, and remove the file",
        secret.display()
    ))
}

/// The agent may have messages that nobody has read, so it is not removed along.
fn how_to_remove(settings: &Settings, done: &Done) -> Outcome<String> {
    let Some((mesh, name)) = &done.agent else { return Ok(String::new()) };
    let name = identity::real_name_at(&settings.home, mesh, name)?;
    Ok(format!(
        "The agent {name} is still in mesh {mesh}, with what it has not read. To remove it:\n  \
         curl -X DELETE {}/mesh/{mesh}/agents/{name} -H \"Authorization: Bearer $MESHWIRE_TOKEN\"\n\
         or on the dashboard.",
        settings.url
    ))
}
