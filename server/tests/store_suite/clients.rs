//! Notes of clients between their calls.

use futures_util::future::try_join_all;
use meshwire_server::secret::digest;
use meshwire_server::store::{Micros, Result};

use crate::fixture::{DAY, SECOND, T0, World};

const END: Micros = T0 + DAY;

pub(crate) async fn a_note_is_there_until_its_time_is_over(world: &mut World) -> Result<()> {
    let (one, other) = (digest("one"), digest("other"));
    let store = &world.store;
    assert_eq!(store.client_note(&one, T0).await?, None);
    assert!(store.swap_client_note(&one, None, "first", T0, END).await?);
    assert_eq!(store.client_note(&one, END - 1).await?.as_deref(), Some("first"));
    assert_eq!(store.client_note(&one, END).await?, None);
    assert_eq!(store.client_note(&other, T0).await?, None);
    world.reopen().await;
    let store = &world.store;
    assert_eq!(store.client_note(&one, T0).await?.as_deref(), Some("first"));
    // Later it is as if it were not there.
    assert!(!store.swap_client_note(&one, Some("first"), "late", END, END + DAY).await?);
    assert!(store.swap_client_note(&one, None, "second", END, END + DAY).await?);
    while world.purge(END).await? {}
    assert_eq!(world.store.client_note(&one, END).await?.as_deref(), Some("second"));
    while world.purge(END + DAY).await? {}
    assert_eq!(world.store.client_note(&one, T0).await?, None, "it is not even kept");
    Ok(())
}

pub(crate) async fn a_note_is_changed_by_who_has_seen_the_last_one(world: &World) -> Result<()> {
    let (client, store) = (digest("client"), &world.store);
    assert!(!store.swap_client_note(&client, Some("x"), "y", T0, END).await?);
    assert_eq!(store.client_note(&client, T0).await?, None);
    assert!(store.swap_client_note(&client, None, "a", T0, END).await?);
    assert!(!store.swap_client_note(&client, None, "b", T0, END).await?);
    assert!(!store.swap_client_note(&client, Some("b"), "c", T0, END).await?);
    assert_eq!(store.client_note(&client, T0).await?.as_deref(), Some("a"));
    // Again, as when the answer was lost.
    for _ in 0..2 {
        assert!(store.swap_client_note(&client, Some("a"), "b", T0, END + SECOND).await?);
    }
    assert_eq!(store.client_note(&client, END).await?.as_deref(), Some("b"));
    Ok(())
}

pub(crate) async fn of_those_who_change_a_note_at_once_one_does(world: &World) -> Result<()> {
    let (client, store) = (digest("client"), &world.store);
    let mut was: Option<String> = None;
    for round in 0..5 {
        let racing = (0..8).map(|n| {
            let (was, note) = (was.clone(), format!("{round} {n}"));
            async move {
                let done = store.swap_client_note(&client, was.as_deref(), &note, T0, END).await?;
                Ok(done.then_some(note))
            }
        });
        let done: Vec<String> = try_join_all(racing).await?.into_iter().flatten().collect();
        assert_eq!(done.len(), 1, "{done:?}");
        was = store.client_note(&client, T0).await?;
        assert_eq!(was.as_ref(), done.first());
    }
    Ok(())
}
