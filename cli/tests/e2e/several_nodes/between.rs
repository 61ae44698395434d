//! What happens on one node is so on the other.

use std::time::Duration;

use super::ground::{Ground, Place, json, with_token};
use crate::browser::Browser;
use crate::program::{Computer, Running};

/// A listener's poll ends by itself after a minute: what is there by then was not found only because of that.
const BEFORE_THE_POLL_ENDS: Duration = Duration::from_secs(30);

pub(crate) fn what_is_sent_over_one_node_is_received_over_the_other(place: &Place) {
    let ground = Ground::new(place);
    let computers = [0, 1].map(|node| ground.at(node));
    let mut listening = [0, 1].map(|node| {
        let listening =
            computers[node].start(&format!("meshwire listen --agent agent-{node} --json"));
        ground.holds_a_poll(node);
        listening
    });
    for round in 0..3 {
        for (there, here) in [(0, 1), (1, 0)] {
            let line =
                format!("meshwire send 'question {round}' --as agent-{there} --to agent-{here}");
            computers[there].does(&line);
            let received = listening[here].prints_within("question", BEFORE_THE_POLL_ENDS);
            let question = json(&received);
            assert_eq!(question["content"], format!("question {round}"));
            let line =
                format!("meshwire reply {} 'answer {round}' --as agent-{here}", question["id"]);
            computers[here].does(&line);
            let received = listening[there].prints_within("answer", BEFORE_THE_POLL_ENDS);
            let answer = json(&received);
            assert_eq!(answer["content"], format!("answer {round}"));
            assert_eq!(answer["metadata"]["reply_to"], question["id"]);
        }
    }
    for listening in &mut listening {
        assert_eq!(listening.interrupt(), 0);
        assert!(listening.is_silent(), "nothing comes twice");
    }
    for (node, computer) in computers.iter().enumerate() {
        let line = format!("MESHWIRE_AGENT_NAME=agent-{} meshwire inbox --json", 1 - node);
        let unread = json(&computer.does(&line));
        assert_eq!(unread["messages"], json("[]"), "what is read is so on the other node");
    }
}

/// Waits until a listener gives up, and says why.
#[track_caller]
fn gives_up(mut listening: Running, code: i32, why: &str) {
    let said = listening.says_within("error: ", BEFORE_THE_POLL_ENDS);
    assert!(said.contains(why), "{said}");
    assert_eq!(listening.exit_code(), code);
}

/// Starts a listener on the second node, and waits until it listens.
fn listen(ground: &Ground, computer: &Computer) -> Running {
    let listening = computer.start("meshwire listen --agent agent-x");
    ground.holds_a_poll(1);
    listening
}

pub(crate) fn a_token_that_is_revoked_over_one_node_ends_a_listener_on_the_other(place: &Place) {
    let ground = Ground::new(place);
    let created = json(&ground.at(0).does("meshwire token create leaked --json"));
    let other = with_token(&ground.nodes[1].url, created["token"].as_str().unwrap());
    let listening = listen(&ground, &other);
    ground.at(0).does(&format!("meshwire token revoke {}", created["id"].as_str().unwrap()));
    gives_up(listening, 3, "This token was revoked");
    assert_eq!(other.run("meshwire whoami").status.code(), Some(3));
}

pub(crate) fn who_is_removed_over_one_node_listens_no_longer_on_the_other(place: &Place) {
    let ground = Ground::new(place);
    let link = ground.computer.does("meshwire mesh invite");
    let mut bob = Browser::new(&ground.balancer.url);
    bob.take_invite(link.trim(), "bob", "a battery of horses");
    let mut laptop = Computer::new();
    laptop.set("MESHWIRE_URL", &ground.balancer.url);
    laptop.sign_in("meshwire login", &mut bob);
    let token = laptop.does("meshwire token create laptop");

    let other = with_token(&ground.nodes[1].url, token.trim());
    let listening = listen(&ground, &other);
    ground.at(0).does("meshwire mesh remove bob");
    gives_up(listening, 3, "You are not a member");
    let refused = other.run(&format!("meshwire send hello --mesh {}", ground.mesh));
    assert_eq!(refused.status.code(), Some(3));
}

pub(crate) fn an_agent_that_is_removed_over_one_node_listens_no_longer_on_the_other(place: &Place) {
    let ground = Ground::new(place);
    let other = ground.at(1);
    let listening = listen(&ground, &other);
    ground.at(0).does(&format!(
        "curl -sfX DELETE $MESHWIRE_URL/mesh/{}/agents/agent-x \
         -H \"Authorization: Bearer $MESHWIRE_TOKEN\"",
        ground.mesh
    ));
    gives_up(listening, 4, "There is no agent");
}
