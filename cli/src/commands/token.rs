//! `meshwire token`

use std::fmt::Write;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::limits::MAX_TOKEN_DAYS;
use meshwire_protocol::{CreateToken, Scope, TokenInfo, check_mesh_name, mask_token};

use crate::args::AsJson;
use crate::commands::whoami::scopes;
use crate::failure::{Failure, Outcome};
use crate::identity;
use crate::output::{Style, ago, day, note, print, print_json};
use crate::settings::{Flags, Settings, checked_agent};

const EXAMPLES: &str = "\
Examples:
  meshwire token create ci --mesh kR9xQpLmW3aZ --scope send --expires 30d
  MESHWIRE_TOKEN=$(meshwire token create worker --agent worker) ./worker

Only the token itself goes to standard output. It is shown this once.";

/// Create, list and revoke tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Create a token and print it
    Create(Create),
    /// List your tokens
    List(List),
    /// Revoke a token: it is refused from now on
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    /// What it is for
    #[arg(default_value = "cli")]
    name: String,
    /// Bind it to this mesh
    #[arg(long, value_name = "ID")]
    mesh: Option<String>,
    /// Bind it to this agent of the mesh
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// What it may do: read, send, agents, admin [default: all]
    #[arg(long = "scope", value_name = "SCOPE", num_args = 1.., value_delimiter = ',', value_parser = scope)]
    scopes: Vec<Scope>,
    /// Days until it expires, 1 to 365, like 30d [default: never]
    #[arg(long, value_name = "DAYS", value_parser = days)]
    expires: Option<u32>,
    #[command(flatten)]
    output: AsJson,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: AsJson,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The token's id, as `meshwire token list` shows it
    id: String,
}

pub(crate) async fn run(command: Token, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    match command {
        Token::Create(args) => create(&settings, args).await,
        Token::List(args) => list(&settings, &args).await,
        Token::Revoke(args) => revoke(&settings, &args).await,
    }
}

async fn create(settings: &Settings, args: Create) -> Outcome<()> {
    check_mesh_name(&args.name)
        .map_err(|rule| Failure::usage(format!("a token's name {rule}: {:?}", args.name)))?;
    let client = settings.client()?;
    let mut token = CreateToken {
        name: args.name,
        scopes: (!args.scopes.is_empty()).then_some(args.scopes),
        expires_in_days: args.expires,
        ..CreateToken::default()
    };
    if args.mesh.is_some() || args.agent.is_some() {
        let mesh = identity::mesh(settings, &client, args.mesh.as_deref()).await?;
        if let Some(agent) = &args.agent {
            let name = checked_agent(agent, "--agent")?;
            let wanted = identity::Wanted { name, of_project: false };
            let name = identity::real_name(settings, &mesh, &wanted)?;
            token.agent_id = Some(client.agent(&mesh, &name).await?.agent_id.to_string());
        }
        token.mesh_id = Some(mesh.to_string());
    }
    let created = client.create_token(&token).await?;
    if args.output.json {
        return print_json(&created);
    }
    print(&created.token)?;
    let style = Style::for_stderr();
    note(&format!("{} Token created: {}", style.green("✓"), about(&created.info)));
    note("It is shown this once. Keep it as a secret.");
    Ok(())
}

async fn list(settings: &Settings, args: &List) -> Outcome<()> {
    let list = settings.client()?.tokens().await?;
    if args.output.json {
        return print_json(&list);
    }
    let style = Style::for_stdout();
    print(&format!("🕸 Your tokens ({})\n", list.tokens.len()))?;
    let now = Timestamp::now();
    for token in &list.tokens {
        print(&format!(
            "{} {} {}, last used {}",
            style.bold(token.id.as_str()),
            mask_token(&token.suffix),
            about(token),
            ago(token.last_used_at, now),
        ))?;
    }
    Ok(())
}

async fn revoke(settings: &Settings, args: &Revoke) -> Outcome<()> {
    if args.id.starts_with(meshwire_protocol::TOKEN_PREFIX) {
        return Err(Failure::usage("that is a token, and its id is wanted")
            .hint("`meshwire token list` shows the ids; use `meshwire logout` for your own"));
    }
    let id = args.id.trim();
    if id != "current" {
        id.parse::<meshwire_protocol::TokenId>().map_err(|error| {
            Failure::usage(format!("{error}")).hint("`meshwire token list` shows the ids")
        })?;
    }
    settings.client()?.revoke_token(id).await?;
    print(&format!("{} Revoked token: {id}", Style::for_stdout().green("✓")))
}

/// The name, and what differs from an unlimited token.
fn about(token: &TokenInfo) -> String {
    let mut about = format!("\"{}\", scopes {}", clean_line(&token.name), scopes(&token.scopes));
    if let Some(mesh) = &token.mesh_id {
        let _ = write!(about, ", mesh {mesh}");
    }
    if let Some(agent) = &token.agent_id {
        let _ = write!(about, ", agent {agent}");
    }
    if let Some(end) = token.expires_at {
        let _ = write!(about, ", expires {}", day(end));
    }
    about
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::ALL
        .into_iter()
        .find(|scope| scope.as_str() == text)
        .ok_or_else(|| "expected read, send, agents or admin".to_owned())
}

fn days(text: &str) -> Result<u32, String> {
    text.strip_suffix('d')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|days| (1..=MAX_TOKEN_DAYS).contains(days))
        .ok_or_else(|| format!("expected 1 to {MAX_TOKEN_DAYS} days, like 30d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read() {
        assert_eq!(days("30d"), Ok(30));
        assert_eq!(days("365"), Ok(365));
        for bad in ["0", "366", "30w", "", "-1", "d"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }
}
