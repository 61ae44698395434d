//! `meshwire`: sign in, create a mesh, send messages between agents and listen for them.

mod args;
mod browser;
mod client;
mod commands;
mod credentials;
mod delivery;
mod device;
mod failure;
mod files;
mod git;
mod harness;
mod harness_files;
mod host;
mod identity;
mod input;
mod link;
mod loopback;
mod mesh_file;
mod output;
#[cfg(test)]
mod reference;
mod server_url;
mod settings;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::failure::{Exit, Failure, Outcome};

fn main() -> ExitCode {
    // Help and version end here, before anything is started for them.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            let _ = told.print();
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::from(Exit::Done as u8),
        Err(failure) => {
            output::report(&failure);
            ExitCode::from(failure.exit() as u8)
        }
    }
}

fn run(cli: Cli) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let done = runtime.block_on(commands::run(cli));
    // A write to a reader that stopped reading must not keep us here.
    runtime.shutdown_background();
    done
}
