//! Trimming: only from the oldest end, for everyone at once, and never in silence.

use std::sync::Arc;

use meshwire_protocol::{MeshId, MessageId};
use meshwire_server::secret;
use meshwire_server::store::{
    AgentRow, Micros, Move, NewAgent, Register, Result, Seen, Stored, Stream, Visibility,
};

use crate::fixture::{DAY, Mesh, SECOND, T0, World, contents, id, ids, inbox, to_all, to_one};

/// A mesh with two agents and ten messages, each in a batch of its own: at `T0`, `T0 + SECOND`, …; every
/// other one from the first agent to the second, the rest to all.
async fn with_ten(world: &World) -> Result<(Mesh, AgentRow, AgentRow)> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    for n in 0..10 {
        let text = n.to_string();
        let draft = if n % 2 == 0 { to_all(&a, &text) } else { to_one(&a, &b, &text) };
        mesh.write(at(n), vec![draft]).await?;
    }
    Ok((mesh, a, b))
}

fn at(message: i64) -> Micros {
    T0 + message * SECOND
}

async fn trim(mesh: &Mesh, to: Micros) -> Result<Micros> {
    let trimmed = mesh.store.trim(&mesh.id, id(to)).await?.expect("the mesh is there");
    let head = mesh.store.head(&mesh.id).await?.expect("the mesh is there");
    assert_eq!(head.trimmed, trimmed, "the head agrees at once");
    assert!(trimmed <= head.head);
    Ok(trimmed.get())
}

async fn history(mesh: &Mesh, agent: &AgentRow, limit: u32) -> Result<Vec<Stored>> {
    let visible = Visibility { agents: vec![agent.id.clone()] };
    let (mut all, mut before) = (Vec::new(), MessageId::MAX);
    loop {
        let page = mesh.store.history(&mesh.id, &visible, before, limit).await?;
        all.extend(page.messages);
        match page.before {
            Some(next) => before = next,
            None => return Ok(all),
        }
    }
}

pub(crate) async fn the_trim_point_is_a_message_and_moves_only_forward(
    world: &mut World,
) -> Result<()> {
    let (mesh, ..) = with_ten(world).await?;
    let (head, epoch) = (mesh.head().await?, mesh.epoch().await?);
    for (to, expected) in [
        (0, 0),
        (at(0) - 1, 0),
        (at(3), at(3)),
        (at(3) + 1, at(3)),
        (at(5) - 1, at(4)),
        (at(2), at(4)),
        (0, at(4)),
        (at(7), at(7)),
        (MessageId::MAX.get(), at(9)),
        (at(1), at(9)),
    ] {
        assert_eq!(trim(&mesh, to).await?, expected, "up to {to}");
        world.store.delete_trimmed(&mesh.id).await?;
    }
    assert_eq!((mesh.head().await?, mesh.epoch().await?), (head, epoch), "nothing else moves");
    world.reopen().await;
    assert_eq!(trim(&mesh.on(world), at(1)).await?, at(9));
    Ok(())
}

pub(crate) async fn what_is_trimmed_is_gone_for_every_reader_at_once(
    world: &mut World,
) -> Result<()> {
    let (mut mesh, _, b) = with_ten(world).await?;
    let streams = [Stream::All, inbox(&b)];
    assert_eq!(trim(&mesh, at(5)).await?, at(5));
    // As it is right after, after a restart, and when the rows are gone.
    for round in 0..3 {
        for after in [0, at(0), at(4), at(5)] {
            let page = mesh.page(&streams, id(after), 100).await?;
            assert_eq!(contents(&page.messages), ["6", "7", "8", "9"], "round {round}");
            assert_eq!((page.trimmed, page.seen_to, page.more), (id(at(5)), id(at(9)), false));
            let page = mesh.page(&streams, id(after), 1).await?;
            assert_eq!((contents(&page.messages), page.more), (vec!["6"], true));
        }
        for n in 0..10 {
            let found = world.store.message(&mesh.id, id(at(n))).await?;
            assert_eq!(found.is_some(), n > 5, "round {round}: message {n}");
        }
        for limit in [1, 3, 4, 100] {
            let shown = history(&mesh, &b, limit).await?;
            assert_eq!(contents(&shown), ["9", "8", "7", "6"], "round {round}, pages of {limit}");
        }
        if round == 0 {
            world.reopen().await;
            mesh = mesh.on(world);
        } else {
            while world.store.delete_trimmed(&mesh.id).await? {}
        }
    }
    Ok(())
}

