//! In which mesh a command works, and as which agent.

use meshwire_protocol::clean::clean_line;
use meshwire_protocol::limits::MAX_AGENT_NAME;
use meshwire_protocol::{ErrorCode, Harness, MeshId, RegisterAgent, Registered, Wake, person_name};

use crate::client::Client;
use crate::credentials::Home;
use crate::failure::{Failure, Outcome};
use crate::host::host_name;
use crate::mesh_file::MeshFile;
use crate::output::note;
use crate::settings::{Settings, checked_agent};

/// Who a command speaks or reads as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The agent that the token is bound to, else the person.
    Own,
    /// An agent of the user, by name or id.
    Agent(Wanted),
}

/// An agent as the user or the project named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The name.
    pub(crate) name: String,
    /// Whether `.mesh.json` names it, which a teammate's has too: then another name will do.
    pub(crate) of_project: bool,
}

impl Wanted {
    fn explicit(name: String) -> Self {
        Self { name, of_project: false }
    }
}

/// The mesh to work in: the one that was said, else the token's own, else the user's only one.
pub(crate) async fn mesh(
    settings: &Settings,
    client: &Client,
    flag: Option<&str>,
) -> Outcome<MeshId> {
    if let Some((mesh, _)) = settings.mesh(flag)? {
        return Ok(mesh);
    }
    if let Some(mesh) = client.me().await?.token.mesh_id {
        return Ok(mesh);
    }
    let meshes = client.meshes().await?.meshes;
    match meshes.as_slice() {
        [] => Err(Failure::usage("you have no mesh yet").hint("run `meshwire mesh create NAME`")),
        [only] => Ok(only.mesh_id.clone()),
        several => {
            note("Your meshes:");
            for mesh in several {
                note(&format!("  {} \"{}\"", mesh.mesh_id, clean_line(&mesh.name)));
            }
            Err(Failure::usage("you have several meshes and none is chosen")
                .hint("run `meshwire mesh use ID`, or pass --mesh ID, or set MESHWIRE_MESH_ID"))
        }
    }
}

/// Who `send` and `reply` speak as: a flag, the environment, the project's agent in a shell that a harness
/// runs for its model, else the person.
pub(crate) fn speaker(settings: &Settings, flag: Option<&str>) -> Outcome<Identity> {
    if let Some(name) = flag {
        return Ok(Identity::Agent(Wanted::explicit(checked_agent(name, "--as")?)));
    }
    if let Some(name) = settings.env.agent()? {
        return Ok(Identity::Agent(Wanted::explicit(name)));
    }
    match settings.env.harness {
        Some(harness) => project_agent(settings, Some(harness)),
        None => Ok(Identity::Own),
    }
}

/// Who `listen` and `inbox` read as: a flag, the environment, the project's agent, else the person.
pub(crate) fn reader(settings: &Settings, flag: Option<&str>) -> Outcome<Identity> {
    reader_of(settings, flag, settings.env.harness)
}

/// The same for what a harness itself has started.
pub(crate) fn reader_in(
    settings: &Settings,
    flag: Option<&str>,
    harness: Harness,
) -> Outcome<Identity> {
    reader_of(settings, flag, Some(harness))
}

fn reader_of(
    settings: &Settings,
    flag: Option<&str>,
    harness: Option<Harness>,
) -> Outcome<Identity> {
    if let Some(name) = flag {
        if name.starts_with('@') && meshwire_protocol::Address::parse(name).is_ok() {
            return Ok(Identity::Agent(Wanted::explicit(name.to_owned())));
        }
        return Ok(Identity::Agent(Wanted::explicit(checked_agent(name, "--agent")?)));
    }
    if let Some(name) = settings.env.agent()? {
        return Ok(Identity::Agent(Wanted::explicit(name)));
    }
    project_agent(settings, harness)
}

fn project_agent(settings: &Settings, harness: Option<Harness>) -> Outcome<Identity> {
    let name =
        settings.mesh_file.as_ref().map(|file: &MeshFile| file.agent_of(harness)).transpose()?;
    Ok(name
        .flatten()
        .map_or(Identity::Own, |name| Identity::Agent(Wanted { name, of_project: true })))
}

/// The name that an agent really has: its own, or the one that this computer gave it because a teammate
/// had it first.
pub(crate) fn real_name(settings: &Settings, mesh: &MeshId, wanted: &Wanted) -> Outcome<String> {
    real_name_at(&settings.home, mesh, &wanted.name)
}

/// The same, for who has no more than the name.
pub(crate) fn real_name_at(home: &Home, mesh: &MeshId, name: &str) -> Outcome<String> {
    Ok(home.alias(mesh, name)?.unwrap_or_else(|| name.to_owned()))
}

/// The path segment of one's own inbox: the agent that the token is bound to, else the person's.
pub(crate) async fn own_inbox(client: &Client) -> Outcome<String> {
    let me = client.me().await?;
    Ok(match me.token.agent_id {
        Some(agent) => agent.as_str().to_owned(),
        None => person_name(&me.user.login),
    })
}

/// The names for an agent whose own name a teammate has: with one's login, and a number when that is taken, too. Of a
/// long name only the beginning has room.
fn own_names(name: &str, login: &str) -> impl Iterator<Item = String> {
    let login = login.replace('~', "-");
    let ends = (1..=9).map(move |number| match number {
        1 => format!("-{login}"),
        _ => format!("-{login}-{number}"),
    });
    ends.map(move |end| {
        let room = MAX_AGENT_NAME.saturating_sub(end.len());
        format!("{}{end}", name.get(..room).unwrap_or(name))
    })
}

/// Registers an agent. When the project's name belongs to a teammate: under that name and one's own login,
/// which this computer remembers.
pub(crate) async fn register(
    settings: &Settings,
    client: &Client,
    mesh: &MeshId,
    wanted: &Wanted,
    harness: Option<Harness>,
) -> Outcome<Registered> {
    register_awake(settings, client, mesh, wanted, harness, None).await
}

/// The same for an agent of which it is known how soon it notices a message.
pub(crate) async fn register_awake(
    settings: &Settings,
    client: &Client,
    mesh: &MeshId,
    wanted: &Wanted,
    harness: Option<Harness>,
    wake: Option<Wake>,
) -> Outcome<Registered> {
    let body = |name: &str| RegisterAgent {
        name: name.to_owned(),
        harness,
        wake,
        host: host_name(),
        ..RegisterAgent::default()
    };
    let name = real_name(settings, mesh, wanted)?;
    let taken = match client.register(mesh, &body(&name)).await {
        Err(failure) if failure.is(ErrorCode::AgentNameTaken) && wanted.of_project => failure,
        done => return done,
    };
    let login = client.me().await?.user.login;
    let mut free = None;
    for own in own_names(&wanted.name, &login).filter(|own| *own != name) {
        match client.register(mesh, &body(&own)).await {
            Err(failure) if failure.is(ErrorCode::AgentNameTaken) => {}
            done => {
                free = Some(done?);
                break;
            }
        }
    }
    let Some(registered) = free else {
        return Err(taken.or_hint("choose another name with --agent"));
    };
    settings.home.remember_alias(mesh, &wanted.name, &registered.name)?;
    note(&format!(
        "note: a teammate has the name {}, so your agent here is {}",
        wanted.name, registered.name
    ));
    Ok(registered)
}
