//! What users do beside the first exchange.

use crate::program::{Computer, signed_in};
use crate::service::Service;

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn ci_sends_with_a_token_and_an_empty_home() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    let token = computer.does("meshwire token create ci");
    let token = token.trim();

    let mut ci = Computer::new();
    ci.set("MESHWIRE_TOKEN", token);
    ci.set("MESHWIRE_URL", &service.url);
    let listening = computer.start("meshwire listen --json");
    let sent = ci.does("meshwire send --to agent-b \"hello from CI\"");
    assert!(sent.starts_with("✓ Sent → agent-b [id: "), "{sent}");
    let message = json(&listening.next_line());
    assert_eq!(message["content"], "hello from CI");
    assert_eq!(message["from"], "@ada");
    assert_eq!(message["via"], "account");
    assert!(!ci.home.path().join(".meshwire").exists(), "CI leaves nothing behind");
}

#[test]
fn the_lines_of_the_guide_work_with_curl() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (mut computer, _) = signed_in(&service);
    let token = computer.does("meshwire token create curl");
    computer.set("MESHWIRE_TOKEN", token.trim());
    computer.set("MESHWIRE_MESH_ID", &computer.mesh());
    let line = r#"curl -sX POST $MESHWIRE_URL/mesh/$MESHWIRE_MESH_ID/agents -H "Authorization: Bearer $MESHWIRE_TOKEN" -d '{"name":"my-agent"}'"#;
    let registered = json(&computer.does(line));
    assert_eq!(registered["name"], "my-agent");
    assert_eq!(registered["agent_id"].as_str().unwrap().len(), 9);
    assert!(include_str!("../../../README.md").contains(line), "the README has the same line");

    // Every example of the guide that the server fills in.
    let guide = computer.does("meshwire integrate");
    let blocks: Vec<&str> =
        guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let calls: Vec<&&str> = blocks.iter().filter(|block| block.starts_with("curl")).collect();
    assert_eq!(calls.len(), 4);
    computer.does("meshwire init --harness generic --agent agent-b");
    for call in calls {
        let call = call.replace("$(uuidgen)", "some-key").replace("wait=60", "wait=0");
        let answer = json(&computer.does(&call));
        assert!(answer.get("code").is_none(), "{call}: {answer}");
    }
}

#[test]
fn listen_shows_a_message_without_polling() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    let mut listening = computer.start("meshwire listen");
    listening.says("agent-b");
    for n in 0..3 {
        computer.does(&format!("meshwire send 'message {n}' --to agent-b"));
        listening.prints(&format!("message {n}"));
    }
    assert_eq!(listening.interrupt(), 0);
    // One poll for each message, the one that was open at the end, and not one more.
    let polls = service.logged(&["GET", "/agents/", "/messages"]);
    assert!((3..=4).contains(&polls), "{polls} polls for 3 messages");
}

#[test]
fn exec_runs_a_command_for_each_message() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    for n in 0..3 {
        computer.does(&format!("meshwire send 'message {n}' --to agent-b"));
    }
    let script = r#"cat >> got; echo "$MESHWIRE_FROM $MESHWIRE_TO ${MESHWIRE_TOKEN-none}" >> environment; echo done"#;
    let mut listening = computer.start(&format!("meshwire listen --exec '{script}'"));
    for _ in 0..3 {
        listening.prints("done");
    }
    listening.interrupt();
    let got = std::fs::read_to_string(computer.project.join("got")).unwrap();
    let got: Vec<serde_json::Value> =
        serde_json::Deserializer::from_str(&got).into_iter().map(Result::unwrap).collect();
    let contents: Vec<&str> =
        got.iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(contents, ["message 0", "message 1", "message 2"]);
    let environment = std::fs::read_to_string(computer.project.join("environment")).unwrap();
    assert_eq!(environment.lines().next(), Some("@ada agent-b none"));
}

#[test]
fn a_second_init_changes_nothing() {
    use std::os::unix::fs::MetadataExt as _;
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let file = computer.project.join(".mesh.json");
    let mut seen = Vec::new();
    for _ in 0..2 {
        computer.does("meshwire init --harness generic --agent agent-b");
        seen.push((std::fs::read(&file).unwrap(), std::fs::metadata(&file).unwrap().ino()));
    }
    assert_eq!(seen[0], seen[1], "not even replaced by an equal file");
}

