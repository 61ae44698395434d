//! Messages: send, poll, acknowledge, look back.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use meshwire_protocol::limits::{DEFAULT_PAGE, MAX_PAGE, MAX_WAIT_SECONDS};
use meshwire_protocol::{
    AgentId, Cursor, ErrorCode, History, HistoryQuery, InboxPage, InboxQuery, MessageStatus,
    SendMessage, Sent, SetCursor,
};

use super::answer;
use super::paths::{AgentPath, MeshPath, MessagePath, SendHeaders};
use super::request_log::Waited;
use crate::access::InMesh;
use crate::app::App;
use crate::error::{ApiError, Result};
use crate::extract::{IdempotencyKey, Json, Query};
use crate::mesh::{Poll, Quota, Reader, Step};

/// Send a message
///
/// Answered only when the message is durable. With an `Idempotency-Key` a send may be repeated: the repeat is
/// answered with the first message. `from` is an agent of yours; without it the agent that the token is bound to, else
/// your own person's agent speaks. `recipients` counts whom it goes to, as known within the last second.
#[utoipa::path(
    post,
    path = "/mesh/{mesh}/messages",
    operation_id = "send_message",
    tag = "Messages",
    params(MeshPath, SendHeaders),
    request_body = SendMessage,
    responses(
        (status = 200, description = "The first message of this key.", body = Sent, headers(("RateLimit" = String, description = "What is left of each limit on sends, where the operator has set one (draft-ietf-httpapi-ratelimit-headers-11)."), ("RateLimit-Policy" = String, description = "The limits on sends."))),
        (status = 201, description = "The message.", body = Sent, headers(("RateLimit" = String, description = "What is left of each limit on sends, where the operator has set one (draft-ietf-httpapi-ratelimit-headers-11)."), ("RateLimit-Policy" = String, description = "The limits on sends."))),
    )
)]
pub(super) async fn send(
    State(app): State<App>,
    caller: InMesh,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<SendMessage>,
) -> Result<Response> {
    let speaker = caller.principal.speaker();
    let mut response =
        match app.meshes.send(&caller.roster, &speaker, request, key.as_deref()).await {
            Ok(delivered) => {
                let status = if delivered.repeated { StatusCode::OK } else { StatusCode::CREATED };
                let message = delivered.stored.message.clone();
                let body = Sent { message, recipients: delivered.recipients };
                (status, answer(&body)).into_response()
            }
            Err(error) => error.into_response(),
        };
    state_quotas(&mut response, &app.meshes.quotas(caller.mesh(), &speaker.token));
    Ok(response)
}

/// Says how fast may be sent and what is left (draft-ietf-httpapi-ratelimit-headers-11).
fn state_quotas(response: &mut Response, quotas: &[Quota]) {
    let list = |item: fn(&Quota) -> String| {
        let items: Vec<String> = quotas.iter().map(item).collect();
        HeaderValue::try_from(items.join(", ")).ok().filter(|list| !list.is_empty())
    };
    let policy =
        list(|Quota { policy, quota, window, .. }| format!("\"{policy}\";q={quota};w={window}"));
    // The buckets fill at least once a second, so what is left holds for that long.
    let left = list(|Quota { policy, left, .. }| format!("\"{policy}\";r={left};t=1"));
    let named = [("ratelimit-policy", policy), ("ratelimit", left)];
    response.headers_mut().extend(
        named.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?))),
    );
}

/// Read the inbox of an agent of yours
///
/// Oldest first. `after` acknowledges all up to that id and returns what is newer; absent: from the kept cursor, so
/// what was never acknowledged comes again. An older id, `earliest` or `latest` read from there and leave the kept cursor
/// alone, and so does `ack=false`. With `wait` the answer comes as soon as there is a message. A page may end early, or be
/// empty with `more: true`; pass its `cursor` as `after` next time. `gap` says that retention has passed the reader.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/agents/{agent}/messages",
    operation_id = "read_inbox",
    tag = "Messages",
    params(AgentPath, InboxQuery),
    responses(
        (status = 200, description = "A page of messages.", body = InboxPage),
    )
)]
pub(super) async fn inbox(
    method: Method,
    State(app): State<App>,
    caller: InMesh,
    Query(query): Query<InboxQuery>,
) -> Result<Response> {
    let limit = page_limit(query.limit)?;
    let wait = query.wait.unwrap_or(0);
    if wait > MAX_WAIT_SECONDS {
        return Err(ApiError::field("wait", format!("must be 0 to {MAX_WAIT_SECONDS} seconds")));
    }
    let poll = Poll {
        epoch: caller.roster.epoch,
        after: query.after,
        // HEAD changes nothing (RFC 9110 section 9.2.1).
        ack: query.ack.unwrap_or(true) && method != Method::HEAD,
        limit,
        wait: Duration::from_secs(wait),
    };
    let agent = caller.own_agent(&app).await?;
    let mut reader = begin(&app, &caller, &agent.id, poll).await?;
    let outcome = read(&app, &caller, &agent.id, &mut reader).await;
    let mut response = outcome.map_or_else(ApiError::into_response, |page| answer(&page));
    if wait > 0 {
        response.extensions_mut().insert(Waited(reader.waited()));
    }
    Ok(response)
}

