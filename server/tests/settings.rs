//! Settings as an operator gives them to the real program: in the environment and as flags.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use meshwire_server::settings::Args;

/// The program, with nothing but these variables in its environment.
fn program(home: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwire-server"));
    command.env_clear().env("HOME", home).envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// Sees that it does not start; what it says.
#[track_caller]
fn refused(environment: &[(&str, &str)], flags: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let Output { status, stderr, .. } =
        program(home.path(), environment).args(flags).output().unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{told}");
    told
}

/// Starts a server on a free port, and ends it when it listens; what it has logged.
#[track_caller]
fn logged(environment: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut child = program(home.path(), environment)
        .args(["--bind", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(line.contains("is listening on"), "{line}{log}");
    log
}

/// How many warnings are in a log. That a statement was slow is no news of the settings.
fn warnings(log: &str) -> usize {
    log.lines().filter(|line| line.contains("WARN") && !line.contains("sqlx::")).count()
}

#[test]
fn a_wrong_setting_is_refused_by_its_value_its_variable_and_its_flag() {
    for (name, value, flag, allowed) in [
        ("MESHWIRE_LIMIT_TOKENS", "abc", "--limit-tokens", "a whole number from 0 to 4294967295"),
        ("MESHWIRE_LIMIT_BODY_BYTES", "3", "--limit-body-bytes", "from 1024 to 16777216"),
        ("MESHWIRE_RETENTION_DAYS", "-1", "--retention-days", "from 0 to 36500"),
        ("MESHWIRE_POSTGRES_CONNECTIONS", "1", "--postgres-connections", "from 2 to"),
        ("MESHWIRE_BIND", "4200", "--bind", "127.0.0.1:4200"),
        ("MESHWIRE_METRICS_BIND", "localhost", "--metrics-bind", "an IP address and a port"),
        ("MESHWIRE_PUBLIC_URL", "mesh", "--public-url", "https://mesh.example.com"),
        ("MESHWIRE_LOG_FORMAT", "xml", "--log-format", "expected one of text, json"),
        ("MESHWIRE_TRUSTED_PROXIES", "proxy", "--trusted-proxies", "10.0.0.0/8"),
    ] {
        let told = refused(&[(name, value)], &[]);
        let begin = format!("error: {name} in the environment is {value:?}: ");
        assert!(told.starts_with(&begin), "{told}\nexpected: {begin}");
        assert!(told.contains(allowed) && told.contains(flag), "{told}");
        let flags = [&*format!("{flag}={value}")];
        // The flag goes before the variable, and so it is the one that is named.
        for environment in [&[][..], &[(name, "127.0.0.1:0")]] {
            let told = refused(environment, &flags);
            assert!(told.starts_with(&format!("error: {flag} is {value:?}: ")), "{told}");
            assert!(told.contains(allowed) && told.contains(name), "{told}");
        }
    }
}

#[test]
fn an_empty_variable_counts_as_not_set_and_an_empty_flag_is_a_slip() {
    let mut command = Args::command();
    command.build();
    let names: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned()))
        .collect();
    assert!(names.len() > 30, "only {names:?}");
    let empty: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let log = logged(&empty);
    assert_eq!(warnings(&log), 0, "{log}");
    for flag in ["--store", "--store-file", "--secret-key", "--limit-tokens", "--public-url"] {
        let told = refused(&[], &[flag, ""]);
        assert!(told.starts_with(&format!("error: {flag} is \"\": a value is expected")), "{told}");
    }
    // Help names them all the same.
    let home = tempfile::tempdir().unwrap();
    let help = program(home.path(), &empty).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(names.iter().all(|name| help.contains(name)), "{help}");
    assert!(help.contains("that is empty counts as not set"), "{help}");
}

#[test]
fn a_variable_that_nothing_knows_is_named_once_in_the_log() {
    let log = logged(&[
        ("MESHWIRE_LIMIT_TOKNES", "5"),
        ("MESHWIRE_TOKEN", "mw_x"),
        ("MESHWIRE_URL", "http://127.0.0.1:4200"),
        ("MESHWIRE_TEST_LOGS", "/x"),
    ]);
    assert_eq!(warnings(&log), 1, "{log}");
    assert_eq!(log.matches("MESHWIRE_").count(), 2, "{log}");
    assert!(log.contains("MESHWIRE_LIMIT_TOKNES in the environment is no setting"), "{log}");
    assert!(log.contains("did you mean MESHWIRE_LIMIT_TOKENS?"), "{log}");
}

#[test]
fn links_for_accounts_need_no_secret_key_and_exports_tell_of_every_store() {
    let home = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", home.path().join("data/mesh.db").display());
    let run = |arguments: &[&str]| {
        program(home.path(), &[("MESHWIRE_STORE", &store)]).args(arguments).output().unwrap()
    };
    let made = run(&["user", "add", "bob"]);
    assert_eq!(made.status.code(), Some(1), "there is no database");
    assert!(!home.path().join("data").exists(), "and nothing is made, no key either");
    for command in ["add", "reset"] {
        let help = String::from_utf8(run(&["user", command, "--help"]).stdout).unwrap();
        for name in ["MESHWIRE_STORE", "MESHWIRE_PUBLIC_URL", "MESHWIRE_BIND"] {
            assert!(help.contains(name), "{help}");
        }
    }
    let help = String::from_utf8(run(&["export", "--help"]).stdout).unwrap();
    for engine in ["SQLite", "Postgres", "DynamoDB"] {
        assert!(help.contains(engine), "{help}");
    }
}
