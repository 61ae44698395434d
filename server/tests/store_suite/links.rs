//! One-time links of accounts, and accounts that an invite makes.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_server::secret;
use meshwire_server::store::{
    AccountLink, Digest, InviteRow, Invited, Joining, LinkPurpose, Linked, Micros, NewAccount,
    NewMember, NewUser, Result, SessionRow, TokenMade, UserRow,
};

use crate::fixture::{DAY, Mesh, T0, World, github};

fn local(login: &str, now: Micros) -> NewUser {
    NewUser {
        identity: format!("local:{login}"),
        password: Some("$argon2id$".to_owned()),
        now,
        ..github(0, login)
    }
}

fn code(text: &str) -> Digest {
    secret::digest(text)
}

fn link(text: &str, purpose: LinkPurpose, expires_at: Micros) -> AccountLink {
    AccountLink { hash: code(text), purpose, expires_at }
}

fn add(login: &str) -> LinkPurpose {
    LinkPurpose::Add(login.to_owned())
}

fn reset(login: &str) -> LinkPurpose {
    LinkPurpose::Reset(login.to_owned())
}

async fn put(world: &World, text: &str, purpose: LinkPurpose) -> Result<()> {
    let linked = world.store.put_account_link(link(text, purpose, T0 + DAY)).await?;
    assert_eq!(linked, Linked::Done);
    Ok(())
}

#[track_caller]
fn created(answer: NewAccount) -> UserRow {
    match answer {
        NewAccount::Created(user) => user,
        other => panic!("the link is valid and the login free, but: {other:?}"),
    }
}

pub(crate) async fn a_link_makes_one_account_under_eight_racing_uses(world: &World) -> Result<()> {
    put(world, "code", LinkPurpose::First).await?;
    assert_eq!(world.store.account_link(&code("code"), T0).await?, Some(LinkPurpose::First));
    let tasks = (0..8).map(|n| {
        let store = Arc::clone(&world.store);
        tokio::spawn(async move {
            store.create_local_user(local(&format!("ann{n}"), T0), &code("code")).await
        })
    });
    let mut made = Vec::new();
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            NewAccount::Created(user) => made.push(user),
            NewAccount::CodeInvalid => {}
            NewAccount::LoginTaken => panic!("the logins are free"),
        }
    }
    let [user] = made.as_slice() else { panic!("one account, not {made:?}") };
    assert_eq!(user.password.as_deref(), Some("$argon2id$"));
    assert_eq!(world.store.user_by_login(&user.login).await?.as_ref(), Some(user));
    assert_eq!(world.store.account_link(&code("code"), T0).await?, None);
    Ok(())
}

pub(crate) async fn a_link_ends_with_its_time_or_with_the_next_one(
    world: &mut World,
) -> Result<()> {
    for purpose in [LinkPurpose::First, add("ann")] {
        let text = |name: &str| format!("{name} {purpose:?}");
        for (name, until) in [("old", T0 + DAY), ("new", T0 + 100)] {
            let linked =
                world.store.put_account_link(link(&text(name), purpose.clone(), until)).await?;
            assert_eq!(linked, Linked::Done);
        }
        world.reopen().await;
        for (name, now, valid) in [
            ("old", T0, false),
            ("new", T0 + 99, true),
            ("new", T0 + 100, false),
            ("other", T0, false),
        ] {
            let found = world.store.account_link(&code(&text(name)), now).await?;
            assert_eq!(found, valid.then(|| purpose.clone()), "{name}");
        }
        for (name, now) in [("old", T0), ("new", T0 + 100), ("other", T0)] {
            let answer =
                world.store.create_local_user(local("ann", now), &code(&text(name))).await?;
            assert!(matches!(answer, NewAccount::CodeInvalid), "{name}");
        }
    }
    assert!(!world.store.any_user().await?);
    let text = format!("new {:?}", add("ann"));
    created(world.store.create_local_user(local("ann", T0 + 99), &code(&text)).await?);
    Ok(())
}

