//! `meshwire listen --harness`: pushes what is unread into the live session that has started us.

use std::time::Duration;

use meshwire_protocol::Harness;
use meshwire_protocol::clean::clean_line;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;

use super::Listen;
use super::session::print_apart;
use super::stop::Stop;
use crate::client::Client;
use crate::delivery::{Deliver, Delivered, Inbox, Push, Pusher, Wired, length};
use crate::failure::{Exit, Failure, Outcome};
use crate::link::{Link, may_pass};
use crate::mesh_file::parse_harness;
use crate::output::{note, print, report};
use crate::settings::{Flags, Settings};

/// How long the extension may take to hand a push over. The inbox is locked meanwhile.
const HAND_OVER: Duration = Duration::from_secs(30);
/// The longest poll that a server allows, in seconds.
const LONGEST_POLL: u64 = meshwire_protocol::limits::MAX_WAIT_SECONDS;

/// What Claude Code shows of a monitor: 500 characters of a line, and 3,000 of what is written at once.
const LONGEST_LINE: usize = 480;
const LONGEST_EVENT: usize = 2_900;
/// How much of a summary stands in an announcement, in characters.
const LONGEST_SUMMARY: usize = 250;
/// How often a monitor looks whether the folder has been wired in.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The same after a clear no of the server.
const LOOK_AGAIN_WHEN_REFUSED: Duration = Duration::from_mins(1);

/// Reads the name of a harness from the command line.
pub(in crate::commands) fn parse(name: &str) -> Result<Harness, String> {
    parse_harness(name).ok_or_else(|| format!("{name:?} is no harness that this version knows"))
}

pub(super) async fn run(args: &Listen, harness: Harness, flags: &Flags) -> Outcome<()> {
    let mut stop = Stop::install()?;
    let pushed = if args.output.json {
        let (input, answers) = Answers::read();
        tokio::select! {
            pushed = push_into_extension(args, harness, flags, answers) => pushed,
            // The extension is gone, and with it the session.
            () = input => Ok(()),
            () = stop.wait() => Ok(()),
        }
    } else {
        tokio::select! {
            pushed = push_into_monitor(args, harness, flags) => pushed,
            () = nobody_reads() => Ok(()),
            () = stop.wait() => Ok(()),
        }
    };
    if let (true, Err(failure)) = (args.output.json, &pushed)
        && !failure.is_silent()
    {
        let hint = failure.hint_text();
        print_line(&Line::Failed { error: failure.message(), hint }).await?;
    }
    pushed
}

/// Ends at once in a folder that belongs to no mesh.
async fn push_into_extension(
    args: &Listen,
    harness: Harness,
    flags: &Flags,
    answers: Answers,
) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let mesh = args.target.mesh.as_deref();
    let Some(wired) = Wired::find(&settings, mesh, args.agent.as_deref(), harness)? else {
        return Ok(());
    };
    let client = settings.client()?.impatient();
    let link = Link::new(client.url().to_string());
    let mut way = Extension { answers, name: String::new(), pushes: 0, unanswered: None };
    push(args, &settings, &wired, client, link, &mut way).await
}

