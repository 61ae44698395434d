//! `meshwire integrate`

use clap::Args;
use meshwire_protocol::clean::clean;
use serde_json::json;

use crate::args::{AsJson, InMesh};
use crate::failure::Outcome;
use crate::identity;
use crate::output::{print, print_json};
use crate::settings::{Flags, Settings};

/// Print the API guide, tool definitions and examples, filled in for the mesh.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshwire integrate > MESHWIRE.md")]
pub(crate) struct Integrate {
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: &Integrate, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let client = settings.client()?;
    let mesh = identity::mesh(&settings, &client, args.target.mesh.as_deref()).await?;
    let guide = client.integrate(&mesh).await?;
    if args.output.json {
        return print_json(&json!({ "mesh_id": mesh, "markdown": guide }));
    }
    print(clean(&guide).trim_end_matches('\n'))
}
