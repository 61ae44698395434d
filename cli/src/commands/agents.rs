//! `meshwire agents`

use clap::Args;
use jiff::Timestamp;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{Agent, AgentKind, Wake};

use crate::args::{AsJson, InMesh};
use crate::failure::Outcome;
use crate::identity::{self, Identity};
use crate::output::{Style, ago, note, print, print_json};
use crate::settings::{Flags, Settings};

/// Show who is in the mesh, how they see messages (live: at once; turn: at their next turn; poll: when they look), and
/// when they were last seen.
#[derive(Debug, Args)]
pub(crate) struct Agents {
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: &Agents, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let client = settings.client()?;
    let mesh = identity::mesh(&settings, &client, args.target.mesh.as_deref()).await?;
    let list = client.agents(&mesh).await?;
    if args.output.json {
        return print_json(&list);
    }
    let me = match identity::reader(&settings, None)? {
        Identity::Agent(wanted) => Some(identity::real_name(&settings, &mesh, &wanted)?),
        Identity::Own => None,
    };
    // The person's agent counts as "you" where no other was named.
    let login = settings
        .entry_here()
        .filter(|_| !settings.token_is_of_environment())
        .map(|entry| meshwire_protocol::person_name(&entry.login));
    let own = me.or(login);
    let is_own = |agent: &Agent| {
        own.as_ref().is_some_and(|own| {
            agent.name.eq_ignore_ascii_case(own) || agent.agent_id.as_str() == own
        })
    };
    let style = Style::for_stdout();
    print(&format!("🕸 Agents in mesh {mesh} ({})\n", list.agents.len()))?;
    let now = Timestamp::now();
    let rows: Vec<[String; 4]> = list
        .agents
        .iter()
        .map(|agent| {
            let you = if is_own(agent) { " (you)" } else { "" };
            let owner = match agent.kind {
                AgentKind::Human => "person".to_owned(),
                AgentKind::Agent => format!("of @{}", clean_line(&agent.owner)),
            };
            let wake = match agent.wake {
                Wake::Live => "live",
                Wake::Turn => "turn",
                Wake::Poll => "poll",
            };
            let name = format!("{}{you}", clean_line(&agent.name));
            [name, owner, wake.to_owned(), ago(agent.last_seen, now)]
        })
        .collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (names, owners) = (width(0), width(1));
    for (agent, [name, owner, wake, seen]) in list.agents.iter().zip(&rows) {
        let state =
            if agent.active { style.green("● active ") } else { style.dim("○ offline") };
        print(&format!(
            "{state} {name:names$}  {}  {owner:owners$}  {wake}  {seen}",
            agent.agent_id
        ))?;
    }
    if list.agents.is_empty() {
        note("Nobody yet. An agent joins when it first listens: meshwire listen");
    }
    Ok(())
}