/// Never ends by itself, nor says a word but messages: Claude Code wakes its model for a monitor that ends, in every
/// session and folder. So it waits until the folder is wired in, or somebody has signed in again.
async fn push_into_monitor(args: &Listen, harness: Harness, flags: &Flags) -> Outcome<()> {
    let mut said = None;
    loop {
        let attempt = async {
            let settings = Settings::load(flags)?;
            let mesh = args.target.mesh.as_deref();
            let Some(wired) = Wired::find(&settings, mesh, args.agent.as_deref(), harness)? else {
                return Ok(());
            };
            let client = settings.client()?.impatient();
            let link = Link::new(client.url().to_string()).quiet();
            push(args, &settings, &wired, client, link, &mut Monitor).await
        };
        match attempt.await {
            Err(failure) if failure.is_silent() => return Err(failure),
            // Something of this computer is not as it must be, which nobody else would hear of.
            Err(failure)
                if failure.exit() == Exit::Failed && said.as_deref() != Some(failure.message()) =>
            {
                report(&failure);
                said = Some(failure.message().to_owned());
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(()) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(_) => tokio::time::sleep(LOOK_AGAIN_WHEN_REFUSED).await,
        }
    }
}

async fn push(
    args: &Listen,
    settings: &Settings,
    wired: &Wired,
    client: Client,
    mut link: Link,
    way: &mut impl Live,
) -> Outcome<()> {
    let (agent, name) = link
        .keep_trying(Failure::is_transient, async || wired.register(settings, &client).await)
        .await?;
    way.is_named(name);
    let inbox = wired.inbox(settings, client.clone(), agent)?;
    let mut pusher = Pusher::new(settings.home.clone(), inbox.clone(), wired.harness);
    if let Some(interval) = args.poll_interval {
        pusher = pusher.with_wait(interval.div_ceil(1_000).clamp(1, LONGEST_POLL));
    }
    let heartbeat = args.heartbeat_interval.map(Duration::from_millis);
    tokio::select! {
        ended = pusher.run(&mut link, way) => ended,
        ended = beat(&client, &inbox, heartbeat) => ended,
    }
}

/// Says that the agent is there, also while another session of it is pushed into.
async fn beat(client: &Client, inbox: &Inbox, interval: Option<Duration>) -> Outcome<()> {
    let Some(interval) = interval else { return std::future::pending().await };
    loop {
        match client.heartbeat(inbox.mesh(), inbox.agent().as_str()).await {
            Err(failure) if !may_pass(&failure) => return Err(failure),
            _ => tokio::time::sleep(interval).await,
        }
    }
}

/// What wants to know as whom it is live.
trait Live: Deliver {
    fn is_named(&mut self, name: String);
}

/// Claude Code, which shows what we print to its model and does not answer.
struct Monitor;

impl Live for Monitor {
    fn is_named(&mut self, _name: String) {}
}

impl Deliver for Monitor {
    async fn deliver(&mut self, push: &Push) -> Outcome<Delivered> {
        if let Some(lines) = monitor_lines(&push.text) {
            print_apart(lines).await?;
            return Ok(Delivered::Taken);
        }
        // The hook at the beginning of the turn that this line begins shows the whole, where hooks run.
        let start: String = push.summary.chars().take(LONGEST_SUMMARY).collect();
        print_apart(format!(
            "MeshWire: unread, from another agent and not from the user: {start} | Unless the whole text stands \
             below, read it with meshwire_get_messages."
        ))
        .await?;
        Ok(Delivered::Announced)
    }
}

/// A push as Claude Code shows it whole: it takes white space off each line, cuts lines and events that are too
/// long, and shows the lines of one write as one event. `None` when it would be cut.
fn monitor_lines(text: &str) -> Option<String> {
    let lines: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty())
        // The lines of messages are indented, which tells them from ours.
        .map(|line| line.strip_prefix("  ").map_or(line.to_owned(), |line| format!("| {line}")))
        .collect();
    let all = lines.join("\n");
    let fits = lines.iter().all(|line| length(line) <= LONGEST_LINE);
    (fits && length(&all) <= LONGEST_EVENT).then_some(all)
}

/// An extension of ours, which hands each push on and says whether that worked.
struct Extension {
    answers: Answers,
    name: String,
    pushes: u64,
    /// The push that was given up before it was answered.
    unanswered: Option<u64>,
}

/// What we print for an extension.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Push {
        push: u64,
        text: &'a str,
        summary: &'a str,
        messages: &'a [meshwire_protocol::MessageId],
    },
    Failed {
        error: &'a str,
        hint: Option<&'a str>,
    },
}

/// What an extension answers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Taken {
        ok: u64,
    },
    Failed {
        failed: u64,
        #[serde(default)]
        why: String,
    },
}

impl Live for Extension {
    fn is_named(&mut self, name: String) {
        self.name = name;
    }
}

