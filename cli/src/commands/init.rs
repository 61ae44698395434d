//! `meshwire init`

use std::path::Path;

use clap::Args;
use meshwire_protocol::clean::{clean, clean_line};
use meshwire_protocol::{ErrorCode, Harness, JoinStatus, MeshId, Registered};
use serde_json::json;

use crate::args::AsJson;
use crate::client::Client;
use crate::commands::login;
use crate::failure::{Failure, Outcome};
use crate::identity::{self, Wanted};
use crate::mesh_file::{FILE_NAME, MeshFile, harness_name, parse_harness};
use crate::output::{Style, note, print, print_json};
use crate::server_url::ServerUrl;
use crate::settings::{Flags, Settings, checked_agent};

const EXAMPLES: &str = "\
Examples:
  meshwire init --harness generic
  meshwire init --harness generic --mesh kR9xQpLmW3aZ --agent worker

Writes .mesh.json, which you commit: teammates who run the same command join in. Safe to run again.";

/// Wire a project into a mesh: write .mesh.json and register the agent.
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
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: Init, flags: &Flags) -> Outcome<()> {
    let mut settings = Settings::load(flags)?;
    let harness = harness(&settings, args.harness.as_deref())?;
    let named = args.agent.as_deref().map(|name| checked_agent(name, "--agent")).transpose()?;
    if let Some(token) = &args.token {
        let (token, login) = login::given(&settings, token).await?;
        login::save(&settings, token, &login)?;
        settings = Settings::load(flags)?;
    }
    let client = settings.client()?;
    let mesh = identity::mesh(&settings, &client, args.mesh.as_deref()).await?;
    come_in(&client, &mesh).await?;

    let mut file = match settings.mesh_file.take() {
        Some(file) => file,
        None => MeshFile::new_in(&current_folder()?),
    };
    let agent = match named {
        Some(name) => name,
        None => agent_name(&settings, &file, harness)?,
    };
    let wanted = Wanted { name: agent.clone(), of_project: true };
    // First what may be refused, then the file: a failed run leaves nothing half done.
    let registered = identity::register(&settings, &client, &mesh, &wanted, Some(harness)).await?;
    fill(&mut file, &settings.url, &mesh, &agent, harness)?;
    file.save()?;
    if args.output.json {
        return print_json(&json!({
            "path": file.path(),
            "mesh_id": mesh,
            "agent_id": registered.agent_id,
            "agent_name": registered.name,
            "harness": harness_name(harness),
        }));
    }
    tell(&file, &settings, &mesh, &agent, harness, &registered)
}

fn harness(settings: &Settings, flag: Option<&str>) -> Outcome<Harness> {
    let of_file = settings.mesh_file.as_ref().map(MeshFile::harness).transpose()?.flatten();
    let harness = match flag {
        Some(name) => parse_harness(name)
            .ok_or_else(|| Failure::usage(format!("--harness: {name:?} is no harness we know")))?,
        None => of_file.ok_or_else(|| {
            Failure::usage("--harness is missing, and no .mesh.json names one")
                .hint("run `meshwire init --harness generic`")
        })?,
    };
    if harness == Harness::Generic {
        return Ok(harness);
    }
    Err(Failure::usage(format!(
        "this version of meshwire wires in generic only, not {}",
        harness_name(harness)
    ))
    .hint("run `meshwire init --harness generic`, which says what to do by hand"))
}

/// The name that the harness has in the project, else one made of its own.
fn agent_name(settings: &Settings, file: &MeshFile, harness: Harness) -> Outcome<String> {
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

fn fill(
    file: &mut MeshFile,
    url: &ServerUrl,
    mesh: &MeshId,
    agent: &str,
    harness: Harness,
) -> Outcome<()> {
    file.set("mesh_id", mesh.as_str())?;
    if !file.has("workspace_name") {
        let folder = file.path().parent().and_then(Path::file_name);
        let name =
            folder.map_or_else(|| "workspace".into(), |name| clean_line(&name.to_string_lossy()));
        file.set("workspace_name", &name)?;
    }
    if file.harness()?.is_none_or(|of_project| of_project == harness) {
        file.set("agent_name", agent)?;
        file.set("harness", &harness_name(harness))?;
    } else {
        file.set_agent_of(harness, agent)?;
    }
    if ServerUrl::default_url()? == *url {
        file.remove("url");
    } else {
        file.set("url", &url.to_string())?;
    }
    Ok(())
}

fn tell(
    file: &MeshFile,
    settings: &Settings,
    mesh: &MeshId,
    agent: &str,
    harness: Harness,
    registered: &Registered,
) -> Outcome<()> {
    let done = Style::for_stdout().green("✓");
    let name = clean_line(&registered.name);
    // In a folder of the project, it is the project's own file that has changed.
    let here = file.path().parent() == std::env::current_dir().ok().as_deref();
    let shown =
        if here { FILE_NAME.to_owned() } else { clean_line(&file.path().display().to_string()) };
    print(&format!("{done} {shown} written"))?;
    print(&format!(
        "  mesh_id: {mesh}\n  agent_name: {agent}\n  harness: {}\n",
        harness_name(harness)
    ))?;
    print(&format!("{done} Registered as {name} ({})\n", registered.agent_id))?;
    print(&format!("{done} Generic harness ready!\n"))?;
    print(&clean(&format!(
        "Give your agent's process these settings:\n\
         \x20 MESHWIRE_URL={}\n\
         \x20 MESHWIRE_MESH_ID={mesh}\n\
         \x20 MESHWIRE_AGENT_NAME={name}\n\
         and, where you are not signed in, MESHWIRE_TOKEN, a token of its own:\n\
         \x20 meshwire token create {name} --mesh {mesh} --agent {name}\n\
         \n\
         Then it can run:\n\
         \x20 meshwire send \"hello\" --to NAME       send, as {name}\n\
         \x20 meshwire listen --exec COMMAND       run a command for each message\n\
         \x20 meshwire inbox --ack --json          or look for messages now and then\n\
         \x20 meshwire integrate                   the guide to the HTTP API",
        settings.url
    )))?;
    note(&format!("Commit {} so that your teammates share the mesh.", file.path().display()));
    Ok(())
}

/// Sees to it that the user is a member. A teammate who has just cloned the project is none: who was
/// invited comes in, anyone else asks to.
async fn come_in(client: &Client, mesh: &MeshId) -> Outcome<()> {
    match client.mesh(mesh).await {
        Err(failure) if failure.is(ErrorCode::NotAMember) => {}
        other => return other.map(drop),
    }
    match client.join(mesh, None).await {
        Ok(joined) if joined.status == JoinStatus::Member => {
            note(&format!("You were invited, and are a member of mesh {mesh} now."));
            Ok(())
        }
        Ok(_) => {
            let login = client.me().await?.user.login;
            Err(Failure::refused(format!(
                "you are not a member of mesh {mesh} yet: we have asked to let you in, and nothing \
                 was written"
            ))
            .hint(format!(
                "when an admin has run `meshwire mesh approve {login} --mesh {mesh}`, run \
                 `meshwire init` again"
            )))
        }
        Err(failure) if failure.is(ErrorCode::RateLimited) => Err(Failure::refused(format!(
            "you are not a member of mesh {mesh}, and an admin has refused to let you in"
        ))
        .hint("ask one of its admins for an invite, or try again tomorrow")),
        Err(failure) => Err(failure),
    }
}

fn current_folder() -> Outcome<std::path::PathBuf> {
    std::env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current folder: {error}")))
}
