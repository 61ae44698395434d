//! The calls of the HTTP API that commands use.

use meshwire_protocol::{
    Agent, AgentList, ChangeMember, CliTokenAnswer, CliTokenRequest, CreateInvite, CreateMesh,
    CreateToken, CreatedInvite, CreatedToken, Decide, Decided, DeviceCodeAnswer, DeviceCodeRequest,
    DeviceTokenAnswer, DeviceTokenRequest, From, Health, Join, JoinRequestList, Joined, Me, Member,
    MemberList, Mesh, MeshId, MeshList, Message, MessageId, RegisterAgent, Registered, Role,
    SendMessage, Sent, SetCursor, TokenList, UpdateMesh, check_agent_name,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Answer, Call, Client};
use crate::failure::{Failure, Outcome};

/// A message as the server wrote it, for programs: with fields that this version does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawMessage(Box<RawValue>);

impl RawMessage {
    /// The message, as far as this version knows it.
    pub(crate) fn read(&self) -> Outcome<Message> {
        serde_json::from_str(self.0.get()).map_err(|error| {
            Failure::failed(format!(
                "the server sent a message that this version cannot read: {error}"
            ))
            .hint("is there a newer version of meshwire?")
        })
    }

    /// Its id.
    pub(crate) fn id(&self) -> Outcome<MessageId> {
        #[derive(Deserialize)]
        struct Id {
            id: MessageId,
        }
        match serde_json::from_str::<Id>(self.0.get()) {
            Ok(Id { id }) => Ok(id),
            Err(_) => self.read().map(|message| message.id),
        }
    }

    /// On one line.
    pub(crate) fn to_line(&self) -> String {
        let text = self.0.get();
        if !text.contains(['\n', '\r']) {
            return text.to_owned();
        }
        serde_json::from_str::<serde_json::Value>(text)
            .map_or_else(|_| text.replace(['\n', '\r'], " "), |value| value.to_string())
    }
}

/// A page of an inbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RawPage {
    /// Oldest first.
    pub(crate) messages: Vec<RawMessage>,
    /// What to pass as `after` next time.
    pub(crate) cursor: MessageId,
    /// Whether there is more to read right now.
    #[serde(default)]
    pub(crate) more: bool,
    /// Whether messages were trimmed before this reader came to them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gap: bool,
}

/// A page of the history.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RawHistory {
    /// Newest first.
    pub(crate) messages: Vec<RawMessage>,
    /// What to pass as `before` for older ones.
    pub(crate) before: Option<MessageId>,
}

impl Client {
    async fn get(&self, path: &[&str]) -> Outcome<Answer> {
        self.call(Call::new(Method::GET, path)).await
    }

    /// `GET /health`
    pub(crate) async fn health(&self) -> Outcome<Health> {
        self.get(&["health"]).await?.json()
    }

    /// `GET /health`, for who wants to know when it was answered as well.
    pub(crate) async fn health_answer(&self) -> Outcome<Answer> {
        self.get(&["health"]).await
    }

    /// `GET /ready`
    pub(crate) async fn ready(&self) -> Outcome<()> {
        self.get(&["ready"]).await.map(|_| ())
    }

    /// `GET /me`
    pub(crate) async fn me(&self) -> Outcome<Me> {
        self.get(&["me"]).await?.json()
    }

    /// `POST /auth/cli/token`
    pub(crate) async fn cli_token(&self, request: &CliTokenRequest) -> Outcome<CliTokenAnswer> {
        let call = Call::new(Method::POST, &["auth", "cli", "token"]).body(request)?;
        self.call(call).await?.json()
    }

    /// `POST /auth/device/code`
    pub(crate) async fn device_code(
        &self,
        request: &DeviceCodeRequest,
    ) -> Outcome<DeviceCodeAnswer> {
        let call = Call::new(Method::POST, &["auth", "device", "code"]).body(request)?.oauth();
        self.call(call).await?.json()
    }

    /// `POST /auth/device/token`
    pub(crate) async fn device_token(
        &self,
        request: &DeviceTokenRequest,
    ) -> Outcome<DeviceTokenAnswer> {
        let call = Call::new(Method::POST, &["auth", "device", "token"]).body(request)?.oauth();
        self.call(call).await?.json()
    }

