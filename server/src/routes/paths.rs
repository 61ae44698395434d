//! The variables of paths and the headers that calls read, as the document describes them.

#![expect(dead_code, reason = "handlers read them from the request; these describe them")]

use meshwire_protocol::schemas::{AgentIdOrName, IdempotencyKey, InviteId, Login};
use meshwire_protocol::{MeshId, MessageId, TokenId};
use utoipa::IntoParams;

/// A mesh.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MeshPath {
    /// The id of the mesh.
    mesh: MeshId,
}

/// An agent of a mesh.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct AgentPath {
    /// The id of the mesh.
    mesh: MeshId,
    /// The agent.
    agent: AgentIdOrName,
}

/// Someone in a mesh, or at its door.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct LoginPath {
    /// The id of the mesh.
    mesh: MeshId,
    /// The login of the person.
    login: Login,
}

/// An invite to a mesh.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InvitePath {
    /// The id of the mesh.
    mesh: MeshId,
    /// The id of the invite.
    invite: InviteId,
}

/// A message in a mesh.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MessagePath {
    /// The id of the mesh.
    mesh: MeshId,
    /// The id of the message.
    message: MessageId,
}

/// A token.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct TokenPath {
    /// The public id of the token.
    id: TokenId,
}

/// What makes a send safe to repeat.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct SendHeaders {
    /// Makes the send safe to repeat, for 24 h. The same key with other input is `idempotency_key_reused`.
    #[param(rename = "Idempotency-Key", required = false)]
    idempotency_key: IdempotencyKey,
}
