//! Tokens, and the codes that the command line exchanges for one.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::{AgentId, MeshId, Scope, TokenId};
use meshwire_server::secret;
use meshwire_server::store::{
    CliCode, Exchange, Micros, Register, Result, TokenMade, TokenRow, UserRow,
};

use crate::fixture::{DAY, T0, World, new_token};

/// The token with this secret, as the store has it now.
async fn kept(world: &World, secret: &str) -> Result<TokenRow> {
    let (token, _) = world.store.token(&secret::digest(secret)).await?.expect("it is there");
    Ok(Arc::unwrap_or_clone(token))
}

async fn listed(world: &World, user: &UserRow, now: Micros) -> Result<Vec<TokenId>> {
    Ok(world.store.tokens(&user.id, now).await?.into_iter().map(|token| token.id).collect())
}

pub(crate) async fn a_token_is_found_by_the_hash_of_its_secret(world: &mut World) -> Result<()> {
    let (mesh, agent) = world.mesh_with_agent().await?;
    let token = TokenRow {
        mesh: Some(mesh.id.clone()),
        agent: Some(agent.id),
        scopes: vec![Scope::Admin, Scope::Agents],
        expires_at: Some(T0 + DAY),
        ..new_token(&mesh.owner.id, "one")
    };
    assert!(world.store.token(&token.hash).await?.is_none());
    assert_eq!(world.store.create_token(token.clone(), 0).await?, TokenMade::Created);
    for _ in 0..2 {
        for _ in 0..2 {
            let found = world.store.token(&token.hash).await?;
            assert_eq!(found, Some((token.clone().into(), mesh.owner.clone().into())));
        }
        world.reopen().await;
    }
    assert!(world.store.token(&secret::digest("other")).await?.is_none());
    Ok(())
}

pub(crate) async fn only_live_tokens_are_listed_and_all_are_found(world: &World) -> Result<()> {
    let (ann, bob) = (world.user("ann").await?, world.user("bob").await?);
    let expiring =
        |secret: &str, at| TokenRow { expires_at: Some(at), ..new_token(&ann.id, secret) };
    let old = TokenRow { created_at: T0 - 5, ..new_token(&ann.id, "old") };
    let tokens = [
        old,
        TokenRow { created_at: T0 + 3, ..expiring("soon", T0 + 100) },
        TokenRow { created_at: T0 + 2, ..expiring("later", T0 + 101) },
        new_token(&ann.id, "revoked"),
        new_token(&bob.id, "of bob"),
    ];
    for token in &tokens {
        assert_eq!(world.store.create_token(token.clone(), 0).await?, TokenMade::Created);
    }
    assert!(world.store.revoke_token(&ann.id, &tokens[3].id, T0 + 9).await?);
    let [old, soon, later, revoked, _] = tokens.map(|token| token.id);
    assert_eq!(listed(world, &ann, T0 + 99).await?, [soon, later.clone(), old.clone()]);
    assert_eq!(listed(world, &ann, T0 + 100).await?, [later, old.clone()]);
    assert_eq!(listed(world, &ann, T0 + 101).await?, [old]);
    assert_eq!(kept(world, "soon").await?.expires_at, Some(T0 + 100));
    let kept = kept(world, "revoked").await?;
    assert_eq!((kept.id, kept.revoked_at), (revoked, Some(T0 + 9)));
    Ok(())
}

pub(crate) async fn a_revoked_token_is_refused_from_the_answer_on(world: &mut World) -> Result<()> {
    let (ann, bob) = (world.user("ann").await?, world.user("bob").await?);
    let token = new_token(&ann.id, "one");
    assert_eq!(world.store.create_token(token.clone(), 0).await?, TokenMade::Created);
    // Looked up before, so that a cache would have it.
    assert_eq!(kept(world, "one").await?.revoked_at, None);
    assert_eq!(kept(world, "one").await?.revoked_at, None);

    assert!(!world.store.revoke_token(&bob.id, &token.id, T0 + 1).await?, "it is not his");
    assert!(!world.store.revoke_token(&ann.id, &secret::token_id(), T0 + 1).await?);
    assert_eq!(kept(world, "one").await?.revoked_at, None);
    assert!(world.store.revoke_token(&ann.id, &token.id, T0 + 2).await?);
    assert_eq!(kept(world, "one").await?.revoked_at, Some(T0 + 2));
    assert!(!world.store.revoke_token(&ann.id, &token.id, T0 + 3).await?, "only once");
    assert_eq!(kept(world, "one").await?.revoked_at, Some(T0 + 2));
    world.reopen().await;
    assert_eq!(kept(world, "one").await?.revoked_at, Some(T0 + 2));
    Ok(())
}

