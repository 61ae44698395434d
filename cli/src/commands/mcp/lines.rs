//! The lines that a client writes.

use tokio::io::{self, AsyncBufReadExt as _, AsyncRead, BufReader};

/// Longest line that is read whole, in bytes.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// Reads lines. What was read of one is kept when a wait for the rest is dropped.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// Whether the rest of the line is thrown away, as its beginning was.
    too_long: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// All of it.
    Whole(Vec<u8>),
    /// It was longer than [`LONGEST`].
    TooLong,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), too_long: false }
    }

    /// The next line; `None` at the end, and of a line that breaks off there.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let read = self.input.fill_buf().await?;
            if read.is_empty() {
                return Ok(None);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            if self.line.len() + part.len() > LONGEST {
                self.too_long = true;
                self.line = Vec::new();
            } else if !self.too_long {
                self.line.extend_from_slice(part);
            }
            let consumed = end.map_or(read.len(), |end| end + 1);
            self.input.consume(consumed);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let too_long = std::mem::take(&mut self.too_long);
                return Ok(Some(if too_long { Line::TooLong } else { Line::Whole(line) }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over_and_the_next_one_read() {
        let mut text = b"one\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LONGEST + 1));
        text.extend(b"\n\ntwo\nbroken off");
        let mut lines = Lines::new(text.as_slice());
        let whole = |text: &str| Some(Line::Whole(text.into()));
        for expected in [whole("one"), Some(Line::TooLong), whole(""), whole("two"), None] {
            assert_eq!(lines.next().await.unwrap(), expected);
        }
    }
}
