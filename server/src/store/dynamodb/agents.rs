//! The agents of a mesh.

use meshwire_protocol::{AgentId, AgentKind, MeshId, Wake};

use super::item::{encode, fault};
use super::retry::Retry;
use super::roster::{AgentItem, RosterChange, Snapshot, start};
use super::transaction::Transacted;
use super::unfinished::Unfinished;
use super::{DynamoStore, keys};
use crate::store::{AgentChange, Change, Ended, Micros, NewAgent, Register, Result};

/// What a change makes of an agent.
fn changed(agent: &AgentItem, change: AgentChange) -> AgentItem {
    let agent = agent.clone();
    AgentItem {
        name: change.name.unwrap_or(agent.name),
        harness: change.harness.or(agent.harness),
        host: change.host.or(agent.host),
        description: change.description.or(agent.description),
        capabilities: change.capabilities.unwrap_or(agent.capabilities),
        wake: change.wake.unwrap_or(agent.wake),
        ..agent
    }
}

/// What stands against a registration, or the agent that is there already.
enum Registering<'a> {
    New,
    Existing(&'a AgentItem),
    No(Register),
}

fn registering<'a>(roster: &'a Snapshot, agent: &NewAgent, limit: u32) -> Registering<'a> {
    if roster.member(&agent.user).is_none() {
        return Registering::No(Register::NoMesh);
    }
    if roster.with_id_like(&agent.name).is_some() {
        return Registering::No(Register::NameTaken);
    }
    if let Some(existing) = roster.named(&agent.name) {
        if existing.user == agent.user {
            return Registering::Existing(existing);
        }
        return Registering::No(Register::NameTaken);
    }
    let programs = roster.agents().filter(|agent| agent.kind == AgentKind::Agent).count();
    let full = limit > 0 && programs >= usize::try_from(limit).unwrap_or(usize::MAX);
    if agent.kind == AgentKind::Agent && full {
        return Registering::No(Register::LimitReached);
    }
    Registering::New
}

impl DynamoStore {
    pub(super) async fn register(&self, new: &NewAgent, limit: u32) -> Result<Register> {
        let mesh = &new.mesh;
        let mut retry = Retry::default();
        loop {
            let Some(mut roster) = self.snapshot(mesh).await? else {
                return Ok(Register::NoMesh);
            };
            match registering(&roster, new, limit) {
                Registering::No(answer) => return Ok(answer),
                Registering::Existing(existing) => {
                    let id = existing.id.clone();
                    if new.fields == AgentChange::default() {
                        let existing = existing.clone();
                        if let Some(position) = self.position_row(mesh, &id).await? {
                            return Ok(Register::Existing(existing.row(&position)));
                        }
                    } else {
                        match self.change_agent(mesh, &id, &new.fields).await? {
                            Change::Done(row) => return Ok(Register::Existing(row)),
                            Change::NameTaken => return Ok(Register::NameTaken),
                            // It was removed in between: this is another one.
                            Change::NoAgent => {}
                        }
                    }
                    retry.pause("an agent comes and goes").await?;
                    continue;
                }
                Registering::New => {}
            }
            if roster.named(new.id.as_str()).is_some() {
                // One in 10^16: the new id is another agent's name. Refused, so that an address stays
                // unambiguous.
                return Err(fault("a new agent id is an existing name"));
            }
            let Some(member) = roster.member(&new.user) else { return Ok(Register::NoMesh) };
            let agent = AgentItem {
                id: new.id.clone(),
                name: new.name.clone(),
                kind: new.kind,
                user: new.user.clone(),
                since: member.since,
                harness: None,
                host: None,
                description: None,
                capabilities: Vec::new(),
                wake: Wake::default(),
                changed: 0,
            };
            let agent = changed(&agent, new.fields.clone());
            // The head that it starts at must still be the head when the roster changes. While others
            // append without a pause, that takes some tries behind the newest one; the roster is that of
            // the same epoch in each of them.
            loop {
                let mut change = RosterChange::new(self, mesh, &roster.head);
                change.put_new(&keys::agent(mesh, &agent.id), &agent)?;
                let position = start(&roster.head, new.now)?;
                let at = keys::position(mesh, &agent.id);
                change.with().put_new(encode(&at, &position)?)?;
                match self.db.transact(change.finish_at_head()?).await? {
                    Transacted::Done => return Ok(Register::Created(agent.row(&position))),
                    Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
                }
                match self.live_head(mesh).await? {
                    Some(head) if head.epoch == roster.head.epoch => roster.head = head,
                    _ => break,
                }
            }
        }
    }

    pub(super) async fn change_agent(
        &self,
        mesh: &MeshId,
        id: &AgentId,
        change: &AgentChange,
    ) -> Result<Change> {
        let mut retry = Retry::default();
        loop {
            let Some(roster) = self.snapshot(mesh).await? else { return Ok(Change::NoAgent) };
            if let Some(name) = &change.name {
                let others = roster.with_id_like(name).into_iter().chain(roster.named(name));
                if others.into_iter().any(|other| other.id != *id) {
                    return Ok(Change::NameTaken);
                }
            }
            let Some(agent) = roster.agent(id) else { return Ok(Change::NoAgent) };
            let Some(position) = self.position_row(mesh, id).await? else {
                return Ok(Change::NoAgent);
            };
            let now = changed(agent, change.clone());
            let mut change = RosterChange::new(self, mesh, &roster.head);
            change.replace(&keys::agent(mesh, id), &now, agent.changed)?;
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => return Ok(Change::Done(now.row(&position))),
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }

    pub(super) async fn end_agent(&self, mesh: &MeshId, id: &AgentId, now: Micros) -> Result<bool> {
        let mut retry = Retry::default();
        loop {
            let Some(roster) = self.snapshot(mesh).await? else { return Ok(false) };
            let Some(agent) = roster.agent(id) else { return Ok(false) };
            let mut change = RosterChange::new(self, mesh, &roster.head);
            change.remove(&keys::agent(mesh, id), agent.changed)?;
            change.with().delete(&keys::position(mesh, id))?;
            change.with().put(self.ended_item(&Ended::Mesh(mesh.clone()))?)?;
            let note = Unfinished::Agent {
                mesh: mesh.clone(),
                user: agent.user.clone(),
                agent: id.clone(),
                at: now,
            };
            let note = note.noted(change.with())?;
            match self.db.transact(change.finish()?).await? {
                Transacted::Done => {
                    self.finish_soon(&note).await;
                    return Ok(true);
                }
                Transacted::Refused(_) => retry.pause("a mesh is changing fast").await?,
            }
        }
    }
}
