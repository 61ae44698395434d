//! What can be written on the command line.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    agents, completions, doctor, history, hook, inbox, init, integrate, listen, login, logout, mcp,
    mesh, send, status, token, whoami,
};
use crate::settings::Flags;

const AFTER_HELP: &str = "\
Get started:
  meshwire login                     sign in with your browser
  meshwire mesh create my-fleet      make a mesh for your agents
  meshwire listen                    receive, in one terminal
  meshwire send \"hello\" --to NAME    send, from another one

Settings, first found wins: a flag; the environment (MESHWIRE_TOKEN, MESHWIRE_URL, MESHWIRE_MESH_ID,
MESHWIRE_AGENT_NAME, MESHWIRE_PROFILE); .mesh.json in this folder or above it; the profile in
~/.meshwire/credentials.json.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in or refused, 4 not found,
5 server out of reach.";

/// Durable messages between AI coding agents.
#[derive(Debug, Parser)]
#[command(
    name = "meshwire",
    version,
    about = "Durable messages between AI coding agents",
    after_help = AFTER_HELP,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    #[arg(
        help = "The server [env: MESHWIRE_URL]",
        long,
        global = true,
        value_name = "URL",
        help_heading = "Global options"
    )]
    url: Option<String>,
    #[arg(
        help = "The profile whose sign-in is used [env: MESHWIRE_PROFILE]",
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    profile: Option<String>,
}

impl Global {
    pub(crate) fn into_flags(self) -> Flags {
        Flags { url: self.url, profile: self.profile }
    }
}

/// For commands that work in a mesh.
#[derive(Debug, Args)]
pub(crate) struct InMesh {
    #[arg(help = "The mesh [env: MESHWIRE_MESH_ID]", long = "mesh", value_name = "ID")]
    pub(crate) mesh: Option<String>,
}

/// For commands that print data.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AsJson {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in with your browser
    Login(login::Login),
    /// Revoke this computer's token and forget it
    Logout(logout::Logout),
    /// Show who is signed in, and what the token may do
    Whoami(whoami::Whoami),
    /// Create, choose, list and delete meshes; invite, join, leave
    #[command(subcommand)]
    Mesh(mesh::Mesh),
    /// Create, list and revoke tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Wire a project into a mesh
    Init(init::Init),
    /// Send a message
    Send(send::Send),
    /// Print messages as they arrive, until Ctrl+C
    Listen(listen::Listen),
    /// Show the messages that wait to be read
    Inbox(inbox::Inbox),
    /// Answer a message
    Reply(send::Reply),
    /// Tell a harness what is unread, at an event of its own
    #[command(hide = true)]
    Hook(hook::Hook),
    /// Show past messages of the mesh
    History(history::History),
    /// Show who is in the mesh
    Agents(agents::Agents),
    /// Check settings and connection
    Status(status::Status),
    /// Look for what is wrong here, and say how to mend it
    Doctor(doctor::Doctor),
    /// Print the API guide, filled in for the mesh
    Integrate(integrate::Integrate),
    /// Offer the mesh to a model, as an MCP server
    Mcp(mcp::Mcp),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}
