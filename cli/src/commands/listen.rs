//! `meshwire listen`

use clap::Args;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{ErrorCode, From, Harness, MeshId};

use crate::args::{AsJson, InMesh};
use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::identity::{self, Identity, Wanted};
use crate::link::Link;
use crate::output::{Style, note};
use crate::settings::{Flags, Settings};

mod exec;
pub(super) mod harness;
mod session;
mod stop;

use session::{Session, Sink};
pub(super) use stop::Stop;

const EXAMPLES: &str = "\
Examples:
  meshwire listen
  meshwire listen --agent reviewer --json
  meshwire listen --exec './handle-message'
  meshwire listen --from earliest

A message counts as read when it was printed, or when CMD ended with 0; what was not read comes again next
time. CMD gets the message as JSON on standard input, and MESHWIRE_MESSAGE_ID, MESHWIRE_FROM and
MESHWIRE_TO. A CMD that fails is tried again after 2 s, 5 s and 15 s, then the message is passed over.
With --from nothing is marked as read.";

/// Print messages as they arrive, until Ctrl+C.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Listen {
    #[arg(
        help = "The agent of yours that listens [env: MESHWIRE_AGENT_NAME]",
        long,
        value_name = "NAME"
    )]
    agent: Option<String>,
    /// Read again: from the earliest message, only the latest ones, or what came after this id
    #[arg(long, value_name = "earliest|latest|ID", value_parser = |text: &str| text.parse::<From>())]
    from: Option<From>,
    /// Run this command by the shell for each message, one at a time
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    #[command(flatten)]
    target: InMesh,
    /// Print each message as JSON on a line
    #[command(flatten)]
    output: AsJson,
    /// Push what is unread into a live session of this harness, which has started this command
    #[arg(
        long,
        value_name = "HARNESS",
        value_parser = harness::parse,
        conflicts_with_all = ["from", "exec"],
        help_heading = "For extensions of harnesses"
    )]
    harness: Option<Harness>,
    /// How long one poll waits, in milliseconds; messages arrive at once all the same
    #[arg(long, value_name = "MS", requires = "harness", hide = true)]
    poll_interval: Option<u64>,
    /// Say this often, in milliseconds, that the agent is there; a poll says so by itself
    #[arg(
        long,
        value_name = "MS",
        requires = "harness",
        hide = true,
        value_parser = clap::value_parser!(u64).range(1_000..)
    )]
    heartbeat_interval: Option<u64>,
}

/// Where a listener stands.
#[derive(Debug)]
struct Place {
    mesh: MeshId,
    /// The agent in paths: its id where it is known, which a new name leaves alone.
    agent: String,
    /// The agent for people.
    label: String,
}

pub(crate) async fn run(args: Listen, flags: &Flags) -> Outcome<()> {
    if let Some(harness) = args.harness {
        return harness::run(&args, harness, flags).await;
    }
    let settings = Settings::load(flags)?;
    let reader = identity::reader(&settings, args.agent.as_deref())?;
    settings.mesh(args.target.mesh.as_deref())?;
    // The retries here know what to say and never end.
    let client = settings.client()?.impatient();
    let mut stop = Stop::install()?;
    let mut link = Link::new(client.url().to_string());
    let mesh = args.target.mesh.as_deref();
    let place = tokio::select! {
        place = link.keep_trying(Failure::is_transient, async || {
            settle(&settings, &client, mesh, &reader).await
        }) => place?,
        () = stop.wait() => return Ok(()),
    };
    let style = Style::for_stderr();
    note(&format!("\n🕸 MeshWire listening on mesh {}", style.bold(place.mesh.as_str())));
    note(&format!("Agent: {}", style.bold(&clean_line(&place.label))));
    note("Press Ctrl+C to stop\n");
    let sink = match args.exec {
        Some(command) => Sink::Command(command),
        None if args.output.json => Sink::Json,
        None => Sink::Text,
    };
    let mut session = Session::new(client, place.mesh, place.agent, args.from, sink);
    let ended = tokio::select! {
        ended = session.run(&mut link) => ended,
        () = stop.wait() => Ok(()),
    };
    session.acknowledge_rest().await;
    ended
}

/// Finds the mesh and the agent, and registers the agent when it is missing.
async fn settle(
    settings: &Settings,
    client: &Client,
    mesh: Option<&str>,
    reader: &Identity,
) -> Outcome<Place> {
    let mesh = identity::mesh(settings, client, mesh).await?;
    let wanted = match reader {
        Identity::Agent(wanted) => wanted,
        Identity::Own => {
            let own = identity::own_inbox(client).await?;
            return Ok(Place { mesh, agent: own.clone(), label: own });
        }
    };
    let name = identity::real_name(settings, &mesh, wanted)?;
    if name.starts_with('@') {
        // A person's agent is made by the server when it is first needed.
        return Ok(Place { mesh, agent: name.clone(), label: name });
    }
    let place = |id: &str, name: &str| Place {
        mesh: mesh.clone(),
        agent: id.to_owned(),
        label: format!("{name} ({id})"),
    };
    match client.agent(&mesh, &name).await {
        Ok(agent) if !is_of_teammate(client, wanted, &agent.owner).await? => {
            Ok(place(agent.agent_id.as_str(), &agent.name))
        }
        Err(failure) if !failure.is(ErrorCode::AgentNotFound) => Err(failure),
        Ok(_) | Err(_) => {
            let registered =
                identity::register(settings, client, &mesh, wanted, settings.env.harness).await?;
            Ok(place(registered.agent_id.as_str(), &registered.name))
        }
    }
}

/// Whether the project's name for our agent belongs to somebody else here.
async fn is_of_teammate(client: &Client, wanted: &Wanted, owner: &str) -> Outcome<bool> {
    Ok(wanted.of_project && client.me().await?.user.login != owner)
}