    /// `GET /tokens`
    pub(crate) async fn tokens(&self) -> Outcome<TokenList> {
        self.get(&["tokens"]).await?.json()
    }

    /// `POST /tokens`
    pub(crate) async fn create_token(&self, token: &CreateToken) -> Outcome<CreatedToken> {
        self.call(Call::new(Method::POST, &["tokens"]).body(token)?).await?.json()
    }

    /// `DELETE /tokens/{id}`, or `current`
    pub(crate) async fn revoke_token(&self, id: &str) -> Outcome<()> {
        self.call(Call::new(Method::DELETE, &["tokens", id])).await.map(|_| ())
    }

    /// `GET /mesh`
    pub(crate) async fn meshes(&self) -> Outcome<MeshList> {
        self.get(&["mesh"]).await?.json()
    }

    /// `POST /mesh`
    pub(crate) async fn create_mesh(&self, name: &str) -> Outcome<Mesh> {
        let body = CreateMesh { name: name.to_owned() };
        self.call(Call::new(Method::POST, &["mesh"]).body(&body)?).await?.json()
    }

    /// `GET /mesh/{mesh}`
    pub(crate) async fn mesh(&self, mesh: &MeshId) -> Outcome<Mesh> {
        self.get(&["mesh", mesh.as_str()]).await?.json()
    }

    /// `DELETE /mesh/{mesh}`
    pub(crate) async fn delete_mesh(&self, mesh: &MeshId) -> Outcome<()> {
        self.call(Call::new(Method::DELETE, &["mesh", mesh.as_str()])).await.map(|_| ())
    }

    /// `PATCH /mesh/{mesh}`
    pub(crate) async fn pause(&self, mesh: &MeshId, paused: bool) -> Outcome<()> {
        let body = UpdateMesh { name: None, paused: Some(paused) };
        let path = ["mesh", mesh.as_str()];
        self.call(Call::new(Method::PATCH, &path).body(&body)?).await.map(|_| ())
    }

    /// `GET /mesh/{mesh}/members`
    pub(crate) async fn members(&self, mesh: &MeshId) -> Outcome<MemberList> {
        self.get(&["mesh", mesh.as_str(), "members"]).await?.json()
    }

    /// `PATCH /mesh/{mesh}/members/{login}`
    pub(crate) async fn set_role(&self, mesh: &MeshId, login: &str, role: Role) -> Outcome<Member> {
        let path = ["mesh", mesh.as_str(), "members", login];
        self.call(Call::new(Method::PATCH, &path).body(&ChangeMember { role })?).await?.json()
    }

    /// `DELETE /mesh/{mesh}/members/{login}`
    pub(crate) async fn remove_member(&self, mesh: &MeshId, login: &str) -> Outcome<()> {
        let path = ["mesh", mesh.as_str(), "members", login];
        self.call(Call::new(Method::DELETE, &path)).await.map(|_| ())
    }

    /// `POST /mesh/{mesh}/invites`
    pub(crate) async fn create_invite(
        &self,
        mesh: &MeshId,
        invite: &CreateInvite,
    ) -> Outcome<CreatedInvite> {
        let path = ["mesh", mesh.as_str(), "invites"];
        self.call(Call::new(Method::POST, &path).body(invite)?).await?.json()
    }

    /// `POST /mesh/{mesh}/join`
    pub(crate) async fn join(&self, mesh: &MeshId, invite: Option<String>) -> Outcome<Joined> {
        let path = ["mesh", mesh.as_str(), "join"];
        self.call(Call::new(Method::POST, &path).body(&Join { invite })?).await?.json()
    }

    /// `GET /mesh/{mesh}/requests`
    pub(crate) async fn join_requests(&self, mesh: &MeshId) -> Outcome<JoinRequestList> {
        self.get(&["mesh", mesh.as_str(), "requests"]).await?.json()
    }

    /// `POST /mesh/{mesh}/requests/{login}`
    pub(crate) async fn decide(
        &self,
        mesh: &MeshId,
        login: &str,
        accept: bool,
    ) -> Outcome<Decided> {
        let path = ["mesh", mesh.as_str(), "requests", login];
        self.call(Call::new(Method::POST, &path).body(&Decide { accept })?).await?.json()
    }