pub(crate) async fn a_trimmed_log_goes_on_and_may_be_trimmed_whole(world: &World) -> Result<()> {
    let (mesh, a, b) = with_ten(world).await?;
    assert_eq!(trim(&mesh, at(9)).await?, at(9));
    while world.store.delete_trimmed(&mesh.id).await? {}
    let page = mesh.page(&[Stream::All], MessageId::ZERO, 100).await?;
    assert_eq!((page.messages.len(), page.seen_to, page.more), (0, id(at(9)), false));
    assert_eq!(history(&mesh, &b, 5).await?, []);

    // The ids go on above, an agent starts there, and a cursor is put anywhere.
    assert_eq!(mesh.write(T0, vec![to_all(&a, "next")]).await?, id(at(9) + 1));
    let c = mesh.agent("agent-c").await?;
    assert_eq!(c.start, id(at(9) + 1));
    let moved = world.store.move_cursor(&mesh.id, &b.id, id(at(2)), Move::Set).await?;
    assert_eq!(moved, Some(id(at(2))), "below the trim point too: its reader is told of the gap");
    assert_eq!(contents(&mesh.broadcasts().await?), ["next"]);
    Ok(())
}

pub(crate) async fn trimmed_messages_are_removed_in_bounded_steps(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let (other, b) = world.mesh_with_agent().await?;
    for n in 0..30 {
        mesh.write(at(n), vec![to_all(&a, "x"); 100]).await?;
        other.write(at(n), vec![to_all(&b, "x"); 10]).await?;
    }
    let (all, others) = (world.left_of(&mesh).await, world.left_of(&other).await);
    assert!(!world.store.delete_trimmed(&mesh.id).await?, "there is nothing to remove yet");
    // The end of the twentieth batch.
    let end = at(19) + 99;
    assert_eq!(trim(&mesh, end).await?, end);
    assert_eq!(world.left_of(&mesh).await, all, "first the trim point alone");

    let mut left = all;
    while world.store.delete_trimmed(&mesh.id).await? {
        mesh.write(at(40), vec![to_all(&a, "meanwhile")]).await?;
        let now = world.left_of(&mesh).await - 1;
        assert!((1..=1_000).contains(&(left - now)), "one step removed {} rows", left - now);
        left = now + 1;
    }
    let kept = mesh.broadcasts().await?;
    let meanwhile = kept.iter().filter(|stored| stored.message.content == "meanwhile").count();
    assert!(meanwhile >= 2, "it took several steps");
    assert_eq!(kept.len(), 1_000 + meanwhile, "what is newer stays");
    assert_eq!(world.left_of(&other).await, others, "another mesh is left alone");
    assert!(!world.store.delete_trimmed(&mesh.id).await?);
    Ok(())
}

pub(crate) async fn a_trim_that_overtakes_a_reader_never_skips_in_silence(
    world: &World,
) -> Result<()> {
    const MESSAGES: usize = 300;
    let (mesh, a) = world.mesh_with_agent().await?;
    for n in 0..MESSAGES {
        mesh.write(T0, vec![to_all(&a, &n.to_string())]).await?;
    }
    let all = ids(&mesh.broadcasts().await?);
    let (trimmer, points) = (mesh.clone(), all.clone());
    let trimming = tokio::spawn(async move {
        for point in points.iter().step_by(7) {
            trimmer.store.trim(&trimmer.id, *point).await?;
            trimmer.store.delete_trimmed(&trimmer.id).await?;
        }
        Ok(())
    });
    for limit in [1, 2, 5, 11] {
        let mut after = MessageId::ZERO;
        loop {
            let page = mesh.page(&[Stream::All], after, limit).await?;
            // Without a gap, the page begins right after the position.
            let next = all.iter().find(|id| **id > after.max(page.trimmed));
            assert_eq!(page.messages.first().map(|stored| &stored.message.id), next);
            let begin = next.map_or(0, |next| all.partition_point(|id| id < next));
            let found = ids(&page.messages);
            assert_eq!(found, all[begin..begin + found.len()], "and has no hole");
            after = page.seen_to;
            if !page.more {
                break;
            }
        }
        assert_eq!(after, all[MESSAGES - 1]);
    }
    trimming.await.expect("no task panics")
}

async fn reads(mesh: &Mesh, agent: &AgentRow, read_at: Option<Micros>) -> Result<()> {
    let (mesh_id, at) = (mesh.id.clone(), T0 + 90 * DAY);
    let seen =
        Seen { mesh: mesh_id, agent: agent.id.clone(), at, read_at, handed: MessageId::ZERO };
    mesh.store.note_seen(&[seen]).await
}

