//! Sign-in of computers without a browser.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::try_join_all;
use meshwire_protocol::Scope;
use meshwire_server::secret;
use meshwire_server::store::{
    DeviceCode, DevicePoll, DeviceRequest, Digest, Micros, Result, TokenMade, TokenRow, UserRow,
};

use crate::fixture::{SECOND, T0, World, new_token};

const MINUTE: Micros = 60 * SECOND;
const SLOWER: Micros = 5 * SECOND;

fn hash(text: &str) -> Digest {
    secret::digest(text)
}

fn request() -> DeviceRequest {
    DeviceRequest {
        host: "laptop".to_owned(),
        address: Some(IpAddr::from([192, 0, 2, 1])),
        requested_at: T0,
    }
}

/// A request whose typed code is the same with `!` behind.
fn device(text: &str) -> DeviceCode {
    DeviceCode {
        hash: hash(text),
        user_code: hash(&format!("{text}!")),
        client: "meshwire".to_owned(),
        token_name: "cli on laptop".to_owned(),
        request: request(),
        every: 5 * SECOND,
        expires_at: T0 + 10 * MINUTE,
    }
}

async fn begun(world: &World, text: &str) -> Result<()> {
    assert!(world.store.put_device_code(device(text)).await?);
    Ok(())
}

async fn decide(world: &World, text: &str, user: Option<&UserRow>, now: Micros) -> Result<bool> {
    let user = user.map(|user| &user.id);
    world.store.decide_device(&hash(&format!("{text}!")), user, now).await
}

fn draft(secret: &str, now: Micros) -> TokenRow {
    TokenRow { created_at: now, ..new_token(&secret::user_id(), secret) }
}

async fn poll(world: &World, text: &str, secret: &str, now: Micros) -> Result<DevicePoll> {
    let token = draft(secret, now);
    world.store.poll_device(&hash(text), Some("meshwire"), token, SLOWER, 0, now).await
}

pub(crate) async fn an_approved_code_gives_one_token_of_its_user(world: &mut World) -> Result<()> {
    let ann = world.user("ann").await?;
    begun(world, "code").await?;
    assert_eq!(poll(world, "code", "early", T0).await?, DevicePoll::Pending);
    world.reopen().await;
    assert!(decide(world, "code", Some(&ann), T0 + 1).await?);
    world.reopen().await;
    // An approved one is not asked to wait: `slow_down` means that it is still pending.
    let issued = DevicePoll::Issued("ann".to_owned());
    assert_eq!(poll(world, "code", "token", T0 + 2).await?, issued);
    let (token, user) = world.store.token(&hash("token")).await?.expect("it is there");
    assert_eq!(*user, ann);
    assert_eq!((token.user.clone(), token.name.as_str()), (ann.id, "cli on laptop"));
    assert_eq!(token.scopes, [Scope::Read, Scope::Send]);
    assert_eq!((token.created_at, token.revoked_at), (T0 + 2, None));
    for now in [T0 + 3, T0 + 10 * MINUTE] {
        assert_eq!(poll(world, "code", "second", now).await?, DevicePoll::Unknown);
    }
    for secret in ["early", "second"] {
        assert!(world.store.token(&hash(secret)).await?.is_none(), "{secret}");
    }
    Ok(())
}

pub(crate) async fn a_code_waits_for_its_decision_and_is_decided_once(world: &World) -> Result<()> {
    let (ann, bob) = (world.user("ann").await?, world.user("bob").await?);
    begun(world, "code").await?;
    let find = async |text: &str, now| world.store.device_request(&hash(text), now).await;
    assert_eq!(find("code!", T0).await?, Some(request()));
    // What the computer holds is not what is typed.
    assert_eq!(find("code", T0).await?, None);
    assert_eq!(find("other!", T0).await?, None);
    assert!(!decide(world, "other", Some(&ann), T0).await?);
    assert!(decide(world, "code", Some(&ann), T0).await?);
    assert_eq!(find("code!", T0).await?, None);
    assert!(!decide(world, "code", Some(&bob), T0).await?);
    assert!(!decide(world, "code", None, T0).await?);
    let issued = DevicePoll::Issued("ann".to_owned());
    assert_eq!(poll(world, "code", "token", T0).await?, issued);
    assert!(!decide(world, "code", Some(&bob), T0).await?);
    Ok(())
}

pub(crate) async fn an_approval_that_races_a_refusal_is_one_of_the_two(
    world: &World,
) -> Result<()> {
    let ann = world.user("ann").await?;
    for round in 0..8 {
        let text = format!("code{round}");
        begun(world, &text).await?;
        let tasks = [true, false].map(|approve| {
            let (store, text) = (Arc::clone(&world.store), format!("{text}!"));
            let user = approve.then(|| ann.id.clone());
            tokio::spawn(async move { store.decide_device(&hash(&text), user.as_ref(), T0).await })
        });
        let [approved, denied] = tasks;
        let approved = approved.await.expect("no task panics")?;
        let denied = denied.await.expect("no task panics")?;
        assert_ne!(approved, denied);
        let expected =
            if approved { DevicePoll::Issued("ann".to_owned()) } else { DevicePoll::Denied };
        assert_eq!(poll(world, &text, &format!("token{round}"), T0).await?, expected);
    }
    Ok(())
}

