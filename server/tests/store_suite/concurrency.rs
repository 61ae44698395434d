//! Many at once: what each of them is promised alone still holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use meshwire_protocol::MessageId;
use meshwire_server::store::{
    AgentRow, Appended, Move, NewMessage, Register, Result, Stored, Stream,
};
use tokio::task::{JoinHandle, yield_now};

use crate::checker::{Attempt, Cursor, Sight, Tickets, check};
use crate::fixture::{DAY, Dice, Mesh, T0, World, contents, ids, inbox, keyed, to_all, to_one};

const WRITERS: usize = 8;
const EACH: usize = 100;

async fn all<T>(tasks: impl IntoIterator<Item = JoinHandle<Result<T>>>) -> Result<Vec<T>> {
    try_join_all(tasks).await.expect("no task panics").into_iter().collect()
}

/// Sends its messages in batches of one to four, each after the answer to the one before.
async fn write(
    mesh: Mesh,
    agents: Arc<Vec<AgentRow>>,
    sender: usize,
    tickets: Arc<Tickets>,
) -> Result<Vec<Attempt>> {
    let from = &agents[sender];
    let mut dice = Dice::new(u64::try_from(sender).expect("it is small"));
    let mut attempts = Vec::with_capacity(EACH);
    let epoch = mesh.epoch().await?;
    while attempts.len() < EACH {
        let size = (*dice.pick(&[1, 1, 1, 2, 4])).min(EACH - attempts.len());
        let batch: Vec<NewMessage> = (attempts.len()..attempts.len() + size)
            .map(|counter| {
                let text = Attempt::text(sender, counter);
                match dice.below(2) {
                    0 => to_all(from, &text),
                    _ => to_one(from, dice.pick(&agents), &text),
                }
            })
            .collect();
        let streams: Vec<Stream> = batch.iter().map(|draft| draft.stream.clone()).collect();
        // Clocks that differ, and do not always go forward.
        let now = T0 + i64::try_from(dice.below(5_000)).expect("it is small");
        let asked = tickets.draw();
        let answer = mesh.store.append(mesh.batch(epoch, now, batch)).await?;
        let answered = tickets.draw();
        let Appended::Written { follows, first } = answer else {
            panic!("nothing stands against it, but: {answer:?}");
        };
        assert!(follows < first);
        let ids = std::iter::successors(Some(first), |id| Some(id.next()));
        for (stream, id) in streams.into_iter().zip(ids) {
            attempts.push(Attempt {
                sender,
                counter: attempts.len(),
                stream,
                asked,
                answered: Some((answered, id)),
            });
        }
    }
    Ok(attempts)
}

/// Follows the log from its own cursor, acknowledging page by page, until all writers are done.
async fn follow(
    mesh: Mesh,
    reader: AgentRow,
    streams: Vec<Stream>,
    limit: u32,
    done: Arc<AtomicBool>,
) -> Result<Sight> {
    let mut sight = Sight::of(streams);
    loop {
        let last_look = done.load(Ordering::SeqCst);
        let position = mesh.store.position(&mesh.id, &reader.id).await?;
        let cursor = position.expect("the reader is there").cursor;
        sight.cursors.push(Cursor::Kept(cursor));
        let page = mesh.page(&sight.streams, cursor, limit).await?;
        for stored in &page.messages {
            sight.saw(stored.message.id, &stored.message.content);
        }
        // Whoever was shown a message can acknowledge it: the head is not behind it.
        assert!(mesh.head().await? >= page.seen_to, "the head is not behind what was read");
        if page.seen_to > cursor {
            let to = page.seen_to;
            let moved = mesh.store.move_cursor(&mesh.id, &reader.id, to, Move::Acknowledge).await?;
            sight.cursors.extend(moved.map(Cursor::Acknowledged));
            assert_eq!(moved, Some(to));
        } else if last_look && !page.more {
            return Ok(sight);
        } else {
            yield_now().await;
        }
    }
}

