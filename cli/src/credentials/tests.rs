use super::*;

fn entry(url: &str) -> Entry {
    Entry {
        url: url.to_owned(),
        token: Token::parse(&finish_token("abcdefghijklmnopqrstuvwxyz0123").unwrap(), "it")
            .unwrap(),
        login: "ada".to_owned(),
        mesh_id: None,
        more: Map::new(),
    }
}

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join(".meshwire"));
    (folder, home)
}

#[test]
fn profiles_are_kept_and_only_for_their_owner() {
    let (_folder, home) = home();
    assert_eq!(home.credentials().unwrap(), Credentials::default());
    for name in ["default", "work"] {
        home.change_credentials(|all| {
            all.profiles.insert(name.to_owned(), entry("http://x"));
        })
        .unwrap();
    }
    let names: Vec<_> = home.credentials().unwrap().profiles.into_keys().collect();
    assert_eq!(names, ["default", "work"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.credentials_path()), 0o600);
        assert_eq!(mode(&home.0), 0o700);
        fs::set_permissions(home.credentials_path(), fs::Permissions::from_mode(0o644)).unwrap();
        home.credentials().unwrap();
        assert_eq!(mode(&home.credentials_path()), 0o600);
    }
    let left: Vec<_> =
        fs::read_dir(&home.0).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the file and its lock: {left:?}");
}

#[test]
fn what_a_later_version_wrote_is_kept() {
    let (_folder, home) = home();
    home.change_credentials(|all| {
        all.profiles.insert("default".to_owned(), entry("http://x"));
    })
    .unwrap();
    let path = home.credentials_path();
    let text = fs::read_to_string(&path).unwrap().replacen('{', "{\"version\":9,", 1);
    fs::write(&path, text.replace("\"login\"", "\"colour\":\"red\",\"login\"")).unwrap();
    home.change_credentials(|_| {}).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"version\": 9") && text.contains("\"colour\": \"red\""), "{text}");
}

#[test]
fn many_writers_lose_nothing() {
    let (_folder, home) = home();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let home = &home;
            scope.spawn(move || {
                home.change_credentials(|all| {
                    all.profiles.insert(format!("p{number}"), entry("http://x"));
                })
                .unwrap();
            });
        }
    });
    assert_eq!(home.credentials().unwrap().profiles.len(), 8);
}

#[test]
fn a_damaged_file_is_named_and_not_quoted() {
    let (_folder, home) = home();
    fs::create_dir_all(&home.0).unwrap();
    let secret = finish_token("abcdefghijklmnopqrstuvwxyz0123").unwrap();
    for text in ["{", "[]", &format!("{{\"profiles\":\"{secret}\"}}"), ""] {
        fs::write(home.credentials_path(), text).unwrap();
        let failure = home.credentials().unwrap_err();
        assert_eq!(failure.exit(), crate::failure::Exit::Failed);
        assert!(failure.message().contains("credentials.json"), "{failure}");
        assert!(!failure.message().contains("mw_"), "{failure}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_refused() {
    let (folder, home) = home();
    fs::create_dir_all(&home.0).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), home.credentials_path()).unwrap();
    assert!(home.credentials().is_err());
}

#[test]
fn a_name_is_remembered_for_its_mesh() {
    let (_folder, home) = home();
    let (here, there) = ("kR9xQpLmW3aZ".parse().unwrap(), "AAAAAAAAAAAA".parse().unwrap());
    home.remember_alias(&here, "bob", "bob-ada").unwrap();
    assert_eq!(home.alias(&here, "bob").unwrap().as_deref(), Some("bob-ada"));
    assert_eq!(home.alias(&there, "bob").unwrap(), None);
    assert_eq!(home.alias(&here, "eve").unwrap(), None);
    home.remember_alias(&here, "eve", "eve-ada").unwrap();
    home.forget_alias(&here, "bob").unwrap();
    assert_eq!(home.alias(&here, "bob").unwrap(), None);
    assert_eq!(home.alias(&here, "eve").unwrap().as_deref(), Some("eve-ada"));
    home.forget_alias(&here, "eve").unwrap();
    assert!(!home.0.join(AGENTS).exists());
}

#[test]
fn a_token_shows_itself_masked() {
    let entry = entry("http://x");
    assert!(!format!("{entry:?}").contains("abcdef"), "{entry:?}");
}
