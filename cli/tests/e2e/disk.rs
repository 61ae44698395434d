//! Disks that fail: full, not to be written, with damage on them. Nothing that was answered is lost, what is
//! there can be read meanwhile, and sends go on by themselves when the disk does.
//!
//! A disk that fills needs a small file system of its own: as root, or where users may make namespaces.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::program::{Computer, signed_in};
use crate::service::{LIMIT, Service, programs};

/// How soon sends go on when there is room again.
const SOON: Duration = Duration::from_secs(20);

/// A mesh with the agents `a` and `b` on a service, as seen by a program.
struct Sender<'s> {
    service: &'s Service,
    client: Client,
    token: String,
    mesh: String,
    /// The ids and contents that were answered.
    answered: Vec<(i64, String)>,
    tried: usize,
}

impl<'s> Sender<'s> {
    fn new(service: &'s Service) -> (Self, Computer) {
        let (computer, _) = signed_in(service);
        let token = computer.does("meshwire token create load").trim().to_owned();
        let list = computer.does("meshwire mesh list --json");
        let list: Value = serde_json::from_str(&list).unwrap();
        let mesh = list["meshes"].as_array().or(list.as_array()).unwrap()[0]["mesh_id"].clone();
        let mesh = mesh.as_str().unwrap().to_owned();
        let client = Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let sender = Self { service, client, token, mesh, answered: Vec::new(), tried: 0 };
        for name in ["a", "b"] {
            assert_eq!(sender.post("agents", "x", &json!({"name": name})).status(), 201);
        }
        (sender, computer)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/mesh/{}/{path}", self.service.url, self.mesh)
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> Response {
        let request = self.client.post(self.url(path)).bearer_auth(&self.token);
        request.header("Idempotency-Key", key).body(body.to_string()).send().unwrap()
    }

    /// Sends about 8 KB; whether it was written. If not, the answer says when to try again.
    fn send(&mut self) -> bool {
        let content = format!("{} {}", self.tried, "x".repeat(8_000));
        let answer = self.post(
            "messages",
            &self.tried.to_string(),
            &json!({"from": "a", "to": "b", "content": content}),
        );
        let (status, retry) = (answer.status(), answer.headers().get(RETRY_AFTER).cloned());
        let body: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
        if status == 201 || status == 200 {
            self.answered.push((body["id"].as_i64().unwrap(), content));
            self.tried += 1;
            return true;
        }
        assert_eq!((status.as_u16(), &body["code"]), (503, &json!("store_unavailable")), "{body}");
        assert!(retry.is_some_and(|seconds| !seconds.is_empty()), "it says when to try again");
        false
    }

    /// Sends until nothing is written any more.
    fn fill(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.send() {
            assert!(Instant::now() < deadline, "it never gets full: {}", self.answered.len());
        }
    }

    /// Repeats what was not answered until it is.
    fn send_again(&mut self) -> Duration {
        let began = Instant::now();
        while !self.send() {
            assert!(began.elapsed() < LIMIT, "sends do not go on");
            std::thread::yield_now();
        }
        began.elapsed()
    }

    /// Reads while others try to send all the time, to somebody else. A disk that is full for one send may
    /// have room for another: what the crowd is answered is as durable as anything else.
    fn check_in_a_crowd(&self, round: usize) {
        let ended = AtomicBool::new(false);
        let answered = std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..3)
                .map(|number| {
                    let ended = &ended;
                    scope.spawn(move || self.insist(&format!("crowd {round} {number}"), ended))
                })
                .collect();
            // Also when a check fails, or the crowd would go on for ever.
            let ends = Ends(&ended);
            for _ in 0..2 {
                self.check();
            }
            drop(ends);
            let answered = crowd.into_iter().filter_map(|member| member.join().unwrap());
            answered.collect::<Vec<_>>()
        });
        let of_crowd: Vec<_> = self.inbox_of("a").into_iter().map(|(id, _)| id).collect();
        assert!(answered.iter().all(|id| of_crowd.contains(id)), "{answered:?} of {of_crowd:?}");
    }

    /// Sends one message to `a` again and again; its id, when it was ever written.
    fn insist(&self, key: &str, ended: &AtomicBool) -> Option<i64> {
        let body = json!({"from": "a", "to": "a", "content": "x".repeat(8_000)});
        let mut written = None;
        while !ended.load(Ordering::Relaxed) {
            let answer = self.post("messages", key, &body);
            let status = answer.status().as_u16();
            let answer: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
            match status {
                503 => assert_eq!(answer["code"], "store_unavailable"),
                200 | 201 => {
                    let id = answer["id"].as_i64().unwrap();
                    assert_eq!(*written.get_or_insert(id), id, "a repeat is the same message");
                }
                _ => panic!("{status} {answer}"),
            }
        }
        written
    }

    /// All that an agent has to read: ids and contents.
    fn inbox_of(&self, agent: &str) -> Vec<(i64, String)> {
        let (mut read, mut after) = (Vec::new(), "earliest".to_owned());
        loop {
            let url =
                self.url(&format!("agents/{agent}/messages?ack=false&limit=1000&after={after}"));
            let answer = self.client.get(url).bearer_auth(&self.token).send().unwrap();
            assert_eq!(answer.status(), 200, "reading goes on");
            let page: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
            for message in page["messages"].as_array().unwrap() {
                let content = message["content"].as_str().unwrap().to_owned();
                read.push((message["id"].as_i64().unwrap(), content));
            }
            if page["more"] == false {
                return read;
            }
            after = page["cursor"].to_string();
        }
    }

    /// All that `b` has to read is what was answered, and nothing else.
    fn check(&self) {
        let read = self.inbox_of("b");
        assert_eq!(read.len(), self.answered.len());
        assert!(read == self.answered, "what was answered is there");
        // Other ways to read, of which none has been asked before.
        for path in ["", "agents", "messages?limit=2", "members"] {
            let url = self.url(path);
            let answer = self.client.get(url.trim_end_matches('/')).bearer_auth(&self.token).send();
            assert_eq!(answer.unwrap().status(), 200, "{path}");
        }
    }
}

