//! What the environment says, and where each setting comes from.

use super::Report;
use crate::settings::{DEFAULT_PROFILE, Flags, Settings, Source, VARIABLES};

const PREFIX: &str = "MESHWIRE_";

/// What `listen --exec` sets for its command.
const OF_LISTEN: [&str; 3] = ["MESHWIRE_MESSAGE_ID", "MESHWIRE_FROM", "MESHWIRE_TO"];

/// How many letters may be wrong for a name to be taken for a slip.
const SLIPS: usize = 2;

/// Looks for variables that say nothing, or are nearly the name of one of ours.
pub(super) fn check(report: &mut Report) {
    let mut names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_empty = value.to_str().is_some_and(|value| value.trim().is_empty());
            if VARIABLES.contains(&name.as_str()) && is_empty {
                report.warn(
                    "environment",
                    format!("{name} is set to nothing, and so says nothing"),
                    format!("give it a value, or: unset {name}"),
                );
            }
            Some(name)
        })
        .collect();
    names.sort();
    for name in names {
        if let Some(meant) = meant(&name) {
            report.warn(
                "environment",
                format!("{name} is set, and nothing reads it"),
                format!("is {meant} meant?"),
            );
        }
    }
}

/// The variable that somebody has meant who has set this one.
fn meant(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    if VARIABLES.contains(&name) || OF_LISTEN.contains(&name) {
        return None;
    }
    let rest = upper.strip_prefix(PREFIX);
    // Other parts of MeshWire have variables of other names; `MESHWIRE_MESH` is none of them.
    let shortened = rest.filter(|rest| rest.len() >= 3).and_then(|rest| {
        VARIABLES.into_iter().find(|known| {
            let known = &known[PREFIX.len()..];
            known.starts_with(rest) || known.ends_with(rest)
        })
    });
    shortened.or_else(|| VARIABLES.into_iter().find(|known| distance(&upper, known) <= SLIPS))
}

/// How many letters must be put in, left out or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Says where each setting was said.
pub(super) fn show_settings(report: &mut Report, settings: &Settings, flags: &Flags) {
    let profile = match (&flags.profile, &settings.env.profile) {
        (Some(_), _) => Source::Flag,
        (None, Some(_)) => Source::Environment,
        (None, None) => Source::Default,
    };
    if settings.token_is_of_environment() {
        report.ok(
            "settings",
            "token of the environment (MESHWIRE_TOKEN); profiles are not looked at",
        );
    } else if settings.entry.is_none() && settings.profile != DEFAULT_PROFILE {
        report.wrong(
            "settings",
            format!("no profile is called {:?}, which {profile} names", settings.profile),
            format!("run `meshwire login --profile {}`, or name another", settings.profile),
        );
    } else {
        report.ok("settings", format!("profile {:?} ({profile})", settings.profile));
    }
    report.ok("settings", format!("server {} ({})", settings.url, settings.url_source));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_known_and_other_names_left_alone() {
        for (name, wanted) in [
            ("MESHWIRE_TOKNE", Some("MESHWIRE_TOKEN")),
            ("meshwire_token", Some("MESHWIRE_TOKEN")),
            ("MESHWIRE_TOKENS", Some("MESHWIRE_TOKEN")),
            ("MESHWIER_URL", Some("MESHWIRE_URL")),
            ("MESHWIRE_MESH", Some("MESHWIRE_MESH_ID")),
            ("MESHWIRE_AGENT", Some("MESHWIRE_AGENT_NAME")),
            ("MESHWIRE_TOKEN", None),
            ("MESHWIRE_TO", None),
            ("MESHWIRE_FROM", None),
            ("MESHWIRE_BIND", None),
            ("MESHWIRE_PUBLIC_URL", None),
            ("MESHWIRE_STORE", None),
            ("MESHWIRE_LIMIT_TOKENS", None),
            ("PATH", None),
        ] {
            assert_eq!(meant(name), wanted, "{name}");
        }
    }
}
