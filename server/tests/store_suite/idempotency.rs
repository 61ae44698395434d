//! Idempotency keys: the same one never gives two messages.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_server::secret;
use meshwire_server::store::{Appended, NewAgent, Register, Result, SentRecord};

use crate::fixture::{DAY, T0, World, contents, id, keyed, to_all};

/// The places that were refused, in order.
fn places(answer: Appended) -> Vec<usize> {
    match answer {
        Appended::KeysTaken(mut places) => {
            places.sort_unstable();
            places
        }
        other => panic!("a key is taken, but: {other:?}"),
    }
}

pub(crate) async fn a_taken_key_is_named_and_nothing_of_its_batch_is_written(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let draft = |content: &str, key: &str| keyed(to_all(&a, content), key, T0 + DAY);
    mesh.write(T0, vec![draft("one", "k1"), draft("two", "k2")]).await?;
    let before = world.store.head(&mesh.id).await?;

    let batch =
        vec![draft("three", "k1"), to_all(&a, "four"), draft("five", "k3"), draft("six", "k2")];
    assert_eq!(places(mesh.append(T0 + 10, batch).await?), [0, 3]);
    assert_eq!(world.store.head(&mesh.id).await?, before);
    assert_eq!(contents(&mesh.broadcasts().await?), ["one", "two"]);
    assert_eq!(world.store.sent(&mesh.id, &a.id, "k3", T0 + 10).await?, None);
    let first = SentRecord { fingerprint: secret::digest("one"), id: id(T0) };
    assert_eq!(world.store.sent(&mesh.id, &a.id, "k1", T0 + 10).await?, Some(first));

    // What was free is free again.
    mesh.write(T0 + 20, vec![draft("five", "k3")]).await?;
    Ok(())
}

pub(crate) async fn a_key_is_free_for_another_agent_and_in_another_mesh(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let other = world.mesh(&mesh.owner).await?;
    // The same agent id, so that only the mesh tells them apart.
    let same = NewAgent { id: a.id.clone(), ..other.new_agent(&other.owner, "agent-a") };
    assert!(matches!(world.store.register_agent(same, 0).await?, Register::Created(_)));

    mesh.write(T0, vec![keyed(to_all(&a, "a"), "key", T0 + DAY)]).await?;
    mesh.write(T0 + 1, vec![keyed(to_all(&b, "b"), "key", T0 + DAY)]).await?;
    other.write(T0 + 2, vec![keyed(to_all(&a, "c"), "key", T0 + DAY)]).await?;
    for (mesh, agent, content, at) in
        [(&mesh, &a, "a", T0), (&mesh, &b, "b", T0 + 1), (&other, &a, "c", T0 + 2)]
    {
        let record = SentRecord { fingerprint: secret::digest(content), id: id(at) };
        assert_eq!(world.store.sent(&mesh.id, &agent.id, "key", T0).await?, Some(record));
    }
    // Keys are compared as they are.
    mesh.write(T0 + 3, vec![keyed(to_all(&a, "d"), "KEY", T0 + DAY)]).await?;
    mesh.write(T0 + 4, vec![keyed(to_all(&a, "e"), "key ", T0 + DAY)]).await?;
    Ok(())
}

pub(crate) async fn a_key_is_remembered_until_it_expires_and_can_then_be_used_again(
    world: &mut World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let sent = async |world: &World, now| world.store.sent(&mesh.id, &a.id, "key", now).await;
    mesh.write(T0, vec![keyed(to_all(&a, "one"), "key", T0 + 100)]).await?;
    world.reopen().await;
    let mesh = mesh.on(world);
    let one = SentRecord { fingerprint: secret::digest("one"), id: id(T0) };
    assert_eq!(sent(world, T0 + 99).await?, Some(one));
    assert_eq!(sent(world, T0 + 100).await?, None);

    let again = || vec![keyed(to_all(&a, "two"), "key", T0 + DAY)];
    assert_eq!(places(mesh.append(T0 + 99, again()).await?), [0]);
    mesh.write(T0 + 100, again()).await?;
    let two = SentRecord { fingerprint: secret::digest("two"), id: id(T0 + 100) };
    assert_eq!(sent(world, T0 + 101).await?, Some(two));
    assert_eq!(places(mesh.append(T0 + 101, again()).await?), [0]);
    assert_eq!(contents(&mesh.broadcasts().await?), ["one", "two"]);
    Ok(())
}

