//! Users and sessions.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::{AgentKind, UserId};
use meshwire_server::secret;
use meshwire_server::store::{
    Micros, NewAgent, NewUser, Register, Result, SessionRow, TokenMade, UserRow,
};

use crate::fixture::{DAY, SECOND, T0, World, github, new_token};

const HOUR: Micros = 3_600 * SECOND;

pub(crate) async fn the_same_identity_is_the_same_user(world: &mut World) -> Result<()> {
    assert!(!world.store.any_user().await?);
    let first = world.store.sign_in_github(github(1, "Ann")).await?;
    assert!(world.store.any_user().await?);
    assert_eq!((first.login.as_str(), first.name.as_str()), ("Ann", "Ann by name"));
    assert_eq!(first.password, None);
    assert_eq!(world.store.sign_in_github(github(1, "Ann")).await?, first);

    let renamed = NewUser { name: "Dr. Ann".to_owned(), ..github(1, "annie") };
    let renamed = world.store.sign_in_github(renamed).await?;
    let expected = UserRow { login: "annie".to_owned(), name: "Dr. Ann".to_owned(), ..first };
    assert_eq!(renamed, expected);
    world.reopen().await;
    assert_eq!(world.store.user_by_login("ANNIE").await?, Some(expected.clone()));
    assert_eq!(world.store.user_by_login("ann").await?, None);
    // Only the case of a letter.
    let loud = world.store.sign_in_github(github(1, "ANNIE")).await?;
    assert_eq!((loud.id, loud.login.as_str()), (expected.id, "ANNIE"));
    Ok(())
}

pub(crate) async fn eight_first_sign_ins_at_once_make_one_user(world: &World) -> Result<()> {
    let tasks = (0..8).map(|_| {
        let store = Arc::clone(&world.store);
        tokio::spawn(async move { store.sign_in_github(github(1, "ann")).await })
    });
    let mut users: Vec<UserId> = Vec::new();
    for user in try_join_all(tasks).await.expect("no task panics") {
        users.push(user?.id);
    }
    users.dedup();
    assert_eq!(users.len(), 1);
    Ok(())
}

pub(crate) async fn a_login_that_changes_hands_relabels_its_old_holder(
    world: &World,
) -> Result<()> {
    let ann = world.store.sign_in_github(github(1, "ann")).await?;
    let mesh = world.mesh(&ann).await?;
    let person = NewAgent { kind: AgentKind::Human, ..mesh.new_agent(&ann, "@ann") };
    let Register::Created(person) = world.store.register_agent(person, 0).await? else {
        panic!("the name is free");
    };
    let program = mesh.agent("ann-bot").await?;
    assert_eq!(world.store.create_token(new_token(&ann.id, "token"), 0).await?, TokenMade::Created);
    assert!(world.store.token(&secret::digest("token")).await?.is_some());

    let new = world.store.sign_in_github(github(2, "ANN")).await?;
    assert_ne!(new.id, ann.id);
    assert_eq!(world.store.user_by_login("ann").await?, Some(new.clone()));
    let old = world.store.user_by_login("ann~1").await?.expect("the old holder has a label");
    assert_eq!(old.id, ann.id);
    // Everything that shows the label shows the new one at once.
    let (_, of_token) = world.store.token(&secret::digest("token")).await?.expect("it is there");
    assert_eq!(*of_token, old);
    assert_eq!(mesh.find(&person.id).await?.expect("it is there").name, "@ann~1");
    assert_eq!(mesh.find(&program.id).await?.expect("it is there").name, "ann-bot");
    let roster = world.store.roster(&mesh.id).await?.expect("the mesh is there");
    assert_eq!(roster.members[0].login, "ann~1");

    // Signing in again under what GitHub says now ends the makeshift.
    let back = world.store.sign_in_github(github(1, "anna")).await?;
    assert_eq!((back.id, back.login.as_str()), (ann.id, "anna"));
    assert_eq!(mesh.find(&person.id).await?.expect("it is there").name, "@anna");
    assert_eq!(world.store.user_by_login("ann~1").await?, None);
    Ok(())
}

