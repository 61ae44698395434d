//! The three numbers of an agent.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::MessageId;
use meshwire_server::secret;
use meshwire_server::store::{AgentRow, Micros, Move, Position, Result, Seen};

use crate::fixture::{Mesh, T0, World, id, to_all};

/// A mesh with an agent and ten messages after it: `T0` to `T0 + 9`.
async fn with_ten(world: &World) -> Result<(Mesh, AgentRow)> {
    let (mesh, a) = world.mesh_with_agent().await?;
    mesh.write(T0, vec![to_all(&a, "m"); 10]).await?;
    Ok((mesh, a))
}

async fn moved(mesh: &Mesh, agent: &AgentRow, to: Micros, how: Move) -> Result<Micros> {
    let cursor = mesh.store.move_cursor(&mesh.id, &agent.id, id(to), how).await?;
    let cursor = cursor.expect("the agent is there");
    assert_eq!(position(mesh, agent).await?.cursor, cursor, "the position agrees at once");
    Ok(cursor.get())
}

async fn position(mesh: &Mesh, agent: &AgentRow) -> Result<Position> {
    Ok(mesh.store.position(&mesh.id, &agent.id).await?.expect("the agent is there"))
}

pub(crate) async fn an_acknowledgement_only_moves_forward(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    for (to, expected) in [(T0 + 3, T0 + 3), (T0 + 1, T0 + 3), (T0 + 3, T0 + 3), (T0 + 7, T0 + 7)] {
        assert_eq!(moved(&mesh, &a, to, Move::Acknowledge).await?, expected);
    }
    assert_eq!(moved(&mesh, &a, 0, Move::Acknowledge).await?, T0 + 7);
    Ok(())
}

pub(crate) async fn setting_a_cursor_moves_it_both_ways(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    for to in [T0 + 5, T0 + 2, 0, T0 + 9] {
        assert_eq!(moved(&mesh, &a, to, Move::Set).await?, to);
    }
    Ok(())
}

pub(crate) async fn a_cursor_never_goes_beyond_the_head(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    assert_eq!(moved(&mesh, &a, T0, Move::Acknowledge).await?, 0, "nothing was sent yet");
    mesh.write(T0, vec![to_all(&a, "1")]).await?;
    assert_eq!(moved(&mesh, &a, T0 + 1, Move::Acknowledge).await?, T0);
    assert_eq!(moved(&mesh, &a, MessageId::MAX.get(), Move::Set).await?, T0);
    mesh.write(T0 + 1, vec![to_all(&a, "2")]).await?;
    assert_eq!(position(&mesh, &a).await?.cursor, id(T0));
    Ok(())
}

pub(crate) async fn a_cursor_is_there_after_a_restart(world: &mut World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    moved(&mesh, &a, T0 + 6, Move::Acknowledge).await?;
    seen(&mesh, &[(&a, T0 + 77, T0 + 8)]).await?;
    let expected = Position { start: MessageId::ZERO, handed: id(T0 + 8), cursor: id(T0 + 6) };
    assert_eq!(position(&mesh, &a).await?, expected);
    world.reopen().await;
    let mesh = mesh.on(world);
    assert_eq!(position(&mesh, &a).await?, expected);
    let row = mesh.find(&a.id).await?.expect("the agent is there");
    assert_eq!((row.start, row.cursor, row.last_seen), (id(0), id(T0 + 6), Some(T0 + 77)));
    assert_eq!(moved(&mesh, &a, T0 + 2, Move::Set).await?, T0 + 2);
    world.reopen().await;
    assert_eq!(position(&mesh.on(world), &a).await?.cursor, id(T0 + 2));
    Ok(())
}

pub(crate) async fn who_is_not_there_has_no_cursor(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    for (mesh, agent) in [(&mesh.id, &secret::agent_id()), (&secret::mesh_id(), &a.id)] {
        assert_eq!(world.store.position(mesh, agent).await?, None);
        for how in [Move::Acknowledge, Move::Set] {
            assert_eq!(world.store.move_cursor(mesh, agent, id(T0), how).await?, None);
        }
    }
    Ok(())
}

pub(crate) async fn one_cursor_moves_and_no_other(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    let b = mesh.agent("agent-b").await?;
    let (before, epoch) = (position(&mesh, &b).await?, mesh.epoch().await?);
    moved(&mesh, &a, T0 + 4, Move::Set).await?;
    seen(&mesh, &[(&a, T0 + 1, T0 + 4)]).await?;
    assert_eq!(position(&mesh, &b).await?, before);
    assert_eq!(mesh.epoch().await?, epoch, "who is in the mesh has not changed");
    Ok(())
}

pub(crate) async fn racing_acknowledgements_end_at_the_largest(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    mesh.write(T0, vec![to_all(&a, "m"); 200]).await?;
    let tasks = (0..8).map(|task| {
        let (store, mesh, a) = (Arc::clone(&world.store), mesh.id.clone(), a.id.clone());
        tokio::spawn(async move {
            let mut last = MessageId::ZERO;
            for step in 0..20 {
                let to = id(T0 + step * 8 + task);
                let cursor = store.move_cursor(&mesh, &a, to, Move::Acknowledge).await?;
                let cursor = cursor.expect("the agent is there");
                assert!(cursor >= to && cursor >= last, "it never moves back");
                last = cursor;
            }
            Ok(())
        })
    });
    for done in try_join_all(tasks).await.expect("no task panics") {
        done?;
    }
    assert_eq!(position(&mesh, &a).await?.cursor, id(T0 + 159));
    Ok(())
}

