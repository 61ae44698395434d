//! Appending: ids, epochs, and what is there afterwards.

use futures_util::future::try_join_all;
use meshwire_protocol::{AgentKind, MessageId, Via};
use meshwire_server::secret;
use meshwire_server::store::{Appended, NewMessage, Result, Stored, Stream};
use serde_json::{Value, json};

use crate::fixture::{
    DAY, Mesh, SECOND, T0, World, contents, id, ids, inbox, keyed, to_all, to_one, wall,
};

fn written(follows: i64, first: i64) -> Appended {
    Appended::Written { follows: id(follows), first: id(first) }
}

pub(crate) async fn an_id_is_the_time_or_the_one_after_the_head(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    assert_eq!(mesh.head().await?, MessageId::ZERO);
    assert_eq!(mesh.append(T0, vec![to_all(&a, "1")]).await?, written(0, T0));
    assert_eq!(mesh.append(T0 + 5, vec![to_all(&a, "2")]).await?, written(T0, T0 + 5));
    assert_eq!(mesh.append(T0 + 5, vec![to_all(&a, "3")]).await?, written(T0 + 5, T0 + 6));
    assert_eq!(mesh.append(T0 + 6, vec![to_all(&a, "4")]).await?, written(T0 + 6, T0 + 7));
    assert_eq!(mesh.head().await?, id(T0 + 7));
    Ok(())
}

pub(crate) async fn a_clock_that_goes_backwards_changes_nothing(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    mesh.write(T0, vec![to_all(&a, "1")]).await?;
    for (step, back) in [(1, SECOND), (2, DAY), (3, T0), (4, T0 + DAY)] {
        let answer = mesh.append(T0 - back, vec![to_all(&a, "later")]).await?;
        assert_eq!(answer, written(T0 + step - 1, T0 + step));
    }
    Ok(())
}

pub(crate) async fn a_clock_more_than_a_minute_ahead_is_not_used(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let near = wall() + 30 * SECOND;
    assert_eq!(mesh.append(near, vec![to_all(&a, "near")]).await?, written(0, near));
    for (step, ahead) in [(1, 3_600 * SECOND), (2, 365 * DAY), (3, i64::MAX - near)] {
        let answer = mesh.append(near + ahead, vec![to_all(&a, "far")]).await?;
        assert_eq!(answer, written(near + step - 1, near + step));
    }
    Ok(())
}

pub(crate) async fn the_ids_of_a_batch_are_consecutive_and_in_its_order(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let batch = |prefix: &str| -> Vec<NewMessage> {
        (0..5).map(|n| to_one(&a, &b, &format!("{prefix}{n}"))).collect()
    };
    assert_eq!(mesh.append(T0, batch("x")).await?, written(0, T0));
    assert_eq!(mesh.append(T0 + 2, batch("y")).await?, written(T0 + 4, T0 + 5));
    let read = mesh.page(&[inbox(&b)], MessageId::ZERO, 100).await?.messages;
    assert_eq!(ids(&read), (T0..T0 + 10).map(id).collect::<Vec<_>>());
    assert_eq!(contents(&read), ["x0", "x1", "x2", "x3", "x4", "y0", "y1", "y2", "y3", "y4"]);
    Ok(())
}

pub(crate) async fn a_message_comes_back_as_it_was_sent(world: &mut World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let b = mesh.agent("agent-b").await?;
    let Value::Object(metadata) = json!({
        "reply_to": 1_760_000_000_000_000_i64,
        "nested": {"list": [1, -2, 2.5, null, true, "x"], "empty": {}},
        "big": u64::MAX,
        "quotes \" ' \\ \u{0}": "line\nbreak \u{1F980} \u{0} \u{202e}",
    }) else {
        unreachable!("it is an object");
    };
    let drafts = [
        NewMessage {
            from: "Agent.A_1".to_owned(),
            from_user: "ann~7".to_owned(),
            from_kind: AgentKind::Human,
            via: Via::Session,
            hops: 100,
            metadata,
            ..to_one(&a, &b, "' \" \\ % ? $1 \u{1F980}\r\n\t\u{7f} ?1 [] {} null")
        },
        NewMessage { via: Via::Mesh, ..to_all(&a, "1") },
        NewMessage { via: Via::Agent, ..to_all(&a, " ") },
        to_all(&a, &"ö".repeat(5_120)),
    ];
    let first = mesh.write(T0, drafts.to_vec()).await?;
    let expected: Vec<Stored> = (first.get()..)
        .zip(drafts)
        .map(|(at, draft)| draft.into_stored(mesh.id.clone(), id(at)))
        .collect();

    let streams = [Stream::All, inbox(&b)];
    assert_eq!(mesh.page(&streams, MessageId::ZERO, 100).await?.messages, expected);
    world.reopen().await;
    let mesh = mesh.on(world);
    assert_eq!(mesh.page(&streams, MessageId::ZERO, 100).await?.messages, expected);
    for stored in expected {
        assert_eq!(world.store.message(&mesh.id, stored.message.id).await?, Some(stored));
    }
    Ok(())
}

