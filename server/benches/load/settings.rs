//! What the tool is asked to do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures the MeshWire server beside the floor of this machine and its peers.
#[derive(Parser)]
#[command(name = "load")]
pub(crate) struct Args {
    /// What to measure [default: all]
    scenarios: Vec<Scenario>,
    /// Where the server keeps its data [default: what the targets of a scenario speak of]
    #[arg(long)]
    pub(crate) store: Option<Engine>,
    /// How often each measurement is made; the medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// How long a measurement of a rate takes
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Polls that wait in `idle`
    #[arg(long, default_value_t = 20_000)]
    pub(crate) idle: usize,
    /// Meshes of `meshes`
    #[arg(long, default_value_t = 10_000)]
    pub(crate) meshes: usize,
    /// Messages behind in `old`
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) old: usize,
    /// The command line, for `start`
    #[arg(long)]
    pub(crate) cli: Option<PathBuf>,
    /// Give each send an Idempotency-Key, as the command line does
    #[arg(long)]
    pub(crate) keys: bool,
    /// What the server logs, to a file [default: as the server has it]
    #[arg(long)]
    pub(crate) log: Option<String>,
    /// Write the rows to this file as JSON, too
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Be the empty handler, see `floor`
    #[arg(long, hide = true)]
    pub(crate) serve_nothing: bool,
    /// Cargo says that this is a bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        match &self.scenarios[..] {
            [] => Scenario::value_variants().to_vec(),
            some => some.to_vec(),
        }
    }

    /// How long a measurement of a rate takes.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// What the machine allows: one fdatasync, an empty handler
    Floor,
    /// Durable sends of 1 and of 64 senders to one mesh
    Sends,
    /// From a send to the answer of a waiting poll, at 50 a second
    Latency,
    /// One message to 1,000 waiting polls
    Broadcast,
    /// What waiting polls cost
    Idle,
    /// 1,000 messages a second in one mesh, and spread over many
    Meshes,
    /// A mesh with many old messages beside an empty one; on `DynamoDB` the units consumed
    Old,
    /// A poll on another node than the send
    Nodes,
    /// How soon the server and the command line are there
    Start,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    Dynamodb,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(self, f)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(self, f)
    }
}

fn name(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = value.to_possible_value().expect("none is hidden");
    f.pad(value.get_name())
}
