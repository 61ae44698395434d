//! `meshwire-server export` and `import`: everything from one store to another, whatever the engines.
//!
//! The format stands in ARCHITECTURE.md. An import goes over the file twice: first it checks all of it, and
//! nothing is written for a file with a fault; then it writes, and afterwards reads everything back.

mod check;
mod file;
mod progress;
mod tally;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use self::progress::{Progress, say};
pub use self::tally::Tally;
use crate::settings::Place;
use crate::store::moving::{Imported, Moving, Piece, Record};
use crate::store::open_to_move;

/// Pieces between who reads and who writes.
const QUEUE: usize = 2;
/// Records and bytes of a piece, about.
const PIECE: usize = 500;
const PIECE_BYTES: usize = 1024 * 1024;

/// Where an export goes.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// A new file, made readable for you alone [default: standard output]
    pub file: Option<PathBuf>,
}

/// From where an import comes.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// A file that `meshwire-server export` has written
    pub file: PathBuf,
}

/// Writes everything that a store holds to a file or to standard output; what to tell the operator.
///
/// # Errors
/// When there is no such store, when it is in use, or when it cannot be written. Then there is no file.
pub async fn export(place: &Place, args: &ExportArgs) -> Result<String> {
    if let Place::Sqlite(path) = place {
        ensure!(
            path.exists(),
            "there is no database {}: name the one of your server with MESHWIRE_STORE=sqlite:PATH",
            path.display()
        );
    }
    let store = open_to_move(place).await?;
    let out = match &args.file {
        None => None,
        Some(path) => Some((new_file(path)?, path.clone())),
    };
    let (to, pieces) = mpsc::channel(QUEUE);
    let writing = spawn_blocking(move || write(out, pieces));
    let read = store.export(to).await;
    let written = writing.await?;
    store.close().await;
    // When writing fails, reading fails because of it.
    let written = written?;
    read.context("cannot read the store")?;
    let tally = written.context("the store ended before its end")?;
    let to = args.file.as_ref().map_or("standard output".into(), |path| path.to_string_lossy());
    Ok(format!("{tally}\n\nExported {place} to {to}."))
}

/// A file that its owner alone may read: it holds hashes of passwords, messages, and who talks to whom.
fn new_file(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).with_context(|| {
        let what_to_do = if path.exists() { "; name one that is not there yet" } else { "" };
        format!("cannot make the file {}{what_to_do}", path.display())
    })
}

fn write(out: Option<(File, PathBuf)>, pieces: mpsc::Receiver<Piece>) -> Result<Option<Tally>> {
    let progress = Progress::new("exporting");
    let Some((file, path)) = out else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        return file::write(&mut out, pieces, progress);
    };
    let mut out = BufWriter::new(&file);
    let written = file::write(&mut out, pieces, progress).and_then(|tally| {
        out.flush().and_then(|()| file.sync_all()).context("cannot write the export")?;
        Ok(tally)
    });
    if !matches!(written, Ok(Some(_))) {
        // It would be refused, but why leave it?
        let _ = std::fs::remove_file(&path);
    }
    written.with_context(|| path.display().to_string())
}

/// Reads a file into an empty store, and the store back; what to tell the operator.
///
/// # Errors
/// When the file has a fault, when the store is not empty or in use, or when it does not hold what the file
/// does. But for the last, nothing was imported.
pub async fn import(place: &Place, args: &ImportArgs) -> Result<String> {
    let path = args.file.display().to_string();
    let mut file = File::open(&args.file).with_context(|| format!("cannot open {path}"))?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    ensure!(is_file, "{path} is no file: it is read twice, so write the export to a file first");

    say(&format!("checking {path}"));
    let (mut file, checked) = spawn_blocking(move || {
        let mut progress = Progress::new("checking");
        let mut records = 0;
        let checked = file::read(&mut file, |_| {
            records += 1;
            progress.at(records);
            ControlFlow::Continue(())
        });
        (file, checked)
    })
    .await?;
    let nothing = "; nothing was imported";
    let checked = checked.with_context(|| format!("{path} is refused{nothing}"))?;
    let checked = checked.context("the check broke off")?;

    say(&format!("importing into {place}"));
    let store = open_to_move(place).await?;
    let (to, pieces) = mpsc::channel(QUEUE);
    let feeding = spawn_blocking(move || feed(&mut file, &to));
    let imported = store.import(pieces).await;
    let fed = feeding.await?;
    let outcome =
        match (imported, fed) {
            (Ok(Imported::NotEmpty), _) => Err(anyhow::anyhow!(
                "{place} is not empty{nothing}: name a new place with MESHWIRE_STORE"
            )),
            // When the file ends too early, the import fails because of it.
            (_, Err(error)) => Err(error.context(format!("{path} is refused{nothing}"))),
            (Err(error), Ok(())) => Err(anyhow::Error::new(error)
                .context(format!("{place} did not take the records{nothing}"))),
            (Ok(Imported::Done), Ok(())) => compare(&store, place, checked).await,
        };
    store.close().await;
    let tally = outcome?;
    Ok(format!(
        "{tally}\n\nImported {path} into {place}. Read back: all counts and checksums are the same."
    ))
}

/// Hands over all records of a file, and the end only when the file was whole. A store that takes no more
/// says why itself.
fn feed(file: &mut File, to: &mpsc::Sender<Piece>) -> Result<()> {
    let mut progress = Progress::new("importing");
    let (mut records, mut bytes, mut all) = (Vec::new(), 0, 0);
    let tally = file::read(file, |record: Record| {
        bytes += record.size();
        all += 1;
        records.push(record);
        if records.len() < PIECE && bytes < PIECE_BYTES {
            return ControlFlow::Continue(());
        }
        bytes = 0;
        progress.at(all);
        match to.blocking_send(Piece::Records(std::mem::take(&mut records))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    if tally.is_some() && to.blocking_send(Piece::Records(records)).is_ok() {
        let _ = to.blocking_send(Piece::End);
    }
    Ok(())
}

/// Reads a store back.
async fn compare(store: &Arc<dyn Moving>, place: &Place, expected: Tally) -> Result<Tally> {
    say("reading it back");
    let there = tally_of(store.as_ref()).await?;
    let different = there.differences(&expected);
    if different.is_empty() {
        return Ok(there);
    }
    let kinds: Vec<&str> = different.iter().map(|kind| kind.as_str()).collect();
    bail!(
        "{place} does not hold what the file does, in {}. The file:\n{expected}\n\nThe store:\n{there}\n\nDo \
         not use it: empty it, see that no server runs on it, and import again",
        kinds.join(", ")
    )
}

/// Counts what a store holds.
///
/// # Errors
/// When it cannot be read.
pub async fn tally_of(store: &dyn Moving) -> Result<Tally> {
    let (to, mut pieces) = mpsc::channel(QUEUE);
    let counting = async {
        let (mut tally, mut progress) = (Tally::default(), Progress::new("reading back"));
        while let Some(piece) = pieces.recv().await {
            let Piece::Records(records) = piece else { break };
            for record in &records {
                tally.add(record)?;
            }
            progress.at(tally.total());
        }
        Ok::<_, anyhow::Error>(tally)
    };
    let (read, tally) = tokio::join!(store.export(to), counting);
    read.context("cannot read the store back")?;
    tally
}