/// Says that something has ended when it is dropped.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the server in a mount namespace of its own, after these commands of a shell; `$1` is the folder of
/// its data. Nobody but root may mount, unless inside a user namespace.
fn in_namespace(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    command.args(if is_root { &["--mount"][..] } else { &["--map-root-user", "--mount"][..] });
    command.args(["sh", "-ec", &format!("{script}; exec \"$0\"")]);
    command.arg(programs().join("meshwire-server")).arg(folder);
    command
}

/// A place below a scratch folder, made.
fn place(home: &Path) -> PathBuf {
    let place = home.join("disk");
    std::fs::create_dir(&place).unwrap();
    place
}

fn store_at(place: &Path) -> Vec<(&'static str, String)> {
    vec![("MESHWIRE_STORE", format!("sqlite:{}", place.join("meshwire.db").display()))]
}

#[test]
fn a_full_disk_stops_sends_and_nothing_else_until_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let place = place(home.path());
    let program = in_namespace("mount -t tmpfs -o size=10m disk \"$1\"", &place);
    let service = Service::run(program, home.path(), store_at(&place));
    let (mut sender, _computer) = Sender::new(&service);
    // The file system can be seen by the server alone; the kernel shows it to us.
    let disk = PathBuf::from(format!("/proc/{}/root{}", service.id(), place.display()));
    let ballast = ["one", "two", "three"].map(|name| disk.join(name));
    for piece in &ballast {
        std::fs::write(piece, vec![1; 2 * 1024 * 1024]).unwrap();
    }
    for (round, piece) in ballast.iter().enumerate() {
        sender.fill();
        sender.check();
        sender.check_in_a_crowd(round);
        std::fs::remove_file(piece).unwrap();
        let took = sender.send_again();
        assert!(took < SOON, "it took {took:?}");
        sender.check();
    }
    assert!(service.logged(&["full"]) > 0, "the log says why");
}

