//! Agents: registering, changing and removing them, and what each change does to the epoch.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::{AgentKind, Harness, MessageId, Role, Wake};
use meshwire_server::secret;
use meshwire_server::store::{
    AgentChange, AgentRow, Appended, Change, MeshChange, Move, NewAgent, Register, Result,
    TokenMade, TokenRow,
};

use crate::fixture::{Mesh, T0, World, github, id, inbox, keyed, new_token, to_all, to_one};

async fn rename(mesh: &Mesh, agent: &AgentRow, name: &str) -> Result<Change> {
    let change = AgentChange { name: Some(name.to_owned()), ..AgentChange::default() };
    mesh.store.update_agent(&mesh.id, &agent.id, change).await
}

async fn names(mesh: &Mesh) -> Result<Vec<String>> {
    let roster = mesh.store.roster(&mesh.id).await?.expect("the mesh is there");
    Ok(roster.agents.into_iter().map(|agent| agent.name).collect())
}

pub(crate) async fn an_agent_starts_at_the_head(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    assert_eq!((a.start, a.cursor), (MessageId::ZERO, MessageId::ZERO));
    mesh.write(T0, vec![to_all(&a, "1"), to_all(&a, "2")]).await?;
    let b = mesh.agent("agent-b").await?;
    assert_eq!((b.start, b.cursor), (id(T0 + 1), id(T0 + 1)));
    let position = world.store.position(&mesh.id, &b.id).await?.expect("it is there");
    assert_eq!((position.start, position.handed, position.cursor), (b.start, b.start, b.start));
    Ok(())
}

pub(crate) async fn a_new_agent_has_the_fields_it_came_with(world: &mut World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let new = NewAgent {
        fields: AgentChange {
            name: None,
            harness: Some(Harness::ClaudeDesktop),
            host: Some("büro".to_owned()),
            description: Some("says \"hi\"".to_owned()),
            capabilities: Some(vec!["rust".to_owned(), "[\"sql\"]".to_owned()]),
            wake: Some(Wake::Turn),
        },
        ..mesh.new_agent(&mesh.owner, "Agent.B_2")
    };
    let agent_id = new.id.clone();
    let Register::Created(agent) = world.store.register_agent(new, 0).await? else {
        panic!("the name is free");
    };
    let expected = AgentRow {
        id: agent_id,
        name: "Agent.B_2".to_owned(),
        kind: AgentKind::Agent,
        user: mesh.owner.id.clone(),
        harness: Some(Harness::ClaudeDesktop),
        host: Some("büro".to_owned()),
        description: Some("says \"hi\"".to_owned()),
        capabilities: vec!["rust".to_owned(), "[\"sql\"]".to_owned()],
        wake: Wake::Turn,
        start: MessageId::ZERO,
        cursor: MessageId::ZERO,
        last_seen: None,
    };
    assert_eq!(agent, expected);
    world.reopen().await;
    assert_eq!(mesh.on(world).find(&expected.id).await?, Some(expected));
    Ok(())
}

pub(crate) async fn registering_again_gives_the_same_agent_and_replaces_what_is_given(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    mesh.write(T0, vec![to_all(&a, "1"), to_all(&a, "2")]).await?;
    world.store.move_cursor(&mesh.id, &a.id, id(T0), Move::Acknowledge).await?;
    let first = AgentChange {
        host: Some("one".to_owned()),
        description: Some("stays".to_owned()),
        ..AgentChange::default()
    };
    let second = AgentChange { host: Some("two".to_owned()), ..AgentChange::default() };
    for (name, fields, host) in [
        ("agent-a", first, "one"),
        ("agent-a", second, "two"),
        ("AGENT-A", AgentChange::default(), "two"),
    ] {
        let again = NewAgent { fields, ..mesh.new_agent(&mesh.owner, name) };
        // A full mesh lets its own back in.
        let Register::Existing(agent) = world.store.register_agent(again, 1).await? else {
            panic!("{name} is there already");
        };
        let expected = AgentRow {
            host: Some(host.to_owned()),
            description: Some("stays".to_owned()),
            cursor: id(T0),
            ..a.clone()
        };
        assert_eq!(agent, expected);
        assert_eq!(mesh.find(&a.id).await?, Some(expected));
    }
    Ok(())
}