/// Starts a poll.
pub(super) async fn begin(
    app: &App,
    caller: &InMesh,
    agent: &AgentId,
    poll: Poll,
) -> Result<Reader> {
    let speaker = caller.principal.speaker();
    let begun = app.meshes.reader(caller.mesh(), agent, &speaker, poll).await;
    if begun.as_ref().is_err_and(|error| error.code() == ErrorCode::AgentNotFound) {
        // It was there a moment ago: gone, perhaps, with the membership or the token, which says more. In a box: what
        // is rare takes no room in each poll.
        Box::pin(caller.check_again(app, agent)).await?;
    }
    begun
}

/// Reads for as long as the caller may.
pub(super) async fn read(
    app: &App,
    caller: &InMesh,
    agent: &AgentId,
    reader: &mut Reader,
) -> Result<InboxPage> {
    loop {
        match reader.next().await? {
            Step::Page(page) => return Ok(page),
            Step::Ended => reader.admitted(Box::pin(caller.check_again(app, agent)).await?),
        }
    }
}

/// Move the cursor of an agent of yours
///
/// Forward acknowledges, backward takes acknowledgements back; never beyond the newest message.
#[utoipa::path(
    put,
    path = "/mesh/{mesh}/agents/{agent}/cursor",
    operation_id = "set_cursor",
    tag = "Messages",
    params(AgentPath),
    request_body = SetCursor,
    responses(
        (status = 200, description = "Where the cursor stands now.", body = Cursor),
    )
)]
pub(super) async fn set_cursor(
    State(app): State<App>,
    caller: InMesh,
    Json(request): Json<SetCursor>,
) -> Result<Response> {
    let agent = caller.own_agent(&app).await?;
    let cursor = app.meshes.set_cursor(caller.mesh(), &agent.id, request.cursor).await?;
    Ok(answer(&Cursor { cursor }))
}

/// Look back
///
/// What you may see of the mesh, newest first: broadcasts, and messages to or from agents of yours. Pass `before` on
/// for older ones; a page may be short or empty, and only `before: null` says that it was the last.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/messages",
    operation_id = "read_history",
    tag = "Messages",
    params(MeshPath, HistoryQuery),
    responses(
        (status = 200, description = "A page of messages.", body = History),
    )
)]
pub(super) async fn history(
    State(app): State<App>,
    caller: InMesh,
    Query(query): Query<HistoryQuery>,
) -> Result<Response> {
    let limit = page_limit(query.limit)?;
    let visible = caller.visible();
    let page = app.meshes.history(caller.mesh(), &visible, query.before, limit).await?;
    Ok(answer(&History {
        messages: page.messages.into_iter().map(|stored| stored.message).collect(),
        before: page.before,
    }))
}

/// Show a message and what has become of it
///
/// Of a broadcast, `deliveries` has the agents that exist now and were registered before it, without the sender.
#[utoipa::path(
    get,
    path = "/mesh/{mesh}/messages/{message}",
    operation_id = "show_message",
    tag = "Messages",
    params(MessagePath),
    responses(
        (status = 200, description = "The message with its receipts.", body = MessageStatus),
    )
)]
pub(super) async fn show(State(app): State<App>, caller: InMesh) -> Result<Response> {
    let wanted = caller.variable("message");
    let id = wanted.parse().map_err(|_| ApiError::message_not_found(wanted))?;
    let status = app.meshes.receipts(&caller.roster, &caller.visible(), id).await?;
    Ok(answer(&status))
}

fn page_limit(limit: Option<u32>) -> Result<u32> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::field("limit", format!("must be 1 to {MAX_PAGE}")))
    }
}
