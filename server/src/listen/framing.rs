//! Where a request begins and ends in a stream of bytes (RFC 9112), and whether it is well formed.
//!
//! [`Framing`] knows neither sockets nor time. It looks at every byte exactly once and in order, so how the bytes
//! were split on their way cannot change what it says.

use bytes::BytesMut;

use super::head::{self, Body, Head, Keep};
use super::refusal::Refusal;

/// Longest line with a chunk's size and its extensions, CRLF included. RFC 9112 section 7.1.1 asks for a limit.
const MAX_CHUNK_LINE: usize = 256;
/// Most bytes in the trailer section.
const MAX_TRAILER_BYTES: usize = 4096;

/// As long as most heads are, in bytes.
const USUAL_HEAD: usize = 512;

/// Follows one connection from request to request.
#[derive(Debug)]
pub(super) struct Framing {
    max_head_bytes: usize,
    max_fields: usize,
    state: State,
    /// The line under way, without its LF.
    line: Vec<u8>,
    /// Bytes of the head, the chunk line or the trailer section so far.
    section: usize,
    /// The lines of the head that passed, each with its CRLF.
    lines: Vec<u8>,
    head: Head,
    skipped_empty_line: bool,
    requests: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    Sized(u64),
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers { fields: usize },
    Refused(Refusal),
}

impl Framing {
    /// For a new connection.
    pub(super) fn new(max_head_bytes: usize, max_fields: usize) -> Self {
        Self {
            max_head_bytes,
            max_fields,
            state: State::Head,
            line: Vec::new(),
            section: 0,
            lines: Vec::new(),
            head: Head::default(),
            skipped_empty_line: false,
            requests: 0,
        }
    }

    /// How many heads have been let through.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether the next byte belongs to the head of a request.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Whether some of the next request has arrived, but not all of its head.
    pub(super) fn head_has_begun(&self) -> bool {
        self.in_head() && self.section > 0
    }

    /// Reads on, up to the end of a request and not beyond, and says how many bytes of `input` were used. What
    /// may be acted upon is moved to `cleared`: a head when it is complete, a body as it comes.
    ///
    /// After a refusal every further call gives the same one.
    pub(super) fn feed(&mut self, input: &[u8], cleared: &mut BytesMut) -> Result<usize, Refusal> {
        let mut used = 0;
        while let Some(&byte) = input.get(used) {
            match &mut self.state {
                State::Sized(left) | State::ChunkData(left) => {
                    let rest = &input[used..];
                    let take =
                        usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    cleared.extend_from_slice(&rest[..take]);
                    used += take;
                    *left -= take as u64;
                    if *left > 0 {
                        continue;
                    }
                    if matches!(self.state, State::Sized(_)) {
                        self.state = State::Head;
                        return Ok(used);
                    }
                    self.state = State::ChunkEnd;
                }
                State::Refused(refusal) => return Err(*refusal),
                State::Head | State::ChunkLine | State::ChunkEnd | State::Trailers { .. } => {
                    used += 1;
                    let ended = match self.line_byte(byte, cleared) {
                        Ok(ended) => ended,
                        Err(refusal) => {
                            self.state = State::Refused(refusal);
                            return Err(refusal);
                        }
                    };
                    if ended {
                        return Ok(used);
                    }
                }
            }
        }
        Ok(used)
    }

    /// Takes one byte of a line. True when it completes a request.
    fn line_byte(&mut self, byte: u8, cleared: &mut BytesMut) -> Result<bool, Refusal> {
        self.section += 1;
        self.check_section()?;
        let after_cr = self.line.last() == Some(&b'\r');
        match byte {
            b'\n' if after_cr => {
                self.line.pop();
                let line = std::mem::take(&mut self.line);
                let ended = self.end_line(&line, cleared);
                self.line = line;
                self.line.clear();
                return ended;
            }
            // RFC 9112 section 2.2 lets a bare LF end a line. Half of the known ways to smuggle a request
            // begin there.
            b'\n' => return Err(Refusal::malformed("A line ends with a bare LF.")),
            _ if after_cr => return Err(Refusal::malformed("A CR stands without its LF.")),
            b'\r' | b'\t' | b' '..=b'~' | 0x80.. => self.line.push(byte),
            _ => return Err(Refusal::malformed("The header holds a control character.")),
        }
        Ok(false)
    }

    fn check_section(&self) -> Result<(), Refusal> {
        match self.state {
            State::Head if self.section > self.max_head_bytes => {
                Err(Refusal::too_large("The request line and header fields are too long."))
            }
            State::ChunkLine if self.section > MAX_CHUNK_LINE => {
                Err(Refusal::malformed("The line with the size of a chunk is too long."))
            }
            State::ChunkEnd if self.section > 2 => {
                Err(Refusal::malformed("A chunk is longer than its size says."))
            }
            State::Trailers { .. } if self.section > MAX_TRAILER_BYTES => Err(Refusal {
                setting: None,
                ..Refusal::too_large("The trailer fields are too long.")
            }),
            _ => Ok(()),
        }
    }

