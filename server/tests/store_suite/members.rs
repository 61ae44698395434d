//! Members: invites, requests to join, roles, removal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use meshwire_protocol::{Role, UserId};
use meshwire_server::secret;
use meshwire_server::store::{
    Appended, InviteRow, Invited, Joining, MemberRow, Micros, NewAgent, Register, RemovedMember,
    Result, RoleChange, TokenMade, TokenRow, UserRow,
};
use tokio::task::yield_now;

use crate::fixture::{DAY, Mesh, SECOND, T0, World, new_token, to_all};

fn link(mesh: &Mesh, code: &str, max_uses: u32) -> InviteRow {
    InviteRow {
        id: secret::base62(12),
        mesh: mesh.id.clone(),
        hash: secret::digest(code),
        login: None,
        created_by: mesh.owner.id.clone(),
        created_at: T0,
        expires_at: T0 + DAY,
        max_uses,
        uses: 0,
    }
}

fn for_login(mesh: &Mesh, login: &str) -> InviteRow {
    InviteRow { login: Some(login.to_owned()), ..link(mesh, &secret::one_time(), 1) }
}

async fn invite(mesh: &Mesh, invite: &InviteRow) -> Result<()> {
    let outcome = mesh.store.create_invite(invite.clone(), mesh.epoch().await?, 0).await?;
    assert_eq!(outcome, Invited::Created);
    Ok(())
}

async fn join(mesh: &Mesh, user: &UserRow, code: Option<&str>, now: Micros) -> Result<Joining> {
    mesh.store.join(&mesh.id, user, code.map(secret::digest), now).await
}

async fn members(mesh: &Mesh) -> Result<Vec<MemberRow>> {
    Ok(mesh.store.roster(&mesh.id).await?.expect("the mesh is there").members)
}

async fn role(mesh: &Mesh, user: &UserId) -> Result<Option<Role>> {
    Ok(members(mesh).await?.into_iter().find(|member| member.user == *user).map(|row| row.role))
}

async fn remove(mesh: &Mesh, user: &UserId) -> Result<Option<RemovedMember>> {
    mesh.store.remove_member(&mesh.id, mesh.epoch().await?, user, T0 + 5).await
}

async fn set_role(mesh: &Mesh, user: &UserId, role: Role) -> Result<RoleChange> {
    mesh.store.set_role(&mesh.id, mesh.epoch().await?, user, role, 0).await
}

pub(crate) async fn a_link_lets_exactly_as_many_in_as_it_says_under_racing_joins(
    world: &World,
) -> Result<()> {
    for max_uses in [1, 3] {
        let (mesh, _) = world.mesh_with_agent().await?;
        let code = format!("code-{max_uses}");
        invite(&mesh, &link(&mesh, &code, max_uses)).await?;
        let mut people = Vec::new();
        for n in 0..8 {
            people.push(world.user(&format!("user-{max_uses}-{n}")).await?);
        }
        let tasks = people.iter().cloned().map(|user| {
            let (mesh, code) = (mesh.clone(), code.clone());
            tokio::spawn(async move { join(&mesh, &user, Some(&code), T0).await })
        });
        let mut let_in = 0;
        for answer in try_join_all(tasks).await.expect("no task panics") {
            match answer? {
                Joining::Member => let_in += 1,
                other => assert_eq!(other, Joining::InviteExpired),
            }
        }
        assert_eq!(let_in, max_uses);
        assert_eq!(members(&mesh).await?.len(), max_uses as usize + 1);
        let kept = mesh.store.invites(&mesh.id).await?;
        let uses = kept.iter().find(|row| row.hash == secret::digest(&code)).map(|row| row.uses);
        assert_eq!(uses, Some(max_uses));
    }
    Ok(())
}

pub(crate) async fn a_link_raced_by_one_user_is_used_once(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    invite(&mesh, &link(&mesh, "code", 8)).await?;
    let tasks = (0..8).map(|_| {
        let (mesh, bob) = (mesh.clone(), bob.clone());
        tokio::spawn(async move { join(&mesh, &bob, Some("code"), T0).await })
    });
    let mut joined = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            Joining::Member => joined += 1,
            other => assert_eq!(other, Joining::AlreadyMember),
        }
    }
    assert_eq!(joined, 1);
    assert_eq!(mesh.store.invites(&mesh.id).await?[0].uses, 1);
    assert_eq!(role(&mesh, &bob.id).await?, Some(Role::Member));
    Ok(())
}

