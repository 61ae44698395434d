//! `meshwire-server export` and `import`: everything from one store to another, or nothing.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "moving/fill.rs"]
mod fill;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "moving/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meshwire_server::secret::digest;
use meshwire_server::store::Store as _;
use meshwire_server::store::dynamodb::DynamoStore;
use meshwire_server::store::moving::{Moving as _, Piece, Record, hex_of};
use meshwire_server::store::sqlite::SqliteStore;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::fill::{Filled, fill};
use crate::program::{Running, export, fail, import, run, sqlite, succeed};

/// A store in a file, with some of everything in it.
async fn filled(folder: &Path) -> (String, Filled) {
    let path = folder.join("old.db");
    let store = SqliteStore::open(&path).await.expect("it opens");
    let filled = fill(&store).await;
    meshwire_server::store::Store::close(&store).await;
    (sqlite(&path), filled)
}

/// The export of such a store.
async fn exported(folder: &TempDir) -> (PathBuf, String) {
    let (store, _) = filled(folder.path()).await;
    let path = folder.path().join("all.jsonl");
    let text = export(&store, &path);
    (path, text)
}

/// A table as a store.
fn table() -> String {
    format!("dynamodb:{}", dynamodb::table())
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_to_another_engine_and_back_and_goes_on_there() {
    let folder = tempfile::tempdir().unwrap();
    let (old, filled) = filled(folder.path()).await;
    let mesh = filled.mesh.as_str();

    // What people have done before.
    let server = Running::start(&old, &filled.token);
    let (status, first) = server.send(mesh, "of old", "hello").await;
    assert_eq!(status, 201);
    let inbox = format!("/mesh/{mesh}/agents/b/messages");
    let page = server.get(&format!("{inbox}?limit=10")).await;
    let cursor = page["cursor"].as_i64().unwrap();
    server.get(&format!("{inbox}?limit=10&after={cursor}")).await;
    server.stop();

    let text = export(&old, &folder.path().join("old.jsonl"));
    let all = records(&text);
    assert_eq!(all[0]["meshwire"], 1);
    let counts = &all.last().unwrap()["counts"];
    for (kind, count) in counts.as_object().unwrap() {
        let there = all.iter().filter(|record| record["kind"] == **kind).count();
        assert_eq!(count, there);
        assert!(there > 0, "there is some of the kind {kind}");
    }
    assert_eq!((&counts["mesh"], &counts["device_code"]), (&json!(2), &json!(4)));
    assert!(all.iter().all(|record| record["id"] != filled.trimmed.get()));
    for token in [&filled.token, &filled.revoked, &filled.expired, &filled.bound] {
        assert!(!text.contains(&**token), "no secret stands there in the clear");
        assert!(text.contains(&hex_of(&digest(token))));
    }

    // To Postgres, on to DynamoDB and back to SQLite, and every time it is the same to the last byte.
    let stores = [postgres::schema().await, table(), sqlite(&folder.path().join("new.db"))];
    let mut file = folder.path().join("old.jsonl");
    for (place, store) in stores.iter().enumerate() {
        let told = import(store, &file);
        assert!(told.contains("all counts and checksums are the same"), "{told}");
        file = folder.path().join(format!("{place}.jsonl"));
        assert_eq!(export(store, &file), text);
    }
    for store in &stores {
        goes_on(store, &filled, first, cursor).await;
    }
}

/// Nobody notices that the server has another store.
async fn goes_on(store: &str, filled: &Filled, first: i64, cursor: i64) {
    let mesh = filled.mesh.as_str();
    let server = Running::start(store, &filled.token);
    assert_eq!(server.get("/me").await["user"]["login"], "Ada");
    for (token, code) in [(&filled.revoked, "token_revoked"), (&filled.expired, "token_expired")] {
        let (status, body) = server.ask_as(token, Method::GET, "/me", None, Value::Null).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (401, Some(code)));
    }
    let (status, _) = server.ask_as(&filled.bound, Method::GET, "/me", None, Value::Null).await;
    assert_eq!(status, 200);

    let page = server.get(&format!("/mesh/{mesh}/agents/b/messages?limit=1")).await;
    assert!(page["messages"][0]["id"].as_i64().unwrap() > cursor, "the cursor is where it was");
    assert!(page.get("gap").is_none());
    let (status, retried) = server.send(mesh, "of old", "hello").await;
    assert_eq!((status, retried), (200, first), "a retry gives the old message");
    let (status, next) = server.send(mesh, "new", "hello").await;
    assert_eq!(status, 201);
    assert!(next > first);
    server.stop();
}

