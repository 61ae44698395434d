//! What must hold for any input. `cargo fuzz` looks for one for which it does not; an ordinary test runs the
//! same over the seeds and random changes of them.

use meshwire_protocol::{
    Address, AgentId, ChangeMember, CliTokenRequest, CreateInvite, CreateMesh, CreateToken, Decide,
    From, InboxPage, Join, MeshId, Message, MessageId, Problem, RegisterAgent, SendMessage,
    SetCursor, TokenId, UpdateAgent, UpdateMesh, UserId, check_agent_name, check_capability,
    check_login, check_mesh_name, check_printable, check_token, finish_token, is_invisible, limits,
    mask_token, person_name,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Names and addresses: what is taken can be shown, told apart and addressed.
pub(crate) fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    if check_agent_name(text).is_ok() {
        assert!((1..=64).contains(&text.len()) && text.is_ascii(), "{text:?}");
        assert!(
            !text.eq_ignore_ascii_case("all") && !text.contains([':', '@', '/', ' ']),
            "{text:?}"
        );
        assert_eq!(Address::parse(text), Ok(Address::Name(text)));
    }
    if check_login(text).is_ok() {
        let person = person_name(text);
        assert_eq!(Address::parse(&person), Ok(Address::Person(text)));
        assert!(
            check_agent_name(&person).is_err(),
            "nobody else is named like a person: {person:?}"
        );
    }
    for taken in [check_mesh_name(text), check_capability(text)] {
        if taken.is_ok() {
            assert!((1..=64).contains(&text.chars().count()), "{text:?}");
            assert!(!text.chars().any(|c| c.is_control() || is_invisible(c)), "{text:?}");
        }
    }
    if check_printable(text, limits::MAX_NAME).is_ok() {
        assert!(text.chars().count() <= limits::MAX_NAME, "{text:?}");
        assert!(!text.chars().any(|c| c.is_control() || is_invisible(c)), "{text:?}");
    }
    match Address::parse(text) {
        Ok(Address::All) => assert!(text.eq_ignore_ascii_case("all")),
        Ok(Address::Person(login)) => assert_eq!(text, format!("@{login}")),
        Ok(Address::Name(name)) => assert_eq!(check_agent_name(name), Ok(())),
        Err(_) => assert_ne!(text, "all"),
    }
}

/// Tokens: only whole ones are taken, no slip of one character is, and a mask gives no more than six away.
pub(crate) fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    if check_token(text).is_ok() {
        let random = &text[meshwire_protocol::TOKEN_PREFIX.len()..text.len() - 6];
        assert_eq!(finish_token(random).as_deref(), Ok(text));
    }
    if text.chars().count() > 6 {
        let shown = mask_token(text);
        let tail: String = text.chars().skip(text.chars().count() - 7).collect();
        assert!(tail.starts_with('•') || !shown.ends_with(&tail), "{text:?} as {shown}");
    }
    let Ok(token) = finish_token(text) else { return };
    assert_eq!(check_token(&token), Ok(()));
    assert!(!mask_token(&token).contains(text));
    for at in 0..token.len() {
        for other in ["0", "z", "_", " "] {
            let mut slip = token.clone();
            slip.replace_range(at..=at, other);
            assert_eq!(check_token(&slip).is_ok(), slip == token, "{slip}");
        }
    }
    assert!(check_token(&token[1..]).is_err() && check_token(&format!("{token}0")).is_err());
}

/// Identifiers and cursors: what is read is written as it was, and is within its bounds.
pub(crate) fn cursors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    macro_rules! ids {
        ($($id:ident)*) => {$(
            let read = text.parse::<$id>();
            if let Ok(id) = &read {
                assert_eq!((id.as_str(), text.len()), (text, $id::LENGTH));
                assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            }
            let json = serde_json::Value::from(text);
            assert_eq!(serde_json::from_value::<$id>(json).is_ok(), read.is_ok(), "{text:?}");
        )*};
    }
    ids!(MeshId AgentId TokenId UserId);
    if let Ok(id) = text.parse::<MessageId>() {
        assert!(id <= MessageId::MAX && id >= MessageId::ZERO);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(MessageId::new(id.get()), Some(id));
    }
    if let Ok(from) = text.parse::<From>() {
        assert_eq!(from.to_string().parse(), Ok(from));
        let json = serde_json::to_string(&from).expect("it can be written");
        assert_eq!(serde_json::from_str::<From>(&json).expect("it can be read"), from);
    }
    if let Ok(from) = serde_json::from_slice::<From>(data) {
        assert_eq!(from.to_string().parse(), Ok(from));
    }
    if let Ok(id) = serde_json::from_slice::<MessageId>(data) {
        assert!(id <= MessageId::MAX && id >= MessageId::ZERO);
    }
}

/// The body of every request, and what clients read: what is read can be written, and means the same then.
pub(crate) fn requests(data: &[u8]) {
    macro_rules! bodies {
        ($($body:ident)*) => { $(same_again::<$body>(data);)* };
    }
    bodies!(
        CreateToken CliTokenRequest CreateMesh UpdateMesh RegisterAgent UpdateAgent SendMessage SetCursor
        ChangeMember CreateInvite Join Decide Message InboxPage Problem
    );
}

fn same_again<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return };
    let written = serde_json::to_string(&read).expect("what was read can be written");
    let again: T =
        serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(serde_json::to_string(&again).expect("it was written before"), written);
}
