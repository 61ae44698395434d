//! The reference of the command line that the server shows at `/docs/cli`: what `--help` is made of, kept in the
//! repository, since the server is built without this program.

use clap::{Arg, Command, CommandFactory as _};
use serde::Serialize;

use crate::args::Cli;

/// Where it is kept.
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/reference/cli.json");

#[derive(Serialize)]
struct Reference {
    about: String,
    options: Vec<Argument>,
    commands: Vec<Described>,
}

#[derive(Serialize)]
struct Described {
    name: String,
    about: String,
    usage: String,
    arguments: Vec<Argument>,
    options: Vec<Argument>,
    after: String,
}

#[derive(Serialize)]
struct Argument {
    name: String,
    about: String,
}

impl Argument {
    fn of(arg: &Arg) -> Self {
        let mut about = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values = arg.get_possible_values();
        let takes_value = arg.get_action().takes_values();
        if takes_value && !values.is_empty() {
            let names: Vec<&str> =
                values.iter().map(clap::builder::PossibleValue::get_name).collect();
            about = format!("{about} ({})", names.join(", "));
        }
        let defaults = arg.get_default_values();
        if takes_value && let [default] = defaults {
            about = format!("{about} [default: {}]", default.to_string_lossy());
        }
        Self { name: arg.to_string(), about: about.trim().to_owned() }
    }
}

/// What can be said with a command, other than with every command.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let everywhere = ["help", "version"].contains(&arg.get_id().as_str());
        !arg.is_hide_set() && !arg.is_global_set() && !everywhere
    })
}

fn describe(command: &Command, path: &str, found: &mut Vec<Described>) {
    for command in command.get_subcommands() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let name = format!("{path} {}", command.get_name()).trim().to_owned();
        if command.has_subcommands() {
            describe(command, &name, found);
            continue;
        }
        let text = |text: Option<&clap::builder::StyledStr>| {
            text.map(ToString::to_string).unwrap_or_default()
        };
        let usage = command.clone().render_usage().to_string();
        let (positional, options): (Vec<&Arg>, Vec<&Arg>) =
            arguments(command).partition(|arg| arg.is_positional());
        found.push(Described {
            name,
            about: text(command.get_long_about().or(command.get_about())),
            usage: usage.trim_start_matches("Usage:").trim().to_owned(),
            arguments: positional.into_iter().map(Argument::of).collect(),
            options: options.into_iter().map(Argument::of).collect(),
            after: text(command.get_after_help()),
        });
    }
}

/// The reference, as it is kept.
fn reference() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut commands = Vec::new();
    describe(&cli, "", &mut commands);
    let reference = Reference {
        about: cli.get_after_help().map(ToString::to_string).unwrap_or_default(),
        options: cli.get_arguments().filter(|arg| arg.is_global_set()).map(Argument::of).collect(),
        commands,
    };
    format!("{}\n", serde_json::to_string_pretty(&reference).unwrap())
}

#[test]
fn the_reference_in_the_docs_is_what_help_says() {
    let now = reference();
    if std::env::var_os("MESHWIRE_WRITE_REFERENCE").is_some() {
        std::fs::write(PATH, &now).unwrap();
    }
    let kept = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        kept == now,
        "web/reference/cli.json is behind `meshwire --help`; write it anew with\n\
         MESHWIRE_WRITE_REFERENCE=1 cargo test -p meshwire reference"
    );
}