#[test]
fn what_exec_has_started_ends_with_listen() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    computer.does("meshwire send work --to agent-b");
    // The shell waits for a child, which holds the other end of our pipe.
    let mut listening = computer.start("meshwire listen --exec 'echo begun; sleep 600; echo late'");
    listening.prints("begun");
    assert_eq!(listening.interrupt(), 0);
    assert!(listening.is_silent(), "the pipe is closed: nothing of the command is left");
    assert!(computer.does("meshwire inbox").contains("work"), "it was not acknowledged");
}

#[test]
fn a_token_of_the_environment_needs_no_credentials_file() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (mut computer, _) = signed_in(&service);
    let token = computer.does("meshwire token create ci");
    std::fs::write(computer.home.path().join(".meshwire/credentials.json"), "{").unwrap();
    assert_eq!(computer.run("meshwire whoami").status.code(), Some(1), "the file is damaged");
    computer.set("MESHWIRE_TOKEN", token.trim());
    computer.does("meshwire send x");
}

#[test]
fn replies_go_back_and_are_threaded() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let sent = json(&computer.does("meshwire send question --as agent-a --json"));
    let reply = format!("MESHWIRE_AGENT_NAME=agent-b meshwire reply {} answer --json", sent["id"]);
    let reply = json(&computer.does(&reply));
    assert_eq!(reply["to"], "agent-a");
    assert_eq!(reply["metadata"]["reply_to"], sent["id"]);
    let inbox = computer.does("MESHWIRE_AGENT_NAME=agent-a meshwire inbox");
    assert!(inbox.contains("answer"), "{inbox}");
    let history = computer.does("meshwire history");
    assert!(history.contains("question") && history.contains("answer"), "{history}");
    let agents = computer.does("meshwire agents");
    assert!(agents.contains("agent-a") && agents.contains("agent-b"), "{agents}");
    let status = computer.does("meshwire status");
    assert!(status.contains("✓ online") && status.contains("test-mesh"), "{status}");
    assert!(!status.contains("mw_0") && status.contains("mw_••••••••••••"), "{status}");
}

#[test]
fn a_revoked_token_ends_listen_with_3() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let created = json(&computer.does("meshwire token create leaked --json"));
    let mut other = Computer::new();
    other.set("MESHWIRE_TOKEN", created["token"].as_str().unwrap());
    other.set("MESHWIRE_URL", &service.url);
    let mut listening = other.start("meshwire listen --agent agent-x");
    listening.says("agent-x");
    computer.does(&format!("meshwire token revoke {}", created["id"].as_str().unwrap()));
    assert_eq!(listening.exit_code(), 3);
    assert_eq!(other.run("meshwire whoami").status.code(), Some(3));
}

#[test]
fn logging_out_kills_the_token() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    let file = computer.home.path().join(".meshwire/credentials.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    let token = kept.split('"').find(|word| word.starts_with("mw_")).unwrap().to_owned();
    computer.does("meshwire logout");
    assert!(!std::fs::read_to_string(&file).unwrap_or_default().contains(&token));
    assert_eq!(computer.run("meshwire whoami").status.code(), Some(3));
    let mut thief = Computer::new();
    thief.set("MESHWIRE_TOKEN", &token);
    thief.set("MESHWIRE_URL", &service.url);
    let refused = thief.run("meshwire whoami");
    assert_eq!(refused.status.code(), Some(3));
    assert!(!String::from_utf8_lossy(&refused.stderr).contains(&token));
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    for (line, code) in [
        ("meshwire send x --to nobody", 4),
        ("meshwire history --mesh AAAAAAAAAAAA", 4),
        ("meshwire reply 5 x", 4),
        ("meshwire send x --to role:coder", 2),
        ("meshwire nonsense", 2),
        ("meshwire send", 2),
        ("meshwire token revoke AAAAAAAAAAAA", 4),
        ("meshwire send \"$(head -c 10241 /dev/zero | tr '\\0' x)\"", 2),
    ] {
        let output = computer.run(line);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
        assert!(!errors.is_empty() && !errors.contains("panicked"), "{line}: {errors}");
    }
    service.kill();
    assert_eq!(computer.run("meshwire whoami").status.code(), Some(5));
}

