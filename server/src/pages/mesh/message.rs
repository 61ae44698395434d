//! A message as pages show it.

use std::collections::{HashMap, HashSet};

use askama::Template;
use futures_util::future::try_join_all;
use meshwire_protocol::clean::clean;
use meshwire_protocol::{AgentKind, Delivery, DeliveryState, MeshId, MessageId};

use crate::access::PersonInMesh;
use crate::app::App;
use crate::error::Result;
use crate::pages::when::When;
use crate::store::{Micros, Stored};

/// Longest content that is shown unfolded, in characters and in lines.
const LONGEST: (usize, usize) = (700, 12);
/// Most bytes of one content in a list, as it stands in HTML. What is longer is read on the page of its message.
pub(super) const LARGEST: usize = 6 * 1024;
/// How much of a folded content is shown, and of a message that is answered, in characters.
const START: usize = 160;
/// Most names in one list of receivers.
const NAMES: usize = 12;

/// A message in a list. Its HTML is the same on a page and in the live stream.
#[derive(Template)]
#[template(path = "mesh/message.html")]
pub(super) struct MessageView {
    id: MessageId,
    mesh: MeshId,
    from: String,
    /// Whose agent it was; nothing more to say for a person's.
    owner: Option<String>,
    /// `None`: everyone.
    to: Option<String>,
    when: When,
    text: Text,
    answers: Option<Answers>,
    delivery: DeliveryView,
}

// Its own template has escaped what is in it.
impl askama::filters::HtmlSafe for MessageView {}

/// The content, without what could deceive a reader.
pub(super) struct Text {
    /// `None`: too much for a list.
    whole: Option<String>,
    /// How a long one begins, to be unfolded.
    start: Option<String>,
    characters: usize,
}

/// What a message answers.
pub(super) enum Answers {
    /// A message that the viewer may see.
    Message { id: MessageId, from: String, start: String },
    /// One that they may not see, or that is not kept any more.
    Unseen,
}

/// How far a message has come.
#[derive(Template, Clone, PartialEq, Eq)]
#[template(path = "mesh/delivery.html")]
pub(super) struct DeliveryView {
    id: MessageId,
    reached: Reached,
}

impl askama::filters::HtmlSafe for DeliveryView {}

#[derive(Clone, PartialEq, Eq)]
enum Reached {
    /// There is nobody whom it could reach.
    Nobody,
    /// The one whom it is for.
    One(DeliveryState),
    /// Everyone whom it is for.
    All { read: usize, all: usize, by: Vec<Receivers> },
}

/// The agents that a message has reached in one way.
#[derive(Clone, PartialEq, Eq)]
struct Receivers {
    state: DeliveryState,
    names: String,
}

/// Messages as the person may see them, in the same order, with what they answer and how far they have come. Of a
/// long content that has more than `largest` bytes only the start is there.
pub(super) async fn views(
    app: &App,
    person: &PersonInMesh,
    messages: &[Stored],
    largest: usize,
) -> Result<Vec<MessageView>> {
    let mut deliveries = app.meshes.deliveries(&person.roster, messages).await?;
    let answered = answered(app, person, messages).await?;
    let now = app.clock.now();
    let view = |stored: &Stored| {
        let deliveries = deliveries.remove(&stored.message.id).unwrap_or_default();
        MessageView::new(stored, &deliveries, &answered, largest, now)
    };
    Ok(messages.iter().map(view).collect())
}

/// What these messages answer, as far as the person may see it.
async fn answered(
    app: &App,
    person: &PersonInMesh,
    messages: &[Stored],
) -> Result<HashMap<MessageId, Stored>> {
    let here: HashMap<MessageId, &Stored> =
        messages.iter().map(|stored| (stored.message.id, stored)).collect();
    let wanted: HashSet<MessageId> = messages.iter().filter_map(reply_to).collect();
    let visible = person.visible();
    let found = wanted.into_iter().map(async |id| match here.get(&id) {
        Some(stored) => Ok(Some((*stored).clone())),
        None => app.store.message(person.mesh(), id).await,
    });
    let found = try_join_all(found).await?.into_iter().flatten();
    let found = found.filter(|stored| visible.shows(stored));
    Ok(found.map(|stored| (stored.message.id, stored)).collect())
}

