//! `meshwire inbox`

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use meshwire_protocol::limits::MAX_PAGE;
use meshwire_protocol::{ErrorCode, From};

use crate::args::{AsJson, InMesh};
use crate::client::RawPage;
use crate::failure::Outcome;
use crate::identity::{self, Identity};
use crate::output::{Style, message, note, print, print_json};
use crate::settings::{Flags, Settings};

const EXAMPLES: &str = "\
Examples:
  meshwire inbox
  meshwire inbox --ack --json

Shows what `meshwire listen` would print, and leaves it there unless --ack is given.";

/// Show the messages that wait to be read.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inbox {
    /// Mark what is shown as read
    #[arg(long)]
    ack: bool,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[arg(
        help = "The agent of yours whose inbox it is [env: MESHWIRE_AGENT_NAME]",
        long,
        value_name = "NAME"
    )]
    agent: Option<String>,
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: &Inbox, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let reader = identity::reader(&settings, args.agent.as_deref())?;
    let client = settings.client()?;
    let mesh = identity::mesh(&settings, &client, args.target.mesh.as_deref()).await?;
    let agent = match &reader {
        Identity::Agent(wanted) => identity::real_name(&settings, &mesh, wanted)?,
        Identity::Own => identity::own_inbox(&client).await?,
    };
    let mut all: Option<RawPage> = None;
    let mut left = args.limit;
    loop {
        let after = all.as_ref().map(|page| From::Id(page.cursor));
        let mut page = client
            .inbox(&mesh, &agent, after, 0, left.min(MAX_PAGE), false)
            .await
            .map_err(|failure| match failure.code() {
                Some(ErrorCode::AgentNotFound) => failure.hint(
                    "an agent is registered when it first listens or speaks: meshwire listen",
                ),
                _ => failure,
            })?;
        left = left.saturating_sub(u32::try_from(page.messages.len()).unwrap_or(u32::MAX));
        let more = page.more;
        match &mut all {
            None => all = Some(page),
            Some(all) => {
                all.messages.append(&mut page.messages);
                (all.cursor, all.more, all.gap) = (page.cursor, page.more, all.gap || page.gap);
            }
        }
        if left == 0 || !more {
            break;
        }
    }
    let Some(page) = all else { return Ok(()) };
    if page.gap {
        note("warning: older messages were removed before they were read");
    }
    if args.output.json {
        print_json(&page)?;
    } else {
        let (now, zone, style) = (Timestamp::now(), TimeZone::system(), Style::for_stdout());
        for raw in &page.messages {
            print(&message(&raw.read()?, now, &zone, style))?;
        }
        if page.messages.is_empty() {
            note("No new messages.");
        } else if page.more {
            note("There are more: add --limit, or --ack and run it again.");
        }
    }
    if args.ack {
        client.set_cursor(&mesh, &agent, page.cursor).await?;
    }
    Ok(())
}
