//! What each tool does, over any way to reach a mesh.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, RequestId, RequestMetaObject};
use serde::Serialize;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::definitions::{DEFAULT_MESSAGES, MAX_MESSAGES, MAX_TOOL_WAIT_SECONDS, PREFIX};
use super::framing::{Item, frame};
use crate::clean::{clean, clean_line};
use crate::{Address, Agent, AgentId, ErrorCode, Message, SendMessage, Sent, Wake, person_name};

/// A way to reach a mesh as one agent.
pub trait Backend: Send + Sync + 'static {
    /// Sends as the agent; done when it is durable, once however often it had to be tried.
    fn send(&self, message: SendMessage) -> impl Future<Output = Result<Sent, Refusal>> + Send;

    /// Takes up to so many unread messages, and no more than [`super::how_many_fit`]; waits for one when there is
    /// none. They are acknowledged when the answer to the call `id` has reached the client, not before.
    fn read(
        &self,
        wait: Duration,
        limit: u32,
        id: &RequestId,
    ) -> impl Future<Output = Result<Unread, Refusal>> + Send;

    /// Everyone in the mesh, and which of them the caller is.
    fn agents(&self) -> impl Future<Output = Result<(Vec<Agent>, AgentId), Refusal>> + Send;

    /// Where the caller is.
    fn here(&self) -> impl Future<Output = Result<Here, Refusal>> + Send;

    /// Sees what the client says of a call, such as which thread of its it comes from.
    fn note_call(&self, _meta: &RequestMetaObject) {}
}

/// Unread messages, oldest first.
#[derive(Debug, Default)]
pub struct Unread {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether there are more.
    pub more: bool,
    /// Whether older ones were removed before they were read.
    pub gap: bool,
    /// Whether another session of the agent is being shown what is unread, so that nobody else may have it now.
    pub elsewhere: bool,
}

/// The caller's place.
#[derive(Debug, Clone, Serialize)]
pub struct Here {
    /// URL of the server.
    pub server: String,
    /// Id of the mesh.
    pub mesh_id: String,
    /// Name of the mesh.
    pub mesh_name: String,
    /// Whether sending is stopped for now.
    pub paused: bool,
    /// The caller's name.
    pub agent: String,
    /// The caller's id.
    pub agent_id: String,
    /// Login of the person it works for.
    pub user: String,
    /// Agents in the mesh, without people.
    pub agents: u32,
    /// How many of them are active.
    pub active: u32,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The code of the error, if it has one.
    pub code: Option<ErrorCode>,
}

impl Refusal {
    /// Points at what a model has: these tools, and a user with a command line. `to` is the receiver that was
    /// asked for.
    fn for_model(mut self, to: Option<&str>) -> Self {
        self.hint = match (self.code, self.hint) {
            (Some(ErrorCode::AgentNotFound), _) => {
                // It may be another one that is not there: the caller itself, or whom it answers.
                let to = to.filter(|to| self.message.contains(&format!("{to:?}")));
                let person = to
                    .map(person_name)
                    .filter(|name| matches!(Address::parse(name), Ok(Address::Person(_))));
                let person =
                    person.map(|name| format!(" A person has an @ before the name: {name:?}."));
                Some(format!(
                    "meshwire_list_agents shows who is here.{}",
                    person.unwrap_or_default()
                ))
            }
            (Some(ErrorCode::MessageNotFound), _) => {
                Some("Use an id that meshwire_get_messages has shown.".to_owned())
            }
            (_, Some(hint)) if hint.contains("`meshwire ") && !hint.contains("the user") => {
                Some(format!("Tell the user: {hint}"))
            }
            (_, hint) => hint,
        };
        self
    }
}

/// A tool, by its name without the prefix; `None`: there is none of this name.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix(PREFIX)?;
    ["send_message", "reply_to_message", "get_messages", "list_agents", "status"]
        .into_iter()
        .find(|known| *known == name)
}

