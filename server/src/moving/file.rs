//! The format: JSON Lines. A header, a record a line, and a last line with counts and a checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write};
use std::ops::ControlFlow;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::check::Checker;
use super::progress::Progress;
use super::tally::Tally;
use crate::store::moving::{Kind, Piece, Record, hex_of};

/// The version of the format. It grows when an older program would read a file wrongly.
const FORMAT: u64 = 1;
/// No record is longer, by far.
const MAX_LINE: u64 = 8 * 1024 * 1024;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// [`FORMAT`].
    meshwire: u64,
    /// Of the program that wrote it, for people.
    version: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename = "end")]
struct Footer {
    counts: BTreeMap<Kind, u64>,
    /// Over all lines before it, with their ends.
    sha256: String,
}

/// What a line says that it is.
#[derive(Deserialize)]
struct Tag {
    kind: String,
}

/// Writes all that comes; `None` when it ends before its end, and the file is of no use.
///
/// # Errors
/// When it cannot be written, or when a record could not be imported again.
pub(super) fn write(
    out: &mut dyn Write,
    mut from: mpsc::Receiver<Piece>,
    mut progress: Progress,
) -> Result<Option<Tally>> {
    let mut out = Hashing { out, hash: Sha256::new() };
    let header = Header { meshwire: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned() };
    out.line(serde_json::to_vec(&header)?)?;
    let (mut checker, mut tally) = (Checker::default(), Tally::default());
    while let Some(piece) = from.blocking_recv() {
        let Piece::Records(records) = piece else {
            let sha256 = hex_of(&out.hash.clone().finalize());
            out.line(serde_json::to_vec(&Footer { counts: tally.counts(), sha256 })?)?;
            out.out.flush().context(CANNOT_WRITE)?;
            return Ok(Some(tally));
        };
        for record in records {
            checker.check(&record).with_context(|| {
                format!("the store holds a {} that does not fit the rest", record.kind())
            })?;
            out.line(tally.add(&record)?)?;
        }
        progress.at(tally.total());
    }
    Ok(None)
}

const CANNOT_WRITE: &str = "cannot write the export";

struct Hashing<'o> {
    out: &'o mut dyn Write,
    hash: Sha256,
}

impl Hashing<'_> {
    fn line(&mut self, mut line: Vec<u8>) -> Result<()> {
        line.push(b'\n');
        self.hash.update(&line);
        self.out.write_all(&line).context(CANNOT_WRITE)
    }
}

/// Reads a file from its beginning and checks it: header, every line, counts and checksum. `take` gets each
/// record before the file is known to be whole; `None` when it has broken off.
///
/// # Errors
/// Names the line and what is wrong with it.
pub(super) fn read(
    file: &mut File,
    mut take: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<Option<Tally>> {
    file.rewind().context("cannot read the file from its beginning")?;
    let mut lines = Lines::new(file);
    lines.step(header)?;
    let (mut checker, mut tally) = (Checker::default(), Tally::default());
    loop {
        let before = lines.hash.clone();
        let record = match lines.step(record)? {
            Line::Record(record) => record,
            Line::End(footer) => {
                let ended = compare(&footer, &tally, before);
                ended.with_context(|| lines.place())?;
                lines.nothing_more()?;
                return Ok(Some(tally));
            }
        };
        checker.check(&record).with_context(|| lines.place())?;
        tally.add(&record)?;
        if take(*record).is_break() {
            return Ok(None);
        }
    }
}

fn header(line: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Format {
        meshwire: u64,
    }
    let Ok(Format { meshwire }) = serde_json::from_slice(line) else {
        bail!("this is no file that `meshwire-server export` has written");
    };
    ensure!(
        meshwire == FORMAT,
        "this file has format {meshwire}, and this program reads format {FORMAT}: import it with the version \
         of meshwire-server that wrote it"
    );
    let _: Header = serde_json::from_slice(line).context("this is no header of an export")?;
    Ok(())
}

enum Line {
    Record(Box<Record>),
    End(Footer),
}

fn record(line: &[u8]) -> Result<Line> {
    let tag: Tag = serde_json::from_slice(line).context("this is no record")?;
    if tag.kind == "end" {
        return Ok(Line::End(serde_json::from_slice(line).context("this is no last line")?));
    }
    let record = serde_json::from_slice(line).context("this is no record")?;
    Ok(Line::Record(Box::new(record)))
}

fn compare(footer: &Footer, tally: &Tally, hash: Sha256) -> Result<()> {
    for (kind, there) in tally.counts() {
        let said = footer.counts.get(&kind).copied().unwrap_or(0);
        ensure!(
            said == there,
            "the file should hold {said} of the kind {kind}, and holds {there}: some of it is missing, or was \
             added"
        );
    }
    ensure!(
        footer.sha256 == hex_of(&hash.finalize()),
        "the checksum of the lines before is another one: the file was changed or damaged; copy it again, or \
         export again"
    );
    Ok(())
}

struct Lines<'f> {
    reader: BufReader<&'f mut File>,
    hash: Sha256,
    line: Vec<u8>,
    number: u64,
}

impl<'f> Lines<'f> {
    fn new(file: &'f mut File) -> Self {
        let reader = BufReader::with_capacity(256 * 1024, file);
        Self { reader, hash: Sha256::new(), line: Vec::new(), number: 0 }
    }

    fn place(&self) -> String {
        format!("line {}", self.number)
    }

    /// Reads the next line and makes something of it.
    fn step<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let before = self.number;
        ensure!(
            self.next()?,
            "the file is cut off after line {before}: copy it again, or export again"
        );
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        parse(line).with_context(|| self.place())
    }

    /// `false` at the end of the file, or of what there is of a line.
    fn next(&mut self) -> Result<bool> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE);
        limited.read_until(b'\n', &mut self.line).context("cannot read the file")?;
        let is_whole = self.line.ends_with(b"\n");
        self.number += u64::from(is_whole);
        ensure!(
            is_whole || u64::try_from(self.line.len()).is_ok_and(|length| length < MAX_LINE),
            "line {} is longer than any record: this is no file that `meshwire-server export` has written",
            self.number + 1
        );
        self.hash.update(&self.line);
        Ok(is_whole)
    }

    fn nothing_more(&mut self) -> Result<()> {
        ensure!(
            !self.next()? && self.line.is_empty(),
            "line {}: something follows what is marked as the end",
            self.number
        );
        Ok(())
    }
}