pub(crate) async fn an_invited_login_is_admitted_and_nobody_else(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let (bob, eve) = (world.user("Bob").await?, world.user("eve").await?);
    let bound = InviteRow { hash: secret::digest("bound"), ..for_login(&mesh, "bob") };
    invite(&mesh, &bound).await?;
    assert_eq!(join(&mesh, &eve, None, T0).await?, Joining::Requested);
    assert_eq!(join(&mesh, &eve, Some("bound"), T0).await?, Joining::InviteNotFound);
    assert_eq!(join(&mesh, &bob, None, T0).await?, Joining::Member);
    assert_eq!(join(&mesh, &bob, None, T0).await?, Joining::AlreadyMember);
    assert_eq!(mesh.store.invites(&mesh.id).await?, [InviteRow { uses: 1, ..bound }]);

    // With its code it works too; who comes in asks no longer.
    let bound = InviteRow { hash: secret::digest("for eve"), ..for_login(&mesh, "eve") };
    invite(&mesh, &bound).await?;
    assert_eq!(join(&mesh, &eve, Some("for eve"), T0).await?, Joining::Member);
    assert_eq!(mesh.store.join_requests(&mesh.id).await?, []);
    Ok(())
}

pub(crate) async fn an_invite_ends_with_its_time_and_when_it_is_withdrawn(
    world: &mut World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    let row = link(&mesh, "code", 1);
    invite(&mesh, &row).await?;
    invite(&mesh, &for_login(&mesh, "bob")).await?;
    world.reopen().await;
    let mesh = mesh.on(world);
    assert_eq!(join(&mesh, &bob, Some("code"), row.expires_at).await?, Joining::InviteExpired);
    assert_eq!(join(&mesh, &bob, None, row.expires_at).await?, Joining::Requested);
    // It is known for a while more, and then forgotten.
    while world.purge(row.expires_at + 29 * DAY).await? {}
    assert_eq!(mesh.store.invites(&mesh.id).await?.len(), 2);
    let epoch = mesh.epoch().await?;
    for found in [true, false] {
        let answer = mesh.store.withdraw_invite(&mesh.id, epoch, &row.id).await?;
        assert_eq!(answer, Some(found));
    }
    assert_eq!(join(&mesh, &bob, Some("code"), T0).await?, Joining::InviteNotFound);
    while world.purge(row.expires_at + 30 * DAY).await? {}
    assert_eq!(mesh.store.invites(&mesh.id).await?, []);
    Ok(())
}

pub(crate) async fn an_invite_is_for_its_own_mesh(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let (other, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    let row = link(&mesh, "code", 1);
    invite(&mesh, &row).await?;
    invite(&mesh, &for_login(&mesh, "bob")).await?;
    assert_eq!(join(&other, &bob, Some("code"), T0).await?, Joining::InviteNotFound);
    assert_eq!(join(&other, &bob, None, T0).await?, Joining::Requested);
    assert_eq!(other.store.invites(&other.id).await?, []);
    let epoch = other.epoch().await?;
    assert_eq!(other.store.withdraw_invite(&other.id, epoch, &row.id).await?, Some(false));
    let decided = mesh.store.decide_request(&mesh.id, mesh.epoch().await?, &bob.id, true, T0);
    assert_eq!(decided.await?, Some(false), "they ask in the other mesh");
    Ok(())
}

pub(crate) async fn the_limit_of_invites_is_exact_under_sixteen_racing_calls(
    world: &World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let epoch = mesh.epoch().await?;
    let tasks = (0..16).map(|n| {
        let (store, row) = (Arc::clone(&mesh.store), link(&mesh, &format!("code-{n}"), 1));
        tokio::spawn(async move { store.create_invite(row, epoch, 5).await })
    });
    let mut made = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        made += usize::from(answer? == Invited::Created);
    }
    assert_eq!((made, mesh.store.invites(&mesh.id).await?.len()), (5, 5));
    // One that has run out does not count.
    let later = InviteRow { created_at: T0 + DAY, ..link(&mesh, "later", 1) };
    assert_eq!(mesh.store.create_invite(later, epoch, 5).await?, Invited::Created);
    Ok(())
}

pub(crate) async fn a_repeated_request_stays_one_and_is_decided_once(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    let epoch = mesh.epoch().await?;
    for now in [T0, T0 + SECOND] {
        assert_eq!(join(&mesh, &bob, None, now).await?, Joining::Requested);
    }
    let requests = mesh.store.join_requests(&mesh.id).await?;
    assert_eq!(requests.len(), 1);
    assert_eq!((&requests[0].user, requests[0].requested_at), (&bob.id, T0));
    assert_eq!(mesh.epoch().await?, epoch, "who only asks changes nothing for anyone");
    for decided in [true, false] {
        let epoch = mesh.epoch().await?;
        let answer = mesh.store.decide_request(&mesh.id, epoch, &bob.id, true, T0 + 2).await?;
        assert_eq!(answer, Some(decided));
    }
    let row = members(&mesh).await?.into_iter().find(|member| member.user == bob.id);
    assert_eq!(row.map(|row| (row.role, row.joined_at)), Some((Role::Member, T0 + 2)));
    assert_eq!(join(&mesh, &bob, None, T0).await?, Joining::AlreadyMember);
    Ok(())
}

