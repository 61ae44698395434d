//! What only the embedded store promises: it is a file, and one process has it.

use std::error::Error as _;
use std::fmt::Write as _;

use meshwire_server::secret;
use meshwire_server::store::sqlite::{OpenError, SqliteStore, put_account_link};
use meshwire_server::store::{AccountLink, AccountStore as _, LinkPurpose, Linked, Store as _};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::engine::{Engine as _, Sqlite};
use crate::fixture::{DAY, T0, World, github, to_all};

/// An error with all its causes, as an operator reads it.
fn told(error: &OpenError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_file_that_is_in_use_is_refused_until_it_is_closed() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("one.db");
    let first = SqliteStore::open(&path).await.expect("it is free");
    let error = SqliteStore::open(&path).await.err().expect("it is in use");
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    let text = told(&error);
    assert!(text.contains("one.db") && text.contains("in use"), "{text}");
    assert!(text.contains("MESHWIRE_STORE"), "it says what to do: {text}");
    first.ping().await.expect("the one that has it goes on");
    first.close().await;
    let second = SqliteStore::open(&path).await.expect("it is free again");
    second.ping().await.expect("and works");
    second.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_a_clear_error() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("damaged.db");
    std::fs::write(&path, b"this is no database at all, ".repeat(400)).expect("it can be written");
    for _ in 0..2 {
        let error = SqliteStore::open(&path).await.err().expect("it is no database");
        let text = told(&error);
        assert!(matches!(error, OpenError::Database { .. }), "{text}");
        assert!(text.contains("damaged.db") && text.contains("not a database"), "{text}");
    }
    let kept = std::fs::read(&path).expect("it can be read");
    assert!(kept.starts_with(b"this is no"), "and left as it is");
}

#[tokio::test]
async fn the_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("others.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut conn = options.connect().await.expect("it can be made");
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&mut conn).await.expect("it is made");
    conn.close().await.expect("it is closed");
    let before = std::fs::read(&path).expect("it can be read");
    let error = SqliteStore::open(&path).await.err().expect("it is not ours");
    let text = told(&error);
    assert!(text.contains("another program") && text.contains("MESHWIRE_STORE"), "{text}");
    assert!(
        std::fs::read(&path).expect("it can be read") == before,
        "not a byte of it has changed"
    );
}

#[tokio::test]
async fn a_file_with_damaged_pages_is_a_clear_error() {
    let mut engine = Sqlite::fresh().await;
    engine.store().close().await;
    let path = engine.folder.path().join("meshwire.db");
    let whole = std::fs::read(&path).expect("it can be read");
    let mut damaged = whole.clone();
    // The first page says what is in the file, and stays.
    damaged[4_096..].fill(0xFF);
    std::fs::write(&path, damaged).expect("it can be written");
    let error = SqliteStore::open(&path).await.err().expect("it is damaged");
    let text = told(&error);
    assert!(matches!(error, OpenError::Database { .. }), "{text}");
    assert!(text.contains("meshwire.db") && text.contains("malformed"), "{text}");

    std::fs::write(&path, whole).expect("it can be written");
    engine.reopen().await;
    engine.store().ping().await.expect("the whole file works");
    engine.store().close().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_a_clear_error() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    std::fs::write(folder.path().join("file"), "no folder").expect("it can be written");
    let path = folder.path().join("file").join("one.db");
    let error = SqliteStore::open(&path).await.err().expect("a file holds no files");
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    assert!(told(&error).contains("file"), "{}", told(&error));

    // A folder in the place of the file.
    let path = folder.path().join("folder.db");
    std::fs::create_dir(&path).expect("it can be made");
    let error = SqliteStore::open(&path).await.err().expect("a folder is no database");
    assert!(told(&error).contains("folder.db"), "{}", told(&error));
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_made_for_the_file_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let inner = folder.path().join("a").join("b");
    let store = SqliteStore::open(&inner.join("one.db")).await.expect("folders are made");
    let mode = std::fs::metadata(&inner).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    store.close().await;
}