    /// `GET /mesh/{mesh}/integrate`
    pub(crate) async fn integrate(&self, mesh: &MeshId) -> Outcome<String> {
        Ok(self.get(&["mesh", mesh.as_str(), "integrate"]).await?.text())
    }

    /// `GET /mesh/{mesh}/agents`
    pub(crate) async fn agents(&self, mesh: &MeshId) -> Outcome<AgentList> {
        self.get(&["mesh", mesh.as_str(), "agents"]).await?.json()
    }

    /// `GET /mesh/{mesh}/agents/{agent}`
    pub(crate) async fn agent(&self, mesh: &MeshId, agent: &str) -> Outcome<Agent> {
        self.get(&["mesh", mesh.as_str(), "agents", agent]).await?.json()
    }

    /// `POST /mesh/{mesh}/agents`. The same again changes nothing, so that it may be repeated.
    pub(crate) async fn register(
        &self,
        mesh: &MeshId,
        agent: &RegisterAgent,
    ) -> Outcome<Registered> {
        let path = ["mesh", mesh.as_str(), "agents"];
        let call = Call::new(Method::POST, &path).body(agent)?;
        let registered: Registered = self.call(call).await?.json()?;
        // It comes to stand in files that shells and harnesses read.
        check_agent_name(&registered.name).map_err(|rule| {
            let name = &registered.name;
            Failure::failed(format!("the server named the agent {name:?}, and a name {rule}"))
                .hint("is that a MeshWire server? nothing was written")
        })?;
        Ok(registered)
    }

    /// `POST /mesh/{mesh}/agents/{agent}/heartbeat`
    pub(crate) async fn heartbeat(&self, mesh: &MeshId, agent: &str) -> Outcome<()> {
        let path = ["mesh", mesh.as_str(), "agents", agent, "heartbeat"];
        self.call(Call::new(Method::POST, &path)).await.map(|_| ())
    }

    /// `POST /mesh/{mesh}/messages`
    pub(crate) async fn send(
        &self,
        mesh: &MeshId,
        message: &SendMessage,
        key: &str,
    ) -> Outcome<Answer> {
        let path = ["mesh", mesh.as_str(), "messages"];
        self.call(Call::new(Method::POST, &path).body(message)?.idempotency_key(key)).await
    }

    /// `GET /mesh/{mesh}/agents/{agent}/messages`
    pub(crate) async fn inbox(
        &self,
        mesh: &MeshId,
        agent: &str,
        after: Option<From>,
        wait: u64,
        limit: u32,
        ack: bool,
    ) -> Outcome<RawPage> {
        let path = ["mesh", mesh.as_str(), "agents", agent, "messages"];
        let call = Call::new(Method::GET, &path)
            .query("after", after)
            .query("wait", (wait > 0).then_some(wait))
            .query("limit", Some(limit))
            .query("ack", (!ack).then_some("false"))
            .wait(wait);
        self.call(call).await?.json()
    }

    /// `PUT /mesh/{mesh}/agents/{agent}/cursor`
    pub(crate) async fn set_cursor(
        &self,
        mesh: &MeshId,
        agent: &str,
        cursor: MessageId,
    ) -> Outcome<()> {
        let path = ["mesh", mesh.as_str(), "agents", agent, "cursor"];
        let body = SetCursor { cursor: From::Id(cursor) };
        self.call(Call::new(Method::PUT, &path).body(&body)?).await.map(|_| ())
    }

    /// `GET /mesh/{mesh}/messages`
    pub(crate) async fn history(
        &self,
        mesh: &MeshId,
        before: Option<MessageId>,
        limit: u32,
    ) -> Outcome<RawHistory> {
        let path = ["mesh", mesh.as_str(), "messages"];
        let call =
            Call::new(Method::GET, &path).query("before", before).query("limit", Some(limit));
        self.call(call).await?.json()
    }
}

/// Reads the answer to a send.
pub(crate) fn sent(answer: &Answer) -> Outcome<Sent> {
    answer.json()
}
