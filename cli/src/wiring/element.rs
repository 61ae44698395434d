//! An element of ours in a list of others, and what somebody has put into it.

use serde_json::Value as Json;

use crate::harness_files::is_command;

/// An element with all that we need in it, and with what somebody else put there. What of it runs us with these words
/// is ours.
pub(super) fn refit(found: &Json, ours: &Json, words: &str) -> Json {
    match (found, ours) {
        (Json::Object(found), Json::Object(ours)) => {
            let mut new = found.clone();
            for (key, ours) in ours {
                let fit =
                    found.get(key).map_or_else(|| ours.clone(), |old| refit(old, ours, words));
                new.insert(key.clone(), fit);
            }
            Json::Object(new)
        }
        (Json::Array(found), Json::Array(ours)) => {
            let mut new = found.clone();
            for ours in ours {
                match new.iter_mut().find(|old| runs(old, words)) {
                    Some(old) => *old = refit(old, ours, words),
                    None => new.push(ours.clone()),
                }
            }
            Json::Array(new)
        }
        _ => ours.clone(),
    }
}

/// Whether an element is one of ours, whichever version wrote it: one in which a command is our program with these
/// words, and nothing around it. A mere text is ours only as we write it.
pub(super) fn runs(element: &Json, words: &str) -> bool {
    let is_ours = |value: &Json| match value {
        Json::String(line) => is_command(line, words),
        Json::Array(list) => list.iter().any(|value| runs(value, words)),
        _ => runs(value, words),
    };
    element.as_object().is_some_and(|keys| keys.values().any(is_ours))
}

/// Whether somebody else has put something into an element.
pub(super) fn holds_more(found: &Json, ours: &Json) -> bool {
    match (found, ours) {
        (Json::Object(found), Json::Object(ours)) => found
            .iter()
            .any(|(key, found)| ours.get(key).is_none_or(|ours| holds_more(found, ours))),
        (Json::Array(found), Json::Array(ours)) => {
            found.len() > ours.len()
                || found.iter().zip(ours).any(|(found, ours)| holds_more(found, ours))
        }
        _ => false,
    }
}

/// The elements that are left of one without ours, when all of ours is in it: none where the lists in it were ours
/// alone, because what else there is says when to do what was in them.
pub(super) fn without(found: &Json, ours: &Json) -> Option<Vec<Json>> {
    let (mut left, ours) = (found.as_object()?.clone(), ours.as_object()?);
    let mut others = false;
    for (key, ours) in ours {
        match (left.get_mut(key)?, ours) {
            (Json::Array(found), Json::Array(ours)) => {
                for ours in ours {
                    let at = found.iter().position(|found| found == ours)?;
                    found.remove(at);
                }
                others |= !found.is_empty();
            }
            (found, ours) if found == ours => drop(left.remove(key)),
            _ => return None,
        }
    }
    Some(others.then_some(Json::Object(left)).into_iter().collect())
}