    /// Acts on a complete line. True when it completes a request.
    fn end_line(&mut self, line: &[u8], cleared: &mut BytesMut) -> Result<bool, Refusal> {
        match &mut self.state {
            State::Head => return self.end_head_line(line, cleared),
            State::ChunkLine => {
                self.state = match head::parse_chunk_line(line)? {
                    0 => State::Trailers { fields: 0 },
                    size => State::ChunkData(size),
                };
            }
            State::ChunkEnd => {
                if !line.is_empty() {
                    return Err(Refusal::malformed("A chunk is longer than its size says."));
                }
                self.state = State::ChunkLine;
            }
            State::Trailers { fields } if !line.is_empty() => {
                *fields += 1;
                if *fields > self.max_fields {
                    return Err(Refusal::too_many("The request has too many trailer fields."));
                }
                head::check_trailer(line)?;
                push_line(cleared, line);
                return Ok(false);
            }
            State::Trailers { .. } => self.state = State::Head,
            State::Sized(_) | State::ChunkData(_) | State::Refused(_) => return Ok(false),
        }
        self.section = 0;
        push_line(cleared, line);
        Ok(self.in_head())
    }

    fn end_head_line(&mut self, line: &[u8], cleared: &mut BytesMut) -> Result<bool, Refusal> {
        if !line.is_empty() {
            if self.head.line(line, self.max_fields)? == Keep::Yes {
                if self.lines.is_empty() {
                    self.lines.reserve(USUAL_HEAD);
                }
                self.lines.extend_from_slice(line);
                self.lines.extend_from_slice(b"\r\n");
            }
            return Ok(false);
        }
        if !self.head.has_request_line() && !self.skipped_empty_line {
            // RFC 9112 section 2.2: old clients end a body with a CRLF too many.
            self.skipped_empty_line = true;
            self.section = 0;
            return Ok(false);
        }
        let body = self.head.finish()?;
        cleared.extend_from_slice(&self.lines);
        cleared.extend_from_slice(b"\r\n");
        // Not cleared but given back: an idle connection should cost little.
        self.lines = Vec::new();
        self.head = Head::default();
        self.skipped_empty_line = false;
        self.section = 0;
        self.requests += 1;
        self.state = match body {
            Body::Sized(0) => State::Head,
            Body::Sized(length) => State::Sized(length),
            Body::Chunked => State::ChunkLine,
        };
        Ok(self.in_head())
    }
}

fn push_line(cleared: &mut BytesMut, line: &[u8]) {
    cleared.extend_from_slice(line);
    cleared.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came through, how many requests it was, and the refusal that ended it.
    type Verdict = (Vec<u8>, u64, bool, Option<Refusal>);

    fn run<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
        let mut framing = Framing::new(512, 4);
        let mut cleared = BytesMut::new();
        let mut refusal = None;
        'parts: for mut part in parts {
            while !part.is_empty() {
                match framing.feed(part, &mut cleared) {
                    Ok(used) => part = &part[used..],
                    Err(error) => {
                        refusal = Some(error);
                        break 'parts;
                    }
                }
            }
        }
        (cleared.to_vec(), framing.requests(), framing.in_head(), refusal)
    }

    const GOOD: &[(&str, u64)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET / HTTP/1.0\r\n\r\n", 1),
        ("GET /x?y=[z] HTTP/1.1\r\nHost: a\r\nX: \u{e4}\t.\r\nEmpty:\r\n\r\n", 1),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\n\r\0GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            2,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n3;x=y\r\na\r\n\r\n0\r\nT: 1\r\n\r\n",
            1,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.0\r\n\r\n",
            2,
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ("GET HTTP://A:1/b HTTP/1.1\r\nHost: a:1\r\n\r\n", 1),
    ];

    const BAD: &[&str] = &[
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ];

    #[test]
    fn good_requests_pass_unchanged() {
        for (sample, requests) in GOOD {
            let expected = (sample.as_bytes().to_vec(), *requests, true, None);
            assert_eq!(run([sample.as_bytes()]), expected, "{sample:?}");
        }
    }

    #[test]
    fn bad_requests_are_refused() {
        for sample in BAD {
            assert!(run([sample.as_bytes()]).3.is_some(), "{sample:?}");
        }
    }

    #[test]
    fn every_split_gives_the_same_verdict() {
        for sample in GOOD.iter().map(|(sample, _)| *sample).chain(BAD.iter().copied()) {
            let bytes = sample.as_bytes();
            let whole = run([bytes]);
            assert_eq!(run(bytes.chunks(1)), whole, "{sample:?} byte by byte");
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(run(parts), whole, "{sample:?} split at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_head_comes_through_before_it_is_complete() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 1..head.len() {
            let (cleared, requests, in_head, refusal) = run([&head[..end]]);
            assert_eq!((cleared.len(), requests, in_head, refusal), (0, 0, true, None));
        }
    }

    #[test]
    fn the_limits_are_exact() {
        let sized = |length: usize| {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
        };
        assert_eq!(run([sized(512).as_bytes()]).3, None);
        let refusal = run([sized(513).as_bytes()]).3;
        assert_eq!(refusal.map(|refusal| refusal.code.status()), Some(431));
    }

    #[test]
    fn what_is_left_out_still_counts() {
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(run([upgrade.as_bytes()]).0, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let many = format!("GET / HTTP/1.1\r\n{}", "Upgrade: x\r\n".repeat(5));
        assert!(run([many.as_bytes()]).3.is_some());
    }

    #[test]
    fn one_empty_line_before_a_request_is_skipped() {
        let (cleared, requests, ..) = run([&b"\r\nGET / HTTP/1.0\r\n\r\n"[..]]);
        assert_eq!((cleared.as_slice(), requests), (&b"GET / HTTP/1.0\r\n\r\n"[..], 1));
    }
}
