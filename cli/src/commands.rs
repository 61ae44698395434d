//! The commands, one file each.

use crate::args::{Cli, Command};
use crate::failure::Outcome;

pub(crate) mod agents;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod hook;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod integrate;
pub(crate) mod listen;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod mcp;
pub(crate) mod mesh;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod whoami;

/// Runs the command that was asked for.
pub(crate) async fn run(cli: Cli) -> Outcome<()> {
    let flags = cli.global.into_flags();
    match cli.command {
        Command::Login(args) => Box::pin(login::run(args, &flags)).await,
        Command::Logout(args) => Box::pin(logout::run(&args, &flags)).await,
        Command::Whoami(args) => Box::pin(whoami::run(&args, &flags)).await,
        Command::Mesh(args) => Box::pin(mesh::run(args, &flags)).await,
        Command::Token(args) => Box::pin(token::run(args, &flags)).await,
        Command::Init(args) => Box::pin(init::run(args, &flags)).await,
        Command::Send(args) => Box::pin(send::run(args, &flags)).await,
        Command::Listen(args) => Box::pin(listen::run(args, &flags)).await,
        Command::Inbox(args) => Box::pin(inbox::run(&args, &flags)).await,
        Command::Reply(args) => Box::pin(send::run_reply(args, &flags)).await,
        Command::Hook(args) => Box::pin(hook::run(args, &flags)).await,
        Command::History(args) => Box::pin(history::run(&args, &flags)).await,
        Command::Agents(args) => Box::pin(agents::run(&args, &flags)).await,
        Command::Status(args) => Box::pin(status::run(&args, &flags)).await,
        Command::Doctor(args) => Box::pin(doctor::run(&args, &flags)).await,
        Command::Mcp(args) => Box::pin(mcp::run(args, &flags)).await,
        Command::Integrate(args) => Box::pin(integrate::run(&args, &flags)).await,
        Command::Completions(args) => completions::run(&args),
    }
}
