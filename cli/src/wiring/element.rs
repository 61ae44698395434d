//! An element of ours in a list of others, and what somebody has put into it.

use serde_json::Value as Json;

/// An element with all that we need in it, and with what somebody else put there. What of it says `mark` is ours.
pub(super) fn refit(found: &Json, ours: &Json, mark: &str) -> Json {
    match (found, ours) {
        (Json::Object(found), Json::Object(ours)) => {
            let mut new = found.clone();
            for (key, ours) in ours {
                let fit = found.get(key).map_or_else(|| ours.clone(), |old| refit(old, ours, mark));
                new.insert(key.clone(), fit);
            }
            Json::Object(new)
        }
        (Json::Array(found), Json::Array(ours)) => {
            let mut new = found.clone();
            for ours in ours {
                match new.iter_mut().find(|old| says(old, mark)) {
                    Some(old) => *old = refit(old, ours, mark),
                    None => new.push(ours.clone()),
                }
            }
            Json::Array(new)
        }
        _ => ours.clone(),
    }
}

/// Whether an element is one of ours: one that says `mark` somewhere. A mere text is ours only as we write it.
pub(super) fn says(element: &Json, mark: &str) -> bool {
    element.is_object() && element.to_string().contains(mark)
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