#[test]
fn a_hostile_message_cannot_steer_the_terminal() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    let hostile =
        r"printf 'a\033]0;owned\007b\033[2Jc\rd\342\200\256e' | meshwire send - --to agent-b";
    computer.does(hostile);
    let listening = computer.start("meshwire listen");
    let line = listening.prints("abc");
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{202E}'), "{line:?}");
}

#[test]
fn sigterm_ends_the_server_quickly_with_a_poll_open() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let (computer, _) = signed_in(&service);
    computer.does("meshwire init --harness generic --agent agent-b");
    let listening = computer.start("meshwire listen");
    listening.says("agent-b");
    // The poll would wait for a minute.
    assert!(service.terminate().as_secs() < 30);
}

#[test]
fn no_token_and_no_message_ever_stands_in_the_server_s_log() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let (mut computer, _) = signed_in(&service);
    let token = computer.does("meshwire token create canary");
    let token = token.trim().to_owned();
    computer.set("MESHWIRE_TOKEN", &token);
    computer.does(
        "meshwire send 'canary in the content' --metadata '{\"k\":\"canary in the metadata\"}'",
    );
    // Slips: the token in the path, in the query, in place of the method, in a body.
    for slip in [
        "curl -s -X DELETE $MESHWIRE_URL/tokens/$MESHWIRE_TOKEN -H \"Authorization: Bearer $MESHWIRE_TOKEN\"",
        "curl -s $MESHWIRE_URL/$MESHWIRE_TOKEN",
        "curl -s $MESHWIRE_URL/me?token=$MESHWIRE_TOKEN",
        "curl -s -X $MESHWIRE_TOKEN $MESHWIRE_URL/me",
        "curl -s $MESHWIRE_URL/mesh -d $MESHWIRE_TOKEN -H \"Authorization: Bearer $MESHWIRE_TOKEN\"",
    ] {
        computer.run(slip);
    }
    assert!(service.logged(&["DELETE", "/tokens/{id}"]) > 0, "the slips did reach the server");
    for secret in [&token[3..], "canary in"] {
        assert_eq!(service.logged(&[secret]), 0, "{secret} stands in the log");
    }
}

#[test]
fn wrong_settings_are_refused_by_their_names() {
    let data = tempfile::tempdir().unwrap();
    let run = |name: &str, value: &str| {
        let output = std::process::Command::new(crate::service::programs().join("meshwire-server"))
            .env_clear()
            .env("HOME", data.path())
            .env(name, value)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let folder = data.path().display().to_string();
    for (name, value) in [
        ("MESHWIRE_BIND", "nonsense"),
        ("MESHWIRE_BIND", "0.0.0.0:0"),
        ("MESHWIRE_PUBLIC_URL", "mesh.example.com"),
        ("MESHWIRE_PUBLIC_URL", "https://mesh.example.com/path"),
        ("MESHWIRE_STORE", "mongodb:x"),
        ("MESHWIRE_STORE", "sqlite:"),
        ("MESHWIRE_STORE", "sqlite::memory:"),
        ("MESHWIRE_STORE", &format!("sqlite:{folder}")),
        ("MESHWIRE_STORE", "sqlite:/proc/meshwire.db"),
        ("MESHWIRE_POSTGRES_CONNECTIONS", "1"),
        ("MESHWIRE_GITHUB_CLIENT_ID", "x"),
        ("MESHWIRE_GITHUB_CLIENT_SECRET", "x"),
        ("MESHWIRE_SECRET_KEY", "short"),
        ("MESHWIRE_SECRET_KEY_FILE", "/nonexistent"),
        ("MESHWIRE_LOG", "loud"),
        ("MESHWIRE_LOG", "info,x=loud"),
        ("MESHWIRE_LOG_FORMAT", "xml"),
        ("MESHWIRE_METRICS_BIND", "9420"),
        ("MESHWIRE_METRICS_BIND", "192.0.2.1:9420"),
        ("MESHWIRE_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("MESHWIRE_TRUSTED_PROXIES", "proxy.example.com"),
        ("MESHWIRE_LIMIT_AGENTS", "many"),
        ("MESHWIRE_RETENTION_DAYS", "-1"),
        ("MESHWIRE_RETENTION_HOLD_DAYS", "36501"),
        ("MESHWIRE_RETENTION_MAX_DAYS", "6"),
        ("MESHWIRE_LIMIT_BODY_BYTES", "0"),
    ] {
        let (started, errors) = run(name, value);
        assert!(!started && errors.contains(name), "{name}={value}: {errors}");
    }
}