pub(crate) async fn a_link_for_a_login_makes_that_one_alone(world: &World) -> Result<()> {
    put(world, "ann", add("ann")).await?;
    put(world, "bob", add("bob")).await?;
    let answer = world.store.create_local_user(local("eve", T0), &code("ann")).await?;
    assert!(matches!(answer, NewAccount::CodeInvalid));
    // Nor is it good for a password.
    assert_eq!(world.store.reset_password(&code("ann"), "$new$", T0).await?, None);
    for login in ["ann", "bob"] {
        let user = created(world.store.create_local_user(local(login, T0), &code(login)).await?);
        assert_eq!(user.login, login);
        let again = world.store.create_local_user(local(login, T0), &code(login)).await?;
        assert!(matches!(again, NewAccount::CodeInvalid));
    }
    assert_eq!(world.store.user_by_login("eve").await?, None);
    Ok(())
}

pub(crate) async fn a_link_asks_first_whether_the_login_is_there(world: &World) -> Result<()> {
    world.user("Ann").await?;
    for (purpose, linked) in [
        (add("ann"), Linked::LoginTaken),
        (reset("bob"), Linked::NoUser),
        (add("bob"), Linked::Done),
        (reset("ann"), Linked::Done),
    ] {
        let text = format!("{purpose:?}");
        let kept = world.store.put_account_link(link(&text, purpose.clone(), T0 + DAY)).await?;
        assert_eq!(kept, linked, "{text}");
        let found = world.store.account_link(&code(&text), T0).await?;
        assert_eq!(found, (linked == Linked::Done).then_some(purpose));
    }
    Ok(())
}

pub(crate) async fn an_account_ends_the_link_for_the_first_one(world: &World) -> Result<()> {
    put(world, "first", LinkPurpose::First).await?;
    put(world, "ann", add("ann")).await?;
    put(world, "bob", add("bob")).await?;
    created(world.store.create_local_user(local("ann", T0), &code("ann")).await?);
    let answer = world.store.create_local_user(local("eve", T0), &code("first")).await?;
    assert!(matches!(answer, NewAccount::CodeInvalid));
    assert_eq!(world.store.account_link(&code("bob"), T0).await?, Some(add("bob")));
    Ok(())
}

pub(crate) async fn a_taken_login_leaves_the_link_as_it_is(world: &World) -> Result<()> {
    put(world, "code", LinkPurpose::First).await?;
    world.store.sign_in_github(github(1, "Ann")).await?;
    let answer = world.store.create_local_user(local("ann", T0), &code("code")).await?;
    assert!(matches!(answer, NewAccount::LoginTaken));
    assert!(world.store.account_link(&code("code"), T0).await?.is_some());
    created(world.store.create_local_user(local("bob", T0), &code("code")).await?);
    Ok(())
}

pub(crate) async fn a_login_that_a_local_account_once_had_is_taken(world: &World) -> Result<()> {
    put(world, "one", LinkPurpose::First).await?;
    let ann = created(world.store.create_local_user(local("ann", T0), &code("one")).await?);
    // Somebody from GitHub takes the login, and lets go of it.
    world.store.sign_in_github(github(1, "ann")).await?;
    world.store.sign_in_github(github(1, "annie")).await?;
    let relabelled = world.store.user_by_login(&format!("ann~{}", ann.id)).await?;
    assert_eq!(relabelled.map(|user| user.id), Some(ann.id));
    put(world, "two", LinkPurpose::First).await?;
    let answer = world.store.create_local_user(local("ann", T0), &code("two")).await?;
    assert!(matches!(answer, NewAccount::LoginTaken));
    Ok(())
}

fn session(user: &UserRow, name: &str) -> SessionRow {
    SessionRow {
        hash: code(name),
        id: name.to_owned(),
        user: user.id.clone(),
        client: "a browser".to_owned(),
        created_at: T0,
        last_seen: T0,
        expires_at: T0 + DAY,
    }
}