pub(crate) async fn a_name_of_another_member_or_an_id_of_another_agent_is_taken(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    let before = mesh.epoch().await?;
    for name in ["agent-a", "Agent-A", a.id.as_str()] {
        let answer = world.store.register_agent(mesh.new_agent(&bob, name), 0).await?;
        assert!(matches!(answer, Register::NameTaken), "{name}: {answer:?}");
    }
    let own = world.store.register_agent(mesh.new_agent(&mesh.owner, a.id.as_str()), 0).await?;
    assert!(matches!(own, Register::NameTaken), "{own:?}");
    assert_eq!(names(&mesh).await?, ["agent-a"]);
    assert_eq!(mesh.epoch().await?, before);

    let answer = world.store.register_agent(mesh.new_agent(&bob, "agent-b"), 0).await?;
    assert!(matches!(answer, Register::Created(_)), "{answer:?}");
    assert_eq!(names(&mesh).await?, ["agent-a", "agent-b"]);
    Ok(())
}

pub(crate) async fn only_members_register_agents(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let stranger = world.user("stranger").await?;
    let nowhere = Mesh { id: secret::mesh_id(), ..mesh.clone() };
    for new in [mesh.new_agent(&stranger, "b"), nowhere.new_agent(&mesh.owner, "b")] {
        assert!(matches!(world.store.register_agent(new, 0).await?, Register::NoMesh));
    }
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    let new = mesh.new_agent(&mesh.owner, "b");
    assert!(matches!(world.store.register_agent(new, 0).await?, Register::NoMesh));
    Ok(())
}

pub(crate) async fn the_limit_of_agents_is_exact_under_sixteen_registrations(
    world: &World,
) -> Result<()> {
    let owner = world.user("owner").await?;
    let mesh = world.mesh(&owner).await?;
    // A person's agent does not count.
    let person = NewAgent { kind: AgentKind::Human, ..mesh.new_agent(&owner, "@owner") };
    assert!(matches!(world.store.register_agent(person, 5).await?, Register::Created(_)));
    let tasks = (0..16).map(|n| {
        let (store, new) = (Arc::clone(&world.store), mesh.new_agent(&owner, &format!("a{n:02}")));
        tokio::spawn(async move { store.register_agent(new, 5).await })
    });
    let mut created = vec!["@owner".to_owned()];
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            Register::Created(agent) => created.push(agent.name),
            Register::LimitReached => {}
            other => panic!("the names are free, but: {other:?}"),
        }
    }
    created.sort();
    assert_eq!(created.len(), 6);
    assert_eq!(names(&mesh).await?, created);

    let person = NewAgent { kind: AgentKind::Human, ..mesh.new_agent(&owner, "@second") };
    assert!(matches!(world.store.register_agent(person, 5).await?, Register::Created(_)));
    let gone = mesh.find_named(&created[1]).await?;
    assert!(world.store.remove_agent(&mesh.id, &gone.id, T0).await?);
    let new = mesh.new_agent(&owner, "after");
    assert!(matches!(world.store.register_agent(new, 5).await?, Register::Created(_)));
    Ok(())
}

pub(crate) async fn one_name_raced_by_eight_registrations_is_one_agent(
    world: &World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let tasks = (0..8).map(|n| {
        let name = if n % 2 == 0 { "agent-b" } else { "AGENT-B" };
        let (store, new) = (Arc::clone(&world.store), mesh.new_agent(&mesh.owner, name));
        tokio::spawn(async move { store.register_agent(new, 0).await })
    });
    let (mut created, mut ids) = (0, Vec::new());
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            Register::Created(agent) => {
                created += 1;
                ids.push(agent.id);
            }
            Register::Existing(agent) => ids.push(agent.id),
            other => panic!("the user has the name, but: {other:?}"),
        }
    }
    ids.dedup();
    assert_eq!((created, ids.len()), (1, 1));
    assert_eq!(names(&mesh).await?.len(), 2);
    Ok(())
}

pub(crate) async fn a_change_replaces_what_is_given_and_nothing_else(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let change = AgentChange {
        name: Some("Agent-New".to_owned()),
        capabilities: Some(vec!["review".to_owned()]),
        wake: Some(Wake::Live),
        ..AgentChange::default()
    };
    let Change::Done(agent) = world.store.update_agent(&mesh.id, &a.id, change).await? else {
        panic!("nothing stands against it");
    };
    let expected = AgentRow {
        name: "Agent-New".to_owned(),
        capabilities: vec!["review".to_owned()],
        wake: Wake::Live,
        ..a.clone()
    };
    assert_eq!(agent, expected);
    assert_eq!(mesh.find(&a.id).await?, Some(expected));
    // The old name is free.
    mesh.agent("agent-a").await?;
    Ok(())
}

