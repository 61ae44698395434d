//! `meshwire init`

use clap::Args;
use meshwire_protocol::Harness;

use crate::args::AsJson;
use crate::commands::login;
use crate::failure::{Failure, Outcome};
use crate::mesh_file::{MeshFile, parse_harness};
use crate::settings::{Flags, Settings, checked_agent};

mod join;
mod project;
mod secret;
mod tell;
mod undo;
mod wire;

const EXAMPLES: &str = "\
Examples:
  meshwire init --harness claude
  meshwire init --harness codex --mesh kR9xQpLmW3aZ --agent worker
  meshwire init --harness codex --dry-run
  meshwire init --harness codex --undo

Harnesses: copilot, claude (Claude Code), claude-desktop, cursor, codex, gemini, kiro, opencode, vscode,
windsurf, hermes, pi, generic (says what to do by hand).

Writes .mesh.json, which you commit: teammates who run the same command join in. Puts what the harness needs
into its own files, and leaves all else in them as it is. Safe to run again.";

/// Wire a project into a mesh: write .mesh.json, wire the harness in, register the agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Init {
    /// What is wired in [default: the one of .mesh.json]
    #[arg(long, value_name = "NAME")]
    harness: Option<String>,
    #[arg(help = "The mesh [env: MESHWIRE_MESH_ID]", long, value_name = "ID")]
    mesh: Option<String>,
    /// Keep this token in the profile first; - reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The agent's name [default: the one of .mesh.json, else HARNESS-agent]
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "token")]
    dry_run: bool,
    /// Take out what init put in
    #[arg(long, conflicts_with_all = ["token", "mesh", "agent"])]
    undo: bool,
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: Init, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    harness(&settings, args.harness.as_deref())?;
    let named = args.agent.as_deref().map(|name| checked_agent(name, "--agent")).transpose()?;
    if let Some(token) = &args.token {
        let (token, login) = login::given(&settings, token).await?;
        login::save(&settings, token, &login)?;
    }
    // Only now: somebody may type the token, and others need not wait for that. A dry run changes nothing, and so
    // leaves no lock either.
    let _lock = if args.dry_run { None } else { Some(settings.home.lock_wiring()?) };
    // Another run may have written meanwhile.
    let settings = Settings::load(flags)?;
    let harness = harness(&settings, args.harness.as_deref())?;
    if args.undo {
        return undo::run(&args, settings, harness).await;
    }
    wire::run(&args, settings, harness, named).await
}

fn harness(settings: &Settings, flag: Option<&str>) -> Outcome<Harness> {
    let of_file = settings.mesh_file.as_ref().map(MeshFile::harness).transpose()?.flatten();
    match flag {
        Some(name) => parse_harness(name).ok_or_else(|| {
            Failure::usage(format!("--harness: {name:?} is no harness we know"))
                .hint("`meshwire init --help` lists them; generic works with any")
        }),
        None => of_file.ok_or_else(|| {
            Failure::usage("--harness is missing, and no .mesh.json names one")
                .hint("run `meshwire init --harness generic`")
        }),
    }
}