pub(crate) async fn a_reset_sets_the_password_once_and_ends_the_sessions_of_that_user(
    world: &mut World,
) -> Result<()> {
    put(world, "first", LinkPurpose::First).await?;
    let ann = created(world.store.create_local_user(local("ann", T0), &code("first")).await?);
    let bob = world.user("bob").await?;
    for (user, name) in [(&ann, "one"), (&ann, "two"), (&bob, "his")] {
        world.store.create_session(session(user, name)).await?;
    }
    let token = crate::fixture::new_token(&ann.id, "token");
    assert_eq!(world.store.create_token(token, 0).await?, TokenMade::Created);
    put(world, "reset", reset("ann")).await?;
    // It makes no account.
    let answer = world.store.create_local_user(local("ann2", T0), &code("reset")).await?;
    assert!(matches!(answer, NewAccount::CodeInvalid));
    assert_eq!(world.store.reset_password(&code("reset"), "$new$", T0 + DAY).await?, None);
    assert_eq!(world.store.sessions(&ann.id, T0).await?.len(), 2);

    let changed = world.store.reset_password(&code("reset"), "$new$", T0).await?;
    let expected = UserRow { password: Some("$new$".to_owned()), ..ann.clone() };
    assert_eq!(changed.as_ref(), Some(&expected));
    world.reopen().await;
    assert_eq!(world.store.user_by_login("ann").await?, Some(expected));
    assert_eq!(world.store.sessions(&ann.id, T0).await?, []);
    assert!(world.store.session(&code("one"), T0).await?.is_none());
    assert!(world.store.session(&code("his"), T0).await?.is_some());
    let (token, _) = world.store.token(&code("token")).await?.expect("tokens stay");
    assert_eq!(token.revoked_at, None);
    assert_eq!(world.store.reset_password(&code("reset"), "$newer$", T0).await?, None);
    Ok(())
}

fn new_invite(mesh: &Mesh, text: &str, login: Option<&str>, uses: u32) -> InviteRow {
    InviteRow {
        id: text.to_owned(),
        mesh: mesh.id.clone(),
        hash: code(text),
        login: login.map(str::to_owned),
        created_by: mesh.owner.id.clone(),
        created_at: T0,
        expires_at: T0 + DAY,
        max_uses: uses,
        uses: 0,
    }
}

/// Keeps an invite into a mesh.
async fn invite(mesh: &Mesh, text: &str, login: Option<&str>, uses: u32) -> Result<()> {
    let row = new_invite(mesh, text, login, uses);
    assert_eq!(mesh.store.create_invite(row, mesh.epoch().await?, 0).await?, Invited::Created);
    Ok(())
}

async fn members(mesh: &Mesh) -> Result<Vec<String>> {
    let roster = mesh.store.roster(&mesh.id).await?.expect("the mesh is there");
    Ok(roster.members.into_iter().map(|member| member.login).collect())
}

pub(crate) async fn an_invite_makes_exactly_as_many_accounts_as_it_has_uses_under_racing_calls(
    world: &World,
) -> Result<()> {
    let owner = world.user("owner").await?;
    let mesh = world.mesh(&owner).await?;
    invite(&mesh, "code", None, 3).await?;
    let tasks = (0..12).map(|n| {
        let (store, mesh) = (Arc::clone(&world.store), mesh.id.clone());
        tokio::spawn(async move {
            store.create_member(local(&format!("user{n:02}"), T0), &mesh, &code("code")).await
        })
    });
    let mut made = Vec::new();
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            NewMember::Created(user) => made.push(user.login),
            NewMember::InviteExpired => {}
            other => panic!("the code is right and the logins free, but: {other:?}"),
        }
    }
    made.sort();
    assert_eq!(made.len(), 3);
    let mut expected = vec!["owner".to_owned()];
    expected.extend(made.iter().cloned());
    assert_eq!(members(&mesh).await?, expected);
    for n in 0..12 {
        let login = format!("user{n:02}");
        let there = world.store.user_by_login(&login).await?.is_some();
        assert_eq!(there, made.contains(&login), "{login}");
    }
    assert_eq!(world.store.invites(&mesh.id).await?[0].uses, 3);
    Ok(())
}

