//! `doctor`: each thing that can be wrong, and what it must never do.

use std::net::TcpListener;
use std::process::Command;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Computer, Done, MESH, Reply, Request, Server, agent, me, mesh, token};

/// A date as servers write it, this many seconds from now.
fn date_header(seconds: i64) -> &'static str {
    let at = Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT");
    format!("Date: {date}").leak()
}

fn health() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({"status": "ok", "uptime": 1, "version": version, "region": "here"})
}

/// A server where all is well.
fn well(request: &Request) -> Reply {
    match request.line.as_str() {
        "GET /health" => Reply::With(200, date_header(0), health()),
        "GET /ready" => Reply::Json(200, json!({"status": "ready"})),
        "GET /me" => Reply::Json(200, me()),
        "GET /mesh" => Reply::Json(200, json!({"meshes": [mesh()]})),
        "GET /mesh/kR9xQpLmW3aZ" => Reply::Json(200, mesh()),
        "GET /mesh/kR9xQpLmW3aZ/agents/worker" => Reply::Json(200, agent("worker")),
        "GET /mesh/kR9xQpLmW3aZ/agents/bobs" => {
            let mut agent = agent("bobs");
            agent["owner"] = json!("bob");
            Reply::Json(200, agent)
        }
        line if line.contains("/agents/") => Reply::problem(404, "agent_not_found"),
        _ => Reply::problem(404, "mesh_not_found"),
    }
}

/// The same, with another answer to one request.
fn well_but(line: &'static str, answer: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request| if request.line == line { answer() } else { well(request) })
}

fn project(url: &str, agent: &str) -> String {
    json!({"mesh_id": MESH, "agent_name": agent, "harness": "generic", "url": url}).to_string()
}

/// On a computer where all is well.
fn healthy(server: &Server) -> Computer {
    let computer = Computer::new().signed_in(&server.url);
    private(&computer);
    computer.mesh_file(&project(&server.url, "worker"))
}

fn private(computer: &Computer) {
    set_mode(computer, ".meshwire", 0o700);
    set_mode(computer, ".meshwire/credentials.json", 0o600);
}

fn set_mode(computer: &Computer, path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(computer.home(path), mode).unwrap();
}

/// Checks that this one thing is found, says this and how to mend it; all that was found.
#[track_caller]
fn finds(computer: &Computer, topic: &str, state: &str, text: &str) -> Vec<Value> {
    let done = computer.run(&["doctor", "--json"]);
    assert!(!done.out.contains(&token()), "a token: {done:?}");
    let found: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"));
    let checks = found["checks"].as_array().unwrap().clone();
    let of = |wanted: &str| checks.iter().filter(|check| check["state"] == wanted).count();
    let is_well = of("wrong") == 0;
    assert_eq!((found["ok"].as_bool(), done.code), (Some(is_well), Some(i32::from(!is_well))));
    let check = checks
        .iter()
        .find(|check| check["topic"] == topic && check["detail"].as_str().unwrap().contains(text))
        .unwrap_or_else(|| panic!("no {text:?} about {topic}: {checks:#?}"));
    assert_eq!(check["state"], state, "{checks:#?}");
    if state != "ok" {
        assert!(!check["mend"].as_str().unwrap_or_default().is_empty(), "how to mend it: {check}");
        let others = of("wrong") + of("warning");
        assert_eq!(others, 1, "nothing else: {checks:#?}");
        // For people, too.
        let shown = computer.run(&["doctor"]);
        let mark = if state == "wrong" { "✗" } else { "!" };
        assert_eq!(shown.code, done.code);
        assert!(
            shown.out.lines().any(|line| line.starts_with(mark) && line.contains(text)),
            "{shown:?}"
        );
        assert!(shown.out.contains(check["mend"].as_str().unwrap()), "{shown:?}");
    }
    checks
}

