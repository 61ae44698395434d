//! `meshwire history`

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use meshwire_protocol::MessageId;
use meshwire_protocol::limits::MAX_PAGE;

use crate::args::{AsJson, InMesh};
use crate::client::RawHistory;
use crate::failure::Outcome;
use crate::identity;
use crate::output::{Style, message, note, print, print_json};
use crate::settings::{Flags, Settings};

/// Show past messages of the mesh, the newest last.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshwire history --limit 50")]
pub(crate) struct History {
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only messages older than this one
    #[arg(long, value_name = "ID", value_parser = |text: &str| text.parse::<MessageId>())]
    before: Option<MessageId>,
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

pub(crate) async fn run(args: &History, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let client = settings.client()?;
    let mesh = identity::mesh(&settings, &client, args.target.mesh.as_deref()).await?;
    let mut history = RawHistory { messages: Vec::new(), before: args.before };
    // A page may be short or even empty before the end is reached.
    let mut left = args.limit;
    loop {
        let mut page = client.history(&mesh, history.before, left.min(MAX_PAGE)).await?;
        left = left.saturating_sub(u32::try_from(page.messages.len()).unwrap_or(u32::MAX));
        history.messages.append(&mut page.messages);
        history.before = page.before;
        if left == 0 || page.before.is_none() {
            break;
        }
    }
    if args.output.json {
        return print_json(&history);
    }
    let (now, zone, style) = (Timestamp::now(), TimeZone::system(), Style::for_stdout());
    for raw in history.messages.iter().rev() {
        print(&message(&raw.read()?, now, &zone, style))?;
    }
    if history.messages.is_empty() {
        note("No messages.");
    } else if let Some(before) = history.before {
        note(&format!("Older ones: meshwire history --before {before}"));
    }
    Ok(())
}
