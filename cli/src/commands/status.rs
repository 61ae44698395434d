//! `meshwire status`

use clap::Args;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{AgentId, Mesh, MeshId};
use serde_json::json;

use crate::args::{AsJson, InMesh};
use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::identity::{self, Identity};
use crate::output::{Style, print, print_json};
use crate::settings::{Flags, Settings};

/// Check settings and connection. The exit code is that of the first problem.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

/// What was found out, as far as one came.
#[derive(Default)]
struct Found {
    token: Option<String>,
    version: Option<String>,
    login: Option<String>,
    mesh_id: Option<MeshId>,
    mesh: Option<Mesh>,
    agent: Option<String>,
    agent_id: Option<String>,
    problem: Option<Failure>,
}

impl Found {
    /// Keeps the first problem.
    fn note<T>(&mut self, result: Outcome<T>) -> Option<T> {
        result.map_err(|failure| self.problem.get_or_insert(failure).exit()).ok()
    }
}

pub(crate) async fn run(args: &Status, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let found = look(&settings, args.target.mesh.as_deref()).await?;
    if args.output.json {
        print_json(&json!({
            "token": found.token,
            "url": settings.url.to_string(),
            "login": found.login,
            "mesh_id": found.mesh_id,
            "agent": found.agent,
            "agent_id": found.agent_id,
            "online": found.version.is_some(),
            "version": found.version,
            "mesh": found.mesh,
            "problem": found.problem.as_ref().map(Failure::message),
        }))?;
    } else {
        show(&settings, &found)?;
    }
    found.problem.map_or(Ok(()), Err)
}

async fn look(settings: &Settings, mesh: Option<&str>) -> Outcome<Found> {
    let mut found = Found::default();
    let token = found.note(settings.token());
    found.token = token.as_ref().map(crate::credentials::Token::masked);
    let reader = found.note(identity::reader(settings, None));
    let said = found.note(settings.mesh(mesh)).flatten();
    found.mesh_id = said.map(|(mesh, _)| mesh);
    // A server that only a cloned project names learns nothing at all while a token is at hand.
    let lured = settings.token_is_of_environment()
        && settings.refuse_url_of_mesh_file("MESHWIRE_TOKEN").is_err();
    if !lured {
        // Without the token, which the check does not need.
        let health = Client::new(settings.url.clone(), None)?.health().await;
        found.version = found.note(health).map(|health| health.version);
    }
    if let (Some(_), Some(_)) = (&token, &found.version) {
        let client = Client::new(settings.url.clone(), token)?;
        let me = client.me().await;
        let me = found.note(me);
        let bound = me.as_ref().and_then(|me| me.token.agent_id.clone());
        found.login = me.map(|me| me.user.login);
        if found.login.is_some() {
            if found.mesh_id.is_none() && found.problem.is_none() {
                let mesh = identity::mesh(settings, &client, None).await;
                found.mesh_id = found.note(mesh);
            }
            if let Some(mesh) = found.mesh_id.clone() {
                let answer = client.mesh(&mesh).await;
                found.mesh = found.note(answer);
            }
        }
        look_for_agent(settings, &client, reader, bound, &mut found).await?;
    } else if let Some(Identity::Agent(wanted)) = reader {
        found.agent = Some(wanted.name);
    }
    Ok(found)
}

/// An agent that is not registered yet is no problem: it will be when it first listens or speaks.
async fn look_for_agent(
    settings: &Settings,
    client: &Client,
    reader: Option<Identity>,
    bound: Option<AgentId>,
    found: &mut Found,
) -> Outcome<()> {
    let name = match (reader, &found.mesh_id) {
        (Some(Identity::Agent(wanted)), Some(mesh)) => {
            Some(identity::real_name(settings, mesh, &wanted)?)
        }
        (Some(Identity::Agent(wanted)), None) => Some(wanted.name),
        (Some(Identity::Own), _) => match bound {
            Some(agent) => Some(agent.to_string()),
            None => found.login.as_deref().map(meshwire_protocol::person_name),
        },
        (None, _) => None,
    };
    found.agent.clone_from(&name);
    if let (Some(name), Some(mesh)) = (&name, &found.mesh)
        && let Ok(agent) = client.agent(&mesh.mesh_id, name).await
    {
        found.agent_id = Some(agent.agent_id.to_string());
        found.agent = Some(agent.name);
    }
    Ok(())
}

fn show(settings: &Settings, found: &Found) -> Outcome<()> {
    let style = Style::for_stdout();
    let (good, bad) = (style.green("✓"), style.red("✗"));
    let none = || "(none)".to_owned();
    print(&format!("\n🕸 {}\n", style.bold("MeshWire Status")))?;
    print("Configuration:")?;
    let login = found.login.as_ref().map(|login| format!(" ({})", clean_line(login)));
    let token = found.token.clone().unwrap_or_else(|| format!("{bad} not signed in"));
    print(&format!("  Token   : {token}{}", login.unwrap_or_default()))?;
    print(&format!("  URL     : {}", settings.url))?;
    let mesh = found.mesh_id.as_ref().map_or_else(none, ToString::to_string);
    print(&format!("  Mesh    : {mesh}"))?;
    let agent = found.agent.as_ref().map(|name| match &found.agent_id {
        Some(id) => format!("{} ({id})", clean_line(name)),
        None if found.mesh.is_some() => format!("{} (not registered yet)", clean_line(name)),
        None => clean_line(name),
    });
    print(&format!("  Agent   : {}\n", agent.unwrap_or_else(none)))?;
    print("Connection:")?;
    match &found.version {
        Some(version) => {
            print(&format!("  Service : {good} online, version {}", clean_line(version)))?;
        }
        None => return print(&format!("  Service : {bad} not reached")),
    }
    let Some(mesh) = &found.mesh else {
        return print(&format!("  Mesh    : {bad} not seen"));
    };
    let paused = if mesh.paused { " (paused)" } else { "" };
    print(&format!("  Mesh    : {good} exists \"{}\"{paused}", clean_line(&mesh.name)))?;
    print(&format!("  Agents  : {} registered, {} active", mesh.agents, mesh.active))
}