pub(crate) async fn a_new_name_must_be_free_in_any_case_of_its_letters(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    for name in ["agent-b", "Agent-B", b.id.as_str()] {
        let answer = rename(&mesh, &a, name).await?;
        assert!(matches!(answer, Change::NameTaken), "{name}: {answer:?}");
    }
    for name in ["AGENT-A", "agent-a", a.id.as_str(), "agent-c"] {
        let answer = rename(&mesh, &a, name).await?;
        assert!(matches!(&answer, Change::Done(row) if row.name == name), "{name}: {answer:?}");
    }
    let nobody = AgentRow { id: secret::agent_id(), ..a.clone() };
    assert!(matches!(rename(&mesh, &nobody, "agent-d").await?, Change::NoAgent));
    Ok(())
}

pub(crate) async fn no_agent_is_named_like_the_id_of_another(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let owner = &mesh.owner;
    let loud = NewAgent {
        id: "ABCDEFGHI".parse().expect("an agent id"),
        ..mesh.new_agent(owner, "agent-b")
    };
    let Register::Created(loud) = world.store.register_agent(loud, 0).await? else {
        panic!("the name is free");
    };
    for name in ["ABCDEFGHI", "abcdefghi"] {
        let answer = world.store.register_agent(mesh.new_agent(owner, name), 0).await?;
        assert!(matches!(answer, Register::NameTaken), "{answer:?}");
    }
    let own = rename(&mesh, &loud, "abcdefghi").await?;
    assert!(matches!(own, Change::Done(_)), "{own:?}");
    assert_eq!(names(&mesh).await?, ["abcdefghi", "agent-a"]);
    Ok(())
}

pub(crate) async fn a_removed_agent_is_gone_with_its_tokens_and_its_position(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let bound = |agent: &AgentRow, secret: &str| TokenRow {
        mesh: Some(mesh.id.clone()),
        agent: Some(agent.id.clone()),
        ..new_token(&mesh.owner.id, secret)
    };
    let of_mesh = TokenRow { agent: None, ..bound(&b, "mesh") };
    for token in [bound(&b, "b"), bound(&a, "a"), of_mesh] {
        assert_eq!(world.store.create_token(token, 0).await?, TokenMade::Created);
    }
    for secret in ["b", "a", "mesh"] {
        let (token, _) = world.store.token(&secret::digest(secret)).await?.expect("it is there");
        assert_eq!(token.revoked_at, None);
    }
    assert!(world.store.position(&mesh.id, &b.id).await?.is_some());

    assert!(world.store.remove_agent(&mesh.id, &b.id, T0 + 5).await?);
    for (secret, revoked_at) in [("b", Some(T0 + 5)), ("a", None), ("mesh", None)] {
        let (token, _) = world.store.token(&secret::digest(secret)).await?.expect("it is there");
        assert_eq!(token.revoked_at, revoked_at, "the token of {secret}");
    }
    assert_eq!(world.store.position(&mesh.id, &b.id).await?, None);
    assert_eq!(world.store.move_cursor(&mesh.id, &b.id, id(0), Move::Set).await?, None);
    assert_eq!(names(&mesh).await?, ["agent-a"]);
    assert!(!world.store.remove_agent(&mesh.id, &b.id, T0 + 6).await?);
    assert!(!world.store.remove_agent(&secret::mesh_id(), &a.id, T0 + 6).await?);
    Ok(())
}

pub(crate) async fn a_name_that_comes_again_is_another_agent(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let message = keyed(to_one(&b, &b, "to the first"), "key", T0 + 100);
    mesh.write(T0, vec![message.clone()]).await?;
    assert!(world.store.remove_agent(&mesh.id, &b.id, T0).await?);
    let second = mesh.agent("agent-b").await?;
    assert_ne!(second.id, b.id);
    assert_eq!(second.start, id(T0));
    assert_eq!(mesh.pages(&[inbox(&second)], MessageId::ZERO, 10).await?, []);
    let key = message.key.expect("it has one").key;
    assert_eq!(world.store.sent(&mesh.id, &second.id, &key, T0).await?, None);
    assert_eq!(mesh.find(&a.id).await?, Some(a));
    Ok(())
}