pub(crate) async fn an_append_under_another_epoch_writes_nothing(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    mesh.write(T0, vec![to_all(&a, "before")]).await?;
    let old = mesh.epoch().await?;
    mesh.agent("agent-b").await?;
    let now = mesh.epoch().await?;
    assert!(now > old);
    for epoch in [old, now + 1, 0] {
        let message = keyed(to_all(&a, "refused"), "key", T0 + DAY);
        let batch = mesh.batch(epoch, T0 + 10, vec![to_all(&a, "refused"), message]);
        assert_eq!(mesh.store.append(batch).await?, Appended::EpochMoved);
    }
    assert_eq!(mesh.head().await?, id(T0));
    assert_eq!(contents(&mesh.broadcasts().await?), ["before"]);
    assert_eq!(mesh.store.sent(&mesh.id, &a.id, "key", T0).await?, None);
    Ok(())
}

pub(crate) async fn an_append_to_a_mesh_that_is_not_there_says_so(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let epoch = mesh.epoch().await?;
    let nowhere = Mesh { id: secret::mesh_id(), ..mesh.clone() };
    let batch = nowhere.batch(epoch, T0, vec![to_all(&a, "lost")]);
    assert_eq!(world.store.append(batch).await?, Appended::NoMesh);
    assert_eq!(world.store.head(&nowhere.id).await?, None);

    mesh.write(T0, vec![to_all(&a, "before")]).await?;
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    for epoch in [epoch, epoch + 1] {
        let batch = mesh.batch(epoch, T0, vec![to_all(&a, "lost")]);
        assert_eq!(world.store.append(batch).await?, Appended::NoMesh);
    }
    Ok(())
}

pub(crate) async fn batches_of_several_meshes_go_their_own_ways(world: &World) -> Result<()> {
    let mut meshes = Vec::new();
    for _ in 0..6 {
        meshes.push(world.mesh_with_agent().await?);
    }
    let (stale, from) = &meshes[0];
    let old = stale.epoch().await? - 1;
    let nowhere = Mesh { id: secret::mesh_id(), ..stale.clone() };

    let mut appends = Vec::new();
    for round in 0..10 {
        for (mesh, a) in &meshes {
            let epoch = mesh.epoch().await?;
            let messages = vec![to_all(a, &format!("{}-{round}", mesh.id)), to_all(a, "and more")];
            appends.push((mesh.batch(epoch, T0, messages), true));
        }
        appends.push((stale.batch(old, T0, vec![to_all(from, "stale")]), false));
        appends.push((nowhere.batch(old, T0, vec![to_all(from, "nowhere")]), false));
    }
    let tasks = appends.into_iter().map(|(batch, goes)| async move {
        let answer = world.store.append(batch).await?;
        assert_eq!(matches!(answer, Appended::Written { .. }), goes, "{answer:?}");
        Ok(())
    });
    try_join_all(tasks).await?;

    for (mesh, _) in &meshes {
        let read = mesh.broadcasts().await?;
        assert_eq!(ids(&read), (T0..T0 + 20).map(id).collect::<Vec<_>>());
        // In whatever order they came, each batch stays together.
        let mut batches: Vec<Vec<&str>> = contents(&read).chunks(2).map(<[&str]>::to_vec).collect();
        batches.sort();
        let expected: Vec<[String; 2]> =
            (0..10).map(|round| [format!("{}-{round}", mesh.id), "and more".to_owned()]).collect();
        assert_eq!(batches, expected);
        assert_eq!(mesh.head().await?, id(T0 + 19));
    }
    Ok(())
}

pub(crate) async fn the_log_goes_on_where_it_was_after_a_restart(world: &mut World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    mesh.write(T0, vec![to_all(&a, "1"), to_all(&a, "2")]).await?;
    let before = world.store.head(&mesh.id).await?;
    world.reopen().await;
    let mesh = mesh.on(world);
    assert_eq!(world.store.head(&mesh.id).await?, before);
    assert_eq!(mesh.append(T0 - DAY, vec![to_all(&a, "3")]).await?, written(T0 + 1, T0 + 2));
    world.reopen().await;
    assert_eq!(contents(&mesh.on(world).broadcasts().await?), ["1", "2", "3"]);
    Ok(())
}

pub(crate) async fn a_store_that_answers_answers_a_ping(world: &World) -> Result<()> {
    world.store.ping().await
}

pub(crate) async fn a_closed_store_refuses_what_it_cannot_do(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let batch = mesh.batch(mesh.epoch().await?, T0, vec![to_all(&a, "late")]);
    world.store.close().await;
    assert!(world.store.append(batch).await.is_err());
    assert!(world.store.read(&mesh.id, &[Stream::All], MessageId::ZERO, 1).await.is_err());
    assert!(world.store.ping().await.is_err());
    Ok(())
}