/// The message that one answers.
pub(super) fn reply_to(stored: &Stored) -> Option<MessageId> {
    MessageId::new(stored.message.metadata.get("reply_to")?.as_i64()?)
}

impl MessageView {
    fn new(
        stored: &Stored,
        deliveries: &[Delivery],
        answered: &HashMap<MessageId, Stored>,
        largest: usize,
        now: Micros,
    ) -> Self {
        let message = &stored.message;
        let answers = reply_to(stored).map(|id| match answered.get(&id) {
            Some(found) => Answers::Message {
                id,
                from: found.message.from.clone(),
                start: start_of(&found.message.content),
            },
            None => Answers::Unseen,
        });
        Self {
            id: message.id,
            mesh: message.mesh_id.clone(),
            from: message.from.clone(),
            owner: (message.from_kind == AgentKind::Agent).then(|| message.from_user.clone()),
            to: message.to_agent_id.is_some().then(|| message.to.clone()),
            when: When::new(message.id.get(), now),
            text: Text::new(&message.content, largest),
            answers,
            delivery: DeliveryView::new(stored, deliveries),
        }
    }

    /// How far it has come.
    pub(super) fn delivery(&self) -> &DeliveryView {
        &self.delivery
    }
}

impl Text {
    fn new(content: &str, largest: usize) -> Self {
        let text = clean(content);
        let characters = text.chars().count();
        let is_long = characters > LONGEST.0 || text.lines().nth(LONGEST.1).is_some();
        let start = is_long.then(|| start_of(&text));
        let fits = !is_long || escaped_size(&text) <= largest;
        Self { start, whole: fits.then_some(text), characters }
    }
}

/// The bytes of a text as it stands in HTML.
pub(super) fn escaped_size(text: &str) -> usize {
    let escaped = text.bytes().filter(|b| matches!(b, b'<' | b'>' | b'&' | b'"' | b'\'')).count();
    text.len() + 4 * escaped
}

/// How a text begins, on one line.
pub(super) fn start_of(text: &str) -> String {
    let text = clean(text);
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(START) {
        words.truncate(end);
        words.push('…');
    }
    words
}

impl DeliveryView {
    pub(super) fn new(stored: &Stored, deliveries: &[Delivery]) -> Self {
        let reached = match (&stored.message.to_agent_id, deliveries) {
            (_, []) => Reached::Nobody,
            (Some(_), [one, ..]) => Reached::One(one.state),
            (None, all) => {
                use DeliveryState::{Acknowledged, Delivered, Queued};
                let names = |state| {
                    let mut reached = all.iter().filter(|delivery| delivery.state == state);
                    let names: Vec<&str> =
                        reached.by_ref().take(NAMES).map(|it| it.name.as_str()).collect();
                    let more = match reached.count() {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    };
                    Receivers { state, names: names.join(", ") + &more }
                };
                let by = [Acknowledged, Delivered, Queued].map(names);
                Reached::All {
                    read: all.iter().filter(|delivery| delivery.state == Acknowledged).count(),
                    all: all.len(),
                    by: by.into_iter().filter(|by| !by.names.is_empty()).collect(),
                }
            }
        };
        Self { id: stored.message.id, reached }
    }

    /// Whether it can still come further.
    pub(super) fn is_final(&self) -> bool {
        match &self.reached {
            Reached::Nobody => true,
            Reached::One(state) => *state == DeliveryState::Acknowledged,
            Reached::All { read, all, .. } => read == all,
        }
    }
}

/// A state with its first letter large, as it stands alone.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
pub(super) fn word(state: &DeliveryState) -> &'static str {
    match state {
        DeliveryState::Queued => "Queued",
        DeliveryState::Delivered => "Delivered",
        DeliveryState::Acknowledged => "Acknowledged",
    }
}