pub(crate) async fn an_expired_token_is_not_there_to_be_revoked(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    let token = TokenRow { expires_at: Some(T0 + 100), ..new_token(&ann.id, "one") };
    assert_eq!(world.store.create_token(token.clone(), 0).await?, TokenMade::Created);
    assert!(!world.store.revoke_token(&ann.id, &token.id, T0 + 100).await?);
    assert_eq!(kept(world, "one").await?.revoked_at, None);
    assert!(world.store.revoke_token(&ann.id, &token.id, T0 + 99).await?);
    Ok(())
}

pub(crate) async fn a_look_up_that_races_a_revocation_never_brings_a_token_back(
    world: &World,
) -> Result<()> {
    let ann = world.user("ann").await?;
    for round in 0..30 {
        let secret = format!("secret{round}");
        let token = new_token(&ann.id, &secret);
        assert_eq!(world.store.create_token(token.clone(), 0).await?, TokenMade::Created);
        let lookups = (0..4).map(|_| {
            let (store, hash) = (Arc::clone(&world.store), token.hash);
            tokio::spawn(async move {
                while store.token(&hash).await?.is_some_and(|(token, _)| token.revoked_at.is_none())
                {
                    tokio::task::yield_now().await;
                }
                Ok(())
            })
        });
        let lookups: Vec<_> = lookups.collect();
        assert!(world.store.revoke_token(&ann.id, &token.id, T0).await?);
        for _ in 0..5 {
            assert_eq!(kept(world, &secret).await?.revoked_at, Some(T0), "round {round}");
        }
        for done in try_join_all(lookups).await.expect("no task panics") {
            done?;
        }
    }
    Ok(())
}

pub(crate) async fn the_limit_of_tokens_is_exact_under_sixteen_racing_calls(
    world: &World,
) -> Result<()> {
    let ann = world.user("ann").await?;
    let expired = TokenRow { expires_at: Some(T0), created_at: T0 - 9, ..new_token(&ann.id, "e") };
    let revoked = new_token(&ann.id, "r");
    for token in [expired, revoked.clone()] {
        assert_eq!(world.store.create_token(token, 5).await?, TokenMade::Created);
    }
    assert!(world.store.revoke_token(&ann.id, &revoked.id, T0).await?);

    let tasks = (0..16).map(|n| {
        let (store, new) = (Arc::clone(&world.store), new_token(&ann.id, &format!("t{n}")));
        tokio::spawn(async move { store.create_token(new, 5).await })
    });
    let mut made = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        made += usize::from(answer? == TokenMade::Created);
    }
    assert_eq!(made, 5);
    let live = listed(world, &ann, T0).await?;
    assert_eq!(live.len(), 5);
    assert_eq!(
        world.store.create_token(new_token(&ann.id, "more"), 5).await?,
        TokenMade::LimitReached
    );
    assert!(world.store.token(&secret::digest("more")).await?.is_none());
    assert!(world.store.revoke_token(&ann.id, &live[0], T0).await?);
    assert_eq!(world.store.create_token(new_token(&ann.id, "more"), 5).await?, TokenMade::Created);
    assert_eq!(
        world.store.create_token(new_token(&ann.id, "yet more"), 0).await?,
        TokenMade::Created,
        "0: no limit"
    );
    Ok(())
}

/// A token of a user for a mesh, and for an agent in it.
fn bound(user: &UserRow, mesh: &MeshId, agent: Option<&AgentId>, secret: &str) -> TokenRow {
    TokenRow { mesh: Some(mesh.clone()), agent: agent.cloned(), ..new_token(&user.id, secret) }
}

