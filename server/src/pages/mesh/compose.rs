//! The form that sends a message, as the person who fills it in.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use meshwire_protocol::limits::MAX_CONTENT_BYTES;
use meshwire_protocol::{AgentKind, ErrorCode, MessageId, SendMessage, person_name};
use serde::Deserialize;

use super::Visit;
use super::message::start_of;
use super::stream::{StreamQuery, view};
use crate::access::PersonInMesh;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::pages::errors::Typed;
use crate::pages::see_other;
use crate::pages::visitor::{Posted, stale_form};
use crate::secret;
use crate::sign_in::tickets::SendForm;
use crate::store::Stored;

/// Length of the random idempotency key.
const KEY_LENGTH: usize = 22;

/// The form as it was filled in.
#[derive(Deserialize, Default)]
pub(crate) struct Fields {
    #[serde(default)]
    ticket: String,
    /// Empty when nothing was chosen yet.
    #[serde(default)]
    to: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    reply_to: String,
}

/// What is wrong with it.
#[derive(Default)]
pub(super) struct Errors {
    code: Option<ErrorCode>,
    pub(super) general: Option<String>,
    pub(super) to: Option<String>,
    pub(super) content: Option<String>,
}

/// The form, to be shown.
pub(super) struct ComposeView<'a> {
    pub(super) ticket: String,
    pub(super) agents: Vec<Choice>,
    pub(super) people: Vec<Choice>,
    pub(super) content: &'a str,
    pub(super) answers: Option<Answered>,
    pub(super) errors: Errors,
    pub(super) longest: usize,
}

/// Someone to write to.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) name: String,
    pub(super) chosen: bool,
}

/// The message that is answered.
pub(super) struct Answered {
    pub(super) id: MessageId,
    pub(super) from: String,
    pub(super) start: String,
}

/// `POST /meshes/{mesh}/messages`. What was typed is not lost, also when nobody can say who has typed it.
pub(super) async fn send(
    State(app): State<App>,
    visit: std::result::Result<Visit, Response>,
    Posted(fields): Posted<Fields>,
) -> Response {
    let mut answer = match visit {
        Ok(visit) => try_send(&app, &visit, &fields).await.into_response(),
        Err(refused) => refused,
    };
    if !fields.content.is_empty() {
        answer.extensions_mut().insert(Typed(fields.content));
    }
    answer
}

async fn try_send(app: &App, visit: &Visit, fields: &Fields) -> Result<Response> {
    let person = &visit.person;
    let form = app
        .sign_in
        .tickets
        .read::<SendForm>(&fields.ticket, app.clock.now())
        .filter(|form| form.session == person.session.id && form.mesh == *person.mesh())
        .ok_or_else(stale_form)?;
    let speaker = person.speaker()?;
    let sent = match fields.request() {
        Ok(request) => app.meshes.send(&person.roster, &speaker, request, Some(&form.key)).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(_) => Ok(see_other(&format!("/meshes/{}", person.mesh()))),
        Err(error) => {
            let errors = Errors::of(error)?;
            view(app, visit, &StreamQuery::default(), fields, errors).await
        }
    }
}

impl Fields {
    /// The form before anything is filled in, but for what it answers.
    pub(super) fn answering(reply_to: Option<&str>) -> Self {
        Self { reply_to: reply_to.unwrap_or_default().to_owned(), ..Self::default() }
    }

    /// What a program would send for this.
    fn request(&self) -> Result<SendMessage> {
        let reply_to = match self.reply_to.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| ApiError::message_not_found(id))?),
        };
        Ok(SendMessage {
            // Forms write the end of a line as CR LF.
            content: self.content.replace("\r\n", "\n"),
            to: Some(self.to.clone()).filter(|to| !to.is_empty()),
            reply_to,
            ..SendMessage::default()
        })
    }
}

impl<'a> ComposeView<'a> {
    pub(super) async fn new(
        app: &App,
        person: &PersonInMesh,
        fields: &'a Fields,
        errors: Errors,
    ) -> Result<Self> {
        let answers = answered(app, person, &fields.reply_to).await?;
        let roster = &person.roster;
        let mut to = fields.to.as_str();
        if let Some(answers) = answers.as_ref().filter(|_| to.is_empty()) {
            // Where an answer would go by itself.
            let message = &answers.message;
            let sender = &message.from_agent_id;
            let own = roster.person(&person.user.id).is_some_and(|own| own.id == *sender);
            let target = if own { message.to_agent_id.as_ref() } else { Some(sender) };
            to = target.map_or("", |target| target.as_str());
        }
        let choice = |value: &str, name: String| Choice {
            value: value.to_owned(),
            name,
            chosen: to.eq_ignore_ascii_case(value),
        };
        let agents = roster.agents.iter().filter(|agent| agent.kind == AgentKind::Agent);
        let people = roster.members.iter().map(|member| {
            let name = person_name(&member.login);
            // Who has not written yet has no agent; the address by name makes it.
            let value = roster.person(&member.user).map_or(name.as_str(), |own| own.id.as_str());
            choice(value, name.clone())
        });
        let people = people.collect();
        let agents = agents.map(|agent| choice(agent.id.as_str(), agent.name.clone())).collect();
        let form = SendForm {
            session: person.session.id.clone(),
            mesh: person.mesh().clone(),
            key: secret::base62(KEY_LENGTH),
        };
        Ok(Self {
            ticket: app.sign_in.tickets.issue(&form, app.clock.now()),
            agents,
            people,
            content: &fields.content,
            answers: answers.map(|stored| Answered {
                id: stored.message.id,
                start: start_of(&stored.message.content),
                from: stored.message.from,
            }),
            errors,
            longest: MAX_CONTENT_BYTES,
        })
    }
}

/// The message that is to be answered, when they may see it.
async fn answered(app: &App, person: &PersonInMesh, id: &str) -> Result<Option<Stored>> {
    let Ok(id) = id.parse() else { return Ok(None) };
    let stored = app.store.message(person.mesh(), id).await?;
    Ok(stored.filter(|stored| person.visible().shows(stored)))
}

impl Errors {
    /// The error beside the field that it is about; given back when it is for a page of its own.
    fn of(error: ApiError) -> Result<Self> {
        let sentence = |reason: &str| Some(format!("It {}.", reason.trim_end_matches('.')));
        let mut errors = Self { code: Some(error.code()), ..Self::default() };
        match error.code() {
            ErrorCode::InvalidRequest | ErrorCode::MessageTooLarge => {
                errors.content = error.field_reason("content").and_then(sentence);
                errors.to = error.field_reason("to").and_then(sentence);
                if errors.content.is_none() && errors.to.is_none() {
                    errors.general = Some(error.detail().to_owned());
                }
            }
            ErrorCode::AgentNotFound => errors.to = Some("It is not in this mesh any more.".into()),
            ErrorCode::MessageNotFound => {
                errors.general = Some("The message that you answer is not kept any more.".into());
            }
            ErrorCode::MeshPaused => {
                errors.general = Some("The mesh is paused: nothing can be sent.".into());
            }
            ErrorCode::IdempotencyKeyReused => {
                errors.general = Some(
                    "This form has sent another message already. Send it again if you mean it."
                        .into(),
                );
            }
            ErrorCode::RateLimited => errors.general = Some(error.into_words().0),
            _ => return Err(error),
        }
        Ok(errors)
    }

    /// The code of the error, if there is one.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        self.code
    }
}
