//! Settings as they come from the environment: variables that are empty, that hold what cannot be taken, and that
//! nothing here knows.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};
use url::Url;

use super::Args;

/// How all of them begin.
const PREFIX: &str = "MESHWIRE_";
/// What the command line `meshwire` reads, what it tells a command that it runs, and what `infra/compose.yaml` reads.
const OF_OTHER_PROGRAMS: [&str; 10] = [
    "MESHWIRE_AGENT_NAME",
    "MESHWIRE_FROM",
    "MESHWIRE_HOST",
    "MESHWIRE_MESH_ID",
    "MESHWIRE_MESSAGE_ID",
    "MESHWIRE_NET",
    "MESHWIRE_PROFILE",
    "MESHWIRE_TO",
    "MESHWIRE_TOKEN",
    "MESHWIRE_URL",
];
/// What begins like this is for tests, or what Kubernetes says of a service that is called `meshwire`.
const PREFIXES_OF_OTHERS: [&str; 4] =
    ["MESHWIRE_TEST_", "MESHWIRE_PLANTED_", "MESHWIRE_SERVICE_", "MESHWIRE_PORT"];
/// How alike a name must be to be meant, from 0 to 1.
const ALIKE: f64 = 0.8;

impl Args {
    /// From the command line and the environment of this process. A variable that is empty counts as not set: that is
    /// what one turns into that a deployment file passes on without having it.
    ///
    /// # Errors
    /// What to print, which may also be the help.
    pub fn read() -> Result<Self, clap::Error> {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let mut command = Self::command().mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(Resettable::Reset),
            _ => arg,
        });
        let read = command.try_get_matches_from_mut(std::env::args_os());
        let args = read.and_then(|matches| Self::from_arg_matches(&matches));
        match args {
            // The help names all variables, also those that are empty.
            Err(error) if error.kind() == ErrorKind::DisplayHelp => Self::command()
                .try_get_matches_from(std::env::args_os())
                .and_then(|matches| Self::from_arg_matches(&matches)),
            args => args.map_err(|error| error.format(&mut command)),
        }
    }
}

/// What to tell of a setting that cannot be taken: its variable, its flag, the value and what is allowed. `None`: clap
/// says it better.
pub fn refusal(error: &clap::Error) -> Option<String> {
    let mut command = Args::command();
    command.build();
    if error.kind() == ErrorKind::InvalidUtf8 {
        let name = command
            .get_arguments()
            .filter_map(Arg::get_env)
            .find(|name| matches!(std::env::var(name), Err(std::env::VarError::NotUnicode(_))))?;
        return Some(format!("{} in the environment is not UTF-8", name.display()));
    }
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?.split_whitespace().next()?;
    let arg = find(&command, flag)?;
    let env = arg.get_env()?.to_string_lossy();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let reason = match (value, error.get(ContextKind::ValidValue), std::error::Error::source(error))
    {
        ("", ..) => "a value is expected; leave it out for the default".to_owned(),
        (_, Some(ContextValue::Strings(values)), _) => {
            format!("expected one of {}", values.join(", "))
        }
        (_, _, Some(source)) => source.to_string(),
        _ => return None,
    };
    let is_flag = |given: &OsStr| {
        let given = given.as_encoded_bytes();
        given.strip_prefix(flag.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'=', ..]))
    };
    let what = if std::env::args_os().any(|given| is_flag(&given)) {
        format!("{flag} is {value:?}: {reason} (in the environment it is {env})")
    } else {
        format!("{env} in the environment is {value:?}: {reason} (as a flag it is {flag})")
    };
    let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    Some(format!("{what}\n\nIt is for: {about}\nFor all settings, see `meshwire-server --help`."))
}

fn find<'a>(command: &'a Command, flag: &str) -> Option<&'a Arg> {
    let long = flag.strip_prefix("--")?;
    command.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// A variable that begins like ours, that nothing reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// What was perhaps meant.
    pub meant: Option<String>,
}

/// Which variables of the environment of this process nothing reads, in their order. Those of the command line may
/// well stand beside those of the server.
pub fn unknown() -> Vec<Unknown> {
    unknown_among(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn unknown_among(names: impl Iterator<Item = String>) -> Vec<Unknown> {
    let command = Args::command();
    let ours: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()))
        .collect();
    let is_known = |name: &String| {
        ours.contains(name)
            || OF_OTHER_PROGRAMS.contains(&name.as_str())
            || PREFIXES_OF_OTHERS.iter().any(|prefix| name.starts_with(prefix))
    };
    let names: BTreeSet<String> =
        names.filter(|name| name.starts_with(PREFIX) && !is_known(name)).collect();
    let meant = |name: &str| {
        // All begin alike, which says nothing.
        let alike = |ours: &String| strsim::jaro(&name[PREFIX.len()..], &ours[PREFIX.len()..]);
        let nearest = ours.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
        (alike(nearest) >= ALIKE).then(|| nearest.clone())
    };
    names.into_iter().map(|name| Unknown { meant: meant(&name), name }).collect()
}

/// Reads a whole number that may be one of these.
pub(super) fn number(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
            format!("expected a whole number from {} to {}", range.start(), range.end())
        })
    }
}

/// Reads where to listen.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an IP address and a port, such as 127.0.0.1:4200 or [::1]:4200".to_owned()
    })
}

/// Reads a URL.
pub(super) fn url(text: &str) -> Result<Url, String> {
    text.parse().map_err(|error: url::ParseError| {
        format!("{error}; expected a whole URL, such as https://mesh.example.com")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(names: &[&str]) -> Vec<(String, Option<String>)> {
        let found = unknown_among(names.iter().map(ToString::to_string));
        found.into_iter().map(|unknown| (unknown.name, unknown.meant)).collect()
    }

    #[test]
    fn a_misspelt_variable_is_found_with_what_was_meant() {
        let meant = |name: &str, meant: &str| vec![(name.to_owned(), Some(meant.to_owned()))];
        for (name, ours) in [
            ("MESHWIRE_LIMIT_TOKNES", "MESHWIRE_LIMIT_TOKENS"),
            ("MESHWIRE_STROE", "MESHWIRE_STORE"),
            ("MESHWIRE_SECRETKEY", "MESHWIRE_SECRET_KEY"),
            ("MESHWIRE_TRUSTED_PROXY", "MESHWIRE_TRUSTED_PROXIES"),
        ] {
            assert_eq!(unknown(&[name, "HOME", "MESHWIRE_STORE"]), meant(name, ours));
        }
        assert_eq!(unknown(&["MESHWIRE_XYZZY"]), [("MESHWIRE_XYZZY".to_owned(), None)]);
    }

    #[test]
    fn what_others_read_is_no_news() {
        assert_eq!(unknown(&OF_OTHER_PROGRAMS), []);
        assert_eq!(
            unknown(&["MESHWIRE_TEST_LOGS", "MESHWIRE_PORT_4200_TCP_ADDR", "MESHWIRES"]),
            []
        );
    }
}
