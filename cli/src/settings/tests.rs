use std::collections::BTreeMap;

use meshwire_protocol::finish_token;

use super::*;
use crate::failure::Exit;
use crate::server_url::DEFAULT_URL;

const MESH_A: &str = "AAAAAAAAAAAA";
const MESH_B: &str = "BBBBBBBBBBBB";
const MESH_C: &str = "CCCCCCCCCCCC";
const MESH_D: &str = "DDDDDDDDDDDD";

fn token() -> String {
    finish_token("abcdefghijklmnopqrstuvwxyz0123").unwrap()
}

/// A user's computer in a scratch folder.
struct Scene {
    folder: tempfile::TempDir,
    env: BTreeMap<&'static str, String>,
    flags: Flags,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: BTreeMap::new(), flags: Flags::default() }
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.insert(name, value.to_owned());
        self
    }

    fn url(mut self, url: &str) -> Self {
        self.flags.url = Some(url.to_owned());
        self
    }

    fn mesh_file(self, text: &str) -> Self {
        std::fs::write(self.folder.path().join(".mesh.json"), text).unwrap();
        self
    }

    fn signed_in(self, profile: &str, url: &str, mesh: Option<&str>) -> Self {
        let entry = serde_json::json!({
            "url": url, "token": token(), "login": "ada", "mesh_id": mesh
        });
        let entry = serde_json::from_value(entry).unwrap();
        self.home()
            .change_credentials(|all| {
                all.profiles.insert(profile.to_owned(), entry);
            })
            .unwrap();
        self
    }

    fn home(&self) -> Home {
        Home::at(self.folder.path().join(".meshwire"))
    }

    fn resolve(&self) -> Outcome<Settings> {
        let env = Env::read(|name| self.env.get(name).cloned());
        let mesh_file = MeshFile::find(self.folder.path())?;
        let credentials = self.home().credentials()?;
        Settings::resolve(env, &self.flags, mesh_file, &credentials, self.home())
    }
}

#[test]
fn the_url_is_the_first_that_is_said() {
    let all = || {
        Scene::new()
            .signed_in("default", "http://of-profile", None)
            .mesh_file("{\"url\":\"http://of-file\"}")
            .env("MESHWIRE_URL", "http://of-env")
            .url("http://of-flag")
    };
    let mut scene = all();
    assert_eq!(scene.resolve().unwrap().url.to_string(), "http://of-flag");
    scene.flags.url = None;
    assert_eq!(scene.resolve().unwrap().url.to_string(), "http://of-env");
    scene.env.insert("MESHWIRE_URL", " ".to_owned());
    assert_eq!(scene.resolve().unwrap().url.to_string(), "http://of-file");
    scene = scene.mesh_file("{}");
    assert_eq!(scene.resolve().unwrap().url.to_string(), "http://of-profile");
    scene.flags.profile = Some("other".to_owned());
    assert_eq!(scene.resolve().unwrap().url.to_string(), DEFAULT_URL);
}

#[test]
fn the_mesh_is_the_first_that_is_said() {
    let mut scene = Scene::new()
        .signed_in("default", DEFAULT_URL, Some(MESH_D))
        .mesh_file(&format!("{{\"mesh_id\":\"{MESH_C}\"}}"))
        .env("MESHWIRE_MESH_ID", MESH_B);
    let mesh = |scene: &Scene, flag: Option<&str>| {
        scene.resolve().unwrap().mesh(flag).unwrap().map(|(mesh, _)| mesh.to_string())
    };
    assert_eq!(mesh(&scene, Some(MESH_A)).as_deref(), Some(MESH_A));
    assert_eq!(mesh(&scene, None).as_deref(), Some(MESH_B));
    scene.env.clear();
    assert_eq!(mesh(&scene, None).as_deref(), Some(MESH_C));
    scene = scene.mesh_file("{}");
    assert_eq!(mesh(&scene, None).as_deref(), Some(MESH_D));
    // The mesh of another server is none of this one.
    assert_eq!(mesh(&scene.url("http://other"), None), None);
}

