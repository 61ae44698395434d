//! Sign-in through GitHub, with a stand-in that checks client, redirect, state and PKCE as GitHub does; and
//! what two people do together.

use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::github::{CLIENT_ID, CLIENT_SECRET, StandIn};
use crate::program::Computer;
use crate::service::Service;

/// A server with GitHub, and two people who are signed in. All of it ends when this is dropped.
pub(crate) struct World {
    pub(crate) octocat: Computer,
    pub(crate) hubot: Computer,
    service: Service,
    _data: TempDir,
    _github: StandIn,
    _runtime: tokio::runtime::Runtime,
}

pub(crate) fn two_people() -> World {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let github = runtime.block_on(StandIn::start());
    let data = tempfile::tempdir().unwrap();
    let service = Service::with(
        data.path(),
        vec![
            ("MESHWIRE_GITHUB_CLIENT_ID", CLIENT_ID.to_owned()),
            ("MESHWIRE_GITHUB_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("MESHWIRE_GITHUB_URL", github.url().to_string()),
            ("MESHWIRE_GITHUB_API_URL", github.url().to_string()),
        ],
    );
    let person = |id, login| {
        github.set_user(id, login, None);
        let mut computer = Computer::new();
        computer.set("MESHWIRE_URL", &service.url);
        let mut browser = Browser::new(&service.url);
        let said = computer.sign_in("meshwire login", &mut browser);
        assert!(said.contains(login), "{said}");
        computer
    };
    let (octocat, hubot) = (person(1, "octocat"), person(2, "hubot"));
    World { octocat, hubot, service, _data: data, _github: github, _runtime: runtime }
}

/// A field of what a command printed as JSON.
pub(crate) fn field(json: &str, name: &str) -> String {
    let value: Value = serde_json::from_str(json).unwrap();
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {json}")).to_owned()
}

/// The exit code of a command, and what it said on stderr.
pub(crate) fn refused(computer: &Computer, line: &str) -> (Option<i32>, String) {
    let output = computer.run(line);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn login_goes_through_github_and_two_people_have_their_own() {
    let world = two_people();
    let World { octocat, hubot, service, .. } = &world;
    assert_eq!(service.set_up, None, "with GitHub there is no set-up link");
    for (computer, login) in [(octocat, "octocat"), (hubot, "hubot")] {
        let who = computer.does("meshwire whoami");
        assert!(who.contains(login), "{who}");
    }
    let mesh = field(&octocat.does("meshwire mesh create fleet --json"), "mesh_id");
    let seen = hubot.does("meshwire mesh list --json");
    assert!(!seen.contains(&mesh), "another tenant sees nothing of it: {seen}");
    let (code, _) = refused(hubot, &format!("meshwire send x --mesh {mesh}"));
    assert_eq!(code, Some(3));
}

#[test]
pub(crate) fn two_people_share_a_mesh_by_a_link() {
    let world = two_people();
    let World { octocat, hubot, service, .. } = &world;
    let mesh = field(&octocat.does("meshwire mesh create fleet --json"), "mesh_id");
    let link = octocat.does("meshwire mesh invite").trim().to_owned();
    assert!(link.starts_with(&format!("{}/join/{mesh}?invite=", service.url)), "{link}");
    let said = hubot.does(&format!("meshwire mesh join '{link}'"));
    assert!(said.contains(&format!("You are a member of mesh {mesh}")), "{said}");
    let members = octocat.does("meshwire mesh members");
    assert!(members.contains("(2)") && members.contains("hubot member"), "{members}");

    // What one sends, the other reads.
    hubot.does("meshwire send --to @octocat 'hello from hubot'");
    let inbox = octocat.does("meshwire inbox");
    assert!(inbox.contains("hello from hubot"), "{inbox}");
    octocat.does("meshwire mesh pause");
    assert_eq!(refused(hubot, "meshwire send --to @octocat x").0, Some(1));
    octocat.does("meshwire mesh resume");
    hubot.does("meshwire send --to @octocat x");
    assert_eq!(refused(hubot, "meshwire mesh invite").0, Some(3), "a member invites nobody");

    // A removal ends a listener that is running.
    let mut listener = hubot.start("meshwire listen --agent worker");
    while !octocat.does("meshwire agents").contains("worker") {}
    octocat.does("meshwire mesh remove hubot");
    assert_eq!(listener.exit_code(), 3);
    let (code, said) = refused(hubot, &format!("meshwire mesh join '{link}'"));
    assert_eq!(code, Some(4), "the link is used up: {said}");

    // Who is invited by login needs no link, and may leave again.
    octocat.does("meshwire mesh invite hubot");
    let joined = hubot.does(&format!("meshwire mesh join {mesh} --json"));
    assert_eq!(field(&joined, "status"), "member");
    hubot.does(&format!("meshwire mesh use {mesh}"));
    let (code, said) = refused(octocat, "meshwire mesh leave");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("meshwire mesh role LOGIN owner"), "{said}");
    octocat.does("meshwire mesh role hubot owner");
    octocat.does("meshwire mesh leave");
    assert!(!octocat.does("meshwire mesh list").contains(&mesh));
}

#[test]
fn a_teammate_asks_to_join_with_init() {
    let world = two_people();
    let World { octocat, hubot, .. } = &world;
    let mesh = field(&octocat.does("meshwire mesh create fleet --json"), "mesh_id");
    let init = format!("meshwire init --harness generic --mesh {mesh}");
    for _ in 0..2 {
        let (code, said) = refused(hubot, &init);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("meshwire mesh approve hubot"), "{said}");
    }
    assert!(!hubot.project.join(".mesh.json").exists());
    let requests = octocat.does("meshwire mesh requests");
    assert!(requests.contains("(1)") && requests.contains("hubot"), "{requests}");
    octocat.does("meshwire mesh refuse hubot");
    let (code, said) = refused(hubot, &init);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("refused"), "{said}");
    assert_eq!(refused(octocat, "meshwire mesh approve hubot").0, Some(4));

    // An invite counts for more than the refusal.
    octocat.does("meshwire mesh invite @hubot");
    hubot.does(&init);
    hubot.does("meshwire mesh leave");

    // A request that is approved.
    let said = hubot.does(&format!("meshwire mesh join {mesh}"));
    assert!(said.contains("Asked to join"), "{said}");
    octocat.does("meshwire mesh approve HUBOT");
    hubot.does(&init);
    assert!(octocat.does("meshwire mesh members --json").contains("\"hubot\""));
}
