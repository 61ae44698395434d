//! `meshwire mesh`

mod members;

use std::io::{IsTerminal, Write};

use clap::{Args, Subcommand};
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{MeshId, check_mesh_name};

use crate::args::{AsJson, InMesh};
use crate::failure::{Failure, Outcome};
use crate::output::{Style, note, print, print_json};
use crate::settings::{Flags, Settings, Source};

/// Create, choose, list and delete meshes; who is in them.
#[derive(Debug, Subcommand)]
pub(crate) enum Mesh {
    /// Create a mesh
    Create(Create),
    /// Choose the mesh that commands use
    Use(Use),
    /// List your meshes
    List(List),
    /// Delete a mesh with everything in it
    Delete(Delete),
    /// List the members of a mesh
    Members(members::Listed),
    /// Invite somebody, or make a link
    Invite(members::Invite),
    /// Join a mesh, or ask to
    Join(members::Join),
    /// Leave a mesh
    Leave(members::Leave),
    /// List who asks to join
    Requests(members::Listed),
    /// Let somebody in who asks to join
    Approve(members::Person),
    /// Refuse somebody who asks to join
    Refuse(members::Person),
    /// Give a member another role, or hand the mesh over
    Role(members::NewRole),
    /// Remove a member with their agents and tokens
    Remove(members::Person),
    /// Refuse messages for now; reading goes on
    Pause(InMesh),
    /// Take messages again
    Resume(InMesh),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshwire mesh create my-fleet")]
pub(crate) struct Create {
    /// Its name: 1 to 64 printable characters, need not be unique
    name: String,
    #[command(flatten)]
    output: AsJson,
}

#[derive(Debug, Args)]
pub(crate) struct Use {
    /// The mesh
    #[arg(value_name = "ID")]
    mesh: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: AsJson,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The mesh
    #[arg(value_name = "ID")]
    mesh: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(command: Mesh, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    match command {
        Mesh::Create(args) => create(&settings, &args).await,
        Mesh::Use(args) => choose(&settings, &args).await,
        Mesh::List(args) => list(&settings, &args).await,
        Mesh::Delete(args) => delete(&settings, &args).await,
        Mesh::Members(args) => members::members(&settings, &args).await,
        Mesh::Invite(args) => members::invite(&settings, args).await,
        Mesh::Join(args) => members::join(&settings, &args).await,
        Mesh::Leave(args) => members::leave(&settings, &args).await,
        Mesh::Requests(args) => members::requests(&settings, &args).await,
        Mesh::Approve(args) => members::decide(&settings, &args, true).await,
        Mesh::Refuse(args) => members::decide(&settings, &args, false).await,
        Mesh::Role(args) => members::set_role(&settings, &args).await,
        Mesh::Remove(args) => members::remove(&settings, &args).await,
        Mesh::Pause(args) => members::pause(&settings, &args, true).await,
        Mesh::Resume(args) => members::pause(&settings, &args, false).await,
    }
}

async fn create(settings: &Settings, args: &Create) -> Outcome<()> {
    check_mesh_name(&args.name)
        .map_err(|rule| Failure::usage(format!("a mesh's name {rule}: {:?}", args.name)))?;
    let mesh = settings.client()?.create_mesh(&args.name).await?;
    if args.output.json {
        return print_json(&mesh);
    }
    let style = Style::for_stdout();
    print(&format!(
        "{} Created mesh: {} \"{}\"",
        style.green("✓"),
        style.bold(mesh.mesh_id.as_str()),
        clean_line(&mesh.name)
    ))?;
    note(&format!("Run `meshwire mesh use {}` to activate it.", mesh.mesh_id));
    Ok(())
}

async fn choose(settings: &Settings, args: &Use) -> Outcome<()> {
    let mesh = parse(&args.mesh)?;
    if settings.entry_here().is_none() {
        // Says what is missing, or that the token of the environment keeps no settings.
        settings.token()?;
        return Err(Failure::usage("there is no profile for this server to keep the mesh in")
            .hint(format!("set MESHWIRE_MESH_ID={mesh}, or run `meshwire login`")));
    }
    settings.client()?.mesh(&mesh).await?;
    settings.home.change_credentials(|credentials| {
        if let Some(entry) = credentials.profiles.get_mut(&settings.profile) {
            entry.mesh_id = Some(mesh.clone());
        }
    })?;
    print(&format!("{} Active mesh set to: {mesh}", Style::for_stdout().green("✓")))?;
    match settings.mesh(None)? {
        Some((other, source)) if other != mesh => {
            let place = match source {
                Source::Environment => "MESHWIRE_MESH_ID".to_owned(),
                _ => settings
                    .mesh_file
                    .as_ref()
                    .map_or_else(String::new, |file| file.path().display().to_string()),
            };
            if source != Source::Profile {
                note(&format!("note: here, {place} says {other}, which comes first"));
            }
        }
        _ => {}
    }
    Ok(())
}

async fn list(settings: &Settings, args: &List) -> Outcome<()> {
    let list = settings.client()?.meshes().await?;
    if args.output.json {
        return print_json(&list);
    }
    let active = settings.mesh(None)?.map(|(mesh, _)| mesh);
    let style = Style::for_stdout();
    print(&format!("🕸 Your meshes ({})", list.meshes.len()))?;
    if list.meshes.is_empty() {
        note("Make one with `meshwire mesh create NAME`.");
        return Ok(());
    }
    print("")?;
    for mesh in &list.meshes {
        let here = active.as_ref() == Some(&mesh.mesh_id);
        let mark = if here { style.green("●") } else { "○".to_owned() };
        print(&format!(
            "{mark} {} \"{}\" {}, {} agents, {} active{}{}",
            style.bold(mesh.mesh_id.as_str()),
            clean_line(&mesh.name),
            mesh.role.as_str(),
            mesh.agents,
            mesh.active,
            if mesh.paused { ", paused" } else { "" },
            if here { " (in use)" } else { "" },
        ))?;
    }
    Ok(())
}

async fn delete(settings: &Settings, args: &Delete) -> Outcome<()> {
    let mesh = parse(&args.mesh)?;
    let client = settings.client()?;
    if !args.yes && has_terminal() {
        let name = clean_line(&client.mesh(&mesh).await?.name);
        confirm(
            &format!("Delete the mesh {mesh} \"{name}\" with all its messages and agents?"),
            "nothing was deleted",
        )?;
    }
    client.delete_mesh(&mesh).await?;
    forget(settings, &mesh)?;
    print(&format!("{} Deleted mesh: {mesh}", Style::for_stdout().green("✓")))
}

/// Keeps a mesh no longer that one is not in any more.
fn forget(settings: &Settings, mesh: &MeshId) -> Outcome<()> {
    let kept = settings.entry_here().and_then(|entry| entry.mesh_id.as_ref());
    if kept == Some(mesh) {
        settings.home.change_credentials(|credentials| {
            if let Some(entry) = credentials.profiles.get_mut(&settings.profile) {
                entry.mesh_id = None;
            }
        })?;
    }
    Ok(())
}

fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks whoever sits at a terminal; a script has said what it wants.
fn confirm(question: &str, otherwise: &str) -> Outcome<()> {
    if !has_terminal() {
        return Ok(());
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    if answer.trim().eq_ignore_ascii_case("y") || answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Failure::failed(otherwise))
}

fn parse(id: &str) -> Outcome<MeshId> {
    id.trim().parse().map_err(|error| {
        Failure::usage(format!("{error}")).hint("`meshwire mesh list` shows yours")
    })
}
