//! Meshes: making, listing and deleting them.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::{MeshId, MessageId};
use meshwire_server::secret;
use meshwire_server::store::{Change, MeshChange, NewMesh, Result, Stream, TokenMade, TokenRow};

use crate::fixture::{DAY, T0, World, contents, keyed, new_mesh, new_token, to_all};

pub(crate) async fn the_limit_of_meshes_is_exact_under_sixteen_racing_calls(
    world: &World,
) -> Result<()> {
    let ann = world.user("ann").await?;
    let tasks = (0..16).map(|_| {
        let (store, new) = (Arc::clone(&world.store), new_mesh(&secret::mesh_id(), &ann));
        tokio::spawn(async move { store.create_mesh(new, 5).await })
    });
    let mut made = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        made += usize::from(answer?);
    }
    assert_eq!(made, 5);
    let meshes = world.store.meshes_of(&ann.id).await?;
    assert_eq!(meshes.len(), 5);

    // Another user has a limit of their own, and what is deleted does not count.
    let bob = world.user("bob").await?;
    assert!(world.store.create_mesh(new_mesh(&secret::mesh_id(), &bob), 1).await?);
    assert!(world.store.delete_mesh(&meshes[0], T0).await?);
    assert!(world.store.create_mesh(new_mesh(&secret::mesh_id(), &ann), 5).await?);
    assert!(!world.store.create_mesh(new_mesh(&secret::mesh_id(), &ann), 5).await?);
    Ok(())
}

pub(crate) async fn a_mesh_that_one_is_a_member_of_does_not_count(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    assert!(world.store.create_mesh(new_mesh(&secret::mesh_id(), &bob), 1).await?);
    assert_eq!(world.store.meshes_of(&bob.id).await?.len(), 2);
    Ok(())
}

pub(crate) async fn the_meshes_of_a_user_come_oldest_first(world: &mut World) -> Result<()> {
    let ann = world.user("ann").await?;
    assert_eq!(world.store.meshes_of(&ann.id).await?, []);
    let mut expected: Vec<(i64, MeshId)> = Vec::new();
    for at in [T0 + 5, T0 + 1, T0 + 9, T0 + 3] {
        let id = secret::mesh_id();
        let new = NewMesh { created_at: at, ..new_mesh(&id, &ann) };
        assert!(world.store.create_mesh(new, 0).await?);
        expected.push((at, id));
    }
    expected.sort();
    let expected: Vec<MeshId> = expected.into_iter().map(|(_, id)| id).collect();
    world.reopen().await;
    assert_eq!(world.store.meshes_of(&ann.id).await?, expected);
    Ok(())
}

pub(crate) async fn a_deleted_mesh_is_gone_for_everyone_at_once(world: &mut World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    mesh.write(T0, vec![to_all(&a, "1")]).await?;
    let bound = TokenRow { mesh: Some(mesh.id.clone()), ..new_token(&bob.id, "of the mesh") };
    assert_eq!(world.store.create_token(bound, 0).await?, TokenMade::Created);
    assert_eq!(
        world.store.create_token(new_token(&bob.id, "of bob"), 0).await?,
        TokenMade::Created
    );
    for secret in ["of the mesh", "of bob"] {
        assert!(world.store.token(&secret::digest(secret)).await?.is_some());
    }
    assert!(world.store.position(&mesh.id, &a.id).await?.is_some());

    assert!(world.store.delete_mesh(&mesh.id, T0 + 5).await?);
    for _ in 0..2 {
        assert_eq!(world.store.head(&mesh.id).await?, None);
        assert!(world.store.roster(&mesh.id).await?.is_none());
        let page = world.store.read(&mesh.id, &[Stream::All], MessageId::ZERO, 10).await?;
        assert!(page.is_none());
        assert_eq!(world.store.position(&mesh.id, &a.id).await?, None);
        for user in [&mesh.owner, &bob] {
            assert_eq!(world.store.meshes_of(&user.id).await?, []);
        }
        for (secret, revoked_at) in [("of the mesh", Some(T0 + 5)), ("of bob", None)] {
            let found = world.store.token(&secret::digest(secret)).await?;
            assert_eq!(found.expect("it is there").0.revoked_at, revoked_at);
        }
        assert!(!world.store.delete_mesh(&mesh.id, T0 + 6).await?);
        let change = MeshChange { name: Some("again".to_owned()), paused: None };
        assert!(!world.store.update_mesh(&mesh.id, change).await?);
        assert!(!world.store.remove_agent(&mesh.id, &a.id, T0).await?);
        let answer = world.store.update_agent(&mesh.id, &a.id, a_change()).await?;
        assert!(matches!(answer, Change::NoAgent), "{answer:?}");
        world.reopen().await;
    }
    assert!(!world.store.delete_mesh(&secret::mesh_id(), T0).await?);
    Ok(())
}

fn a_change() -> meshwire_server::store::AgentChange {
    meshwire_server::store::AgentChange { host: Some("x".to_owned()), ..Default::default() }
}

pub(crate) async fn a_purge_removes_all_of_a_deleted_mesh_in_bounded_steps(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let (other, b) = world.mesh_with_agent().await?;
    for n in 0..4 {
        let batch = (0..500).map(|m| keyed(to_all(&a, "x"), &format!("{n}/{m}"), T0 + DAY));
        mesh.write(T0, batch.collect()).await?;
    }
    other.write(T0, vec![keyed(to_all(&b, "kept"), "key", T0 + DAY)]).await?;
    let kept = world.left_of(&other).await;
    assert!(!world.purge(T0).await?, "there is nothing to remove yet");
    assert_eq!(world.left_of(&mesh).await, 4_003);

    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    let mut left = world.left_of(&mesh).await;
    let mut steps = 0;
    while world.purge(T0).await? {
        steps += 1;
        let now = world.left_of(&mesh).await;
        assert!(now < left || left == 0, "each step removes something: {now} of {left} are left");
        assert!(left - now <= 2_000, "a step is bounded");
        assert!(steps < 1_000, "a purge comes to an end");
        left = now;
    }
    assert!(steps >= 2);
    assert_eq!(left, 0);
    assert_eq!(world.left_of(&other).await, kept);
    assert_eq!(contents(&other.broadcasts().await?), ["kept"]);
    assert!(world.store.sent(&other.id, &b.id, "key", T0).await?.is_some());
    assert!(!world.purge(T0).await?);
    Ok(())
}

pub(crate) async fn sends_go_on_while_a_large_mesh_is_purged(world: &World) -> Result<()> {
    const MESSAGES: i64 = 8_000;
    let (mesh, a) = world.mesh_with_agent().await?;
    let (other, b) = world.mesh_with_agent().await?;
    for n in 0..MESSAGES / 1_000 {
        let batch = (0..1_000).map(|m| keyed(to_all(&a, "x"), &format!("{n}/{m}"), T0 + DAY));
        mesh.write(T0, batch.collect()).await?;
    }
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    let mut left = world.left_of(&mesh).await;
    assert_eq!(left, 2 * MESSAGES + 1);

    let mut sent = 0;
    while world.purge(T0).await? {
        // Whoever sends waits for one step at most, and that is a bounded one.
        other.write(T0, vec![to_all(&b, "meanwhile")]).await?;
        sent += 1;
        let now = world.left_of(&mesh).await;
        assert!(left - now <= 1_000, "one step removed {} rows", left - now);
        left = now;
    }
    assert_eq!(left, 0);
    assert!(sent >= 16, "{sent} steps");
    assert_eq!(other.broadcasts().await?.len(), sent);
    Ok(())
}
