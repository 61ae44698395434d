//! From a request to send to a durable message.

use std::sync::Arc;
use std::time::Instant;

use meshwire_protocol::limits::{
    IDEMPOTENCY_WINDOW, MAX_CONTENT_BYTES, MAX_IDEMPOTENCY_KEY, MAX_METADATA_BYTES,
};
use meshwire_protocol::{
    Address, AgentId, AgentKind, ErrorCode, MeshId, MessageId, Recipients, SendMessage, TokenId,
};
use sha2::{Digest as _, Sha256};

use super::appender::Outcome;
use super::loop_guard::{Pair, too_many_hops, too_many_replies};
use super::rates::{Quota, TooFast};
use super::{ATTEMPTS, Meshes, Shared, Speaker, Whereabouts, changing};
use crate::clock::micros;
use crate::error::{ApiError, Result, shown};
use crate::store::{AgentRow, Digest, NewMessage, Roster, SentKey, Stored, Stream};

/// A message that was sent.
#[derive(Debug)]
pub struct Delivered {
    /// As it is kept.
    pub stored: Arc<Stored>,
    /// Who it goes to.
    pub recipients: Recipients,
    /// It was sent before, under the same idempotency key.
    pub repeated: bool,
}

/// A message with its sender and address found, as of one epoch.
struct Resolved {
    stream: Stream,
    to: String,
    hops: u32,
    /// The two agents whose replies are counted, if it is one.
    pair: Option<Pair>,
}

/// What a look at the roster led to.
enum Found<T> {
    This(T),
    /// A person's agent had to be made first: look again.
    Again,
}

impl Meshes {
    /// Sends a message to the mesh of this roster; answered when it is durable. A repeat under the same idempotency key answers the
    /// first message, whatever has become of its address since.
    pub async fn send(
        &self,
        roster: &Arc<Roster>,
        speaker: &Speaker,
        request: SendMessage,
        key: Option<&str>,
    ) -> Result<Delivered> {
        check(&request, key)?;
        let started = Instant::now();
        let (rates, mesh) = (&self.shared.rates, &roster.mesh.id);
        let charge = rates.charge(&speaker.token, mesh);
        let sent = self.send_charged(roster, speaker, &request, key, charge).await;
        if charge.is_ok() && sent.as_ref().is_ok_and(|sent| sent.repeated) {
            rates.give_back(&speaker.token, mesh);
        }
        if sent.is_ok() {
            self.shared.metrics.send.observe(started.elapsed().as_secs_f64());
        }
        sent
    }

    /// What a token may still send to a mesh, for each limit that there is.
    pub fn quotas(&self, mesh: &MeshId, token: &TokenId) -> Vec<Quota> {
        self.shared.rates.left(token, mesh)
    }