pub(crate) async fn all_readers_see_all_that_is_sent_in_one_order(world: &mut World) -> Result<()> {
    let (mesh, first) = world.mesh_with_agent().await?;
    let mut agents = vec![first];
    for n in 1..WRITERS {
        agents.push(mesh.agent(&format!("writer-{n}")).await?);
    }
    let agents = Arc::new(agents);
    let everything: Vec<Stream> =
        std::iter::once(Stream::All).chain(agents.iter().map(inbox)).collect();
    let (tickets, done) = (Arc::new(Tickets::default()), Arc::new(AtomicBool::new(false)));
    let mut readers = Vec::new();
    for (n, (streams, limit)) in [
        (everything.clone(), 1_000),
        (everything.clone(), 7),
        (vec![Stream::All, inbox(&agents[0])], 3),
        (vec![inbox(&agents[1]), inbox(&agents[2])], 100),
    ]
    .into_iter()
    .enumerate()
    {
        let reader = mesh.agent(&format!("reader-{n}")).await?;
        readers.push((reader, streams, limit));
    }

    let readers: Vec<_> = readers
        .into_iter()
        .map(|(reader, streams, limit)| {
            tokio::spawn(follow(mesh.clone(), reader, streams, limit, Arc::clone(&done)))
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| tokio::spawn(write(mesh.clone(), Arc::clone(&agents), n, Arc::clone(&tickets))))
        .collect();
    let attempts = all(writers).await?.concat();
    done.store(true, Ordering::SeqCst);
    let sights = all(readers).await?;
    assert_eq!(attempts.len(), WRITERS * EACH);

    // What is there after a restart is what all of them have seen.
    world.reopen().await;
    let mut log = Sight::of(everything);
    for stored in mesh.on(world).pages(&log.streams, MessageId::ZERO, 100).await? {
        log.saw(stored.message.id, &stored.message.content);
    }
    assert_eq!(log.read, sights[0].read);
    assert_eq!(check(&attempts, &sights, &log), Ok(()));
    Ok(())
}

pub(crate) async fn sends_that_are_repeated_at_once_are_sent_once_and_in_order(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let epoch = mesh.epoch().await?;
    let tasks = (0..4).map(|sender| {
        let (mesh, a) = (mesh.clone(), a.clone());
        tokio::spawn(async move {
            for counter in 0..30 {
                let text = Attempt::text(sender, counter);
                let batch = || {
                    let message = keyed(to_all(&a, &text), &text, T0 + DAY);
                    mesh.store.append(mesh.batch(epoch, T0, vec![message]))
                };
                let (one, two) = tokio::join!(batch(), batch());
                let first = match (one?, two?) {
                    (Appended::Written { first, .. }, Appended::KeysTaken(places))
                    | (Appended::KeysTaken(places), Appended::Written { first, .. }) => {
                        assert_eq!(places, [0]);
                        first
                    }
                    other => panic!("one of them is first, but: {other:?}"),
                };
                let record = mesh.store.sent(&mesh.id, &a.id, &text, T0).await?;
                assert_eq!(record.map(|record| record.id), Some(first));
            }
            Ok(())
        })
    });
    all(tasks.collect::<Vec<_>>()).await?;

    let log = mesh.broadcasts().await?;
    for sender in 0..4 {
        let own = format!("{sender}-");
        let own: Vec<&str> =
            contents(&log).into_iter().filter(|text| text.starts_with(&own)).collect();
        let expected: Vec<String> = (0..30).map(|n| Attempt::text(sender, n)).collect();
        assert_eq!(own, expected);
    }
    Ok(())
}

/// Appends broadcasts until told to stop, resolving again when the epoch has moved.
fn keep_sending(mesh: &Mesh, from: &AgentRow, stop: &Arc<AtomicBool>) -> JoinHandle<Result<usize>> {
    let (mesh, from, stop) = (mesh.clone(), from.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut written = 0;
        while !stop.load(Ordering::SeqCst) {
            if let Appended::Written { .. } = mesh.append(T0, vec![to_all(&from, "m")]).await? {
                written += 1;
            }
        }
        Ok(written)
    })
}

pub(crate) async fn what_was_read_is_never_ahead_of_the_head(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = keep_sending(&mesh, &a, &stop);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mesh = mesh.clone();
            tokio::spawn(async move {
                let (mut after, mut pages) = (MessageId::ZERO, 0);
                while pages < 300 {
                    let page = mesh.page(&[Stream::All], after, 100).await?;
                    assert!(mesh.head().await? >= page.seen_to, "who reads it can acknowledge it");
                    pages += usize::from(page.seen_to > after);
                    after = page.seen_to;
                }
                Ok(())
            })
        })
        .collect();
    all(readers).await?;
    stop.store(true, Ordering::SeqCst);
    all([writer]).await?;
    Ok(())
}