pub(crate) async fn a_token_is_bound_only_to_what_is_there_and_the_users(
    world: &World,
) -> Result<()> {
    let (mesh, agent) = world.mesh_with_agent().await?;
    let (other, elsewhere) = world.mesh_with_agent().await?;
    let bob = world.member(&mesh, "bob").await?;
    let new = mesh.new_agent(&bob, "of-bob");
    let Register::Created(of_bob) = mesh.store.register_agent(new, 0).await? else {
        panic!("the name is free");
    };
    let (gone, none) = (secret::mesh_id(), secret::agent_id());
    for (user, mesh, agent, answer) in [
        (&bob, &gone, None, TokenMade::NoMesh),
        (&bob, &gone, Some(&of_bob.id), TokenMade::NoMesh),
        (&bob, &other.id, None, TokenMade::NotMember),
        (&bob, &other.id, Some(&elsewhere.id), TokenMade::NotMember),
        (&bob, &mesh.id, Some(&none), TokenMade::NoAgent),
        (&bob, &mesh.id, Some(&elsewhere.id), TokenMade::NoAgent),
        (&bob, &mesh.id, Some(&agent.id), TokenMade::NoAgent),
        (&mesh.owner, &mesh.id, Some(&of_bob.id), TokenMade::NoAgent),
    ] {
        let token = bound(user, mesh, agent, "refused");
        assert_eq!(world.store.create_token(token.clone(), 0).await?, answer, "{token:?}");
        assert_eq!(world.store.token(&token.hash).await?, None);
    }

    let token = bound(&bob, &mesh.id, Some(&of_bob.id), "one");
    assert_eq!(world.store.create_token(token, 0).await?, TokenMade::Created);
    assert!(world.store.remove_agent(&mesh.id, &of_bob.id, T0).await?);
    let late = bound(&bob, &mesh.id, Some(&of_bob.id), "late");
    assert_eq!(world.store.create_token(late, 0).await?, TokenMade::NoAgent);
    let epoch = mesh.epoch().await?;
    assert!(world.store.remove_member(&mesh.id, epoch, &bob.id, T0).await?.is_some());
    let late = bound(&bob, &mesh.id, None, "late");
    assert_eq!(world.store.create_token(late, 0).await?, TokenMade::NotMember);
    assert!(world.store.delete_mesh(&mesh.id, T0).await?);
    let late = bound(&mesh.owner, &mesh.id, None, "late");
    assert_eq!(world.store.create_token(late, 0).await?, TokenMade::NoMesh);
    Ok(())
}

pub(crate) async fn a_public_id_makes_one_token_under_eight_racing_calls(
    world: &World,
) -> Result<()> {
    let ann = world.user("ann").await?;
    let id = secret::token_id();
    let tasks = (0..8).map(|n| {
        let token = TokenRow { id: id.clone(), ..new_token(&ann.id, &format!("t{n}")) };
        let store = Arc::clone(&world.store);
        tokio::spawn(async move { store.create_token(token, 0).await })
    });
    let mut made = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            TokenMade::Created => made += 1,
            answer => assert_eq!(answer, TokenMade::Exists),
        }
    }
    assert_eq!(made, 1);
    assert_eq!(listed(world, &ann, T0).await?, std::slice::from_ref(&id));
    // Also when it has ended, and whatever else is wrong by then.
    assert!(world.store.revoke_token(&ann.id, &id, T0).await?);
    let again = TokenRow { id, ..bound(&ann, &secret::mesh_id(), None, "again") };
    assert_eq!(world.store.create_token(again, 0).await?, TokenMade::Exists);
    Ok(())
}

pub(crate) async fn no_bound_token_outlives_what_it_is_bound_to_in_a_race(
    world: &World,
) -> Result<()> {
    for round in 0..24 {
        let (mesh, agent) = world.mesh_with_agent().await?;
        let bob = world.member(&mesh, &format!("bob-{round}")).await?;
        let user = if round % 3 == 0 { &bob } else { &mesh.owner };
        let agent_id = (round % 3 == 1).then_some(&agent.id);
        let tokens: Vec<_> =
            (0..8).map(|n| bound(user, &mesh.id, agent_id, &format!("t{round}-{n}"))).collect();
        let making: Vec<_> = tokens
            .iter()
            .map(|token| {
                let (store, token) = (Arc::clone(&world.store), token.clone());
                tokio::spawn(async move { store.create_token(token, 0).await })
            })
            .collect();
        let refusal = match round % 3 {
            0 => {
                let epoch = mesh.epoch().await?;
                assert!(world.store.remove_member(&mesh.id, epoch, &bob.id, T0).await?.is_some());
                TokenMade::NotMember
            }
            1 => {
                assert!(world.store.remove_agent(&mesh.id, &agent.id, T0).await?);
                TokenMade::NoAgent
            }
            _ => {
                assert!(world.store.delete_mesh(&mesh.id, T0).await?);
                TokenMade::NoMesh
            }
        };
        for (answer, token) in
            try_join_all(making).await.expect("no task panics").into_iter().zip(&tokens)
        {
            let kept = world.store.token(&token.hash).await?.map(|(token, _)| token.revoked_at);
            match answer? {
                TokenMade::Created => assert_eq!(kept, Some(Some(T0)), "revoked with the rest"),
                answer => assert_eq!((answer, kept), (refusal, None)),
            }
        }
    }
    Ok(())
}