    /// Sends what was taken out of the buckets, or finds that it was sent before.
    async fn send_charged(
        &self,
        roster: &Arc<Roster>,
        speaker: &Speaker,
        request: &SendMessage,
        key: Option<&str>,
        charge: std::result::Result<(), TooFast>,
    ) -> Result<Delivered> {
        let (shared, mesh) = (&self.shared, &roster.mesh.id);
        let fingerprint = key.map(|_| fingerprint(request));
        for attempt in 0..ATTEMPTS {
            // That of the caller, first: the log says when it does not hold any more. A refusal asks, for the caller
            // may have changed something since, and its body may have been long on its way.
            let roster =
                if attempt == 0 { Some(Arc::clone(roster)) } else { shared.roster(mesh).await? };
            let roster = roster.ok_or_else(|| ApiError::mesh_not_found(mesh.as_str()))?;
            let moved = async || -> Result<bool> {
                Ok(attempt == 0 && shared.head(mesh).await?.epoch != roster.epoch)
            };
            let sender = match shared.sender(&roster, speaker, request.from.as_deref()).await {
                Ok(Found::This(sender)) => sender,
                Ok(Found::Again) => continue,
                Err(_) if moved().await? => continue,
                Err(refused) => return Err(refused),
            };
            // In a box, as other things here that are rare: each send would else have room for it.
            let sent_before = async || match (key, fingerprint) {
                (Some(key), Some(fingerprint)) => {
                    Box::pin(self.sent_before(&roster, sender, key, &fingerprint)).await
                }
                _ => Ok(None),
            };
            if let Err(too_fast) = charge {
                if moved().await? {
                    continue;
                }
                return sent_before().await?.ok_or_else(|| too_fast.into());
            }
            let resolved = match shared.resolve(&roster, speaker, sender, request).await {
                Ok(Found::This(resolved)) => resolved,
                Ok(Found::Again) => continue,
                Err(_) if moved().await? => continue,
                Err(refused) => return sent_before().await?.ok_or(refused),
            };
            let (state, now) = (shared.state(mesh), shared.clock.now());
            let pair = resolved.pair.clone();
            let limit = shared.limits.replies_per_minute;
            if let Some(pair) = &pair
                && let Err(wait) = state.loops.count(pair, limit, now)
            {
                return sent_before().await?.ok_or_else(|| too_many_replies(limit, wait));
            }
            let sent_key = key.zip(fingerprint).map(|(key, fingerprint)| SentKey {
                key: key.to_owned(),
                fingerprint,
                expires_at: now + micros(IDEMPOTENCY_WINDOW),
            });
            let message = draft(request, speaker, sender, resolved, sent_key);
            state.presence.seen(&sender.id, now);
            // Who is there is for the answer alone, so the append does not wait for it.
            let (appended, whereabouts) = tokio::join!(
                shared.append(&state, roster.epoch, message),
                self.whereabouts(&roster),
            );
            let not_written = match appended? {
                Outcome::Written(stored) => {
                    let recipients = recipients(&roster, &stored, &whereabouts);
                    return Ok(Delivered { stored, recipients, repeated: false });
                }
                // The optimistic way: the key is only looked up when the log says that it is in use.
                Outcome::KeyTaken => sent_before().await,
                Outcome::EpochMoved => Ok(None),
                Outcome::NoMesh => Err(ApiError::mesh_not_found(mesh.as_str())),
            };
            if let Some(pair) = &pair {
                state.loops.take_back(pair, now);
            }
            if let Some(first) = not_written? {
                return Ok(first);
            }
        }
        Err(changing())
    }

    /// The first message under this idempotency key.
    async fn sent_before(
        &self,
        roster: &Roster,
        sender: &AgentRow,
        key: &str,
        fingerprint: &Digest,
    ) -> Result<Option<Delivered>> {
        let (shared, mesh) = (&self.shared, &roster.mesh.id);
        let Some(record) = shared.store.sent(mesh, &sender.id, key, shared.clock.now()).await?
        else {
            return Ok(None);
        };
        if record.fingerprint != *fingerprint {
            return Err(ApiError::new(
                ErrorCode::IdempotencyKeyReused,
                format!("The Idempotency-Key {} was used for another message.", shown(key)),
            )
            .hint(
                "Use a new key for each message, and the same one only to repeat it unchanged.",
            ));
        }
        let (stored, whereabouts) =
            tokio::join!(shared.store.message(mesh, record.id), self.whereabouts(roster));
        let Some(stored) = stored? else {
            // Keys are kept for a day and messages for longer; a clock that was set may turn that around.
            return Err(ApiError::message_not_found(&record.id.to_string()).hint(
                "It was sent under this Idempotency-Key and is too old to be kept. To send another one, \
                 use a new key.",
            ));
        };
        let recipients = recipients(roster, &stored, &whereabouts);
        Ok(Some(Delivered { stored: Arc::new(stored), recipients, repeated: true }))
    }
}