#[tokio::test]
async fn an_export_is_for_its_owner_alone_and_never_over_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = filled(folder.path()).await;
    let path = folder.path().join("all.jsonl");
    let text = export(&store, &path);
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let told = fail(&store, &["export", path.to_str().unwrap()]);
    assert!(told.contains("name one that is not there yet"), "{told}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is as it was");
    assert_eq!(succeed(&store, &["export"]), text.into_bytes(), "so it comes on standard output");

    let missing = sqlite(&folder.path().join("missing.db"));
    let told = fail(&missing, &["export"]);
    assert!(told.contains("there is no database"), "{told}");
    assert!(!folder.path().join("missing.db").exists());
    let server = Running::start(&store, "none");
    let told = fail(&store, &["export"]);
    assert!(told.contains("is in use by another meshwire-server"), "{told}");
    server.stop();
    assert_eq!(run(&store, &["import"]).status.code(), Some(2), "a file must be named");
}

#[tokio::test]
async fn a_store_that_is_not_empty_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = exported(&folder).await;
    let old = sqlite(&folder.path().join("old.db"));
    let (there, also) = (postgres::schema().await, table());
    import(&there, &path);
    import(&also, &path);
    for store in [old, there, also] {
        let told = fail(&store, &["import", path.to_str().unwrap()]);
        assert!(told.contains("is not empty; nothing was imported"), "{told}");
        assert_eq!(succeed(&store, &["export"]), text.clone().into_bytes());
    }
}

#[tokio::test]
async fn a_store_that_a_server_was_started_on_counts_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = exported(&folder).await;
    for store in [sqlite(&folder.path().join("new.db")), postgres::schema().await, table()] {
        // It makes a link for the first account.
        Running::start(&store, "none").stop();
        import(&store, &path);
        assert_eq!(succeed(&store, &["export"]), text.clone().into_bytes());
    }
}

#[tokio::test]
async fn a_table_that_a_server_uses_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = exported(&folder).await;
    let (empty, full) = (table(), table());
    import(&full, &path);
    for (store, command) in
        [(&empty, &["import", path.to_str().unwrap()][..]), (&full, &["export"])]
    {
        let server = Running::start(store, "none");
        let told = fail(store, command);
        assert!(told.contains("stop all servers"), "{told}");
        server.stop();
    }
    import(&empty, &path);
    for store in [&empty, &full] {
        assert_eq!(succeed(store, &["export"]), text.clone().into_bytes());
    }
}

#[tokio::test]
async fn an_export_of_a_table_notices_a_server_that_comes_and_goes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = exported(&folder).await;
    let table = table();
    import(&table, &path);
    let store = DynamoStore::open_to_move(table.trim_start_matches("dynamodb:")).await.unwrap();
    let (to, mut pieces) = mpsc::channel(1);
    let place = to.clone();
    let exporting = tokio::spawn(async move {
        let exported = store.export(to).await;
        store.close().await;
        exported
    });
    // A first piece waits to be taken, and a second one for its place: it has begun, and is not at its end.
    while place.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    drop(place);
    Running::start(&table, "none").stop();
    while let Some(piece) = pieces.recv().await {
        assert!(matches!(piece, Piece::Records(_)), "it has no end");
    }
    let refused = format!("{:?}", exporting.await.unwrap().expect_err("a server was there"));
    assert!(refused.contains("stop all servers, and export again"), "{refused}");
    assert_eq!(succeed(&table, &["export"]), text.into_bytes(), "alone, it goes");
}

