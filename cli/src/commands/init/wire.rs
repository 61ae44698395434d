//! Wiring a harness in.

use std::path::Path;

use meshwire_protocol::{Harness, MeshId};

use super::secret::{self, Secret};
use super::{Init, join, project, tell};
use crate::credentials::Token;
use crate::delivery::wake_of;
use crate::failure::{Failure, Outcome};
use crate::harness::{Places, wiring};
use crate::identity::{self, Wanted};
use crate::mesh_file::harness_name;
use crate::settings::Settings;
use crate::wiring::ledger::{Done, Ledger, User};
use crate::wiring::plan::Plan;

pub(super) async fn run(
    args: &Init,
    mut settings: Settings,
    harness: Harness,
    named: Option<String>,
) -> Outcome<()> {
    let mesh = mesh(args, &settings).await?;
    let mut file = project::file(&mut settings)?;
    let agent = match named {
        Some(name) => name,
        None => project::agent_name(&settings, &file, harness)?,
    };
    let wanted = Wanted { name: agent.clone(), of_project: true };
    let folder = project::folder(&file);
    let user = User::new(&folder, &harness_name(harness));
    let real_name = identity::real_name(&settings, &mesh, &wanted)?;
    let mut places = places(&folder, &settings.url.to_string(), &mesh, real_name)?;

    let ledger = settings.home.wiring()?;
    let secret = secret::is_kept_for(harness, &ledger, &user, &folder);
    if secret {
        // What it will be is known later; where it goes to is seen now.
        let kept = secret::in_file(&folder, &settings.url)?;
        places.token = Some(kept.map_or_else(Token::placeholder, Ok)?);
    }
    // First what may fail, then the server, then the files: a run that fails leaves nothing half done.
    let plan = Plan::put(&wiring(harness, &places)?.files, &ledger, &user, &folder)?;
    let written = project::fill(&mut file, &settings, &mesh, &agent, harness)?;
    if args.dry_run {
        return tell::dry_run(&file, &plan);
    }
    let client = settings.client()?;
    join::come_in(&client, &mesh).await?;
    let wake = Some(wake_of(harness));
    let registered =
        identity::register_awake(&settings, &client, &mesh, &wanted, Some(harness), wake).await?;
    places.agent.clone_from(&registered.name);
    let (mut made, mut told) = (None, None);
    if secret {
        places.token = match secret::own(&settings, &client, &mesh, &registered, &folder).await? {
            Secret::Kept(token) => Some(token),
            Secret::New(token, id) => {
                made = Some((id, settings.url.to_string()));
                Some(token)
            }
            Secret::None(why) => {
                told = Some(why);
                None
            }
        };
    }
    let mut wiring = wiring(harness, &places)?;
    wiring.notes.extend(told);
    let plan = settings.home.with_wiring(|ledger| {
        let mut ledger = ledger.clone();
        remember(&mut ledger, &user, written, made);
        Plan::put(&wiring.files, &ledger, &user, &folder)?.apply(&settings.home)
    })?;
    let changed = file.new_text()?.is_some();
    file.save()?;
    tell::Told { args, file: &file, changed, settings: &settings, mesh: &mesh, agent: &agent }.done(
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

fn places(folder: &Path, url: &str, mesh: &MeshId, agent: String) -> Outcome<Places> {
    let text = |path: &Path| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            Failure::failed(format!("{} is not UTF-8, which harnesses need", path.display()))
        })
    };
    let home = etcetera::home_dir()
        .map_err(|_| Failure::failed("cannot find your home folder").hint("set HOME"))?;
    Places::here(text(&home)?, text(folder)?, mesh.clone(), url.to_owned(), agent)
}

/// What was written into `.mesh.json`, so that just this can be taken out again.
fn remember(
    ledger: &mut Ledger,
    user: &User,
    written: Vec<String>,
    token: Option<(String, String)>,
) {
    let done: &mut Done = ledger.users.entry(user.key()).or_default();
    for key in written {
        if !done.mesh_file.contains(&key) {
            done.mesh_file.push(key);
        }
    }
    if token.is_some() {
        done.token = token;
    }
}