pub(crate) async fn the_last_use_of_a_token_is_merged_by_max(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    let tokens = [new_token(&ann.id, "one"), new_token(&ann.id, "two")];
    for token in &tokens {
        assert_eq!(world.store.create_token(token.clone(), 0).await?, TokenMade::Created);
    }
    let [one, two] = tokens.map(|token| token.id);
    let used = async |id: &TokenId| -> Result<Option<Micros>> {
        let tokens = world.store.tokens(&ann.id, T0).await?;
        Ok(tokens.into_iter().find(|token| token.id == *id).and_then(|token| token.last_used_at))
    };
    assert_eq!(used(&one).await?, None);
    world.store.note_used(&[(one.clone(), T0 + 5), (two.clone(), T0 + 1)]).await?;
    world.store.note_used(&[(one.clone(), T0 + 3), (secret::token_id(), T0)]).await?;
    assert_eq!((used(&one).await?, used(&two).await?), (Some(T0 + 5), Some(T0 + 1)));
    world.store.note_used(&[]).await?;
    let twice = [(two.clone(), T0 + 2), (two.clone(), T0 + 9), (two.clone(), T0 + 4)];
    world.store.note_used(&twice).await?;
    assert_eq!(used(&two).await?, Some(T0 + 9), "within one call, too");
    Ok(())
}

pub(crate) async fn a_token_is_known_for_thirty_days_after_its_end(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    let ends = |secret: &str, expires_at| TokenRow { expires_at, ..new_token(&ann.id, secret) };
    let revoked = new_token(&ann.id, "revoked");
    for token in [
        revoked.clone(),
        ends("expired", Some(T0)),
        ends("later", Some(T0 + 1)),
        ends("live", None),
    ] {
        assert_eq!(world.store.create_token(token, 0).await?, TokenMade::Created);
    }
    assert!(world.store.revoke_token(&ann.id, &revoked.id, T0).await?);
    let known = async || -> Result<Vec<&str>> {
        let mut known = Vec::new();
        for secret in ["revoked", "expired", "later", "live"] {
            // Twice: what was found once may be answered from memory.
            for _ in 0..2 {
                let found = world.store.token(&secret::digest(secret)).await?;
                known.extend(found.map(|_| secret));
            }
            known.dedup();
        }
        Ok(known)
    };
    for (now, expected) in [
        (T0 + 30 * DAY - 1, vec!["revoked", "expired", "later", "live"]),
        (T0 + 30 * DAY, vec!["later", "live"]),
        (T0 + 30 * DAY + 1, vec!["live"]),
        (T0 + 3_000 * DAY, vec!["live"]),
    ] {
        while world.purge(now).await? {}
        assert_eq!(known().await?, expected);
    }
    Ok(())
}

async fn with_code(world: &World, code: &str) -> Result<UserRow> {
    let ann = world.user("ann").await?;
    let code = CliCode {
        hash: secret::digest(code),
        user: ann.id.clone(),
        challenge: "challenge".to_owned(),
        token_name: "the laptop".to_owned(),
        expires_at: T0 + 100,
    };
    world.store.put_cli_code(code).await?;
    Ok(ann)
}

/// Exchanges a code for a token with this secret, of whoever the code says.
async fn exchange(
    world: &World,
    code: &str,
    challenge: &str,
    secret: &str,
    limit: u32,
    now: Micros,
) -> Result<Exchange> {
    let token = TokenRow { created_at: now, ..new_token(&secret::user_id(), secret) };
    let code = secret::digest(code);
    world.store.exchange_cli_code(&code, challenge, token, limit, now).await
}

pub(crate) async fn a_code_of_the_command_line_gives_a_token_of_its_user(
    world: &mut World,
) -> Result<()> {
    let ann = with_code(world, "code").await?;
    world.reopen().await;
    let answer = exchange(world, "code", "challenge", "token", 0, T0 + 99).await?;
    assert_eq!(answer, Exchange::Issued("ann".to_owned()));
    let (token, user) = world.store.token(&secret::digest("token")).await?.expect("it is there");
    assert_eq!(*user, ann);
    assert_eq!((token.user.clone(), token.name.as_str()), (ann.id, "the laptop"));
    assert_eq!(token.scopes, [Scope::Read, Scope::Send]);
    assert_eq!((token.created_at, token.revoked_at), (T0 + 99, None));
    Ok(())
}

