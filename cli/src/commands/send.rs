//! `meshwire send` and `meshwire reply`

use clap::Args;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::limits::MAX_CONTENT_BYTES;
use meshwire_protocol::{Address, ErrorCode, MeshId, MessageId, SendMessage};
use serde_json::{Map, Value};

use crate::args::{AsJson, InMesh};
use crate::client::{Answer, Client, sent};
use crate::failure::{Exit, Failure, Outcome};
use crate::identity::{self, Identity};
use crate::input::stdin_text;
use crate::output::{Style, note, print, print_json};
use crate::settings::{Flags, Settings};

const EXAMPLES: &str = "\
Examples:
  meshwire send \"the build is green\"
  meshwire send \"please review PR 7\" --to reviewer
  git diff --stat | meshwire send - --to @ada --as builder

You speak as --as or MESHWIRE_AGENT_NAME, else as yourself; in a shell that a harness runs for its model,
as the agent of .mesh.json. A new agent is registered when it first speaks.";

/// Send a message to all agents of the mesh, to one of them, or to a person.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Send {
    /// The text, up to 10 KB; - reads it from standard input
    text: String,
    /// An agent's name or id, @login for a person, or all [default: all]
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// The message that this one answers; without --to it goes to that one's sender
    #[arg(long, value_name = "ID", value_parser = message_id)]
    reply_to: Option<MessageId>,
    #[command(flatten)]
    more: More,
}

/// Answer a message: the text goes to its sender.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  meshwire reply 1748123456789000 \"done\"")]
pub(crate) struct Reply {
    /// The message that is answered
    #[arg(value_parser = message_id)]
    id: MessageId,
    /// The text, up to 10 KB; - reads it from standard input
    text: String,
    #[command(flatten)]
    more: More,
}

#[derive(Debug, Args)]
struct More {
    #[arg(
        help = "The agent of yours that speaks [env: MESHWIRE_AGENT_NAME]",
        long = "as",
        value_name = "AGENT"
    )]
    speaker: Option<String>,
    /// A JSON object that goes with the text
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    #[command(flatten)]
    target: InMesh,
    #[command(flatten)]
    output: AsJson,
}

fn message_id(text: &str) -> Result<MessageId, String> {
    text.parse().map_err(|error| format!("{error}"))
}

pub(crate) async fn run(args: Send, flags: &Flags) -> Outcome<()> {
    let message = SendMessage { to: args.to, reply_to: args.reply_to, ..SendMessage::default() };
    deliver(message, args.text, &args.more, flags).await
}

pub(crate) async fn run_reply(args: Reply, flags: &Flags) -> Outcome<()> {
    let message = SendMessage { reply_to: Some(args.id), ..SendMessage::default() };
    deliver(message, args.text, &args.more, flags).await
}

async fn deliver(
    mut message: SendMessage,
    text: String,
    more: &More,
    flags: &Flags,
) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let speaker = identity::speaker(&settings, more.speaker.as_deref())?;
    if let Some(to) = &message.to {
        Address::parse(to).map_err(|error| Failure::usage(format!("--to {to:?}: {error}")))?;
    }
    message.metadata = more.metadata.as_deref().map(metadata).transpose()?;
    let client = settings.client()?;
    message.content = if text == "-" { stdin_text()? } else { text };
    check_content(&message.content)?;
    let mesh = identity::mesh(&settings, &client, more.target.mesh.as_deref()).await?;
    let answer = send(&settings, &client, &mesh, &speaker, message).await?;
    let sent = sent(&answer)?;
    if more.output.json {
        print_json(&answer.json::<Box<serde_json::value::RawValue>>()?)?;
    } else {
        let to = match sent.message.to.as_str() {
            "all" => "all agents".to_owned(),
            name => clean_line(name),
        };
        let style = Style::for_stdout();
        print(&format!(
            "{} Sent → {} {}",
            style.green("✓"),
            style.bold(&to),
            style.dim(&format!("[id: {}]", sent.message.id))
        ))?;
    }
    if sent.recipients.total == 0 {
        note("note: nobody else is in this mesh yet, so nobody will receive this message");
        note(&format!(
            "hint: an agent joins when it first listens: MESHWIRE_AGENT_NAME=agent-b meshwire listen --mesh {mesh}"
        ));
    }
    Ok(())
}

/// Sends in one round trip. Only when the server does not know the speaker is it registered, and the
/// message sent again.
async fn send(
    settings: &Settings,
    client: &Client,
    mesh: &MeshId,
    speaker: &Identity,
    mut message: SendMessage,
) -> Outcome<Answer> {
    // One key for the command, so that no retry makes a second message.
    let key = format!("cli-{:032x}", rand::random::<u128>());
    let Identity::Agent(wanted) = speaker else {
        return client.send(mesh, &message, &key).await;
    };
    let name = identity::real_name(settings, mesh, wanted)?;
    message.from = Some(name.clone());
    let failure = match client.send(mesh, &message, &key).await {
        Ok(answer) => return Ok(answer),
        Err(failure) => failure,
    };
    let unknown = if failure.is(ErrorCode::AgentNotFound) {
        // The receiver may be the one that is not there.
        match client.agent(mesh, &name).await {
            Err(speaker) => speaker.is(ErrorCode::AgentNotFound),
            Ok(_) => false,
        }
    } else {
        failure.is(ErrorCode::NotYourAgent) && wanted.of_project
    };
    if !unknown {
        return Err(failure);
    }
    let registered =
        match identity::register(settings, client, mesh, wanted, settings.env.harness).await {
            Ok(registered) => registered,
            // A token that may not register says so less clearly than the first answer.
            Err(error) if error.exit() == Exit::Refused => return Err(failure),
            Err(error) => return Err(error),
        };
    message.from = Some(registered.name);
    client.send(mesh, &message, &key).await
}

fn metadata(text: &str) -> Outcome<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("--metadata is not a JSON object: {error}"))
            .hint("expected something like '{\"topic\":\"build\"}'")
    })
}

fn check_content(content: &str) -> Outcome<()> {
    if content.is_empty() {
        return Err(Failure::usage("the message is empty"));
    }
    if content.contains('\0') {
        return Err(Failure::usage("the message contains a NUL character"));
    }
    if content.len() > MAX_CONTENT_BYTES {
        return Err(Failure::usage(format!(
            "the message is too large: {} bytes, and at most {MAX_CONTENT_BYTES} are allowed",
            content.len()
        ))
        .hint("send a reference to it, such as a path or a link"));
    }
    Ok(())
}
