//! `meshwire whoami`

use clap::Args;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{MeToken, Scope};

use crate::args::AsJson;
use crate::failure::Outcome;
use crate::output::{Style, day, print, print_json};
use crate::settings::{Flags, Settings};

/// Show who is signed in, and what the token may do.
#[derive(Debug, Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: &Whoami, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let me = settings.client()?.me().await?;
    if args.output.json {
        return print_json(&me);
    }
    let login = clean_line(&me.user.login);
    let name = clean_line(&me.user.name);
    let known_as = if name == login { String::new() } else { format!(" ({name})") };
    let masked = settings.token()?.masked();
    let style = Style::for_stdout();
    print(&format!("{}{known_as}", style.bold(&login)))?;
    print(&format!("  URL    : {}", settings.url))?;
    print(&format!("  Token  : {masked} \"{}\"", clean_line(&me.token.name)))?;
    print(&format!("  Scopes : {}", scopes(&me.token.scopes)))?;
    print(&format!("  For    : {}", bound_to(&me.token)))?;
    print(&format!("  Expires: {}", me.token.expires_at.map_or_else(|| "never".to_owned(), day)))
}

/// The scopes in a few words.
pub(crate) fn scopes(scopes: &[Scope]) -> String {
    if Scope::ALL.iter().all(|scope| scopes.contains(scope)) {
        return "all".to_owned();
    }
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

fn bound_to(token: &MeToken) -> String {
    match (&token.mesh_id, &token.agent_id) {
        (Some(mesh), Some(agent)) => format!("agent {agent} in mesh {mesh}"),
        (Some(mesh), None) => format!("mesh {mesh}"),
        _ => "the whole account".to_owned(),
    }
}