pub(crate) async fn two_people_who_swap_their_logins_stay_themselves(world: &World) -> Result<()> {
    let ann = world.store.sign_in_github(github(1, "ann")).await?;
    let bob = world.store.sign_in_github(github(2, "bob")).await?;
    let mesh = world.mesh(&ann).await?;
    let person = NewAgent { kind: AgentKind::Human, ..mesh.new_agent(&ann, "@ann") };
    assert!(matches!(world.store.register_agent(person, 0).await?, Register::Created(_)));
    assert_eq!(world.store.sign_in_github(github(2, "ann")).await?.id, bob.id);
    assert_eq!(world.store.sign_in_github(github(1, "bob")).await?.id, ann.id);
    for (login, user) in [("ann", bob), ("bob", ann)] {
        assert_eq!(world.store.user_by_login(login).await?.map(|user| user.id), Some(user.id));
    }
    mesh.find_named("@bob").await?;
    Ok(())
}

fn session(user: &UserRow, name: &str, created_at: Micros) -> SessionRow {
    SessionRow {
        hash: secret::digest(name),
        id: name.to_owned(),
        user: user.id.clone(),
        client: "a browser".to_owned(),
        created_at,
        last_seen: created_at,
        expires_at: created_at + DAY,
    }
}

pub(crate) async fn a_session_is_found_until_it_expires(world: &mut World) -> Result<()> {
    let ann = world.user("ann").await?;
    let kept = session(&ann, "one", T0);
    world.store.create_session(kept.clone()).await?;
    world.reopen().await;
    let found = world.store.session(&kept.hash, T0 + DAY - 1).await?.expect("it is live");
    assert_eq!(found.1, ann);
    assert_eq!((found.0.id.as_str(), &found.0.user), ("one", &ann.id));
    assert!(world.store.session(&kept.hash, T0 + DAY).await?.is_none());
    assert!(world.store.session(&secret::digest("other"), T0).await?.is_none());
    assert_eq!(world.store.sessions(&ann.id, T0 + DAY - 1).await?.len(), 1);
    assert_eq!(world.store.sessions(&ann.id, T0 + DAY).await?, []);
    while world.purge(T0 + DAY).await? {}
    assert!(world.store.session(&kept.hash, T0).await?.is_none(), "it is not even kept");
    Ok(())
}

pub(crate) async fn a_session_notes_when_it_was_seen_to_the_hour(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    let kept = session(&ann, "one", T0);
    world.store.create_session(kept.clone()).await?;
    for now in [T0 + 5 * HOUR, T0 + 2 * HOUR, T0 + 20 * HOUR] {
        assert!(world.store.session(&kept.hash, now).await?.is_some());
        let listed = world.store.sessions(&ann.id, T0).await?;
        assert!((listed[0].last_seen - now).abs() <= HOUR || listed[0].last_seen > now);
    }
    Ok(())
}

pub(crate) async fn sessions_are_listed_newest_first_and_ended_by_their_user_alone(
    world: &World,
) -> Result<()> {
    let (ann, bob) = (world.user("ann").await?, world.user("bob").await?);
    for (user, name, at) in
        [(&ann, "two", T0 + 2), (&ann, "three", T0 + 3), (&bob, "his", T0), (&ann, "one", T0 + 1)]
    {
        world.store.create_session(session(user, name, at)).await?;
    }
    let listed = async || -> Result<Vec<String>> {
        let sessions = world.store.sessions(&ann.id, T0).await?;
        Ok(sessions.into_iter().map(|session| session.id).collect())
    };
    assert_eq!(listed().await?, ["three", "two", "one"]);
    assert!(!world.store.end_session(&ann.id, "his").await?);
    assert!(!world.store.end_session(&ann.id, "none").await?);
    assert!(world.store.end_session(&ann.id, "two").await?);
    assert!(!world.store.end_session(&ann.id, "two").await?);
    assert_eq!(listed().await?, ["three", "one"]);
    for (name, live) in [("two", false), ("three", true), ("his", true)] {
        let found = world.store.session(&secret::digest(name), T0 + 5).await?;
        assert_eq!(found.is_some(), live, "{name}");
    }
    Ok(())
}
