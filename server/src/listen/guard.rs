//! The guard between the socket and hyper.
//!
//! hyper sees a request only when its whole head has arrived and passed [`Framing`], and only when the answer to
//! the request before it has left. So hyper is idle whenever a head is refused or comes too late: the guard shows
//! it the end of the stream, hyper closes in good order, and the refusal goes out as the last words in
//! `poll_shutdown`, behind every answer that was still owed. A body that breaks off or breaks the rules also ends
//! the stream, but there the handler that reads it gives the answer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::Limits;
use super::answers::Answers;
use super::framing::Framing;
use super::refusal::Refusal;
use crate::request_id::RequestId;

/// What is read from the socket at once. It lives on the stack, so idle connections do not pay for it.
const READ_CHUNK: usize = 4096;
/// How long, and for how many bytes, a closed connection is still read. A socket closed with unread bytes sends a
/// reset, which may destroy the answer before the peer has read it (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;

/// A checked connection, as hyper reads and writes it.
#[derive(Debug)]
pub(super) struct Guard {
    stream: TcpStream,
    framing: Framing,
    answers: Answers,
    /// Arrived, not yet looked at: requests sent ahead of their turn.
    waiting: BytesMut,
    /// Checked, not yet taken by hyper.
    cleared: BytesMut,
    /// Answers that have left, as of the last flush.
    answered: u64,
    header_deadline: Duration,
    idle_deadline: Duration,
    deadline: Pin<Box<Sleep>>,
    /// An answer has left, and nothing of the next request has arrived.
    idle: bool,
    write_stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// hyper gets no more bytes.
    ended: bool,
    last_words: Bytes,
    closing: Closing,
}

/// How far the end of the connection has come.
#[derive(Debug)]
enum Closing {
    Open,
    Lingering {
        until: Pin<Box<Sleep>>,
        bytes_left: usize,
    },
    /// Nothing more is to come, or nobody cares.
    Done,
}

impl Guard {
    /// Takes over a connection that was just accepted; the header deadline begins now.
    pub(super) fn new(stream: TcpStream, answers: Answers, limits: &Limits) -> Self {
        Self {
            stream,
            framing: Framing::new(limits.max_header_bytes, limits.max_header_fields),
            answers,
            waiting: BytesMut::new(),
            cleared: BytesMut::new(),
            answered: 0,
            header_deadline: limits.header_deadline,
            idle_deadline: limits.idle_deadline,
            deadline: Box::pin(sleep(limits.header_deadline)),
            idle: false,
            write_stall: limits.write_stall,
            stalled: None,
            ended: false,
            last_words: Bytes::new(),
            closing: Closing::Open,
        }
    }

    /// Whether an answer is owed.
    fn is_busy(&self) -> bool {
        self.answered < self.framing.requests()
    }

    /// Lets nothing in, and says why.
    pub(super) fn refusing(mut self, refusal: Refusal) -> Self {
        self.refuse(refusal);
        self
    }

    /// Refuses a head. Nothing is owed then, so the refusal is the next thing that the peer reads.
    fn refuse(&mut self, refusal: Refusal) {
        let id = RequestId::random();
        tracing::debug!(
            id = id.as_str(),
            code = refusal.code.as_str(),
            detail = refusal.detail,
            "request refused"
        );
        self.last_words = refusal.to_bytes(&id).into();
        self.ended = true;
    }

    /// Looks at what has arrived.
    fn check_waiting(&mut self) {
        let in_head = self.framing.in_head();
        match self.framing.feed(&self.waiting, &mut self.cleared) {
            Ok(used) => {
                self.waiting.advance(used);
                if self.idle && self.framing.head_has_begun() {
                    self.idle = false;
                    self.deadline.as_mut().reset(Instant::now() + self.header_deadline);
                }
            }
            Err(refusal) if in_head && !self.is_busy() => self.refuse(refusal),
            // The head has been let in: its handler sees the body break off and answers for itself.
            Err(refusal) => {
                tracing::debug!(detail = refusal.detail, "request body broken off");
                self.ended = true;
            }
        }
    }