impl Shared {
    /// The agent that speaks.
    async fn sender<'r>(
        &self,
        roster: &'r Roster,
        speaker: &Speaker,
        from: Option<&str>,
    ) -> Result<Found<&'r AgentRow>> {
        if roster.member(&speaker.user).is_none() {
            return Err(not_a_member(&roster.mesh.id));
        }
        let agent = match (from, &speaker.agent) {
            (Some(from), _) => match roster.agent(from) {
                Some(agent) => agent,
                // One's own person's agent may not have been needed before.
                None if from
                    .strip_prefix('@')
                    .is_some_and(|login| login.eq_ignore_ascii_case(&speaker.login)) =>
                {
                    return self.make_person(roster, &speaker.user, &speaker.login).await;
                }
                None => return Err(ApiError::agent_not_found(from)),
            },
            (None, Some(bound)) => roster
                .agent_by_id(bound)
                .ok_or_else(|| ApiError::agent_not_found(bound.as_str()))?,
            (None, None) => match roster.person(&speaker.user) {
                Some(person) => person,
                None => return self.make_person(roster, &speaker.user, &speaker.login).await,
            },
        };
        if agent.user != speaker.user || speaker.agent.as_ref().is_some_and(|own| *own != agent.id)
        {
            return Err(not_your_agent(&agent.name));
        }
        Ok(Found::This(agent))
    }

    async fn make_person<T>(
        &self,
        roster: &Roster,
        user: &meshwire_protocol::UserId,
        login: &str,
    ) -> Result<Found<T>> {
        Box::pin(self.person(&roster.mesh.id, user, login)).await?;
        Ok(Found::Again)
    }

    async fn resolve(
        &self,
        roster: &Roster,
        speaker: &Speaker,
        sender: &AgentRow,
        request: &SendMessage,
    ) -> Result<Found<Resolved>> {
        if roster.mesh.paused {
            return Err(ApiError::new(
                ErrorCode::MeshPaused,
                format!("The mesh {} is paused: nothing can be sent.", shown(&roster.mesh.name)),
            )
            .hint("An admin of the mesh can resume it: `meshwire mesh resume`."));
        }
        let answered = match request.reply_to {
            Some(id) => Some(Box::pin(self.answered(roster, speaker, id)).await?),
            None => None,
        };
        let hops = match (&answered, sender.kind) {
            (Some(answered), AgentKind::Agent) => answered.message.hops.saturating_add(1),
            _ => 0,
        };
        too_many_hops(hops)?;
        let answered = answered.as_ref();
        // No reply to or from a person counts; one to everyone goes to whom it answers.
        let pair = |other: &AgentId, kind: AgentKind| {
            answered.filter(|_| sender.kind == AgentKind::Agent && kind == AgentKind::Agent)?;
            Pair::new(&sender.id, other)
        };
        let to_agent = |agent: &AgentRow| Resolved {
            stream: Stream::Agent(agent.id.clone()),
            to: agent.name.clone(),
            hops,
            pair: pair(&agent.id, agent.kind),
        };
        let to_all = || Resolved {
            stream: Stream::All,
            to: "all".to_owned(),
            hops,
            pair: answered.and_then(|answered| {
                pair(&answered.message.from_agent_id, answered.message.from_kind)
            }),
        };
        let Some(to) = request.to.as_deref() else {
            let Some(answered) = answered else { return Ok(Found::This(to_all())) };
            let target = if answered.message.from_agent_id == sender.id {
                // An answer to one's own message goes where that one went.
                match &answered.stream {
                    Stream::All => return Ok(Found::This(to_all())),
                    Stream::Agent(agent) => agent.clone(),
                }
            } else {
                answered.message.from_agent_id.clone()
            };
            let agent = roster.agent_by_id(&target).ok_or_else(|| {
                ApiError::agent_not_found(&answered.message.from).hint(
                    "The agent that you answer has left the mesh; name another receiver with `to`.",
                )
            })?;
            return Ok(Found::This(to_agent(agent)));
        };
        // An id wins over a name.
        if let Some(agent) = to.parse().ok().and_then(|id| roster.agent_by_id(&id)) {
            return Ok(Found::This(to_agent(agent)));
        }
        match Address::parse(to).map_err(|error| ApiError::field("to", error.to_string()))? {
            Address::All => Ok(Found::This(to_all())),
            Address::Person(login) => {
                let Some(member) = roster.member_by_login(login) else {
                    return Err(ApiError::agent_not_found(to).hint("Nobody here has this login."));
                };
                match roster.person(&member.user) {
                    Some(person) => Ok(Found::This(to_agent(person))),
                    None => self.make_person(roster, &member.user, &member.login).await,
                }
            }
            Address::Name(name) => {
                let agent = roster.agent(name).ok_or_else(|| ApiError::agent_not_found(name))?;
                Ok(Found::This(to_agent(agent)))
            }
        }
    }

    /// The message that is answered, if the speaker may see it.
    async fn answered(&self, roster: &Roster, speaker: &Speaker, id: MessageId) -> Result<Stored> {
        let visible = roster.visible_to(&speaker.user, speaker.agent.as_ref());
        let stored = self.store.message(&roster.mesh.id, id).await?;
        stored.filter(|stored| visible.shows(stored)).ok_or_else(|| {
            ApiError::message_not_found(&id.to_string())
                .with_field("reply_to", "is not the id of a message that you may see")
        })
    }
}