#[tokio::test]
async fn a_table_with_half_an_import_is_for_no_server_and_is_imported_into_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = exported(&folder).await;
    let name = table();
    let half = DynamoStore::open_to_move(name.trim_start_matches("dynamodb:")).await.unwrap();
    let (to, pieces) = mpsc::channel(1);
    let feeding = async {
        let lines = text.lines().skip(1);
        let records: Vec<Record> =
            lines.take(12).map(|line| serde_json::from_str(line).unwrap()).collect();
        to.send(Piece::Records(records)).await.unwrap();
        drop(to);
    };
    let (imported, ()) = tokio::join!(half.import(pieces), feeding);
    imported.expect_err("it ends before its end");
    half.close().await;

    for command in [&["--bind", "127.0.0.1:0", "--secret-key", &"k".repeat(40)][..], &["export"]] {
        let told = fail(&name, command);
        assert!(told.contains("has broken off") && told.contains("import into it again"), "{told}");
    }
    import(&name, &path);
    assert_eq!(succeed(&name, &["export"]), text.into_bytes());
    Running::start(&name, "none").stop();
}

/// A file to be spoilt.
struct Whole {
    folder: TempDir,
    text: String,
    /// All lines but the last.
    body: Vec<String>,
    footer: String,
}

impl Whole {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (_, text) = exported(&folder).await;
        let mut body: Vec<String> = text.lines().map(str::to_owned).collect();
        let footer = body.pop().unwrap();
        Self { folder, text, body, footer }
    }

    /// Where the first record of a kind stands.
    fn first(&self, kind: &str) -> usize {
        let tag = format!("{{\"kind\":\"{kind}\",");
        self.body.iter().position(|line| line.starts_with(&tag)).expect("there is one")
    }

    fn last(&self) -> usize {
        self.body.len()
    }

    /// The file with one of its lines changed, and with a last line that fits.
    fn changed(&self, at: usize, line: &str) -> String {
        sealed(&[&self.body[..at], &[line.to_owned()], &self.body[at + 1..]].concat())
    }

    /// The same, with another value of a field.
    fn with(&self, at: usize, field: &str, value: &Value) -> String {
        let mut record: Value = serde_json::from_str(&self.body[at]).unwrap();
        record[field] = value.clone();
        self.changed(at, &record.to_string())
    }

    fn without(&self, at: usize) -> String {
        sealed(&[&self.body[..at], &self.body[at + 1..]].concat())
    }

    fn twice(&self, at: usize) -> String {
        sealed(&[&self.body[..=at], &self.body[at..]].concat())
    }

    /// Sees that neither engine takes a file, and that it is said why.
    async fn refused(&self, what: &str, text: &str, expected: &str) {
        let path = self.folder.path().join("faulty.jsonl");
        std::fs::write(&path, text).unwrap();
        let target = self.folder.path().join(format!("{what}.db"));
        for store in [sqlite(&target), postgres::schema().await] {
            let told = fail(&store, &["import", path.to_str().unwrap()]);
            assert!(told.contains(expected), "{what}: {told}\nexpected: {expected}");
            assert!(told.contains("nothing was imported"), "{what}: {told}");
            if store.starts_with("postgres") || target.exists() {
                let left = String::from_utf8(succeed(&store, &["export"])).unwrap();
                assert_eq!(left.lines().count(), 2, "{what}: nothing is there");
            }
        }
    }
}