async fn holds(mesh: &Mesh, since: Micros) -> Result<bool> {
    Ok(mesh.store.held_from(&mesh.id, since).await?.is_some())
}

pub(crate) async fn an_agent_holds_from_its_registration_and_its_last_reading_on(
    world: &mut World,
) -> Result<()> {
    let (mut mesh, a) = world.mesh_with_agent().await?;
    assert!(holds(&mesh, T0).await?, "from its registration on");
    assert!(!holds(&mesh, T0 + 1).await?);
    reads(&mesh, &a, None).await?;
    assert!(!holds(&mesh, T0 + 1).await?, "being seen is not reading");
    for (read_at, last) in
        [(T0 + 5 * DAY, 5), (T0 + 3 * DAY, 5), (T0 + 8 * DAY, 8)].map(|(at, n)| (at, T0 + n * DAY))
    {
        reads(&mesh, &a, Some(read_at)).await?;
        reads(&mesh, &a, None).await?;
        assert!(holds(&mesh, last).await?);
        assert!(!holds(&mesh, last + 1).await?);
    }
    world.reopen().await;
    mesh = mesh.on(world);
    assert!(holds(&mesh, T0 + 8 * DAY).await?);
    assert!(world.store.remove_agent(&mesh.id, &a.id, T0).await?);
    assert!(!holds(&mesh, 0).await?, "who is gone holds nothing");
    Ok(())
}

pub(crate) async fn the_smallest_cursor_holds(world: &World) -> Result<()> {
    let (mesh, a, b) = with_ten(world).await?;
    let later = NewAgent { now: T0 + DAY, ..mesh.new_agent(&mesh.owner, "agent-c") };
    let Register::Created(c) = world.store.register_agent(later, 0).await? else {
        panic!("the name is free");
    };
    for (agent, cursor) in [(&a, at(7)), (&b, at(3)), (&c, at(5))] {
        world.store.move_cursor(&mesh.id, &agent.id, id(cursor), Move::Set).await?;
    }
    let held = async |since| world.store.held_from(&mesh.id, since).await;
    assert_eq!(held(T0).await?, Some(id(at(3))));
    assert_eq!(held(T0 + 1).await?, Some(id(at(5))), "the others hold nothing");
    reads(&mesh, &a, Some(T0 + 2 * DAY)).await?;
    assert_eq!(held(T0 + 1).await?, Some(id(at(5))));
    assert_eq!(held(T0 + DAY + 1).await?, Some(id(at(7))));
    assert_eq!(held(T0 + 2 * DAY + 1).await?, None);
    let elsewhere = world.mesh_with_agent().await?.0;
    assert_eq!(world.store.held_from(&elsewhere.id, T0).await?, Some(MessageId::ZERO));
    assert_eq!(held(T0).await?, Some(id(at(3))), "agents of another mesh do not count");
    Ok(())
}

pub(crate) async fn all_meshes_are_listed_page_by_page(world: &World) -> Result<()> {
    assert_eq!(world.store.meshes(None, 10).await?, []);
    let (ann, bob) = (world.user("ann").await?, world.user("bob").await?);
    let mut made = Vec::new();
    for n in 0..7 {
        made.push(world.mesh(if n % 2 == 0 { &ann } else { &bob }).await?.id);
    }
    let deleted = made.swap_remove(3);
    assert!(world.store.delete_mesh(&deleted, T0).await?);
    made.sort();
    for limit in [1, 2, 3, 6, 100] {
        let (mut all, mut last): (Vec<MeshId>, Option<MeshId>) = (Vec::new(), None);
        loop {
            let page = world.store.meshes(last.as_ref(), limit).await?;
            assert!(page.len() <= limit as usize);
            all.extend(page.iter().cloned());
            match page.last() {
                Some(mesh) => last = Some(mesh.clone()),
                None => break,
            }
        }
        all.sort();
        assert_eq!(all, made, "pages of {limit}");
    }
    Ok(())
}

pub(crate) async fn where_there_is_no_mesh_nothing_is_trimmed(world: &World) -> Result<()> {
    let (mesh, ..) = with_ten(world).await?;
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    let store = Arc::clone(&world.store);
    for mesh in [mesh.id, secret::mesh_id()] {
        assert_eq!(store.trim(&mesh, id(at(9))).await?, None);
        assert!(!store.delete_trimmed(&mesh).await?);
        assert_eq!(store.held_from(&mesh, 0).await?, None);
    }
    Ok(())
}
