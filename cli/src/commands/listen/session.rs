//! The long poll: reads a page, hands every message on, and only then moves the cursor.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use meshwire_protocol::clean::{clean, clean_line};
use meshwire_protocol::{From, MeshId, MessageId};
use tokio::time::Instant;

use super::exec;
use crate::client::{Client, RawMessage};
use crate::failure::{Failure, Outcome};
use crate::link::{Link, may_pass};
use crate::output::{Style, json_line, message, note, print};

/// How long one poll waits: an idle listener asks about once a minute.
const WAIT_SECONDS: u64 = 60;
/// Messages on a page.
const PAGE: u32 = 100;
/// At the end there is this much time to say what was read.
const FAREWELL: Duration = Duration::from_secs(2);
/// A server that answers empty pages at once is asked no more often than this.
const CALM: Duration = Duration::from_secs(1);

/// Where messages go.
pub(super) enum Sink {
    /// To a person.
    Text,
    /// To a program that reads our output.
    Json,
    /// To a command of the user's.
    Command(String),
}

/// A listener at work.
pub(super) struct Session {
    client: Client,
    mesh: MeshId,
    agent: String,
    sink: Sink,
    /// Reading again, which acknowledges nothing.
    replay: bool,
    /// Where the next poll starts; nowhere: at the cursor that the server keeps.
    after: Option<From>,
    /// The newest message that was handed on: none up to here is handed on again.
    last: Option<MessageId>,
    /// Everything up to here may be acknowledged.
    done: Option<MessageId>,
    /// Everything up to here is acknowledged.
    acknowledged: Option<MessageId>,
}

impl Session {
    pub(super) fn new(
        client: Client,
        mesh: MeshId,
        agent: String,
        from: Option<From>,
        sink: Sink,
    ) -> Self {
        Self {
            client,
            mesh,
            agent,
            sink,
            replay: from.is_some(),
            after: from,
            last: None,
            done: None,
            acknowledged: None,
        }
    }

    /// Listens until something ends it. May be dropped at any await.
    pub(super) async fn run(&mut self, link: &mut Link) -> Outcome<()> {
        let mut idle_answers = 0;
        loop {
            // "latest" becomes an id at once, or what comes during a broken poll would be missed.
            let wait = if self.after == Some(From::Latest) { 0 } else { WAIT_SECONDS };
            let asked = Instant::now();
            let page = link
                .keep_trying(may_pass, async || {
                    self.client
                        .inbox(&self.mesh, &self.agent, self.after, wait, PAGE, !self.replay)
                        .await
                })
                .await?;
            if let (false, Some(From::Id(id))) = (self.replay, self.after) {
                self.acknowledged = Some(id);
            }
            if page.gap {
                note("warning: older messages were removed before they were read");
            }
            let ids = page.messages.iter().map(RawMessage::id).collect::<Outcome<Vec<_>>>()?;
            for (&id, raw) in ids.iter().zip(&page.messages) {
                if self.last.is_some_and(|last| id <= last) {
                    continue;
                }
                self.hand_on(raw).await?;
                self.last = Some(id);
                self.done = Some(id);
                if matches!(self.sink, Sink::Command(_)) && Some(&id) != ids.last() {
                    // One by one; for the last of a page, the next poll does it.
                    self.acknowledge(id).await;
                }
            }
            self.after = Some(From::Id(page.cursor));
            self.done = Some(page.cursor);
            let idle = page.messages.is_empty() && !page.more && wait > 0 && asked.elapsed() < CALM;
            idle_answers = if idle { idle_answers + 1 } else { 0 };
            if idle_answers > 1 {
                tokio::time::sleep(CALM).await;
            }
        }
    }

    /// At the end: what was handed on is not to come again.
    pub(super) async fn acknowledge_rest(&mut self) {
        if let Some(done) = self.done.filter(|done| Some(*done) > self.acknowledged) {
            let _ = tokio::time::timeout(FAREWELL, self.acknowledge(done)).await;
        }
    }

    /// Best effort: what fails here is made good by the next poll, or comes again.
    async fn acknowledge(&mut self, id: MessageId) {
        if !self.replay && self.client.set_cursor(&self.mesh, &self.agent, id).await.is_ok() {
            self.acknowledged = Some(id);
        }
    }

    async fn hand_on(&self, raw: &RawMessage) -> Outcome<()> {
        match &self.sink {
            Sink::Command(command) => {
                let message = match raw.read() {
                    Ok(message) => message,
                    Err(failure) => {
                        note(&format!("error: a message was passed over: {failure}"));
                        return Ok(());
                    }
                };
                if let Err(why) = exec::run(command, &message, &raw.to_line()).await {
                    note(&format!(
                        "error: message {} from {} was passed over: {why}",
                        message.id,
                        clean_line(&message.from)
                    ));
                }
                Ok(())
            }
            Sink::Json => print_apart(json_line(raw)?).await,
            Sink::Text => {
                let style = Style::for_stdout();
                let text = match raw.read() {
                    Ok(read) => message(&read, Timestamp::now(), &TimeZone::system(), style),
                    // Of a kind that a later version made: better shown as it is than not at all.
                    Err(_) => clean(&raw.to_line()),
                };
                print_apart(text).await
            }
        }
    }
}

/// Prints on another thread: whoever reads our output may take their time, and Ctrl+C must still end us.
pub(super) async fn print_apart(text: String) -> Outcome<()> {
    tokio::task::spawn_blocking(move || print(&text))
        .await
        .unwrap_or_else(|_| Err(Failure::failed("printing broke off")))
}