    /// The deadline has passed while no answer was owed.
    fn time_out(&mut self) {
        if self.framing.head_has_begun() {
            self.refuse(Refusal::too_slow("The header of the request did not arrive in time."));
        } else {
            self.ended = true;
            if self.framing.in_head() {
                self.closing = Closing::Done;
            }
        }
    }

    /// The peer has closed its side.
    fn peer_ended(&mut self) {
        if self.framing.head_has_begun() {
            self.refuse(Refusal::malformed("The request ends within its header."));
        }
        self.ended = true;
        self.closing = Closing::Done;
    }

    /// An answer has left. Its end starts the deadline for the next request to begin.
    fn turn_over(&mut self, context: &mut Context<'_>) {
        self.idle = true;
        self.deadline.as_mut().reset(Instant::now() + self.idle_deadline);
        // A read that waits for the socket will wake by itself, one that waits for its turn will not.
        if self.deadline.as_mut().poll(context).is_ready() || !self.waiting.is_empty() {
            context.waker().wake_by_ref();
        }
    }

    fn poll_socket(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [MaybeUninit::uninit(); READ_CHUNK];
        let mut buffer = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.waiting.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Passes on the outcome of a write, unless the peer has read nothing for too long.
    fn watch_write(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.write_stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        // A reset instead of an orderly end: the kernel need not keep what nobody reads.
        let _ = self.stream.set_zero_linger();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer does not read its answer",
        )))
    }
}

impl Read for Guard {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        loop {
            if !guard.cleared.is_empty() {
                let length = guard.cleared.len().min(buffer.remaining());
                buffer.put_slice(&guard.cleared[..length]);
                guard.cleared.advance(length);
                return Poll::Ready(Ok(()));
            }
            if guard.ended {
                return Poll::Ready(Ok(()));
            }
            let its_turn = !guard.is_busy() || !guard.framing.in_head();
            if !guard.waiting.is_empty() && its_turn {
                guard.check_waiting();
                continue;
            }
            if !guard.is_busy() && guard.deadline.as_mut().poll(context).is_ready() {
                guard.time_out();
                continue;
            }
            if !guard.waiting.is_empty() {
                // `turn_over` wakes us.
                return Poll::Pending;
            }
            if ready!(guard.poll_socket(context))? == 0 {
                guard.peer_ended();
            }
        }
    }
}

impl Write for Guard {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let outcome = Pin::new(&mut guard.stream).poll_write(context, bytes);
        guard.watch_write(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let outcome = Pin::new(&mut guard.stream).poll_write_vectored(context, slices);
        guard.watch_write(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when all that it had has been written, so this is where an answer has left.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        let complete = guard.answers.complete();
        if complete > guard.answered {
            guard.answered = complete;
            guard.turn_over(context);
        }
        Pin::new(&mut guard.stream).poll_flush(context)
    }

    /// Sends the last words, closes our side, and reads the other side out for a moment.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.last_words.is_empty() {
            let words = self.last_words.clone();
            let written = ready!(self.as_mut().poll_write(context, &words))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.last_words.advance(written);
        }
        let guard = self.get_mut();
        loop {
            match &mut guard.closing {
                Closing::Done => return Pin::new(&mut guard.stream).poll_shutdown(context),
                Closing::Open => {
                    // A peer that is gone already makes this fail, and then there is nothing to wait for.
                    guard.closing = match ready!(Pin::new(&mut guard.stream).poll_shutdown(context))
                    {
                        Ok(()) => Closing::Lingering {
                            until: Box::pin(sleep(LINGER)),
                            bytes_left: LINGER_BYTES,
                        },
                        Err(_) => return Poll::Ready(Ok(())),
                    };
                }
                Closing::Lingering { until, bytes_left } => {
                    if *bytes_left == 0 || until.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    let left = *bytes_left;
                    guard.waiting.clear();
                    let read = match ready!(guard.poll_socket(context)) {
                        Ok(0) | Err(_) => return Poll::Ready(Ok(())),
                        Ok(read) => read,
                    };
                    if let Closing::Lingering { bytes_left, .. } = &mut guard.closing {
                        *bytes_left = left.saturating_sub(read);
                    }
                }
            }
        }
    }
}
