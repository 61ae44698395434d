//! The settings of the server, as clap knows them.

use std::sync::LazyLock;

use clap::{Arg, CommandFactory as _};

use crate::settings::Args;

/// Settings that belong together.
pub(crate) struct Group {
    /// Its anchor.
    pub id: &'static str,
    pub title: &'static str,
    pub settings: Vec<Setting>,
}

/// A setting.
pub(crate) struct Setting {
    /// Its variable of the environment; empty: it has none.
    pub env: String,
    pub flag: String,
    pub about: String,
    /// Empty: it has none, or `about` says it.
    pub default: String,
}

/// How variables begin, and what to call those that do so.
const GROUPS: [(&str, &str, &str); 4] = [
    ("MESHWIRE_GITHUB_", "github", "Sign-in with GitHub"),
    ("MESHWIRE_RETENTION_", "retention", "Retention"),
    ("MESHWIRE_LIMIT_", "limits", "Limits"),
    ("", "general", "General"),
];

static ALL: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let mut command = Args::command();
    command.build();
    let settings: Vec<Setting> = command
        .get_arguments()
        .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
        .map(Setting::of)
        .collect();
    let group_of =
        |setting: &Setting| GROUPS.iter().position(|(prefix, ..)| setting.env.starts_with(prefix));
    let mut groups: Vec<Group> =
        GROUPS.iter().map(|(_, id, title)| Group { id, title, settings: Vec::new() }).collect();
    for setting in settings {
        let place = group_of(&setting).expect("the last one takes all");
        groups[place].settings.push(setting);
    }
    // What everyone may need comes first.
    groups.rotate_right(1);
    groups
});

/// All settings.
pub(super) fn groups() -> &'static [Group] {
    &ALL
}

/// The settings of one group.
pub(super) fn group(id: &str) -> &'static Group {
    ALL.iter().find(|group| group.id == id).expect("pages name groups that are here")
}

impl Setting {
    /// The value that the variable has here is not looked at: it may be a secret.
    fn of(arg: &Arg) -> Self {
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        let takes_value = arg.get_action().takes_values();
        let defaults = arg.get_default_values().iter().filter(|_| takes_value);
        Self {
            env: arg.get_env().map(text).unwrap_or_default(),
            flag: arg.to_string(),
            about: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            default: defaults.map(|value| text(value)).collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_stands_in_one_group_and_says_what_it_is_for() {
        let all: Vec<&Setting> = groups().iter().flat_map(|group| &group.settings).collect();
        assert!(all.len() > 30, "only {}", all.len());
        for setting in &all {
            assert!(!setting.about.is_empty(), "{} says nothing", setting.flag);
            assert!(setting.env.is_empty() || setting.env.starts_with("MESHWIRE_"));
        }
        assert!(group("limits").settings.iter().all(|setting| !setting.default.is_empty()));
        assert_eq!(group("retention").settings.len(), 3);
    }
}
