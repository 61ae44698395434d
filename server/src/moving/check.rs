//! Whether the records of a file belong together. Not every engine would notice.

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, bail, ensure};
use meshwire_protocol::{MeshId, MessageId, UserId};
use serde_json::{Map, Value};

use crate::store::Stream;
use crate::store::moving::{Agent, Idempotency, Mesh, Message, Record};

/// What has come so far, as far as later records refer to it: accounts and meshes, but no messages.
#[derive(Default)]
pub(super) struct Checker {
    accounts: HashSet<UserId>,
    meshes: HashMap<MeshId, (MessageId, MessageId)>,
    last: Option<(MeshId, MessageId)>,
}

impl Checker {
    /// Looks at the next record.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn check(&mut self, record: &Record) -> Result<()> {
        match record {
            Record::Account(account) => {
                ensure!(self.accounts.insert(account.id.clone()), "this account is there twice");
                Ok(())
            }
            Record::Session(session) => self.account(&session.user),
            Record::Mesh(mesh) => self.new_mesh(mesh),
            Record::Member(member) => {
                self.mesh(&member.mesh)?;
                self.account(&member.user)
            }
            Record::Agent(agent) => self.agent(agent),
            Record::Token(token) => self.account(&token.user),
            Record::CliCode(code) => self.account(&code.user),
            Record::DeviceCode(code) => {
                code.user.as_ref().map_or(Ok(()), |user| self.account(user))
            }
            Record::AccountLink(_) => Ok(()),
            Record::Invite(invite) => {
                self.mesh(&invite.mesh)?;
                self.account(&invite.created_by)
            }
            Record::JoinRequest(request) => {
                self.mesh(&request.mesh)?;
                self.account(&request.user)
            }
            Record::Message(message) => self.message(message),
            Record::Idempotency(sent) => self.sent(sent),
        }
    }

    fn account(&self, user: &UserId) -> Result<()> {
        ensure!(self.accounts.contains(user), "no account {user} stands before it");
        Ok(())
    }

    /// Trim point and head of a mesh.
    fn mesh(&self, mesh: &MeshId) -> Result<(MessageId, MessageId)> {
        let found = self.meshes.get(mesh).copied();
        found.with_context(|| format!("no mesh {mesh} stands before it"))
    }

    fn new_mesh(&mut self, mesh: &Mesh) -> Result<()> {
        ensure!(mesh.trimmed <= mesh.head, "its trim point lies beyond its head");
        let before = self.meshes.insert(mesh.id.clone(), (mesh.trimmed, mesh.head));
        ensure!(before.is_none(), "this mesh is there twice");
        Ok(())
    }

    fn agent(&self, agent: &Agent) -> Result<()> {
        let (_, head) = self.mesh(&agent.mesh)?;
        self.account(&agent.user)?;
        // Else it would never see the messages in between.
        let furthest = agent.start.max(agent.handed).max(agent.cursor);
        ensure!(furthest <= head, "it has read beyond the head of its mesh");
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<()> {
        let (trimmed, head) = self.mesh(&message.mesh)?;
        ensure!(message.id > trimmed, "it was trimmed");
        // Else the next message would get its id, or a smaller one.
        ensure!(message.id <= head, "it lies beyond the head of its mesh");
        if let Some((mesh, last)) = &self.last
            && *mesh == message.mesh
        {
            ensure!(message.id > *last, "it is not in the order of its log");
        }
        self.last = Some((message.mesh.clone(), message.id));
        if let Err(why) = message.stream.parse::<Stream>() {
            bail!("{why}");
        }
        serde_json::from_str::<Map<String, Value>>(&message.metadata)
            .context("its metadata is no JSON object")?;
        Ok(())
    }

    fn sent(&self, sent: &Idempotency) -> Result<()> {
        let (_, head) = self.mesh(&sent.mesh)?;
        ensure!(sent.message <= head, "its message lies beyond the head of its mesh");
        Ok(())
    }
}
