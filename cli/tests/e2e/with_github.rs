//! Sign-in through GitHub, with a stand-in that checks client, redirect, state and PKCE as GitHub does.

use crate::browser::Browser;
use crate::github::{CLIENT_ID, CLIENT_SECRET, StandIn};
use crate::program::Computer;
use crate::service::Service;

#[test]
fn login_goes_through_github_and_two_people_have_their_own() {
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
    assert_eq!(service.set_up, None, "with GitHub there is no set-up link");

    let mut people = Vec::new();
    for (id, login) in [(1, "octocat"), (2, "hubot")] {
        github.set_user(id, login, None);
        let mut computer = Computer::new();
        computer.set("MESHWIRE_URL", &service.url);
        let mut browser = Browser::new(&service.url);
        let said = computer.sign_in("meshwire login", &mut browser);
        assert!(said.contains(login), "{said}");
        let who = computer.does("meshwire whoami");
        assert!(who.contains(login), "{who}");
        people.push(computer);
    }
    let [octocat, hubot] = &people[..] else { panic!("two people") };

    let made = octocat.does("meshwire mesh create fleet --json");
    let mesh: serde_json::Value = serde_json::from_str(&made).unwrap();
    let mesh = mesh["mesh_id"].as_str().unwrap();
    let seen = hubot.does("meshwire mesh list --json");
    assert!(!seen.contains(mesh), "another tenant sees nothing of it: {seen}");
    let refused = hubot.run(&format!("meshwire send x --mesh {mesh}"));
    assert_eq!(refused.status.code(), Some(3));
}