pub(crate) async fn an_approved_code_gives_one_token_under_eight_racing_polls(
    world: &World,
) -> Result<()> {
    let ann = world.user("ann").await?;
    begun(world, "code").await?;
    assert!(decide(world, "code", Some(&ann), T0).await?);
    let tasks = (0..8).map(|n| {
        let store = Arc::clone(&world.store);
        tokio::spawn(async move {
            let token = draft(&format!("token{n}"), T0);
            store.poll_device(&hash("code"), None, token, SLOWER, 0, T0).await
        })
    });
    let mut issued = 0;
    for answer in try_join_all(tasks).await.expect("no task panics") {
        match answer? {
            DevicePoll::Issued(_) => issued += 1,
            other => assert_eq!(other, DevicePoll::Unknown),
        }
    }
    assert_eq!(issued, 1);
    assert_eq!(world.store.tokens(&ann.id, T0).await?.len(), 1);
    Ok(())
}

pub(crate) async fn a_poll_that_comes_too_soon_makes_the_time_between_polls_grow(
    world: &mut World,
) -> Result<()> {
    begun(world, "code").await?;
    begun(world, "other").await?;
    for (at, expected) in [
        (0, DevicePoll::Pending),
        (5 * SECOND, DevicePoll::Pending),
        (10 * SECOND - 1, DevicePoll::TooSoon),
        // 10 s after the one before.
        (20 * SECOND - 2, DevicePoll::TooSoon),
        // 15 s after that.
        (35 * SECOND - 2, DevicePoll::Pending),
        (50 * SECOND - 2, DevicePoll::Pending),
        (60 * SECOND, DevicePoll::TooSoon),
    ] {
        assert_eq!(poll(world, "code", "token", T0 + at).await?, expected, "{at}");
        world.reopen().await;
    }
    assert_eq!(poll(world, "other", "token", T0 + 60 * SECOND).await?, DevicePoll::Pending);
    Ok(())
}

pub(crate) async fn a_device_code_ends_with_its_time(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    let end = T0 + 10 * MINUTE;
    begun(world, "pending").await?;
    begun(world, "approved").await?;
    assert!(decide(world, "approved", Some(&ann), end - 1).await?);
    assert!(world.store.device_request(&hash("pending!"), end - 1).await?.is_some());
    assert!(world.store.device_request(&hash("pending!"), end).await?.is_none());
    assert!(!decide(world, "pending", Some(&ann), end).await?);
    assert!(!decide(world, "pending", None, end).await?);
    for text in ["pending", "approved"] {
        assert_eq!(poll(world, text, "token", end).await?, DevicePoll::Expired, "{text}");
    }
    assert_eq!(poll(world, "pending", "token", end - 1).await?, DevicePoll::Pending);
    assert_eq!(world.store.tokens(&ann.id, T0).await?, []);
    Ok(())
}

pub(crate) async fn a_device_code_is_for_the_client_that_asked(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    begun(world, "code").await?;
    assert!(decide(world, "code", Some(&ann), T0).await?);
    let ask = async |client: Option<&str>| {
        let token = draft("token", T0);
        world.store.poll_device(&hash("code"), client, token, SLOWER, 0, T0).await
    };
    for other in ["Meshwire", "other", ""] {
        assert_eq!(ask(Some(other)).await?, DevicePoll::Unknown, "{other:?}");
    }
    assert_eq!(ask(None).await?, DevicePoll::Issued("ann".to_owned()));
    Ok(())
}

pub(crate) async fn a_denied_code_stays_denied(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    begun(world, "code").await?;
    assert!(decide(world, "code", None, T0).await?);
    assert!(!decide(world, "code", Some(&ann), T0).await?);
    for now in [T0, T0 + 1, T0 + 10 * MINUTE] {
        assert_eq!(poll(world, "code", "token", now).await?, DevicePoll::Denied);
    }
    Ok(())
}

pub(crate) async fn a_typed_code_is_used_once_at_a_time(world: &World) -> Result<()> {
    begun(world, "code").await?;
    let same = DeviceCode { user_code: hash("code!"), ..device("second") };
    assert!(!world.store.put_device_code(same).await?);
    assert_eq!(poll(world, "second", "token", T0).await?, DevicePoll::Unknown);
    assert_eq!(poll(world, "code", "token", T0).await?, DevicePoll::Pending);
    Ok(())
}

pub(crate) async fn a_device_code_for_one_token_too_many_is_spent(world: &World) -> Result<()> {
    let ann = world.user("ann").await?;
    assert_eq!(world.store.create_token(new_token(&ann.id, "kept"), 0).await?, TokenMade::Created);
    begun(world, "code").await?;
    assert!(decide(world, "code", Some(&ann), T0).await?);
    let answer =
        world.store.poll_device(&hash("code"), None, draft("token", T0), SLOWER, 1, T0).await?;
    assert_eq!(answer, DevicePoll::LimitReached);
    assert_eq!(poll(world, "code", "token", T0).await?, DevicePoll::Unknown);
    assert_eq!(world.store.tokens(&ann.id, T0).await?.len(), 1);
    Ok(())
}

pub(crate) async fn a_purge_leaves_the_codes_that_still_count(world: &World) -> Result<()> {
    begun(world, "code").await?;
    while world.purge(T0 + 70 * MINUTE - 1).await? {}
    assert_eq!(poll(world, "code", "token", T0 + 10 * MINUTE).await?, DevicePoll::Expired);
    while world.purge(T0 + 70 * MINUTE).await? {}
    assert_eq!(poll(world, "code", "token", T0).await?, DevicePoll::Unknown);
    begun(world, "code").await?;
    Ok(())
}
