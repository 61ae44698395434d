//! Settings that are taken, refused, or made.

use std::path::Path;

use clap::Parser as _;

use super::{Args, Place, Settings};

/// Checks these flags beside a store in `folder`; the refusal as text.
fn check(folder: &Path, flags: &[&str]) -> Result<Settings, String> {
    let store = format!("sqlite:{}", folder.join("data/mesh.db").display());
    let flags = ["meshwire-server", "--store", &store].into_iter().chain(flags.iter().copied());
    let args = Args::try_parse_from(flags).map_err(|error| error.to_string())?;
    Settings::check(args).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_key_is_made_once_and_kept_beside_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let first = check(folder.path(), &[]).unwrap().secret_key;
    assert!(first.len() >= 32);
    assert_eq!(check(folder.path(), &[]).unwrap().secret_key, first);
    let kept = folder.path().join("data/mesh.key");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), first);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_secret_comes_from_a_file_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let path = file.display().to_string();
    let key = "0123456789abcdef0123456789abcdef";
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let settings = check(folder.path(), &["--secret-key-file", &path]).unwrap();
    assert_eq!(settings.secret_key, key);
    let settings =
        check(folder.path(), &["--secret-key", key, "--secret-key-previous-file", &path]).unwrap();
    assert_eq!(settings.secret_key_previous.as_deref(), Some(key));
    let both = check(folder.path(), &["--secret-key", key, "--secret-key-file", &path]);
    assert!(both.err().unwrap().contains("MESHWIRE_SECRET_KEY_FILE"));
    std::fs::write(&file, &key[1..]).unwrap();
    for flag in ["--secret-key-file", "--secret-key-previous-file"] {
        let short = check(folder.path(), &[flag, &path]).err().unwrap();
        assert!(short.contains("at least 32"), "{flag}: {short}");
    }
}

#[test]
fn the_store_comes_from_a_file_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (file, database) = (folder.path().join("store"), folder.path().join("other.db"));
    std::fs::write(&file, format!("sqlite:{}\n", database.display())).unwrap();
    let path = file.display().to_string();
    let args = Args::try_parse_from(["meshwire-server", "--store-file", &path]).unwrap();
    assert!(Settings::check(args).unwrap().store == Place::Sqlite(database));
    let both = check(folder.path(), &["--store-file", &path]).err().unwrap();
    assert!(both.contains("MESHWIRE_STORE_FILE"), "{both}");
}

#[test]
fn postgres_has_two_connections_at_least() {
    let place = |connections: &[&str]| {
        let flags = ["meshwire-server", "--store", "postgres://ada@localhost/ada"];
        let args = Args::try_parse_from(flags.iter().chain(connections)).map_err(|e| e.to_string());
        args.map(|args| args.place().unwrap())
    };
    let with = |connections| Place::Postgres {
        url: "postgres://ada@localhost/ada".to_owned(),
        connections,
    };
    assert!(place(&[]) == Ok(with(16)));
    assert!(place(&["--postgres-connections", "2"]) == Ok(with(2)));
    let refused = place(&["--postgres-connections", "1"]).err().unwrap();
    assert!(refused.contains("--postgres-connections"), "{refused}");
}

#[test]
fn a_parameter_that_the_url_of_postgres_cannot_have_is_refused_by_its_name() {
    let place = |parameters: &str| {
        let store = format!("postgres://ada@localhost/ada?{parameters}");
        let args = Args::try_parse_from(["meshwire-server", "--store", &store]).unwrap();
        args.place().map_err(|error| error.to_string())
    };
    for known in ["", "sslmode=require&application_name=x", "options[search_path]=mine"] {
        assert!(place(known).is_ok(), "{known}");
    }
    for (parameters, name) in [
        ("sslmode=require&connect_timeout=SECRET", "connect_timeout"),
        ("target_session_attrs=SECRET", "target_session_attrs"),
        ("SSLMODE=SECRET", "SSLMODE"),
        ("options[x=SECRET", "options[x"),
    ] {
        let refused = place(parameters).err().unwrap();
        assert!(
            refused.contains(&format!(
                "MESHWIRE_STORE: the URL of Postgres has the parameter {name:?}"
            )),
            "{refused}"
        );
        assert!(refused.contains("sslmode") && !refused.contains("SECRET"), "{refused}");
    }
}

#[test]
fn a_network_address_needs_https_or_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let open = ["--bind", "0.0.0.0:4200"];
    assert!(check(folder.path(), &open).err().unwrap().contains("MESHWIRE_PUBLIC_URL"));
    let plain = [&open[..], &["--public-url", "http://mesh.example.com"]].concat();
    assert!(check(folder.path(), &plain).err().unwrap().contains("--allow-insecure"));
    check(folder.path(), &[&open[..], &["--allow-insecure"]].concat()).unwrap();
    check(folder.path(), &[&open[..], &["--public-url", "https://mesh.example.com"]].concat())
        .unwrap();
    check(folder.path(), &["--bind", "[::1]:4200"]).unwrap();
}

#[test]
fn secrets_go_to_github_by_https_only() {
    let folder = tempfile::tempdir().unwrap();
    let app = ["--github-client-id", "id", "--github-client-secret", "secret"];
    for (flag, name) in
        [("--github-url", "MESHWIRE_GITHUB_URL"), ("--github-api-url", "MESHWIRE_GITHUB_API_URL")]
    {
        let flags = [&app[..], &[flag, "http://github.example.com"]].concat();
        assert!(check(folder.path(), &flags).err().unwrap().contains(name));
        check(folder.path(), &[&app[..], &[flag, "http://127.0.0.1:9"]].concat()).unwrap();
    }
}