#[test]
fn a_file_that_cannot_be_written_any_more_is_used_again_when_it_can() {
    let home = tempfile::tempdir().unwrap();
    let place = place(home.path());
    // A limit on the size of files makes every write fail, with the files open. The signal that comes with it
    // would end the program.
    let mut program = Command::new("sh");
    program.args(["-c", "trap '' XFSZ; exec \"$0\""]).arg(programs().join("meshwire-server"));
    let mut service = Service::run(program, home.path(), store_at(&place));
    let limit = |service: &Service, size: &str| {
        let set = Command::new("prlimit")
            .args(["--pid", &service.id().to_string(), &format!("--fsize={size}:")])
            .status();
        assert!(set.unwrap().success(), "prlimit works on a process of one's own");
    };
    let (mut sender, _computer) = Sender::new(&service);
    for size in ["0", "262144"] {
        for _ in 0..3 {
            assert!(sender.send());
        }
        limit(sender.service, size);
        sender.fill();
        sender.check();
        limit(sender.service, "unlimited");
        let took = sender.send_again();
        assert!(took < SOON, "it took {took:?}");
        sender.check();
    }
    // What was answered is on the disk, too.
    let Sender { client, token, mesh, answered, tried, .. } = sender;
    service.kill();
    service.start_again();
    Sender { service: &service, client, token, mesh, answered, tried }.check();
}

/// Starts the server where it cannot start; what it says.
fn refused(mut program: Command, place: &Path) -> String {
    let output = program
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", place)
        .env("MESHWIRE_BIND", "127.0.0.1:0")
        .envs(store_at(place))
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{errors}");
    assert!(errors.contains("MESHWIRE_STORE"), "it names the setting: {errors}");
    assert!(errors.contains(&place.display().to_string()), "it names the place: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

#[test]
fn a_place_that_is_read_only_is_refused_at_start() {
    let home = tempfile::tempdir().unwrap();
    let place = place(home.path());
    let read_only = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"";
    // New, and with what an earlier run has left.
    for round in 0..2 {
        let errors = refused(in_namespace(read_only, &place), &place);
        assert!(errors.contains("Read-only file system"), "round {round}: {errors}");
        Service::with(home.path(), store_at(&place)).terminate();
    }
}

#[test]
fn a_disk_that_is_full_at_start_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let place = place(home.path());
    let full = in_namespace("mount -t tmpfs -o size=32k disk \"$1\"", &place);
    let errors = refused(full, &place);
    assert!(errors.contains("full") && errors.contains("make room"), "{errors}");
}

#[test]
fn a_damaged_file_is_refused_at_start_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let place = place(home.path());
    Service::with(home.path(), store_at(&place)).terminate();
    let file = place.join("meshwire.db");
    let whole = std::fs::read(&file).unwrap();
    let spoiled = |from: usize| {
        let mut damaged = whole.clone();
        damaged[from..].fill(0xA5);
        damaged
    };
    for damaged in [spoiled(0), spoiled(16), spoiled(4_096), b"no database at all".repeat(999)] {
        std::fs::write(&file, &damaged).unwrap();
        let errors = refused(Command::new(programs().join("meshwire-server")), &place);
        assert!(errors.contains("backup"), "it says what to do: {errors}");
        assert!(std::fs::read(&file).unwrap() == damaged, "it is left as it is");
    }
    std::fs::write(&file, &whole).unwrap();
    Service::with(home.path(), store_at(&place)).terminate();
}

#[test]
fn damage_while_it_runs_is_an_error_and_never_another_message() {
    let home = tempfile::tempdir().unwrap();
    let place = place(home.path());
    let mut service = Service::with(home.path(), store_at(&place));
    let (mut sender, _computer) = Sender::new(&service);
    for _ in 0..300 {
        assert!(sender.send());
    }
    let Sender { client, token, mesh, answered, tried, .. } = sender;
    // All of it into the file, and nothing in memory.
    service.terminate();
    service.start_again();
    let sender = Sender { service: &service, client, token, mesh, answered, tried };
    let file = std::fs::File::options().write(true).open(place.join("meshwire.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4_096;
    for page in (pages / 2)..pages {
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 4_096], page * 4_096).unwrap();
    }
    let mut failed = 0;
    for (id, content) in &sender.answered {
        let url = sender.url(&format!("messages/{id}"));
        let answer = sender.client.get(url).bearer_auth(&sender.token).send().unwrap();
        match answer.status().as_u16() {
            200 => {
                let found: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
                assert_eq!(found["content"], *content.as_str());
            }
            status => {
                assert!(matches!(status, 500 | 503), "{status}: {}", answer.text().unwrap());
                failed += 1;
            }
        }
    }
    assert!(failed > 50, "only {failed} of them were met by the damage");
    assert!(service.logged(&["malformed"]) > 0, "the log says so");
}