#[test]
fn all_is_well() {
    let server = Server::start(well);
    let computer = healthy(&server);
    let done = computer.run(&["doctor"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let masked = meshwire_protocol::mask_token(&token());
    for text in [
        "✓ settings     profile \"default\" (the default)",
        &format!("✓ settings     server {} (.mesh.json)", server.url),
        "holds no token",
        "✓ harness      generic needs no files",
        "credentials.json is yours alone",
        "its store is ready",
        "✓ clock",
        &format!("signed in as ada with {masked}, for the whole account"),
        &format!("{MESH} \"my-fleet\" (.mesh.json), you are its owner"),
        "worker (abc123xyz) is registered and yours",
    ] {
        assert!(done.out.contains(text), "{text}: {done:?}");
    }
    assert!(!done.out.contains(['✗', '!', '\u{1b}']) && !done.out.contains(&token()), "{done:?}");
    let sent = |line: &str| {
        let seen = server.seen();
        seen.iter()
            .find(|seen| seen.line == line)
            .unwrap()
            .header("authorization")
            .map(str::to_owned)
    };
    assert_eq!((sent("GET /health"), sent("GET /ready")), (None, None), "no token is needed there");
    assert_eq!(sent("GET /me"), Some(format!("Bearer {}", token())));
}

#[test]
fn slips_in_the_environment() {
    let server = Server::start(well);
    for (name, value, text) in [
        ("MESHWIRE_TOKEN", "", "MESHWIRE_TOKEN is set to nothing"),
        ("MESHWIRE_AGENT_NAME", " ", "MESHWIRE_AGENT_NAME is set to nothing"),
        ("MESHWIRE_TOKNE", "x", "MESHWIRE_TOKNE is set, and nothing reads it"),
        ("MESHWIRE_MESH", MESH, "MESHWIRE_MESH is set, and nothing reads it"),
    ] {
        let computer = healthy(&server).env(name, value);
        finds(&computer, "environment", "warning", text);
    }
    // The server's settings are none of this.
    let computer = healthy(&server).env("MESHWIRE_BIND", "127.0.0.1:0").env("MESHWIRE_TO", "all");
    finds(&computer, "agent", "ok", "worker");
    for (name, topic) in [
        ("MESHWIRE_URL", "settings"),
        ("MESHWIRE_MESH_ID", "mesh"),
        ("MESHWIRE_AGENT_NAME", "agent"),
    ] {
        let computer = healthy(&server).env(name, "no such thing");
        finds(&computer, topic, "wrong", name);
    }
}

#[test]
fn a_wrong_mesh_file() {
    let server = Server::start(well);
    let with = |text: &str| healthy(&server).mesh_file(text).env("MESHWIRE_URL", &server.url);
    finds(&with("{"), "project", "wrong", "is not a JSON object");
    finds(&with("{\"mesh_id\":\"short\"}"), "project", "wrong", "mesh_id");
    let hidden = format!("{{\"api_key\":\"{}\"}}", token());
    finds(&with(&hidden), "project", "wrong", "looks like a token");
    let text = json!({"agent_name": "worker", "harness": "generic"}).to_string();
    finds(&with(&text), "project", "warning", "names no mesh");
    let text = json!({"mesh_id": MESH, "agent_name": "worker"}).to_string();
    finds(&with(&text), "harness", "warning", "names no harness");
    let text = json!({"mesh_id": MESH, "agent_name": "worker", "harness": "kiro"}).to_string();
    finds(&with(&text), "harness", "warning", "kiro is not wired in on this computer");
}

#[test]
fn credentials_that_are_damaged_or_open_to_others() {
    let server = Server::start(well);
    let computer = healthy(&server);
    set_mode(&computer, ".meshwire/credentials.json", 0o644);
    let done = computer.run(&["doctor"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.out.contains("(mode 644)") && done.out.contains("it is mended now"), "{done:?}");
    assert_eq!(computer.run(&["doctor"]).code, Some(0), "as it said");
    set_mode(&computer, ".meshwire", 0o777);
    finds(&computer, "credentials", "wrong", "(mode 777)");
    set_mode(&computer, ".meshwire", 0o700);

    let path = computer.home(".meshwire/credentials.json");
    std::fs::write(&path, "{\"profiles\":").unwrap();
    finds(&computer, "credentials", "wrong", "is damaged");
    std::fs::write(&path, "{\"profiles\":{\"default\":{\"url\":7}}}").unwrap();
    finds(&computer, "credentials", "wrong", "is damaged");
    std::fs::rename(&path, computer.home("elsewhere")).unwrap();
    std::os::unix::fs::symlink(computer.home("elsewhere"), &path).unwrap();
    finds(&computer, "credentials", "wrong", "is a symbolic link");
}

#[test]
fn sign_ins_that_do_not_hold() {
    for code in ["unauthorized", "token_expired", "token_revoked"] {
        let server = well_but("GET /me", move || Reply::problem(401, code));
        finds(&healthy(&server), "sign-in", "wrong", code);
    }
    let server = well_but("GET /me", || {
        let mut me = me();
        let soon = Timestamp::from_second(Timestamp::now().as_second() + 86_400).unwrap();
        me["token"]["expires_at"] = json!(soon);
        Reply::Json(200, me)
    });
    finds(&healthy(&server), "sign-in", "warning", "the token expires on");
    let server = well_but("GET /me", || {
        let mut me = me();
        me["token"]["scopes"] = json!(["read", "admin"]);
        Reply::Json(200, me)
    });
    finds(&healthy(&server), "sign-in", "warning", "lacks the scopes send, agents");

    let server = Server::start(well);
    let signed_out = Computer::new().env("MESHWIRE_URL", &server.url);
    finds(&signed_out, "sign-in", "wrong", "not signed in");
    let computer = healthy(&server).env("MESHWIRE_PROFILE", "work");
    let done = computer.run(&["doctor"]);
    assert!(done.out.contains("no profile is called \"work\""), "{done:?}");
    assert_eq!(done.code, Some(1));
    let not_a_token =
        healthy(&server).env("MESHWIRE_URL", &server.url).env("MESHWIRE_TOKEN", "mw_x");
    finds(&not_a_token, "sign-in", "wrong", "MESHWIRE_TOKEN");
}

#[test]
fn a_token_goes_only_where_it_is_from() {
    let other = Server::start(well);
    // Stored for another server than the project's: nothing with a token is asked there.
    let computer = Computer::new().signed_in("http://127.0.0.1:1");
    private(&computer);
    let computer = computer.mesh_file(&project(&other.url, "worker"));
    finds(&computer, "sign-in", "wrong", "belongs to http://127.0.0.1:1");
    assert!(other.seen().iter().all(|seen| seen.header("authorization").is_none()));
    // A token of the environment, and a server that only the project names: nothing at all.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let computer =
        Computer::new().env("MESHWIRE_TOKEN", &token()).mesh_file(&project(&url, "worker"));
    finds(&computer, "sign-in", "wrong", "MESHWIRE_TOKEN is not sent to");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "something was sent");
}

#[test]
fn meshes_that_do_not_do() {
    for (status, code) in [(404, "mesh_not_found"), (403, "not_a_member")] {
        let server = well_but("GET /mesh/kR9xQpLmW3aZ", move || Reply::problem(status, code));
        finds(&healthy(&server), "mesh", "wrong", code);
    }
    let server = well_but("GET /mesh/kR9xQpLmW3aZ", || {
        let mut mesh = mesh();
        mesh["paused"] = json!(true);
        Reply::Json(200, mesh)
    });
    finds(&healthy(&server), "mesh", "warning", "it is paused");

    for (meshes, text) in [(0, "you have no mesh yet"), (2, "you have 2 meshes and none is chosen")]
    {
        let server = well_but("GET /mesh", move || {
            Reply::Json(200, json!({"meshes": vec![mesh(); meshes]}))
        });
        let computer =
            Computer::new().env("MESHWIRE_URL", &server.url).env("MESHWIRE_TOKEN", &token());
        finds(&computer, "mesh", "wrong", text);
    }
    let server = Server::start(well);
    let computer = Computer::new().env("MESHWIRE_URL", &server.url).env("MESHWIRE_TOKEN", &token());
    finds(&computer, "mesh", "ok", "your only one");
    finds(&computer, "agent", "ok", "you listen as yourself (@ada)");
}

#[test]
fn agents_that_are_not_there_or_not_ones_own() {
    let server = Server::start(well);
    let with = |name: &str| healthy(&server).mesh_file(&project(&server.url, name));
    finds(&with("nobody"), "agent", "warning", "nobody is not registered");
    finds(&with("bobs"), "agent", "warning", "the project's name bobs belongs to @bob");
    let computer = healthy(&server).env("MESHWIRE_AGENT_NAME", "bobs");
    finds(&computer, "agent", "wrong", "the agent bobs belongs to @bob");
    let server = well_but("GET /me", || {
        let mut me = me();
        me["token"]["mesh_id"] = json!(MESH);
        me["token"]["agent_id"] = json!("AAAAAAAAA");
        Reply::Json(200, me)
    });
    finds(&healthy(&server), "agent", "wrong", "is not the agent that the token is bound to");
}

#[test]
fn servers_that_are_away_or_strange() {
    // No program is given this port by chance.
    let computer = Computer::new().signed_in("http://127.0.0.1:1");
    private(&computer);
    let checks = finds(&computer, "server", "wrong", "cannot reach");
    assert!(checks.iter().any(|it| it["detail"].as_str().unwrap().contains("cannot be tried now")));

    let server = well_but("GET /ready", || Reply::problem(503, "store_unavailable"));
    finds(&healthy(&server), "server", "wrong", "its store is not ready");
    let server = well_but("GET /health", || {
        let mut health = health();
        health["version"] = json!("99.1.0");
        Reply::With(200, date_header(0), health)
    });
    finds(&healthy(&server), "server", "warning", "version 99.1.0");
    for (seconds, text) in [(-100, "s ahead of the server's"), (100, "s behind the server's")] {
        let server =
            well_but("GET /health", move || Reply::With(200, date_header(seconds), health()));
        finds(&healthy(&server), "clock", "wrong", text);
    }
    let server = well_but("GET /health", || Reply::Json(200, health()));
    finds(&healthy(&server), "clock", "warning", "does not say what time it is");

    // Nobody listens there; it is not asked for long either.
    let plain = Computer::new().env("MESHWIRE_URL", "http://server.invalid");
    let done = plain.run(&["doctor"]);
    assert_eq!(done.code, Some(1));
    assert!(done.out.contains("http://server.invalid is not https"), "{done:?}");
}

fn git(computer: &Computer, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
        .args(arguments)
        .env_clear()
        .env("HOME", computer.home(""))
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(computer.project(""))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_file_with_a_token_that_git_would_take() {
    let server = Server::start(well);
    let computer = healthy(&server);
    let secrets = ".env.meshwire";
    std::fs::write(computer.project(secrets), format!("MESHWIRE_TOKEN={}\n", token())).unwrap();
    set_mode(&computer, "project/.env.meshwire", 0o600);
    finds(&computer, "secrets", "ok", "is in no repository");
    git(&computer, &["init", "--quiet"]);
    finds(&computer, "secrets", "wrong", "is not ignored by git");
    std::fs::write(computer.project(".gitignore"), ".env.*\n").unwrap();
    finds(&computer, "secrets", "ok", "is ignored by git");
    git(&computer, &["add", "--force", secrets]);
    finds(&computer, "secrets", "wrong", "is in the repository");
    git(&computer, &["rm", "--quiet", "--cached", secrets]);
    set_mode(&computer, "project/.env.meshwire", 0o644);
    finds(&computer, "secrets", "wrong", "(mode 644)");
}

#[test]
fn what_a_server_says_is_made_safe_to_show() {
    let server = well_but("GET /mesh/kR9xQpLmW3aZ", || {
        let mut mesh = mesh();
        mesh["name"] = json!("\u{1b}]0;gotcha\u{7}fleet\u{202e}");
        Reply::Json(200, mesh)
    });
    let Done { out, .. } = healthy(&server).run(&["doctor"]);
    assert!(out.contains("\"fleet\"") && !out.contains(['\u{1b}', '\u{202e}']), "{out:?}");
}