#[test]
fn a_stored_token_stays_with_its_server() {
    let scene = Scene::new().signed_in("default", "http://mine/", None);
    assert!(scene.resolve().unwrap().token().is_ok());
    for scene in [
        Scene::new().signed_in("default", "http://mine", None).url("http://other"),
        Scene::new().signed_in("default", "http://mine", None).env("MESHWIRE_URL", "https://mine"),
        Scene::new()
            .signed_in("default", "http://mine", None)
            .mesh_file("{\"url\":\"http://mine:81\"}"),
        Scene::new().signed_in("other", "http://mine", None).url("http://mine"),
    ] {
        assert_eq!(scene.resolve().unwrap().token().unwrap_err().exit(), Exit::Refused);
    }
    // The same server, however it is spelled.
    let scene = Scene::new().signed_in("work", "http://mine", None);
    let scene = scene.url("HTTP://MINE:80/").env("MESHWIRE_PROFILE", "work");
    assert!(scene.resolve().unwrap().token().is_ok());
}

#[test]
fn a_token_of_the_environment_goes_where_the_user_says() {
    let with_token = || Scene::new().env("MESHWIRE_TOKEN", &token());
    assert!(with_token().resolve().unwrap().token().is_ok());
    assert!(with_token().url("http://said").resolve().unwrap().token().is_ok());
    assert!(with_token().env("MESHWIRE_URL", "http://said").resolve().unwrap().token().is_ok());
    let same = format!("{{\"url\":\"{DEFAULT_URL}/\"}}");
    assert!(with_token().mesh_file(&same).resolve().unwrap().token().is_ok());

    let lured = with_token().mesh_file("{\"url\":\"http://evil\"}");
    assert_eq!(lured.resolve().unwrap().token().unwrap_err().exit(), Exit::Refused);
    let lured = lured.signed_in("default", "http://evil", None);
    assert_eq!(lured.resolve().unwrap().token().unwrap_err().exit(), Exit::Refused);
    assert!(lured.url("http://evil").resolve().unwrap().token().is_ok());

    // Not to the server of the profile either, which issued another token.
    let scene = with_token().signed_in("default", "http://mine", None);
    assert_eq!(scene.resolve().unwrap().url.to_string(), DEFAULT_URL);
}

#[test]
fn a_token_that_cannot_be_one_is_refused_unseen() {
    let scene = Scene::new().env("MESHWIRE_TOKEN", "mw_secretsecret");
    let failure = scene.resolve().unwrap().token().unwrap_err();
    assert_eq!(failure.exit(), Exit::Refused);
    assert!(!failure.message().contains("secret"), "{failure}");
}

#[test]
fn harnesses_mark_their_shells() {
    for (name, harness) in [
        ("CLAUDECODE", Some(Harness::Claude)),
        ("GEMINI_CLI", Some(Harness::Gemini)),
        ("CODEX_THREAD_ID", Some(Harness::Codex)),
        ("CURSOR_AGENT", Some(Harness::Cursor)),
        ("COPILOT_CLI", Some(Harness::Copilot)),
        ("OPENCODE", Some(Harness::Opencode)),
        ("PI_CODING_AGENT", Some(Harness::Pi)),
        ("HERMES_SESSION_ID", Some(Harness::Hermes)),
        // Where they keep their files is no sign of them.
        ("PI_CODING_AGENT_DIR", None),
        ("HERMES_HOME", None),
        ("CURSOR_TRACE_ID", None),
        ("TERM", None),
    ] {
        assert_eq!(Env::read(|asked| (asked == name).then(|| "1".to_owned())).harness, harness);
    }
    assert_eq!(Env::read(|_| Some(String::new())).harness, None);
}

#[test]
fn wrong_settings_are_usage_errors() {
    for scene in [
        Scene::new().url("nonsense"),
        Scene::new().env("MESHWIRE_URL", "ftp://x"),
        Scene::new().mesh_file("{\"mesh_id\":\"nonsense\"}"),
    ] {
        assert_eq!(scene.resolve().unwrap_err().exit(), Exit::Usage);
    }
    let settings = Scene::new().env("MESHWIRE_MESH_ID", "x").resolve().unwrap();
    assert_eq!(settings.mesh(None).unwrap_err().exit(), Exit::Usage);
    let settings = Scene::new().env("MESHWIRE_AGENT_NAME", "a b").resolve().unwrap();
    assert_eq!(settings.env.agent().unwrap_err().exit(), Exit::Usage);
}
