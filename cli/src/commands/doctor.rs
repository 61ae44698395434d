//! `meshwire doctor`

use clap::Args;
use meshwire_protocol::clean::clean_line;
use serde::Serialize;
use serde_json::json;

use crate::args::{AsJson, InMesh};
use crate::credentials::Home;
use crate::failure::{Failure, Outcome};
use crate::mesh_file::MeshFile;
use crate::output::{Style, print, print_json};
use crate::settings::{Env, Flags, Settings};

mod environment;
mod files;
mod harness;
mod server;

/// Look for what is wrong on this computer, in this project and with the server, and say how to mend it.
/// Exits with 1 when something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshwire doctor\n\nWorks offline and signed out, too.")]
pub(crate) struct Doctor {
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Works, but is perhaps not what was meant.
    Warning,
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    topic: &'static str,
    state: State,
    detail: String,
    mend: Option<String>,
}

/// All that was found.
#[derive(Debug, Default)]
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, topic: &'static str, state: State, detail: String, mend: Option<String>) {
        let clean = |text: String| clean_line(&text);
        self.0.push(Check { topic, state, detail: clean(detail), mend: mend.map(clean) });
    }

    fn ok(&mut self, topic: &'static str, detail: impl Into<String>) {
        self.add(topic, State::Ok, detail.into(), None);
    }

    fn warn(&mut self, topic: &'static str, detail: impl Into<String>, mend: impl Into<String>) {
        self.add(topic, State::Warning, detail.into(), Some(mend.into()));
    }

    fn wrong(&mut self, topic: &'static str, detail: impl Into<String>, mend: impl Into<String>) {
        self.add(topic, State::Wrong, detail.into(), Some(mend.into()));
    }

    /// What a command would fail with.
    fn failure(&mut self, topic: &'static str, failure: &Failure) {
        let mend = failure.hint_text().unwrap_or("correct it, and run `meshwire doctor` again");
        self.wrong(topic, failure.message(), mend);
    }

    /// The value, or a line about why there is none.
    fn take<T>(&mut self, topic: &'static str, outcome: Outcome<T>) -> Option<T> {
        outcome.map_err(|failure| self.failure(topic, &failure)).ok()
    }

    fn wrong_ones(&self) -> usize {
        self.0.iter().filter(|check| check.state == State::Wrong).count()
    }
}

pub(crate) async fn run(args: &Doctor, flags: &Flags) -> Outcome<()> {
    let mut report = Report::default();
    if let Some(settings) = local(&mut report, flags) {
        let mesh = args.target.mesh.as_deref();
        server::check(&mut report, &settings, mesh).await;
    }
    let wrong = report.wrong_ones();
    if args.output.json {
        print_json(&json!({"ok": wrong == 0, "checks": report.0}))?;
    } else {
        show(&report)?;
    }
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::failed("one thing is wrong")),
        several => Err(Failure::failed(format!("{several} things are wrong"))),
    }
}

/// What needs no server; the settings, as far as they can be told.
fn local(report: &mut Report, flags: &Flags) -> Option<Settings> {
    environment::check(report);
    let env = report.take("environment", Env::of_process());
    let folder = std::env::current_dir().map_err(|error| {
        Failure::failed(format!("cannot tell the current folder: {error}"))
            .hint("go to a folder that is there")
    });
    let folder = report.take("project", folder);
    let found = folder.as_deref().map(MeshFile::find);
    let mesh_file = found.and_then(|found| report.take("project", found));
    if let Some(found) = &mesh_file {
        files::check_project(report, found.as_ref());
    }
    if let Some(folder) = &folder {
        let file = mesh_file.as_ref().and_then(Option::as_ref);
        let project = file.and_then(|file| file.path().parent()).unwrap_or(folder);
        files::check_secret_file(report, project);
    }
    let home = report.take("credentials", Home::find())?;
    if let Some(file) = mesh_file.as_ref().and_then(Option::as_ref) {
        harness::check(report, &home, file);
    }
    files::check_modes(report, &home);
    let credentials = report.take("credentials", home.credentials());
    let (env, mesh_file) = (env?, mesh_file?);
    if credentials.is_none() && env.says_no_token() {
        // Nothing is known of the sign-in, and asking the server would not help.
        return None;
    }
    let credentials = credentials.unwrap_or_default();
    let settings = Settings::resolve(env, flags, mesh_file, &credentials, home);
    let settings = report.take("settings", settings)?;
    environment::show_settings(report, &settings, flags);
    Some(settings)
}

fn show(report: &Report) -> Outcome<()> {
    let style = Style::for_stdout();
    let width = report.0.iter().map(|check| check.topic.len()).max().unwrap_or_default();
    for Check { topic, state, detail, mend } in &report.0 {
        let mark = match state {
            State::Ok => style.green("✓"),
            State::Warning => style.bold("!"),
            State::Wrong => style.red("✗"),
        };
        print(&format!("{mark} {topic:width$}  {detail}"))?;
        if let Some(mend) = mend {
            print(&format!("  {:width$}  → {mend}", ""))?;
        }
    }
    Ok(())
}