pub(crate) async fn a_key_is_remembered_also_when_the_log_is_ahead_of_the_clock(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    // The clock was two days fast, and was put right: ids go on above those it gave then.
    mesh.write(T0 + 2 * DAY, vec![to_all(&a, "fast")]).await?;
    let draft = || vec![keyed(to_all(&a, "one"), "key", T0 + DAY)];
    let first = mesh.write(T0, draft()).await?;
    assert_eq!(places(mesh.append(T0 + 1, draft()).await?), [0]);
    let record = world.store.sent(&mesh.id, &a.id, "key", T0 + 1).await?;
    assert_eq!(record.map(|record| record.id), Some(first));
    assert_eq!(contents(&mesh.broadcasts().await?), ["fast", "one"]);
    Ok(())
}

pub(crate) async fn a_key_raced_by_eight_tasks_gives_one_message(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let epoch = mesh.epoch().await?;
    for round in 0..10 {
        let key = format!("key{round}");
        let tasks = (0..8).map(|task| {
            let message = keyed(to_all(&a, &format!("{round}-{task}")), &key, T0 + DAY);
            let others = keyed(to_all(&a, "own"), &format!("{round}/{task}"), T0 + DAY);
            let batch = mesh.batch(epoch, T0, vec![others, message]);
            let store = Arc::clone(&world.store);
            tokio::spawn(async move { store.append(batch).await })
        });
        let answers = try_join_all(tasks).await.expect("no task panics");
        let mut winners = Vec::new();
        for answer in answers {
            match answer? {
                Appended::Written { first, .. } => winners.push(first.next()),
                Appended::KeysTaken(places) => assert_eq!(places, [1]),
                other => panic!("nothing else stands against it: {other:?}"),
            }
        }
        let record = world.store.sent(&mesh.id, &a.id, &key, T0).await?;
        assert_eq!(winners, [record.expect("one of them was written").id]);
    }
    assert_eq!(mesh.broadcasts().await?.len(), 20);
    Ok(())
}

pub(crate) async fn a_batch_that_is_refused_takes_no_key_from_others(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let epoch = mesh.epoch().await?;
    let draft = |key: &str| keyed(to_all(&a, key), key, T0 + DAY);
    mesh.write(T0, vec![draft("taken")]).await?;
    for round in 0..20 {
        let (k, l) = (format!("k{round}"), format!("l{round}"));
        let refused = mesh.batch(epoch, T0, vec![draft("taken"), draft(&k)]);
        let second = mesh.batch(epoch, T0, vec![draft(&k), draft(&l)]);
        let third = mesh.batch(epoch, T0, vec![draft(&l)]);
        let (refused, second, third) = tokio::join!(
            world.store.append(refused),
            world.store.append(second),
            world.store.append(third)
        );
        assert!(places(refused?).contains(&0));
        // One of the two is first; the other one is refused for what the first one has.
        match (second?, third?) {
            (Appended::Written { .. }, Appended::KeysTaken(third)) => assert_eq!(third, [0]),
            (Appended::KeysTaken(second), Appended::Written { .. }) => assert_eq!(second, [1]),
            other => panic!("round {round}: {other:?}"),
        }
    }
    Ok(())
}

pub(crate) async fn purging_forgets_expired_keys_and_no_others(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let empty = world.left_of(&mesh).await;
    let batch: Vec<_> = (0..700)
        .map(|n| keyed(to_all(&a, "m"), &format!("short{n}"), T0 + 50))
        .chain((0..5).map(|n| keyed(to_all(&a, "m"), &format!("long{n}"), T0 + DAY)))
        .collect();
    mesh.write(T0, batch).await?;
    purge_all(world, T0 + 49).await?;
    assert_eq!(world.left_of(&mesh).await, empty + 2 * 705);
    purge_all(world, T0 + 50).await?;
    assert_eq!(world.left_of(&mesh).await, empty + 705 + 5);
    assert!(world.store.sent(&mesh.id, &a.id, "long0", T0 + 50).await?.is_some());
    Ok(())
}

async fn purge_all(world: &World, now: i64) -> Result<()> {
    for _ in 0..100 {
        if !world.purge(now).await? {
            return Ok(());
        }
    }
    panic!("a purge comes to an end");
}