pub(crate) async fn a_new_agent_gets_exactly_what_is_appended_after_it(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let writers = [keep_sending(&mesh, &a, &stop), keep_sending(&mesh, &a, &stop)];
    let mut agents = Vec::new();
    for n in 0..25 {
        let before = mesh.head().await?;
        let agent = mesh.agent(&format!("new-{n}")).await?;
        let after = mesh.head().await?;
        assert!(before <= agent.start && agent.start <= after, "it starts at the head of then");
        assert_eq!(agent.cursor, agent.start);
        agents.push(agent);
        // Let the log move on before the next one.
        while mesh.head().await? == after {
            yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    let written: usize = all(writers).await?.into_iter().sum();

    let log = mesh.broadcasts().await?;
    assert_eq!(log.len(), written);
    for agent in agents {
        let read = mesh.pages(&[Stream::All, inbox(&agent)], agent.start, 1_000).await?;
        let expected: Vec<&Stored> =
            log.iter().filter(|stored| stored.message.id > agent.start).collect();
        assert_eq!(read.iter().collect::<Vec<_>>(), expected);
    }
    Ok(())
}

pub(crate) async fn nothing_reaches_an_agent_after_its_removal_was_answered(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    for round in 0..8 {
        let victim = mesh.agent(&format!("victim-{round}")).await?;
        let (removed, landed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let writers: Vec<_> = (0..3)
            .map(|_| {
                let (mesh, a, victim) = (mesh.clone(), a.clone(), victim.clone());
                let (removed, landed) = (Arc::clone(&removed), Arc::clone(&landed));
                tokio::spawn(async move {
                    // Goes on under the epoch in which the victim was there, also when it is gone.
                    let epoch = mesh.epoch().await?;
                    let mut refused = 0;
                    while refused < 3 {
                        let was_removed = removed.load(Ordering::SeqCst);
                        let batch = mesh.batch(epoch, T0, vec![to_one(&a, &victim, "m")]);
                        match mesh.store.append(batch).await? {
                            Appended::Written { .. } => {
                                assert!(!was_removed, "the removal was answered before");
                                landed.fetch_add(1, Ordering::SeqCst);
                            }
                            Appended::EpochMoved => refused += 1,
                            other => panic!("the mesh is there: {other:?}"),
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        while landed.load(Ordering::SeqCst) < 5 {
            yield_now().await;
        }
        assert!(mesh.store.remove_agent(&mesh.id, &victim.id, T0).await?);
        removed.store(true, Ordering::SeqCst);
        let head = mesh.head().await?;
        all(writers).await?;
        let sent = mesh.pages(&[inbox(&victim)], MessageId::ZERO, 1_000).await?;
        assert_eq!(sent.len(), landed.load(Ordering::SeqCst));
        assert!(ids(&sent).into_iter().all(|id| id <= head));
        assert_eq!(mesh.head().await?, head);
    }
    Ok(())
}

pub(crate) async fn a_deletion_ends_all_that_race_it(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let deleted = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let (mesh, a) = (mesh.clone(), a.clone());
            let (deleted, written) = (Arc::clone(&deleted), Arc::clone(&written));
            tokio::spawn(async move {
                loop {
                    let was_deleted = deleted.load(Ordering::SeqCst);
                    let there = mesh.store.head(&mesh.id).await?;
                    assert!(there.is_none() || !was_deleted, "gone is gone");
                    let name = format!("agent-{n}-{}", written.load(Ordering::SeqCst));
                    let new = mesh.new_agent(&mesh.owner, &name);
                    let registered = mesh.store.register_agent(new, 0).await?;
                    assert!(matches!(registered, Register::NoMesh) || !was_deleted);
                    let epoch = there.map_or(1, |head| head.epoch);
                    let batch = mesh.batch(epoch, T0, vec![to_all(&a, "m")]);
                    match mesh.store.append(batch).await? {
                        Appended::NoMesh => return Ok(()),
                        _ => assert!(!was_deleted),
                    }
                    written.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    while written.load(Ordering::SeqCst) < 20 {
        yield_now().await;
    }
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    deleted.store(true, Ordering::SeqCst);
    all(tasks).await?;
    while world.purge(T0).await? {}
    assert_eq!(world.left_of(&mesh).await, 0);
    Ok(())
}
