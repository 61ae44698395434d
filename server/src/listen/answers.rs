//! Counts the answers that are complete, so that the guard knows when the next request may be let in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// The number of answers on one connection that the application has handed over to hyper in full.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<AtomicU64>);

impl Answers {
    /// How many there are.
    pub(super) fn complete(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Wraps the body of an answer. hyper drops a body when its last byte is in hyper's write buffer, also when
    /// it was empty or the answer to HEAD; that drop is what is counted.
    pub(super) fn count(&self, body: Body) -> CountedBody {
        CountedBody { body, answers: self.clone() }
    }
}

/// A body whose end is counted.
#[derive(Debug)]
pub(super) struct CountedBody {
    body: Body,
    answers: Answers,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.answers.0.fetch_add(1, Ordering::Release);
    }
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
