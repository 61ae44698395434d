//! `meshwire init --undo`

use std::path::PathBuf;

use meshwire_protocol::Harness;

use super::{Init, project, secret, tell};
use crate::failure::{Failure, Outcome};
use crate::identity::{self, Wanted};
use crate::mesh_file::{MeshFile, harness_name};
use crate::settings::Settings;
use crate::wiring::ledger::{Ledger, User};
use crate::wiring::plan::Plan;

pub(super) async fn run(args: &Init, mut settings: Settings, harness: Harness) -> Outcome<()> {
    let Some(mut file) = settings.mesh_file.take() else {
        return Err(Failure::usage(
            "there is no .mesh.json in this folder or above, so nothing is wired in",
        )
        .hint("run this in the project that was wired in"));
    };
    let folder = project::folder(&file);
    let user = User::new(&folder, &harness_name(harness));
    let agent = how_to_remove(&settings, &file, harness)?;
    let before = settings.home.wiring()?;
    let taken_out = forget(&mut file, &before, &user, harness)?;
    if args.dry_run {
        let plan = Plan::undo(&forgotten(&before, &user), &user, &folder)?;
        return tell::dry_run(&file, &plan);
    }
    let mut untold = Vec::new();
    if let Some((id, url)) = before.users.get(&user.key()).and_then(|done| done.token.clone())
        && let Err(failure) = secret::revoke(&settings, &folder, &id, &url).await
    {
        // The files go all the same: what they hold must not stay behind.
        untold.push(format!(
            "the token of this harness could not be revoked at {url} ({failure}): run `meshwire token revoke {id}`"
        ));
    }
    let mut plan = settings.home.with_wiring(|ledger| {
        let after = forgotten(ledger, &user);
        Plan::undo(&after, &user, &folder)?.apply(&settings.home)
    })?;
    plan.notes.extend(untold);
    let mut changed = None;
    if taken_out {
        changed = Some(file.path().to_owned()).filter(|_| matches!(file.new_text(), Ok(Some(_))));
        file.save_or_remove()?;
    } else {
        plan.notes.push(format!(
            "{} stays as it was: it was wired in by somebody else",
            file.path().display()
        ));
    }
    let changed: Option<PathBuf> = changed;
    tell::undone(args, &plan, changed.as_deref(), &agent)
}

/// Takes the harness out of `.mesh.json`, when it was put in on this computer.
fn forget(file: &mut MeshFile, ledger: &Ledger, user: &User, harness: Harness) -> Outcome<bool> {
    let Some(done) = ledger.users.get(&user.key()) else { return Ok(false) };
    if !done.mesh_file.contains(&harness_name(harness)) || !file.knows(harness)? {
        return Ok(false);
    }
    // What another harness of this computer wrote in this project is ours as well.
    let ours = ledger.users.iter().filter(|(key, _)| key.ends_with(&format!(":{}", user.project)));
    let keys: Vec<&str> =
        ours.flat_map(|(_, done)| done.mesh_file.iter().map(String::as_str)).collect();
    let last: Vec<&str> = project::KEYS.into_iter().filter(|key| keys.contains(key)).collect();
    file.forget(harness, &last)?;
    Ok(true)
}

/// The ledger without what was done besides files. What another harness may still have to take out goes to it.
fn forgotten(ledger: &Ledger, user: &User) -> Ledger {
    let mut ledger = ledger.clone();
    let Some(done) = ledger.users.remove(&user.key()) else { return ledger };
    let end = format!(":{}", user.project);
    if let Some((_, heir)) = ledger.users.iter_mut().find(|(key, _)| key.ends_with(&end)) {
        let keys = done.mesh_file.into_iter().filter(|key| project::KEYS.contains(&key.as_str()));
        for key in keys {
            if !heir.mesh_file.contains(&key) {
                heir.mesh_file.push(key);
            }
        }
    }
    ledger
}

/// The agent may have messages that nobody has read, so it is not removed along.
fn how_to_remove(settings: &Settings, file: &MeshFile, harness: Harness) -> Outcome<String> {
    let (Some(name), Some(mesh)) = (file.agent_of(Some(harness))?, file.mesh_id()?) else {
        return Ok(String::new());
    };
    let name = identity::real_name(settings, &mesh, &Wanted { name, of_project: true })?;
    Ok(format!(
        "The agent {name} is still in mesh {mesh}, with what it has not read. To remove it:\n  \
         curl -X DELETE {}/mesh/{mesh}/agents/{name} -H \"Authorization: Bearer $MESHWIRE_TOKEN\"\n\
         or on the dashboard.",
        settings.url
    ))
}
