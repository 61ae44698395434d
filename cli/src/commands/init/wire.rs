//! Wiring a harness in.

use meshwire_protocol::{Harness, MeshId};

use super::secret::{self, Secret};
use super::{Init, join, project, tell};
use crate::credentials::Token;
use crate::delivery::wake_of;
use crate::failure::Outcome;
use crate::harness::{Places, headless, wiring};
use crate::identity::{self, Wanted};
use crate::mesh_file::harness_name;
use crate::settings::{DEFAULT_PROFILE, Settings};
use crate::wiring::ledger::User;
use crate::wiring::moved;
use crate::wiring::plan::Plan;

pub(super) async fn run(
    args: &Init,
    settings: Settings,
    harness: Harness,
    named: Option<String>,
) -> Outcome<()> {
    let mesh = mesh(args, &settings).await?;
    let file = project::file(&settings)?;
    let agent = match named {
        Some(name) => name,
        None => project::agent_name(&settings, &file, harness)?,
    };
    project::refuse_agent_of_another(&file, harness, &agent)?;
    let wanted = Wanted { name: agent.clone(), of_project: true };
    let folder = project::folder(&file);
    let user = User::new(&folder, &harness_name(harness));
    let real_name = identity::real_name(&settings, &mesh, &wanted)?;
    let mut places = Places::here(&folder, &mesh, &settings.url, real_name)?;

    let mut ledger = settings.home.wiring()?;
    ledger.follow(&file);
    places.server = ledger.server_name(&user);
    let secret = secret::is_kept_for(harness, &ledger, &user, &folder);
    if secret {
        secret::refuse_tracked(&folder)?;
        // What it will be is known later; where it goes to is seen now. A file that we did not write is not ours to go on
        // with: nobody could end its token then.
        let is_ours = ledger.holds(&folder.join(headless::SECRET_FILE), &user);
        let kept = if is_ours { headless::token_in(&folder, &settings.url)? } else { None };
        places.token = Some(kept.map_or_else(Token::placeholder, Ok)?);
    }
    // First what may fail, then the server, then the files: a run that fails leaves nothing half done.
    let project_edit = project::edit(&file, &settings, &mesh, &agent, harness)?;
    let mut files = wiring(harness, &places).files;
    files.push(project_edit.clone());
    let plan = Plan::put(&files, &ledger, &user, &folder)?;
    if args.dry_run {
        return tell::dry_run(args, &plan);
    }
    let client = settings.client()?;
    join::come_in(&client, &mesh).await?;
    let wake = Some(wake_of(harness));
    let registered =
        identity::register_awake(&settings, &client, &mesh, &wanted, Some(harness), wake).await?;
    places.agent.clone_from(&registered.name);
    ledger.set_program(&user, &places.program);
    let done = ledger.users.entry(user.key()).or_default();
    done.project = Some(moved::identity(&file, &mesh)?);
    done.agent = Some((mesh.clone(), agent.clone()));
    let mut told = Vec::new();
    if secret {
        let here = settings.url.to_string();
        let mut before = None;
        match &done.token {
            Some((id, url)) if *url == here => before = Some(id.as_str()),
            // Only the server that made it can end it.
            Some((id, url)) => told.push(format!(
                "the project was on {url} until now, where its agent's token still works: run `meshwire token revoke {id} \
                 --url {url}`."
            )),
            None => {}
        }
        let own = secret::own(&settings, &client, &mesh, &registered, &folder, before);
        places.token = match own.await? {
            Secret::Kept(token) => Some(token),
            Secret::New(token, id) => {
                done.token = Some((id, here));
                // Should we be killed, it can still be ended.
                settings.home.save_wiring(&ledger)?;
                Some(token)
            }
            Secret::None(why) => {
                told.push(why);
                None
            }
        };
    }
    let mut wiring = wiring(harness, &places);
    wiring.notes.extend(told);
    wiring.notes.extend(doubts(&settings, &places.program));
    wiring.files.push(project_edit);
    let plan = Plan::put(&wiring.files, &ledger, &user, &folder)?.apply(&settings.home)?;
    wiring.notes.extend(plan.notes.iter().cloned());
    tell::Told { args, file: &file, settings: &settings, mesh: &mesh, agent: &agent }.done(
        harness,
        &registered,
        &wiring,
        &plan,
    )
}

/// The mesh; a dry run asks the server only when nothing here says it.
async fn mesh(args: &Init, settings: &Settings) -> Outcome<MeshId> {
    match settings.mesh(args.mesh.as_deref())? {
        Some((mesh, _)) => Ok(mesh),
        None => identity::mesh(settings, &settings.client()?, args.mesh.as_deref()).await,
    }
}

/// What works here, and may not where a harness starts this program.
fn doubts(settings: &Settings, program: &str) -> Vec<String> {
    let mut doubts = Vec::new();
    let profile = &settings.profile;
    if settings.token_is_of_environment() {
        if settings.entry_here().is_none() {
            doubts.push(
                "MESHWIRE_TOKEN is all that signs you in here, and many harnesses keep such variables from what \
                 they start: `meshwire init --token -` keeps a token in your profile."
                    .into(),
            );
        }
    } else if profile != DEFAULT_PROFILE {
        doubts.push(format!(
            "you are signed in by the profile {profile:?}, and harnesses start meshwire with the default one: run \
             `meshwire login --url {}` for that, too, or set MESHWIRE_PROFILE where you start a harness that \
             passes it on.",
            settings.url
        ));
    }
    if program.contains("_npx") {
        doubts.push(
            "this program runs from the cache of npx, which is emptied now and then: run `npm install -g \
             meshwire`, and `meshwire init` again."
                .into(),
        );
    }
    doubts
}