pub(crate) async fn a_code_is_good_for_one_token_under_eight_racing_exchanges(
    world: &World,
) -> Result<()> {
    with_code(world, "code").await?;
    let tokens: Vec<_> =
        (0..8).map(|n| new_token(&secret::user_id(), &format!("token{n}"))).collect();
    let tasks = tokens.iter().cloned().map(|token| {
        let store = Arc::clone(&world.store);
        tokio::spawn(async move {
            let code = secret::digest("code");
            store.exchange_cli_code(&code, "challenge", token, 0, T0).await
        })
    });
    let answers = try_join_all(tasks).await.expect("no task panics");
    let (mut issued, mut reused) = (Vec::new(), Vec::new());
    for (answer, token) in answers.into_iter().zip(&tokens) {
        match answer? {
            Exchange::Issued(login) => {
                assert_eq!(login, "ann");
                issued.push(token);
            }
            Exchange::Reused(id) => reused.push(id),
            other => panic!("the code and the challenge are right, but: {other:?}"),
        }
    }
    let [winner] = issued.as_slice() else { panic!("one token, not {issued:?}") };
    assert_eq!(reused, vec![Some(winner.id.clone()); 7]);
    for token in &tokens {
        let found = world.store.token(&token.hash).await?;
        assert_eq!(found.is_some(), token.id == winner.id);
        assert!(found.is_none_or(|(token, _)| token.revoked_at == Some(T0)), "it is revoked");
    }
    Ok(())
}

pub(crate) async fn a_second_use_of_a_code_revokes_what_the_first_one_got(
    world: &mut World,
) -> Result<()> {
    let ann = with_code(world, "code").await?;
    let answer = exchange(world, "code", "challenge", "first", 0, T0).await?;
    assert_eq!(answer, Exchange::Issued("ann".to_owned()));
    let first = kept(world, "first").await?;
    assert_eq!(first.revoked_at, None);
    // Also after the code has expired, with any challenge, and after a restart.
    world.reopen().await;
    while world.purge(T0 + 300).await? {}
    let answer = exchange(world, "code", "guess", "second", 0, T0 + 300).await?;
    assert_eq!(answer, Exchange::Reused(Some(first.id.clone())));
    assert_eq!(kept(world, "first").await?.revoked_at, Some(T0 + 300));
    assert!(world.store.token(&secret::digest("second")).await?.is_none());
    assert_eq!(listed(world, &ann, T0).await?, []);
    let answer = exchange(world, "code", "challenge", "third", 0, T0 + 301).await?;
    assert_eq!(answer, Exchange::Reused(Some(first.id)));
    assert_eq!(kept(world, "first").await?.revoked_at, Some(T0 + 300));
    Ok(())
}

pub(crate) async fn a_wrong_challenge_ends_a_code(world: &World) -> Result<()> {
    let ann = with_code(world, "code").await?;
    let answer = exchange(world, "code", "guess", "one", 0, T0).await?;
    assert_eq!(answer, Exchange::WrongVerifier);
    let answer = exchange(world, "code", "challenge", "two", 0, T0).await?;
    assert_eq!(answer, Exchange::Reused(None));
    assert_eq!(listed(world, &ann, T0).await?, []);
    Ok(())
}

pub(crate) async fn an_expired_or_unknown_code_is_unknown(world: &World) -> Result<()> {
    let ann = with_code(world, "code").await?;
    for (code, now) in [("code", T0 + 100), ("other", T0)] {
        let answer = exchange(world, code, "challenge", "token", 0, now).await?;
        assert_eq!(answer, Exchange::Unknown, "{code}");
    }
    assert_eq!(listed(world, &ann, T0).await?, []);
    Ok(())
}

pub(crate) async fn a_code_for_one_token_too_many_is_spent(world: &World) -> Result<()> {
    let ann = with_code(world, "code").await?;
    assert_eq!(world.store.create_token(new_token(&ann.id, "kept"), 0).await?, TokenMade::Created);
    let answer = exchange(world, "code", "challenge", "token", 1, T0).await?;
    assert_eq!(answer, Exchange::LimitReached);
    let answer = exchange(world, "code", "challenge", "token", 0, T0).await?;
    assert_eq!(answer, Exchange::Reused(None));
    assert_eq!(listed(world, &ann, T0).await?.len(), 1);
    Ok(())
}