#[tokio::test]
async fn the_file_is_in_wal_mode_and_sound() {
    let engine = Sqlite::fresh().await;
    let mut connection = engine.connect().await;
    for (pragma, expected) in [("PRAGMA journal_mode", "wal"), ("PRAGMA integrity_check", "ok")] {
        let row = sqlx::query(pragma).fetch_one(&mut connection).await.expect("it answers");
        assert_eq!(row.try_get::<String, _>(0).expect("a word"), expected);
    }
    engine.store().close().await;
}

#[tokio::test]
async fn a_closed_store_is_one_whole_file() {
    let engine = Sqlite::fresh().await;
    let store = engine.store();
    let user = store.sign_in_github(github(1, "ann")).await.expect("the store answers");
    store.close().await;
    let copy = tempfile::tempdir().expect("there is room for a folder");
    let path = copy.path().join("copy.db");
    std::fs::copy(engine.folder.path().join("meshwire.db"), &path).expect("it can be copied");
    let copied = SqliteStore::open(&path).await.expect("it is whole");
    let found = copied.user_by_login("ann").await.expect("the store answers");
    assert_eq!(found, Some(user));
    copied.close().await;
}

#[tokio::test]
async fn what_was_handed_in_before_the_end_is_written() {
    let mut world = World::fresh::<Sqlite>().await;
    let (mesh, a) = world.mesh_with_agent().await.expect("the store answers");
    let epoch = mesh.epoch().await.expect("the store answers");
    let batch = mesh.batch(epoch, T0, vec![to_all(&a, "the last one")]);
    let (answer, ()) = tokio::join!(world.store.append(batch), world.store.close());
    answer.expect("it was handed in before");
    world.reopen().await;
    let log = mesh.on(&world).broadcasts().await.expect("the store answers");
    assert_eq!(log.len(), 1);
    world.store.close().await;
}

fn link(login: &str) -> AccountLink {
    AccountLink {
        hash: secret::digest(login),
        purpose: LinkPurpose::Add(login.to_owned()),
        expires_at: T0 + DAY,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_put_into_the_file_beside_a_store_at_work() {
    let engine = Sqlite::fresh().await;
    let path = engine.folder.path().join("meshwire.db");
    let store = engine.store();
    let operator = tokio::spawn(async move {
        for n in 0..30 {
            let linked = put_account_link(&path, link(&format!("user{n}"))).await;
            assert_eq!(linked.expect("the file can be written"), Linked::Done);
        }
        put_account_link(&path, link("ann")).await
    });
    for n in 0..30 {
        store.sign_in_github(github(n, &format!("other{n}"))).await.expect("the store goes on");
    }
    store.sign_in_github(github(99, "ann")).await.expect("the store goes on");
    let last = operator.await.expect("no link is refused").expect("the file can be written");
    for n in 0..30 {
        let login = format!("user{n}");
        let found = store.account_link(&secret::digest(&login), T0).await.expect("it answers");
        assert_eq!(found, Some(LinkPurpose::Add(login)));
    }
    // Whichever of the two came first.
    let found = store.account_link(&secret::digest("ann"), T0).await.expect("it answers");
    assert_eq!(found.is_some(), last == Linked::Done);
    let again = put_account_link(&engine.folder.path().join("meshwire.db"), link("ann")).await;
    assert_eq!(again.expect("the file can be written"), Linked::LoginTaken);
    store.close().await;
}

#[tokio::test]
async fn no_link_is_put_into_a_file_of_another_version() {
    let engine = Sqlite::fresh().await;
    let path = engine.folder.path().join("meshwire.db");
    engine.store().close().await;
    let mut connection = engine.connect().await;
    sqlx::query(
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    )
    .execute(&mut connection)
    .await
    .expect("the table has this name");
    let error = put_account_link(&path, link("ann")).await.expect_err("it is of another version");
    let text = format!("{error:#}");
    assert!(text.contains("meshwire.db") && text.contains("another version"), "{text}");

    let missing = engine.folder.path().join("missing.db");
    let error = put_account_link(&missing, link("ann")).await.expect_err("there is none");
    assert!(format!("{error:#}").contains("start the server once"), "{error:#}");
    assert!(!missing.exists(), "and none is made");
}