pub(crate) async fn an_invite_makes_accounts_that_it_lets_in_and_no_others(
    world: &World,
) -> Result<()> {
    let owner = world.user("owner").await?;
    let (mesh, other) = (world.mesh(&owner).await?, world.mesh(&owner).await?);
    invite(&mesh, "for bob", Some("bob"), 1).await?;
    invite(&mesh, "link", None, 1).await?;
    let create = async |login: &str, mesh: &Mesh, text: &str, now| {
        world.store.create_member(local(login, now), &mesh.id, &code(text)).await
    };
    for (login, mesh, text) in
        [("eve", &mesh, "for bob"), ("eve", &other, "link"), ("eve", &mesh, "no such code")]
    {
        let answer = create(login, mesh, text, T0).await?;
        assert!(matches!(answer, NewMember::InviteNotFound), "{text}: {answer:?}");
    }
    let answer = create("eve", &mesh, "link", T0 + DAY).await?;
    assert!(matches!(answer, NewMember::InviteExpired));
    assert_eq!(world.store.user_by_login("eve").await?, None);
    let epoch = mesh.epoch().await?;
    assert!(matches!(create("bob", &mesh, "for bob", T0).await?, NewMember::Created(_)));
    assert!(mesh.epoch().await? > epoch);
    assert_eq!(members(&mesh).await?, ["bob", "owner"]);
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    let answer = create("eve", &mesh, "link", T0).await?;
    assert!(matches!(answer, NewMember::InviteNotFound));
    Ok(())
}

pub(crate) async fn a_taken_login_leaves_the_invite_as_it_is(world: &World) -> Result<()> {
    let owner = world.user("owner").await?;
    let mesh = world.mesh(&owner).await?;
    invite(&mesh, "link", None, 1).await?;
    let answer = world.store.create_member(local("owner", T0), &mesh.id, &code("link")).await?;
    assert!(matches!(answer, NewMember::LoginTaken));
    assert_eq!(world.store.invites(&mesh.id).await?[0].uses, 0);
    let answer = world.store.create_member(local("bob", T0), &mesh.id, &code("link")).await?;
    assert!(matches!(answer, NewMember::Created(_)));
    Ok(())
}

pub(crate) async fn who_took_a_login_by_an_invite_is_not_let_in_by_older_invites_for_it(
    world: &World,
) -> Result<()> {
    let (eve, ann) = (world.user("eve").await?, world.user("ann").await?);
    let (of_eve, of_ann) = (world.mesh(&eve).await?, world.mesh(&ann).await?);
    invite(&of_ann, "for bob", Some("bob"), 1).await?;
    invite(&of_eve, "link", None, 1).await?;
    let answer = world.store.create_member(local("bob", T0 + 1), &of_eve.id, &code("link")).await?;
    let NewMember::Created(bob) = answer else { panic!("the login is free: {answer:?}") };
    // The login alone opens nothing; the code that ann has given to somebody does.
    assert_eq!(world.store.join(&of_ann.id, &bob, None, T0 + 2).await?, Joining::Requested);
    let joined = world.store.join(&of_ann.id, &bob, Some(code("for bob")), T0 + 2).await?;
    assert_eq!(joined, Joining::Member);

    // An invite that is newer than the account means this account. So does any, when the operator made it.
    let third = world.mesh(&ann).await?;
    let newer = InviteRow { created_at: T0 + 3, ..new_invite(&third, "newer", Some("bob"), 1) };
    let epoch = third.epoch().await?;
    assert_eq!(world.store.create_invite(newer, epoch, 0).await?, Invited::Created);
    assert_eq!(world.store.join(&third.id, &bob, None, T0 + 4).await?, Joining::Member);
    let fourth = world.mesh(&ann).await?;
    invite(&fourth, "for carol", Some("carol"), 1).await?;
    put(world, "add", add("carol")).await?;
    let carol = created(world.store.create_local_user(local("carol", T0 + 1), &code("add")).await?);
    assert_eq!(world.store.join(&fourth.id, &carol, None, T0 + 2).await?, Joining::Member);
    Ok(())
}

pub(crate) async fn an_invite_is_found_by_its_code_in_its_mesh(world: &World) -> Result<()> {
    let owner = world.user("owner").await?;
    let (mesh, other) = (world.mesh(&owner).await?, world.mesh(&owner).await?);
    invite(&mesh, "link", Some("bob"), 1).await?;
    let found = world.store.invite_by_code(&mesh.id, &code("link")).await?.expect("it is there");
    assert_eq!(world.store.invites(&mesh.id).await?, [found]);
    assert_eq!(world.store.invite_by_code(&other.id, &code("link")).await?, None);
    assert_eq!(world.store.invite_by_code(&mesh.id, &code("other")).await?, None);
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    assert_eq!(world.store.invite_by_code(&mesh.id, &code("link")).await?, None);
    Ok(())
}