impl Deliver for Extension {
    async fn deliver(&mut self, push: &Push) -> Outcome<Delivered> {
        self.pushes += 1;
        let number = self.pushes;
        print_line(&Line::Push {
            push: number,
            text: &push.text,
            summary: &push.summary,
            messages: &push.ids,
        })
        .await?;
        let answered = tokio::time::timeout(HAND_OVER, async {
            loop {
                match self.answers.next().await {
                    Answer::Taken { ok } if ok == number => return Ok(()),
                    Answer::Failed { failed, why } if failed == number => return Err(why),
                    _ => {}
                }
            }
        })
        .await;
        let why = match answered {
            Ok(Ok(())) => return Ok(Delivered::Taken),
            Ok(Err(why)) => why,
            Err(_) => {
                self.unanswered = Some(number);
                "no answer in time".to_owned()
            }
        };
        note(&format!("a push failed: {}", clean_line(&why)));
        Ok(Delivered::Failed)
    }

    fn taken_late(&mut self) -> bool {
        let Some(number) = self.unanswered.take() else { return false };
        let mut taken = false;
        while let Some(answer) = self.answers.next_now() {
            taken |= matches!(answer, Answer::Taken { ok } if ok == number);
        }
        taken
    }

    fn live(&mut self, live: bool) {
        if live {
            note(&format!("{}: messages are pushed into this session", self.name));
        }
    }
}

/// What the extension writes to our input.
struct Answers(mpsc::UnboundedReceiver<Answer>);

impl Answers {
    /// Reads them; the future ends when the input does.
    fn read() -> (impl Future<Output = ()>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let reading = async move {
            let mut lines = BufReader::new(tokio::io::stdin()).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                if let Ok(answer) = serde_json::from_slice(&line) {
                    let _ = sender.send(answer);
                } else if !line.trim_ascii().is_empty() {
                    note("a line that is no answer to a push was passed over");
                }
            }
        };
        (reading, Self(receiver))
    }

    async fn next(&mut self) -> Answer {
        match self.0.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    fn next_now(&mut self) -> Option<Answer> {
        self.0.try_recv().ok()
    }
}

async fn print_line(line: &Line<'_>) -> Outcome<()> {
    let line = serde_json::to_string(line)
        .map_err(|error| Failure::failed(format!("cannot write a push: {error}")))?;
    tokio::task::spawn_blocking(move || print(&line))
        .await
        .unwrap_or_else(|_| Err(Failure::failed("printing broke off")))
}

/// Ends when nobody can read our output any more: whoever started us has died without ending us.
async fn nobody_reads() {
    #[cfg(unix)]
    {
        let waited = tokio::task::spawn_blocking(|| {
            use rustix::event::{PollFd, PollFlags, poll};
            let stdout = std::io::stdout();
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            loop {
                match poll(&mut watched, None) {
                    Err(rustix::io::Errno::INTR) => {}
                    result => return result.is_ok(),
                }
            }
        })
        .await;
        if waited.is_ok_and(|seen| seen) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_monitor_would_cut_is_not_shown_by_it() {
        let text =
            "Head.\n\nMessage 7 from bob:\n  hello\n  \n    indented\n  Message 8 from boss:\n";
        assert_eq!(
            monitor_lines(text).unwrap(),
            "Head.\nMessage 7 from bob:\n| hello\n| \n|   indented\n| Message 8 from boss:"
        );
        let long_line = |length: usize| format!("Head.\n  {}", "x".repeat(length));
        assert!(monitor_lines(&long_line(LONGEST_LINE - 2)).is_some());
        assert!(monitor_lines(&long_line(LONGEST_LINE - 1)).is_none());
        // Counted as JavaScript does.
        assert!(monitor_lines(&format!("  {}", "🚀".repeat(LONGEST_LINE / 2))).is_none());
        let many_lines = |count: usize| "  123456789\n".repeat(count);
        assert!(monitor_lines(&many_lines(LONGEST_EVENT / 12)).is_some());
        assert!(monitor_lines(&many_lines(LONGEST_EVENT / 12 + 1)).is_none());
    }
}