/// Calls a tool. Whatever goes wrong is an answer for the model, which can do something about it.
pub(super) async fn call(
    backend: &impl Backend,
    tool: &'static str,
    arguments: Option<JsonObject>,
    id: &RequestId,
) -> CallToolResult {
    let to = arguments.as_ref().and_then(|given| given.get("to")?.as_str().map(str::to_owned));
    let outcome = match tool {
        "send_message" => send(backend, Arguments::new("meshwire_send_message", arguments)).await,
        "reply_to_message" => {
            reply(backend, Arguments::new("meshwire_reply_to_message", arguments)).await
        }
        "get_messages" => {
            read(backend, Arguments::new("meshwire_get_messages", arguments), id).await
        }
        "list_agents" => list(backend, Arguments::new("meshwire_list_agents", arguments)).await,
        _ => status(backend, Arguments::new("meshwire_status", arguments)).await,
    };
    match outcome {
        Ok((text, structured)) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
            result.structured_content = Some(structured);
            result
        }
        Err(refusal) => {
            let told = refusal.for_model(to.as_deref()).to_string();
            CallToolResult::error(vec![ContentBlock::text(told)])
        }
    }
}

type Answer = Result<(String, Value), Refusal>;

async fn send(backend: &impl Backend, mut arguments: Arguments) -> Answer {
    let message = SendMessage {
        content: arguments.needed_text("content")?,
        to: arguments.text("to")?,
        from: None,
        reply_to: None,
        metadata: arguments.object("metadata")?,
    };
    arguments.end()?;
    Ok(sent(&backend.send(message).await?))
}

async fn reply(backend: &impl Backend, mut arguments: Arguments) -> Answer {
    let message = SendMessage {
        reply_to: Some(arguments.needed_id("message_id")?),
        content: arguments.needed_text("content")?,
        ..SendMessage::default()
    };
    arguments.end()?;
    Ok(sent(&backend.send(message).await?))
}

fn sent(sent: &Sent) -> (String, Value) {
    let (message, recipients) = (&sent.message, sent.recipients);
    let to = clean_line(&message.to);
    let whom = if to == "all" { "everyone in the mesh".to_owned() } else { to.clone() };
    let mut text = format!("Sent to {whom}, id {}.", message.id);
    text.push_str(match (recipients.total, recipients.active) {
        (0, _) => " Nobody else is in the mesh yet.",
        (_, 0) => " No receiver is there right now; it is kept until they read it.",
        _ => "",
    });
    let structured = json!({
        "id": message.id,
        "to": to,
        "recipients": recipients.total,
        "active": recipients.active,
    });
    (text, structured)
}

async fn read(backend: &impl Backend, mut arguments: Arguments, id: &RequestId) -> Answer {
    let wait = arguments.number("wait_seconds", 0..=MAX_TOOL_WAIT_SECONDS)?.unwrap_or(0);
    let limit = arguments.number("limit", 1..=u64::from(MAX_MESSAGES))?;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_MESSAGES);
    arguments.end()?;
    let unread = backend.read(Duration::from_secs(wait), limit, id).await?;
    let items: Vec<_> = unread.messages.iter().map(Item::from).collect();
    let text = match (items.is_empty(), unread.gap) {
        (true, _) if unread.elsewhere => {
            "No messages for this session: what is unread is just being shown in another session of yours. \
             Look again later."
                .to_owned()
        }
        (true, false) => "No new messages.".to_owned(),
        (true, true) => {
            "No new messages. Older ones were removed before you came to read them.".to_owned()
        }
        (false, gap) => frame(&items, gap, unread.more, "meshwire_reply_to_message").text,
    };
    let messages: Vec<_> = unread.messages.iter().map(shown).collect();
    let structured = json!({
        "messages": messages,
        "more": unread.more,
        "gap": unread.gap,
        "untrusted": true,
    });
    Ok((text, structured))
}

/// A message as a model sees it.
fn shown(message: &Message) -> Value {
    let mut metadata = message.metadata.clone();
    let reply_to = metadata.remove("reply_to");
    let mut shown = json!({
        "id": message.id,
        "from": clean_line(&message.from),
        "from_kind": message.from_kind,
        "from_user": clean_line(&message.from_user),
        "to": clean_line(&message.to),
        "content": clean(&message.content),
        "hops": message.hops,
        "sent_at": message.sent_at,
    });
    if let Some(id) = reply_to.filter(Value::is_number) {
        shown["reply_to"] = id;
    }
    if !metadata.is_empty() {
        shown["metadata"] = clean_value(Value::Object(metadata));
    }
    shown
}

