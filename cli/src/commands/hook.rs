//! `meshwire hook`: a harness runs it at an event of its own, and shows what it prints to the model.

use std::io::Read as _;
use std::time::Duration;

use clap::Args;
use meshwire_protocol::Harness;
use meshwire_protocol::clean::clean_line;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::delivery::{Push, SessionLock, Unread, Wired, codex, length, push_within};
use crate::failure::Outcome;
use crate::mesh_file::parse_harness;
use crate::output::{note, print};
use crate::settings::{Flags, Settings};

/// A harness waits for us, and its user with it: a server that is slower than this is away.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for telling the server what was shown, which may as well be done later.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a harness tells is small, but its input may quote a whole prompt.
const LARGEST_INPUT: u64 = 4 * 1024 * 1024;
/// Messages that are read at once.
const PAGE: u32 = 100;
/// Claude Code shows no more than 10,000 characters of what a hook says, and of what is longer a preview.
const LONGEST_IN_CLAUDE: usize = 9_500;

/// Tell a harness what is unread, at an event of its own.
#[derive(Debug, Args)]
pub(crate) struct Hook {
    // Not checked by clap: to several harnesses, the exit code for wrong usage says that the turn be blocked.
    /// The harness
    #[arg(long, value_name = "HARNESS")]
    harness: String,
    /// The event, as the harness names it
    event: String,
}

/// What a harness writes to our input, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Input {
    session_id: Option<String>,
    /// The turn goes on because of a hook already.
    stop_hook_active: bool,
    /// How a turn of Cursor's has ended.
    status: Option<String>,
}

/// Always ends well: a mesh that is out of order is no reason to stop somebody's work.
pub(crate) async fn run(args: Hook, flags: &Flags) -> Outcome<()> {
    if let Err(failure) = tell(&args, flags).await {
        note(&format!("meshwire: {}", clean_line(failure.message())));
    }
    Ok(())
}

async fn tell(args: &Hook, flags: &Flags) -> Outcome<()> {
    let input = tokio::time::timeout(FAREWELL, tokio::task::spawn_blocking(read_input)).await;
    let input = input.ok().and_then(Result::ok).unwrap_or_default();
    let (Some(harness), event) = (parse_harness(&args.harness), args.event.as_str()) else {
        note(&format!("meshwire: {:?} is no harness that this version knows", args.harness));
        return Ok(());
    };
    let settings = Settings::load(flags)?;
    let Some(wired) = Wired::find(&settings, None, None, harness)? else { return Ok(()) };
    if let (Harness::Codex, "SessionStart", Some(thread)) = (harness, event, &input.session_id) {
        codex::remember_thread(&settings.home, thread)?;
    }
    let Some(answer) = Answer::to(harness, event, &input) else { return Ok(()) };
    let taken = tokio::time::timeout(PATIENCE, take(&settings, &wired)).await;
    // Slower than that is away, and quietly so.
    let Ok(taken) = taken else { return Ok(()) };
    let Some((unread, push)) = taken? else { return Ok(()) };
    if length(&push.text) > longest(harness) {
        // Left for the tool; no turn is kept from ending for it.
        if answer == Answer::Context && event != "Stop" {
            let text = format!(
                "MeshWire: a long message from another agent is unread; read it with meshwire_get_messages. {}",
                push.summary
            );
            print(&answer.write(event, &text))?;
        }
        return Ok(());
    }
    print(&answer.write(event, &push.text))?;
    // What is not told now is told by the next one who takes from the inbox.
    let _ = tokio::time::timeout(FAREWELL, unread.acknowledge()).await;
    Ok(())
}

/// What is unread, unless there is nothing, or a live session gets it.
async fn take(settings: &Settings, wired: &Wired) -> Outcome<Option<(Unread, Push)>> {
    let client = settings.client()?.impatient();
    let Some(agent) = wired.look_up(settings, &client).await? else { return Ok(None) };
    let id = agent.agent_id;
    if SessionLock::is_elsewhere(&settings.home, client.url(), &wired.mesh, &id)? {
        return Ok(None);
    }
    let mut unread = wired.inbox(settings, client, id)?.take(PAGE).await?;
    Ok(push_within(&mut unread, wired.harness, longest(wired.harness))?.map(|push| (unread, push)))
}

