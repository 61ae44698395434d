//! The files of the harnesses that are wired in here.

use std::path::{Path, PathBuf};

use meshwire_protocol::{Harness, MeshId};

use super::Report;
use crate::credentials::Home;
use crate::failure::Outcome;
use crate::harness::{Places, headless, trust, wiring};
use crate::identity::real_name_at;
use crate::mesh_file::{MeshFile, harness_name};
use crate::server_url::ServerUrl;
use crate::wiring::ledger::{Ledger, User};
use crate::wiring::plan::Plan;

/// Looks at each harness that `.mesh.json` names and that was wired in on this computer.
pub(super) fn check(report: &mut Report, home: &Home, file: &MeshFile) {
    let Some(mut ledger) = report.take("harness", home.wiring()) else { return };
    ledger.follow(file);
    // Read before: they are ones that we know.
    let harnesses = file.harnesses().unwrap_or_default();
    let project = folder(file);
    let wired: Vec<_> = harnesses
        .iter()
        .filter(|(harness, _)| ledger.knows(&User::new(&project, &harness_name(*harness))))
        .collect();
    if wired.is_empty()
        && let Some((harness, _)) = harnesses.first()
    {
        let name = harness_name(*harness);
        if *harness == Harness::Generic {
            report.ok("harness", "generic needs no files of its own");
        } else {
            report.warn(
                "harness",
                format!("{name} is not wired in on this computer"),
                format!("run `meshwire init --harness {name}`"),
            );
        }
    }
    // That there is none was told.
    let Ok(Some(mesh)) = file.mesh_id() else { return };
    for one in wired {
        let found = look(home, file, &mesh, &ledger, one);
        if let Some(found) = report.take("harness", found) {
            tell(report, one.0, &project, found);
        }
    }
}

fn folder(file: &MeshFile) -> PathBuf {
    file.path().parent().map(Path::to_owned).unwrap_or_default()
}

/// What was found of a harness.
struct Found {
    /// The program that its files start, when it is not there.
    gone: Option<String>,
    /// How many files it has.
    files: usize,
    /// Those that are not as they were written.
    changed: Vec<PathBuf>,
    places: Places,
}

fn look(
    home: &Home,
    file: &MeshFile,
    mesh: &MeshId,
    ledger: &Ledger,
    (harness, agent): &(Harness, String),
) -> Outcome<Found> {
    let (project, harness) = (&folder(file), *harness);
    let url = match file.url()? {
        Some(url) => url,
        None => ServerUrl::default_url()?,
    };
    let user = User::new(project, &harness_name(harness));
    let mut places = Places::here(project, mesh, &url, real_name_at(home, mesh, agent)?)?;
    if let Some(done) = ledger.users.get(&user.key()) {
        // Another copy of this program may have been wired in, and does as well.
        places.program.clone_from(&done.program);
    }
    places.server = ledger.server_name(&user);
    places.token = headless::token_in(project, &url)?;
    let mut files = wiring(harness, &places).files;
    let is_gone = !files.is_empty() && !Path::new(&places.program).exists();
    let gone = is_gone.then(|| places.program.clone());
    // The second of two harnesses leaves it to the first.
    files.retain(|file| {
        !file.path.ends_with(headless::SECRET_FILE) || ledger.holds(&file.path, &user)
    });
    let plan = Plan::put(&files, ledger, &user, project)?;
    let changed = plan.files().map(|(path, _)| path.to_owned()).collect();
    Ok(Found { gone, files: files.len(), changed, places })
}

fn tell(report: &mut Report, harness: Harness, project: &Path, found: Found) {
    let name = harness_name(harness);
    let mend = format!("run `meshwire init --harness {name}`");
    if let Some(gone) = found.gone {
        report.wrong("harness", format!("{name} starts {gone}, which is not there"), mend);
    } else if found.changed.is_empty() {
        let files = match found.files {
            0 => "needs no files of its own".to_owned(),
            1 => "has its file as it should be".to_owned(),
            several => format!("has its {several} files as they should be"),
        };
        report.ok("harness", format!("{name} {files}"));
    } else {
        let changed: Vec<_> = found.changed.iter().map(|path| path.display().to_string()).collect();
        report.wrong(
            "harness",
            format!("{name} is not wired in as it should be: {}", changed.join(", ")),
            mend,
        );
    }
    if let Some(doubt) = trust::doubt(harness, &found.places, project) {
        report.warn("harness", doubt.what, doubt.mend);
    }
}