/// Does something that must raise the epoch, and holds the old one against the log.
async fn raises(mesh: &Mesh, a: &AgentRow, what: &str, act: impl Future) -> Result<()> {
    let before = mesh.epoch().await?;
    act.await;
    let roster = mesh.store.roster(&mesh.id).await?.expect("the mesh is there");
    assert!(mesh.epoch().await? > before, "{what}");
    assert_eq!(roster.epoch, mesh.epoch().await?, "{what}");
    let batch = mesh.batch(before, T0, vec![to_all(a, what)]);
    assert_eq!(mesh.store.append(batch).await?, Appended::EpochMoved, "{what}");
    let batch = mesh.batch(roster.epoch, T0, vec![to_all(a, what)]);
    let answer = mesh.store.append(batch).await?;
    assert!(matches!(answer, Appended::Written { .. }), "{what}: {answer:?}");
    assert_eq!(mesh.epoch().await?, roster.epoch, "an append is no change of who is there");
    Ok(())
}

pub(crate) async fn every_change_raises_the_epoch(world: &World) -> Result<()> {
    let owner = world.store.sign_in_github(github(1, "ann")).await?;
    let mesh = world.mesh(&owner).await?;
    let a = mesh.agent("agent-a").await?;
    let b = mesh.agent("agent-b").await?;
    let store = &world.store;
    raises(&mesh, &a, "a new agent", mesh.agent("agent-c")).await?;
    raises(&mesh, &a, "a new name", rename(&mesh, &b, "agent-d")).await?;
    let host = AgentChange { host: Some("here".to_owned()), ..AgentChange::default() };
    raises(&mesh, &a, "a new host", store.update_agent(&mesh.id, &b.id, host.clone())).await?;
    let again = NewAgent {
        fields: AgentChange { host: Some("there".to_owned()), ..host },
        ..mesh.new_agent(&owner, "agent-d")
    };
    raises(&mesh, &a, "registered again", store.register_agent(again, 0)).await?;
    raises(&mesh, &a, "a removal", store.remove_agent(&mesh.id, &b.id, T0)).await?;
    let named = MeshChange { name: Some("theirs".to_owned()), paused: None };
    raises(&mesh, &a, "a new name of the mesh", store.update_mesh(&mesh.id, named)).await?;
    for paused in [true, false] {
        let change = MeshChange { name: None, paused: Some(paused) };
        raises(&mesh, &a, "a pause", store.update_mesh(&mesh.id, change)).await?;
    }
    raises(&mesh, &a, "a new login", store.sign_in_github(github(1, "anna"))).await?;
    raises(&mesh, &a, "a login taken over", store.sign_in_github(github(2, "anna"))).await
}

pub(crate) async fn a_change_in_one_mesh_leaves_the_epoch_of_others(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let other = world.mesh(&mesh.owner).await?;
    let before = other.epoch().await?;
    rename(&mesh, &a, "agent-z").await?;
    world.store.remove_agent(&mesh.id, &a.id, T0).await?;
    world.store.delete_mesh(&mesh.id, T0).await?;
    assert_eq!(other.epoch().await?, before);
    Ok(())
}

pub(crate) async fn a_roster_shows_the_mesh_its_members_and_agents(
    world: &mut World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "Bob").await?;
    mesh.agent("B-first").await?;
    mesh.agent("c-second").await?;
    let change = MeshChange { name: Some("\"ours\"".to_owned()), paused: Some(true) };
    assert!(world.store.update_mesh(&mesh.id, change).await?);
    world.reopen().await;
    let roster = world.store.roster(&mesh.id).await?.expect("the mesh is there");
    assert_eq!(roster.mesh.id, mesh.id);
    assert_eq!((roster.mesh.name.as_str(), roster.mesh.paused), ("\"ours\"", true));
    assert_eq!(roster.mesh.created_at, T0);
    let members: Vec<_> = roster
        .members
        .iter()
        .map(|member| (member.user.clone(), member.login.as_str(), member.role))
        .collect();
    assert_eq!(
        members,
        [(bob.id, "Bob", Role::Member), (mesh.owner.id.clone(), "owner100", Role::Owner)]
    );
    let agents: Vec<_> = roster.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(agents, ["agent-a", "B-first", "c-second"]);

    let change = MeshChange { name: None, paused: Some(false) };
    assert!(world.store.update_mesh(&mesh.id, change.clone()).await?);
    let roster = world.store.roster(&mesh.id).await?.expect("the mesh is there");
    assert_eq!((roster.mesh.name.as_str(), roster.mesh.paused), ("\"ours\"", false));
    assert!(!world.store.update_mesh(&secret::mesh_id(), change).await?);
    Ok(())
}