/// How much a harness shows of what a hook says. What is shown at once is bounded anyway.
fn longest(harness: Harness) -> usize {
    if harness == Harness::Claude { LONGEST_IN_CLAUDE } else { usize::MAX }
}

fn read_input() -> Input {
    let mut text = Vec::new();
    let _ = std::io::stdin().lock().take(LARGEST_INPUT).read_to_end(&mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The form in which a harness takes what a hook says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Claude Code, Codex, Gemini: further context of the turn that begins. At the end of one, Claude Code goes on with it.
    Context,
    /// Codex: the turn does not end yet.
    Block,
    /// Gemini: the same.
    Deny,
    /// Cursor: another turn begins.
    FollowUp,
    /// Copilot: further context.
    Plain,
    /// Kiro: text is context.
    Text,
}

impl Answer {
    /// At this event; `None` when nothing can be said then.
    fn to(harness: Harness, event: &str, input: &Input) -> Option<Self> {
        match (harness, event) {
            (Harness::Claude | Harness::Codex, "SessionStart" | "UserPromptSubmit")
            | (Harness::Gemini, "SessionStart" | "BeforeAgent") => Some(Self::Context),
            // At its end once for each turn: else two agents could keep each other's turns from ever ending.
            // A reason to block reaches the model of Claude Code twice; with further context the turn goes on as well.
            (Harness::Claude, "Stop") => (!input.stop_hook_active).then_some(Self::Context),
            (Harness::Codex, "Stop") => (!input.stop_hook_active).then_some(Self::Block),
            (Harness::Gemini, "AfterAgent") => (!input.stop_hook_active).then_some(Self::Deny),
            // A turn that the user has broken off is not to go on.
            (Harness::Cursor, "stop") => input
                .status
                .as_deref()
                .is_none_or(|status| status == "completed")
                .then_some(Self::FollowUp),
            (Harness::Copilot, "userPromptSubmitted") => Some(Self::Plain),
            (Harness::Kiro, "agentSpawn" | "userPromptSubmit") => Some(Self::Text),
            _ => None,
        }
    }

    fn write(self, event: &str, text: &str) -> String {
        let value: Value = match self {
            Self::Context => {
                json!({"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}})
            }
            Self::Block => json!({"decision": "block", "reason": text}),
            Self::Deny => json!({"decision": "deny", "reason": text}),
            Self::FollowUp => json!({"followup_message": text}),
            Self::Plain => json!({"additionalContext": text}),
            Self::Text => return text.trim_end().to_owned(),
        };
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(harness: Harness, event: &str, input: &str) -> Option<Answer> {
        Answer::to(harness, event, &serde_json::from_str(input).unwrap())
    }

    #[test]
    fn each_harness_gets_its_form_and_no_turn_goes_on_for_ever() {
        use Harness::{Claude, Codex, Copilot, Cursor, Gemini, Kiro, Windsurf};
        for (harness, event, input, expected) in [
            (Claude, "SessionStart", "{}", Some(Answer::Context)),
            (
                Claude,
                "UserPromptSubmit",
                r#"{"session_id":"s","prompt":"x"}"#,
                Some(Answer::Context),
            ),
            (Claude, "Stop", r#"{"stop_hook_active":false}"#, Some(Answer::Context)),
            (Claude, "Stop", r#"{"stop_hook_active":true}"#, None),
            (Claude, "Stop", r#"{"stop_hook_active":true}"#, None),
            (Codex, "UserPromptSubmit", "{}", Some(Answer::Context)),
            (Codex, "Stop", "{}", Some(Answer::Block)),
            (Codex, "Stop", r#"{"stop_hook_active":true}"#, None),
            (Gemini, "BeforeAgent", "{}", Some(Answer::Context)),
            (Gemini, "AfterAgent", "{}", Some(Answer::Deny)),
            (Gemini, "AfterAgent", r#"{"stop_hook_active":true}"#, None),
            (Cursor, "stop", r#"{"status":"completed","loop_count":0}"#, Some(Answer::FollowUp)),
            (Cursor, "stop", r#"{"status":"aborted"}"#, None),
            (Kiro, "agentSpawn", "{}", Some(Answer::Text)),
            (Copilot, "userPromptSubmitted", "{}", Some(Answer::Plain)),
            (Claude, "PreToolUse", "{}", None),
            (Windsurf, "Stop", "{}", None),
        ] {
            assert_eq!(answer(harness, event, input), expected, "{harness:?} {event} {input}");
        }
    }
}