pub(crate) async fn one_request_decided_by_eight_at_once_is_decided_once(
    world: &World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    join(&mesh, &bob, None, T0).await?;
    let tasks = (0..8).map(|n| {
        let (mesh, bob) = (mesh.clone(), bob.id.clone());
        tokio::spawn(async move {
            loop {
                let epoch = mesh.epoch().await?;
                let accept = n % 2 == 0;
                let answer = mesh.store.decide_request(&mesh.id, epoch, &bob, accept, T0).await?;
                if let Some(decided) = answer {
                    return Ok(decided.then_some(accept));
                }
            }
        })
    });
    let answers: Result<Vec<Option<bool>>> =
        try_join_all(tasks).await.expect("no task panics").into_iter().collect();
    let decided: Vec<bool> = answers?.into_iter().flatten().collect();
    assert_eq!(decided.len(), 1);
    assert_eq!(role(&mesh, &bob.id).await?.is_some(), decided[0]);
    Ok(())
}

pub(crate) async fn who_was_refused_may_ask_again_a_day_later(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    join(&mesh, &bob, None, T0).await?;
    let epoch = mesh.epoch().await?;
    let refused = mesh.store.decide_request(&mesh.id, epoch, &bob.id, false, T0 + 7).await?;
    assert_eq!(refused, Some(true));
    assert_eq!(mesh.epoch().await?, epoch);
    assert_eq!(mesh.store.join_requests(&mesh.id).await?, []);
    let until = T0 + 7 + DAY;
    for now in [T0 + 7, until - 1] {
        while world.purge(now).await? {}
        assert_eq!(join(&mesh, &bob, None, now).await?, Joining::RefusedLately(until));
    }
    assert_eq!(join(&mesh, &bob, None, until).await?, Joining::Requested);
    assert_eq!(mesh.store.join_requests(&mesh.id).await?[0].requested_at, until);

    // An invite lets them in all the same.
    let epoch = mesh.epoch().await?;
    mesh.store.decide_request(&mesh.id, epoch, &bob.id, false, until).await?;
    invite(&mesh, &link(&mesh, "code", 1)).await?;
    assert_eq!(join(&mesh, &bob, Some("code"), T0).await?, Joining::Member);
    Ok(())
}

pub(crate) async fn a_removed_member_is_gone_with_agents_tokens_and_invites(
    world: &World,
) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let other = world.mesh(&mesh.owner).await?;
    let bob = world.member(&mesh, "Bob").await?;
    invite(&other, &link(&other, "other", 1)).await?;
    assert_eq!(join(&other, &bob, Some("other"), T0).await?, Joining::Member);
    let Register::Created(own) = mesh.store.register_agent(mesh.new_agent(&bob, "bobs"), 0).await?
    else {
        panic!("the name is free");
    };
    let in_mesh = |user: &UserId, secret: &str| TokenRow {
        mesh: Some(mesh.id.clone()),
        ..new_token(user, secret)
    };
    let bound = TokenRow { agent: Some(own.id.clone()), ..in_mesh(&bob.id, "agent") };
    let elsewhere = TokenRow { mesh: Some(other.id.clone()), ..new_token(&bob.id, "elsewhere") };
    let ids = [bound.id.clone()];
    for token in [bound, in_mesh(&mesh.owner.id, "owner"), elsewhere, new_token(&bob.id, "account")]
    {
        assert_eq!(world.store.create_token(token, 0).await?, TokenMade::Created);
    }
    for secret in ["agent", "owner", "elsewhere", "account"] {
        assert!(world.store.token(&secret::digest(secret)).await?.is_some());
    }
    assert!(world.store.position(&mesh.id, &own.id).await?.is_some());
    invite(&mesh, &InviteRow { created_by: bob.id.clone(), ..link(&mesh, "by bob", 9) }).await?;
    invite(&mesh, &for_login(&mesh, "bob")).await?;
    invite(&mesh, &link(&mesh, "kept", 1)).await?;

    let removed = remove(&mesh, &bob.id).await?.expect("bob is a member");
    assert_eq!(
        (removed.agents.as_slice(), removed.tokens.as_slice()),
        (&[own.id.clone()][..], &ids[..])
    );
    assert_eq!(role(&mesh, &bob.id).await?, None);
    assert_eq!(mesh.find(&own.id).await?, None);
    assert!(mesh.find(&a.id).await?.is_some());
    assert_eq!(world.store.position(&mesh.id, &own.id).await?, None);
    for (secret, revoked_at) in
        [("agent", Some(T0 + 5)), ("owner", None), ("elsewhere", None), ("account", None)]
    {
        let (token, _) = world.store.token(&secret::digest(secret)).await?.expect("it is there");
        assert_eq!(token.revoked_at, revoked_at, "{secret}");
    }
    let kept: Vec<_> = mesh.store.invites(&mesh.id).await?;
    assert_eq!(kept.iter().map(|row| row.hash).collect::<Vec<_>>(), [secret::digest("kept")]);
    assert_eq!(join(&mesh, &bob, None, T0).await?, Joining::Requested);
    assert_eq!(remove(&mesh, &bob.id).await?, None);
    Ok(())
}

