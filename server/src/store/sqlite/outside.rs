//! The one thing that is written by another process than the server's.

use std::path::Path;

use anyhow::{Context as _, ensure};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::links::insert_link;
use super::writer::statement;
use super::{MIGRATOR, options};
use crate::store::{AccountLink, Linked};

/// Keeps a link from outside of the server, which may be running: SQLite's own locks put the two writers in
/// order, and of these links nothing is ever kept in the server's memory.
///
/// # Errors
/// When there is no database, when it cannot be used, or when it is not of this version.
pub async fn put_account_link(path: &Path, link: AccountLink) -> anyhow::Result<Linked> {
    ensure!(
        path.exists(),
        "there is no database {}: start the server once, or name its database with \
         MESHWIRE_STORE=sqlite:PATH",
        path.display()
    );
    let mut conn = options(path)
        .create_if_missing(false)
        .connect()
        .await
        .with_context(|| format!("cannot open the database {}", path.display()))?;
    let version: Option<i64> =
        sqlx::query("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&mut conn)
            .await
            .and_then(|row| row.try_get(0))
            .with_context(|| format!("{} is no database of a MeshWire server", path.display()))?;
    ensure!(
        version == MIGRATOR.iter().map(|migration| migration.version).max(),
        "the database {} is of another version of meshwire-server: start this version once, or use the \
         program of the server that runs",
        path.display()
    );
    statement(&mut conn, "BEGIN IMMEDIATE").await?;
    let linked = insert_link(&mut conn, link).await?;
    statement(&mut conn, "COMMIT").await?;
    conn.close().await?;
    Ok(linked)
}
