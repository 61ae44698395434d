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
use crate::delivery::{Deliver, Inbox, Push, Pusher, Wired};
use crate::failure::{Failure, Outcome};
use crate::link::{Link, may_pass};
use crate::mesh_file::parse_harness;
use crate::output::{note, print};
use crate::settings::{Flags, Settings};

/// How long the extension may take to hand a push over. The inbox is locked meanwhile.
const HAND_OVER: Duration = Duration::from_secs(30);
/// The longest poll that a server allows, in seconds.
const LONGEST_POLL: u64 = meshwire_protocol::limits::MAX_WAIT_SECONDS;

/// Reads the name of a harness from the command line.
pub(super) fn parse(name: &str) -> Result<Harness, String> {
    parse_harness(name).ok_or_else(|| format!("{name:?} is no harness that this version knows"))
}

pub(super) async fn run(args: &Listen, harness: Harness, flags: &Flags) -> Outcome<()> {
    let pushed = if args.output.json {
        let (stdin, answers) = Answers::read();
        tokio::select! {
            pushed = push(args, harness, flags, answers) => pushed,
            // The extension is gone, and with it the session.
            () = stdin => Ok(()),
        }
    } else {
        tokio::select! {
            pushed = push(args, harness, flags, Answers::none()) => pushed,
            () = nobody_reads() => Ok(()),
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

async fn push(args: &Listen, harness: Harness, flags: &Flags, answers: Answers) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let mesh = args.target.mesh.as_deref();
    let Some(wired) = Wired::find(&settings, mesh, args.agent.as_deref(), harness)? else {
        return Ok(());
    };
    let client = settings.client()?.impatient();
    let mut stop = Stop::install()?;
    let mut link = Link::new(client.url().to_string());
    if !args.output.json {
        // A harness may show what is written there to its model.
        link = link.quiet();
    }
    let work = async {
        let (agent, name) = link
            .keep_trying(Failure::is_transient, async || wired.register(&settings, &client).await)
            .await?;
        let inbox = wired.inbox(&settings, client.clone(), agent)?;
        let mut pusher = Pusher::new(settings.home.clone(), inbox.clone(), harness);
        if let Some(interval) = args.poll_interval {
            pusher = pusher.with_wait(interval.div_ceil(1_000).clamp(1, LONGEST_POLL));
        }
        let heartbeat = args.heartbeat_interval.map(Duration::from_millis);
        let run = async {
            if args.output.json {
                let mut way = Extension { answers, name, pushes: 0, unanswered: None };
                pusher.run(&mut link, &mut way).await
            } else {
                pusher.run(&mut link, &mut Monitor).await
            }
        };
        tokio::select! {
            ended = run => ended,
            ended = beat(&client, &inbox, heartbeat) => ended,
        }
    };
    tokio::select! {
        ended = work => ended,
        () = stop.wait() => Ok(()),
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

/// A harness that shows each line that we print to its model, and does not answer.
struct Monitor;

impl Deliver for Monitor {
    async fn deliver(&mut self, push: &Push) -> Outcome<Result<(), String>> {
        print_apart(push.line.clone()).await?;
        Ok(Ok(()))
    }
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

impl Deliver for Extension {
    async fn deliver(&mut self, push: &Push) -> Outcome<Result<(), String>> {
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
        let done = answered.unwrap_or_else(|_| {
            self.unanswered = Some(number);
            Err("no answer in time".to_owned())
        });
        if let Err(why) = &done {
            note(&format!("a push failed: {}", clean_line(why)));
        }
        Ok(done)
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
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(answer) = serde_json::from_str(&line) {
                    let _ = sender.send(answer);
                } else if !line.trim().is_empty() {
                    note("a line that is no answer to a push was passed over");
                }
            }
        };
        (reading, Self(receiver))
    }

    /// Of who does not answer.
    fn none() -> Self {
        Self(mpsc::unbounded_channel().1)
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
    std::future::pending().await
}