pub(crate) async fn nothing_of_a_removed_member_lands_after_the_removal_was_answered(
    world: &World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    for round in 0..8 {
        let bob = world.member(&mesh, &format!("bob-{round}")).await?;
        let new = mesh.new_agent(&bob, &format!("bobs-{round}"));
        let Register::Created(own) = mesh.store.register_agent(new, 0).await? else {
            panic!("the name is free");
        };
        let (removed, landed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let epoch = mesh.epoch().await?;
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let (mesh, own, bob) = (mesh.clone(), own.clone(), bob.clone());
                let (removed, landed) = (Arc::clone(&removed), Arc::clone(&landed));
                tokio::spawn(async move {
                    let mut refused = 0;
                    while refused < 3 {
                        let was_removed = removed.load(Ordering::SeqCst);
                        let batch = mesh.batch(epoch, T0, vec![to_all(&own, "m")]);
                        match mesh.store.append(batch).await? {
                            Appended::Written { .. } => {
                                assert!(!was_removed, "the removal was answered before");
                                landed.fetch_add(1, Ordering::SeqCst);
                            }
                            Appended::EpochMoved => {
                                refused += 1;
                                let late = NewAgent {
                                    id: secret::agent_id(),
                                    ..mesh.new_agent(&bob, &format!("late-{round}-{n}"))
                                };
                                let answer = mesh.store.register_agent(late, 0).await?;
                                assert!(matches!(answer, Register::NoMesh), "{answer:?}");
                            }
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
        assert!(remove(&mesh, &bob.id).await?.is_some());
        removed.store(true, Ordering::SeqCst);
        let head = mesh.head().await?;
        let ends: Result<Vec<()>> =
            try_join_all(tasks).await.expect("no task panics").into_iter().collect();
        ends?;
        assert_eq!(mesh.head().await?, head);
    }
    Ok(())
}

pub(crate) async fn handing_over_leaves_exactly_one_owner_under_racing_calls(
    world: &World,
) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let mut people = vec![mesh.owner.clone()];
    for n in 0..4 {
        people.push(world.member(&mesh, &format!("user-{n}")).await?);
    }
    // Each gives the mesh away as soon as it is theirs, as often as all others do.
    let tasks = (0..8_usize).map(|n| {
        let (mesh, people) = (mesh.clone(), people.clone());
        tokio::spawn(async move {
            let mut done = 0;
            while done < 10 {
                let epoch = mesh.epoch().await?;
                let owners: Vec<_> = members(&mesh)
                    .await?
                    .into_iter()
                    .filter(|member| member.role == Role::Owner)
                    .collect();
                assert_eq!(owners.len(), 1);
                let next = &people[(n + done) % people.len()].id;
                if *next == owners[0].user {
                    done += 1;
                    continue;
                }
                let to = Role::Owner;
                let answer = mesh.store.set_role(&mesh.id, epoch, next, to, 0).await?;
                done += usize::from(answer == RoleChange::Done);
            }
            Ok(())
        })
    });
    let ends: Result<Vec<()>> =
        try_join_all(tasks).await.expect("no task panics").into_iter().collect();
    ends?;
    let roles: Vec<Role> = members(&mesh).await?.into_iter().map(|member| member.role).collect();
    assert_eq!(roles.iter().filter(|role| **role == Role::Owner).count(), 1);
    assert_eq!(roles.len(), people.len());
    Ok(())
}

pub(crate) async fn the_owner_is_neither_removed_nor_lowered(world: &World) -> Result<()> {
    let (mesh, a) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    let stranger = world.user("eve").await?;
    let owner = mesh.owner.id.clone();
    assert_eq!(remove(&mesh, &owner).await?, None);
    for role in [Role::Admin, Role::Member] {
        assert_eq!(set_role(&mesh, &owner, role).await?, RoleChange::EpochMoved);
    }
    assert_eq!(set_role(&mesh, &stranger.id, Role::Owner).await?, RoleChange::EpochMoved);
    assert_eq!(role(&mesh, &owner).await?, Some(Role::Owner));
    assert!(mesh.find(&a.id).await?.is_some());

    assert_eq!(set_role(&mesh, &bob.id, Role::Owner).await?, RoleChange::Done);
    assert_eq!(role(&mesh, &owner).await?, Some(Role::Admin));
    assert_eq!(role(&mesh, &bob.id).await?, Some(Role::Owner));
    assert!(remove(&mesh, &owner).await?.is_some());
    Ok(())
}

pub(crate) async fn who_receives_a_mesh_stays_within_their_limit(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    world.mesh(&bob).await?;
    let epoch = mesh.epoch().await?;
    let hand_over = |limit| mesh.store.set_role(&mesh.id, epoch, &bob.id, Role::Owner, limit);
    assert_eq!(hand_over(1).await?, RoleChange::LimitReached);
    assert_eq!(role(&mesh, &mesh.owner.id).await?, Some(Role::Owner));
    assert_eq!(hand_over(2).await?, RoleChange::Done);
    Ok(())
}

pub(crate) async fn nobody_acts_under_an_epoch_that_has_moved(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    let eve = world.user("eve").await?;
    join(&mesh, &eve, None, T0).await?;
    let row = link(&mesh, "code", 1);
    invite(&mesh, &row).await?;
    let old = mesh.epoch().await?;
    mesh.agent("new").await?;
    let (store, id) = (&mesh.store, &mesh.id);
    let role_change = store.set_role(id, old, &bob.id, Role::Admin, 0).await?;
    assert_eq!(role_change, RoleChange::EpochMoved);
    assert_eq!(store.remove_member(id, old, &bob.id, T0).await?, None);
    let invited = store.create_invite(link(&mesh, "other", 1), old, 0).await?;
    assert_eq!(invited, Invited::EpochMoved);
    assert_eq!(store.withdraw_invite(id, old, &row.id).await?, None);
    assert_eq!(store.decide_request(id, old, &eve.id, true, T0).await?, None);
    assert_eq!(role(&mesh, &bob.id).await?, Some(Role::Member));
    assert_eq!(store.invites(id).await?, [row]);
    assert_eq!(store.join_requests(id).await?.len(), 1);
    Ok(())
}

pub(crate) async fn every_change_of_members_raises_the_epoch(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let mut epoch = mesh.epoch().await?;
    let mut raised = async |what: &str| {
        let now = mesh.epoch().await?;
        assert!(now > epoch, "{what}");
        assert_eq!(mesh.store.roster(&mesh.id).await?.map(|roster| roster.epoch), Some(now));
        epoch = now;
        Ok::<_, meshwire_server::store::StoreError>(())
    };
    let bob = world.member(&mesh, "bob").await?;
    raised("an accepted request").await?;
    let eve = world.user("eve").await?;
    invite(&mesh, &link(&mesh, "code", 1)).await?;
    join(&mesh, &eve, Some("code"), T0).await?;
    raised("an invite").await?;
    set_role(&mesh, &bob.id, Role::Admin).await?;
    raised("a role").await?;
    set_role(&mesh, &bob.id, Role::Owner).await?;
    raised("handing over").await?;
    remove(&mesh, &eve.id).await?;
    raised("a removal").await
}

pub(crate) async fn a_deleted_mesh_takes_no_one_in(world: &World) -> Result<()> {
    let (mesh, _) = world.mesh_with_agent().await?;
    let bob = world.user("bob").await?;
    join(&mesh, &bob, None, T0).await?;
    invite(&mesh, &link(&mesh, "code", 1)).await?;
    let epoch = mesh.epoch().await?;
    assert!(mesh.store.delete_mesh(&mesh.id, T0).await?);
    for code in [None, Some("code")] {
        assert_eq!(join(&mesh, &bob, code, T0).await?, Joining::NoMesh);
    }
    assert_eq!(mesh.store.decide_request(&mesh.id, epoch, &bob.id, true, T0).await?, None);
    assert_eq!(mesh.store.invites(&mesh.id).await?, []);
    assert_eq!(mesh.store.join_requests(&mesh.id).await?, []);
    while world.purge(T0).await? {}
    assert_eq!(world.left_of(&mesh).await, 0);
    Ok(())
}