pub(crate) async fn moves_that_come_together_are_each_answered(world: &World) -> Result<()> {
    let (one, a) = with_ten(world).await?;
    let (other, x) = with_ten(world).await?;
    let (b, c) = (one.agent("agent-b").await?, one.agent("agent-c").await?);
    moved(&one, &b, T0 + 8, Move::Acknowledge).await?;
    let (nobody, nowhere) = (secret::agent_id(), secret::mesh_id());
    let moves = [
        (&one.id, &a.id, T0 + 3, Move::Acknowledge, Some(T0 + 3)),
        // Each by its own rule, and not beyond the head of its own mesh.
        (&one.id, &b.id, T0 + 2, Move::Set, Some(T0 + 2)),
        (&one.id, &c.id, 0, Move::Acknowledge, Some(T0 + 9)),
        (&other.id, &x.id, MessageId::MAX.get(), Move::Acknowledge, Some(T0 + 9)),
        (&one.id, &nobody, T0, Move::Acknowledge, None),
        (&nowhere, &a.id, T0, Move::Set, None),
        // The agent of one mesh is nobody in the other.
        (&other.id, &a.id, T0, Move::Set, None),
    ];
    // The first has the store busy while the others gather; with an append in between, too.
    for append in [false, true] {
        if append {
            moved(&one, &a, 0, Move::Set).await?;
            moved(&one, &b, T0 + 8, Move::Set).await?;
        }
        let all = try_join_all(moves.iter().map(async |(mesh, agent, to, how, _)| {
            world.store.move_cursor(mesh, agent, id(*to), *how).await
        }));
        let appended = async {
            if append {
                other.write(T0 + 20, vec![to_all(&x, "meanwhile")]).await.map(drop)
            } else {
                Ok(())
            }
        };
        let (cursors, appended) = tokio::join!(all, appended);
        appended?;
        for (cursor, (_, agent, to, _, expected)) in cursors?.into_iter().zip(&moves) {
            let cursor = cursor.map(MessageId::get);
            let at_head = append && *to == MessageId::MAX.get() && cursor == Some(T0 + 20);
            assert!(cursor == *expected || at_head, "{agent} to {to}: {cursor:?}");
        }
        assert_eq!(position(&one, &a).await?.cursor, id(T0 + 3));
        assert_eq!(position(&one, &b).await?.cursor, id(T0 + 2));
    }
    Ok(())
}

async fn seen(mesh: &Mesh, seen: &[(&AgentRow, Micros, Micros)]) -> Result<()> {
    let seen: Vec<Seen> = seen
        .iter()
        .map(|(agent, at, handed)| Seen {
            mesh: mesh.id.clone(),
            agent: agent.id.clone(),
            at: *at,
            read_at: None,
            handed: id(*handed),
        })
        .collect();
    mesh.store.note_seen(&seen).await
}

async fn handed_and_seen(mesh: &Mesh, agent: &AgentRow) -> Result<(Micros, Option<Micros>)> {
    let row = mesh.find(&agent.id).await?.expect("the agent is there");
    Ok((position(mesh, agent).await?.handed.get(), row.last_seen))
}

pub(crate) async fn what_was_seen_is_merged_by_max(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    let b = mesh.agent("agent-b").await?;
    assert_eq!(handed_and_seen(&mesh, &a).await?, (0, None));
    seen(&mesh, &[(&a, T0 + 20, T0 + 4), (&b, T0 + 30, T0 + 9)]).await?;
    assert_eq!(handed_and_seen(&mesh, &a).await?, (T0 + 4, Some(T0 + 20)));
    assert_eq!(handed_and_seen(&mesh, &b).await?, (T0 + 9, Some(T0 + 30)));
    // Each of the two on its own.
    seen(&mesh, &[(&a, T0 + 10, T0 + 6)]).await?;
    assert_eq!(handed_and_seen(&mesh, &a).await?, (T0 + 6, Some(T0 + 20)));
    seen(&mesh, &[(&a, T0 + 40, T0 + 1)]).await?;
    assert_eq!(handed_and_seen(&mesh, &a).await?, (T0 + 6, Some(T0 + 40)));
    assert_eq!(position(&mesh, &a).await?.cursor, id(0), "handing out is not acknowledging");
    seen(&mesh, &[]).await
}

pub(crate) async fn what_was_seen_twice_in_one_call_is_merged_too(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    seen(&mesh, &[(&a, T0 + 1, T0 + 1), (&a, T0 + 2, T0 + 8), (&a, T0 + 3, T0 + 2)]).await?;
    assert_eq!(handed_and_seen(&mesh, &a).await?, (T0 + 8, Some(T0 + 3)));
    Ok(())
}

pub(crate) async fn nobody_is_made_by_being_seen(world: &World) -> Result<()> {
    let (mesh, a) = with_ten(world).await?;
    let b = mesh.agent("agent-b").await?;
    assert!(world.store.remove_agent(&mesh.id, &b.id, T0).await?);
    seen(&mesh, &[(&b, T0 + 9, T0 + 9), (&a, T0 + 1, T0 + 1)]).await?;
    assert_eq!(world.store.position(&mesh.id, &b.id).await?, None);
    assert_eq!(mesh.find(&b.id).await?, None);
    assert_eq!(handed_and_seen(&mesh, &a).await?, (T0 + 1, Some(T0 + 1)));
    Ok(())
}
