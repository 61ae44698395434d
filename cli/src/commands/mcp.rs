//! `meshwire mcp`: the tools for a model, as an MCP server on standard input and output.
//!
//! Most harnesses start it in the project's folder with an environment that they have stripped, so it lives from
//! `.mesh.json` and the credentials file. It starts whatever is missing: its tools say what to do, and work as
//! soon as that is done.

mod connection;
mod lines;
mod outbox;
mod stdio;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use meshwire_protocol::Harness;
use meshwire_protocol::tools::Tools;
use rmcp::ServiceExt as _;
use rmcp::model::ProtocolVersion;
use rmcp::service::ServerInitializeError;

use self::connection::Connection;
use self::outbox::Outbox;
use self::stdio::Stdio;
use super::listen::Stop;
use super::listen::harness::parse as parse_harness_flag;
use crate::failure::{Failure, Outcome};
use crate::settings::Flags;

/// At the end there is this much time to tell the server what was read.
const FAREWELL: Duration = Duration::from_secs(2);
/// With this revision, clients talk to a local server in a way that leaves it no means to push. Newer ones have
/// nothing else to offer here.
const NEWEST: ProtocolVersion = ProtocolVersion::V_2025_11_25;

const EXAMPLES: &str = "\
A harness starts it, as `meshwire init` tells it to. By hand:
  meshwire mcp
  meshwire mcp --mesh kR9xQpLmW3aZ --agent worker";

/// Offer the mesh to a model, as an MCP server on standard input and output.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Mcp {
    #[arg(help = "The mesh [env: MESHWIRE_MESH_ID]", long, value_name = "ID")]
    mesh: Option<String>,
    #[arg(
        help = "The agent [env: MESHWIRE_AGENT_NAME; default: the one of .mesh.json]",
        long,
        value_name = "NAME"
    )]
    agent: Option<String>,
    /// The harness that has started it [default: the one of .mesh.json]
    #[arg(long, value_name = "NAME", value_parser = parse_harness_flag)]
    harness: Option<Harness>,
}

pub(crate) async fn run(args: Mcp, flags: &Flags) -> Outcome<()> {
    let mut stop = Stop::install()?;
    let outbox = Arc::new(Outbox::default());
    let connection = Arc::new(Connection::new(args, flags.clone(), Arc::clone(&outbox)));
    let tools = Tools::new(Arc::clone(&connection), ProtocolVersion::known_up_to(&NEWEST));
    let serving = async {
        match tools.serve(Stdio::new(Arc::clone(&outbox))).await {
            Ok(running) => running.waiting().await.map(|_| ()).map_err(|error| broken(&error)),
            // The client was only looking.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = connection.keep() => Ok(()),
        () = connection.push() => Ok(()),
        () = stop.wait() => Ok(()),
    };
    let _ = tokio::time::timeout(FAREWELL, outbox.settled()).await;
    ended
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::failed(format!("the MCP connection broke: {error}"))
}