/// Who a message goes to.
fn recipients(roster: &Roster, stored: &Stored, whereabouts: &Whereabouts) -> Recipients {
    let receivers = roster.agents.iter().filter(|agent| match &stored.stream {
        Stream::All => agent.id != stored.message.from_agent_id,
        Stream::Agent(receiver) => agent.id == *receiver,
    });
    let (mut total, mut active) = (0, 0);
    for agent in receivers {
        total += 1;
        active += u32::from(whereabouts.of(agent).1);
    }
    Recipients { total, active }
}

fn draft(
    request: &SendMessage,
    speaker: &Speaker,
    sender: &AgentRow,
    resolved: Resolved,
    key: Option<SentKey>,
) -> NewMessage {
    let mut metadata = request.metadata.clone().unwrap_or_default();
    if let Some(id) = request.reply_to {
        metadata.insert("reply_to".to_owned(), id.get().into());
    }
    NewMessage {
        stream: resolved.stream,
        from: sender.name.clone(),
        from_agent: sender.id.clone(),
        from_user: speaker.login.clone(),
        from_kind: sender.kind,
        via: speaker.via,
        to: resolved.to,
        content: request.content.clone(),
        metadata,
        hops: resolved.hops,
        key,
    }
}

/// What the log is not asked for.
fn check(request: &SendMessage, key: Option<&str>) -> Result<()> {
    let too_large = |field: &str, size: usize, limit: usize| {
        ApiError::new(
            ErrorCode::MessageTooLarge,
            format!("{field} has {size} bytes; the limit is {limit}."),
        )
        .with_field(field, format!("must be at most {limit} bytes"))
        .hint("Send a reference, such as a path or a URL, instead of the data.")
    };
    if request.content.is_empty() {
        return Err(ApiError::field("content", "must not be empty"));
    }
    if request.content.len() > MAX_CONTENT_BYTES {
        return Err(too_large("content", request.content.len(), MAX_CONTENT_BYTES));
    }
    if request.content.contains('\0') {
        return Err(ApiError::field("content", "must not contain U+0000"));
    }
    if let Some(metadata) = &request.metadata {
        let written = serde_json::to_string(metadata).unwrap_or_default();
        if written.len() > MAX_METADATA_BYTES {
            return Err(too_large("metadata", written.len(), MAX_METADATA_BYTES));
        }
        if metadata.contains_key("reply_to") {
            return Err(ApiError::field(
                "metadata",
                "must not contain reply_to; use the field reply_to of the request",
            ));
        }
    }
    if let Some(key) = key
        && (key.is_empty()
            || key.chars().count() > MAX_IDEMPOTENCY_KEY
            || key.chars().any(char::is_control))
    {
        return Err(ApiError::field(
            "Idempotency-Key",
            format!("must be 1 to {MAX_IDEMPOTENCY_KEY} printable characters"),
        ));
    }
    Ok(())
}

/// SHA-256 of the fields as sent.
fn fingerprint(request: &SendMessage) -> Digest {
    let fields = serde_json::to_vec(request).unwrap_or_default();
    Sha256::digest(fields).into()
}

/// A user who is not in the mesh, but may ask to be.
pub(crate) fn not_a_member(mesh: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::NotAMember, format!("You are not a member of the mesh {mesh}."))
        .hint("Ask to join with `meshwire mesh join`, or ask an admin of the mesh for an invite.")
}

/// An agent of someone else, or of another token.
pub(crate) fn not_your_agent(name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::NotYourAgent,
        format!("The agent {} is not one that this token speaks or reads for.", shown(name)),
    )
}
