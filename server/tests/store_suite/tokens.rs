//! Tokens, and the codes that the command line exchanges for one.

use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::{Scope, TokenId};
use meshwire_server::secret;
use meshwire_server::store::{CliCode, Exchange, Micros, Result, TokenRow, UserRow};

use crate::fixture::{DAY, T0, World, new_token};

/// The token with this secret, as the store has it now.
async fn kept(world: &World, secret: &str) -> Result<TokenRow> {
    let (token, _) = world.store.token(&secret::digest(secret)).await?.expect("it is there");
    Ok(token)
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
    assert!(world.store.create_token(token.clone(), 0).await?);
    for _ in 0..2 {
        for _ in 0..2 {
            let found = world.store.token(&token.hash).await?;
            assert_eq!(found, Some((token.clone(), mesh.owner.clone())));
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
        assert!(world.store.create_token(token.clone(), 0).await?);
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
    assert!(world.store.create_token(token.clone(), 0).await?);
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
    assert!(world.store.create_token(token.clone(), 0).await?);
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
        assert!(world.store.create_token(token.clone(), 0).await?);
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
        assert!(world.store.create_token(token, 5).await?);
    }
    assert!(world.store.revoke_token(&ann.id, &revoked.id, T0).await?);

    let tasks = (0..16).map(|n| {
        let (store, new) = (Arc::clone(&world.store), new_token(&ann.id, &format!("t{n}")));
        tokio::spawn(async move { store.create_token(new, 5).await })
    });
    let mut made = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        made += usize::from(answer?);
    }
    assert_eq!(made, 5);
    let live = listed(world, &ann, T0).await?;
    assert_eq!(live.len(), 5);
    assert!(!world.store.create_token(new_token(&ann.id, "more"), 5).await?);
    assert!(world.store.token(&secret::digest("more")).await?.is_none());
    assert!(world.store.revoke_token(&ann.id, &live[0], T0).await?);
    assert!(world.store.create_token(new_token(&ann.id, "more"), 5).await?);
    assert!(world.store.create_token(new_token(&ann.id, "yet more"), 0).await?, "0: no limit");
    Ok(())
}

pub(crate) async fn the_last_use_of_a_token_is_merged_by_max(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    let tokens = [new_token(&ann.id, "one"), new_token(&ann.id, "two")];
    for token in &tokens {
        assert!(world.store.create_token(token.clone(), 0).await?);
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
    assert_eq!(user, ann);
    assert_eq!((token.user, token.name.as_str()), (ann.id, "the laptop"));
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
    while world.store.purge(T0 + 300).await? {}
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
    assert!(world.store.create_token(new_token(&ann.id, "kept"), 0).await?);
    let answer = exchange(world, "code", "challenge", "token", 1, T0).await?;
    assert_eq!(answer, Exchange::LimitReached);
    let answer = exchange(world, "code", "challenge", "token", 0, T0).await?;
    assert_eq!(answer, Exchange::Reused(None));
    assert_eq!(listed(world, &ann, T0).await?.len(), 1);
    Ok(())
}