/// Lines with a last line that counts them, as somebody makes it who wants to have them taken.
fn sealed(lines: &[String]) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines.iter().skip(1) {
        if let Ok(record) = serde_json::from_str::<Value>(line) {
            *counts.entry(record["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    counts.remove("banana");
    let body = lines.join("\n") + "\n";
    let footer = json!({"kind": "end", "counts": counts, "sha256": hex_of(&digest(&body))});
    format!("{body}{footer}\n")
}

fn line(at: usize) -> String {
    format!("line {}: ", at + 1)
}

#[tokio::test]
async fn a_file_that_is_not_whole_is_refused_and_nothing_is_imported() {
    let whole = Whole::new().await;
    let (text, body, last) = (&whole.text, whole.body.join("\n"), line(whole.last()));
    let cut = format!("cut off after line {}", whole.last());
    let other = whole.footer.replace("\"sha256\":\"", "\"sha256\":\"0");
    for (what, text, expected) in [
        ("empty", String::new(), "cut off after line 0".to_owned()),
        ("cut at a line", format!("{body}\n"), cut.clone()),
        ("cut in a line", text[..text.len() / 2].to_owned(), "cut off after line".to_owned()),
        ("cut before its last end", text.trim_end().to_owned(), cut),
        ("another checksum", format!("{body}\n{other}\n"), format!("{last}the checksum")),
        ("a changed letter", text.replacen("Ümlaut", "Umlaut", 1), format!("{last}the checksum")),
        (
            "another count",
            text.replace("\"device_code\":4", "\"device_code\":5"),
            format!("{last}the file should hold 5 of the kind device_code, and holds 4"),
        ),
        ("something behind", format!("{text}{{}}\n"), "something follows".to_owned()),
        (
            "another version",
            whole.with(0, "meshwire", &json!(2)),
            "line 1: this file has format 2".to_owned(),
        ),
        (
            "no header",
            whole.with(0, "meshwire", &json!("x")),
            "line 1: this is no file that".to_owned(),
        ),
    ] {
        whole.refused(what, &text, &expected).await;
    }
}

#[tokio::test]
async fn a_record_with_a_fault_is_refused_by_its_line_and_nothing_is_imported() {
    let whole = Whole::new().await;
    let (message, agent) = (whole.first("message"), whole.first("agent"));
    let head = |line: &String| -> i64 {
        let record: Value = serde_json::from_str(line).unwrap();
        record["head"].as_i64().unwrap_or(-1)
    };
    // Of the meshes one has messages.
    let mesh = (0..whole.last()).max_by_key(|at| head(&whole.body[*at])).unwrap();
    let lower = json!(head(&whole.body[mesh]) - 1);
    let (at_message, at_agent) = (line(message), line(agent));
    let no_record = "this is no record";
    for (what, text, expected) in [
        (
            "an unknown kind",
            whole.with(message, "kind", &json!("banana")),
            format!("{at_message}{no_record}: unknown variant `banana`"),
        ),
        ("garbage", whole.changed(agent, "}{ \u{1}"), format!("{at_agent}{no_record}")),
        (
            "a field too many",
            whole.with(agent, "colour", &json!("red")),
            format!("{at_agent}{no_record}: unknown field `colour`"),
        ),
        (
            "an id that is none",
            whole.with(message, "from_agent", &json!("../x")),
            format!("{at_message}{no_record}"),
        ),
        (
            "metadata that is none",
            whole.with(message, "metadata", &json!("[")),
            format!("{at_message}its metadata"),
        ),
        ("a message beyond the head", whole.with(mesh, "head", &lower), "beyond the head".into()),
        ("no account", whole.without(whole.first("account")), "no account".into()),
        ("no mesh", whole.without(mesh), "no mesh".into()),
        (
            "a message twice",
            whole.twice(message),
            format!("{}it is not in the order", line(message + 1)),
        ),
        // Only the engine sees it.
        ("a member twice", whole.twice(whole.first("member")), "did not take the records".into()),
    ] {
        whole.refused(what, &text, &expected).await;
    }
}