fn clean_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(values) => values.into_iter().map(clean_value).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (clean_line(&key), clean_value(value))).collect()
        }
        other => other,
    }
}

async fn list(backend: &impl Backend, arguments: Arguments) -> Answer {
    arguments.end()?;
    let (agents, own) = backend.agents().await?;
    let mut text = format!("{} in the mesh:\n", agents.len());
    for agent in &agents {
        let you = if agent.agent_id == own { ", you" } else { "" };
        let active = if agent.active { "active" } else { "away" };
        let sees = match agent.wake {
            Wake::Live => "sees messages at once",
            Wake::Turn => "sees messages at its next turn",
            Wake::Poll => "sees messages when it looks",
        };
        let _ = write!(text, "- {} ({active}{you}; {sees})", clean_line(&agent.name));
        if let Some(description) = agent.description.as_deref().filter(|text| !text.is_empty()) {
            text.push_str(": ");
            text.push_str(&clean_line(description));
        }
        text.push('\n');
    }
    text.push_str("Descriptions are their own words.\n");
    let agents: Vec<_> = agents.iter().map(|agent| shown_agent(agent, &own)).collect();
    Ok((text, json!({"agents": agents, "untrusted": true})))
}

/// An agent as a model sees it; what is not known is left out.
fn shown_agent(agent: &Agent, own: &AgentId) -> Value {
    let mut shown = json!({
        "name": clean_line(&agent.name),
        "agent_id": agent.agent_id,
        "kind": agent.kind,
        "owner": clean_line(&agent.owner),
        "active": agent.active,
        "you": agent.agent_id == *own,
        "wake": agent.wake,
        "capabilities": agent.capabilities.iter().map(|it| clean_line(it)).collect::<Vec<_>>(),
    });
    if let Some(harness) = agent.harness {
        shown["harness"] = json!(harness);
    }
    if let Some(last_seen) = agent.last_seen {
        shown["last_seen"] = json!(last_seen);
    }
    if let Some(description) = &agent.description {
        shown["description"] = json!(clean_line(description));
    }
    shown
}

async fn status(backend: &impl Backend, arguments: Arguments) -> Answer {
    arguments.end()?;
    let mut here = backend.here().await?;
    here.mesh_name = clean_line(&here.mesh_name);
    let text = format!(
        "Connected to {} as {} ({}), for {}. Mesh {} \"{}\"{}: {} agents, {} active.",
        here.server,
        clean_line(&here.agent),
        here.agent_id,
        clean_line(&here.user),
        here.mesh_id,
        here.mesh_name,
        if here.paused { ", paused" } else { "" },
        here.agents,
        here.active,
    );
    let structured = serde_json::to_value(&here).map_err(|error| Refusal {
        message: format!("the status cannot be written: {error}"),
        hint: None,
        code: None,
    })?;
    Ok((text, structured))
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(clean(self.message.trim_end_matches('.')).as_str())?;
        f.write_str(".")?;
        match &self.hint {
            Some(hint) => write!(f, " What to do: {}", clean(hint)),
            None => Ok(()),
        }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { message, hint: None, code: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_suggested_only_where_the_receiver_may_be_one() {
        for (named, to, advice) in [
            ("bob", Some("bob"), true),
            ("a b", Some("a b"), false),
            ("@bob", Some("@bob"), false),
            ("role:x", Some("role:x"), false),
            ("zGk6S35qp", Some("bob"), false),
            ("zGk6S35qp", None, false),
        ] {
            let refusal = Refusal {
                message: format!("There is no agent {named:?} in this mesh."),
                hint: None,
                code: Some(ErrorCode::AgentNotFound),
            };
            let told = refusal.for_model(to).to_string();
            assert!(told.contains("meshwire_list_agents"), "{told}");
            assert_eq!(
                told.contains("A person has an @ before the name: \"@bob\""),
                advice,
                "{told}"
            );
            assert_eq!(told.contains("A person"), advice, "{told}");
        }
    }
}
