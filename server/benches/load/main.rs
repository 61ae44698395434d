//! How fast the service is, beside what the machine allows and what people would pick instead.
//!
//! Each scenario starts real processes of the release profile, measures the floor (one fdatasync, an empty handler) and
//! the peers (Redis Streams, NATS `JetStream`) in the same run with the same client, and prints a table of ratios with
//! their targets. The tool shares the machine with the server, so its client is as cheap as it can be: one thread, one
//! buffer for each connection, requests made beforehand. A missed target is printed as such and is no failure.
//!
//! `infra/test.sh --load [SCENARIO…] [OPTION…]`, and `infra/test.sh --load --help`.

#[path = "../../tests/support/dynamodb.rs"]
mod dynamodb;
#[path = "../../tests/support/dynamodb_client.rs"]
mod dynamodb_client;
#[path = "../../tests/support/postgres.rs"]
mod postgres;

mod broadcast;
mod client;
mod drive;
mod floor;
mod http;
mod idle;
mod latency;
mod meshes;
mod nats;
mod nodes;
mod old;
mod process;
mod readers;
mod redis;
mod report;
mod sends;
mod server;
mod settings;
mod start;
mod stats;
mod units;
mod world;

use clap::Parser as _;
use tempfile::TempDir;
use tokio::task::LocalSet;

use crate::report::Report;
use crate::settings::{Args, Scenario};

fn main() {
    let args = Args::parse();
    // One thread: what the client takes is missing to the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    if args.serve_nothing {
        runtime.block_on(floor::serve_nothing());
        return;
    }
    process::allow_many_files();
    LocalSet::new().block_on(&runtime, run(args));
}

/// What all scenarios have in common.
struct Load {
    args: Args,
    /// The stores lie below it, and those of the peers.
    folder: TempDir,
}

async fn run(args: Args) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch folder");
    let load = Load { args, folder };
    let mut report = Report::of_this_machine(&load.args);
    for scenario in load.args.scenarios() {
        println!("\n==> {scenario}");
        match scenario {
            Scenario::Floor => floor::run(&load, &mut report).await,
            Scenario::Sends => sends::run(&load, &mut report).await,
            Scenario::Latency => latency::run(&load, &mut report).await,
            Scenario::Broadcast => broadcast::run(&load, &mut report).await,
            Scenario::Idle => idle::run(&load, &mut report).await,
            Scenario::Meshes => meshes::run(&load, &mut report).await,
            Scenario::Old => old::run(&load, &mut report).await,
            Scenario::Nodes => nodes::run(&load, &mut report).await,
            Scenario::Start => start::run(&load, &mut report).await,
        }
    }
    report.finish(load.args.json.as_deref());
}
