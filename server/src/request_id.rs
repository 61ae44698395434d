//! What a request is known by: in its answer, in the log, and when somebody asks the operator about it.

use axum::http::HeaderName;

use crate::secret;

/// Where an answer carries the id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Base62 characters of an id: 119 bits, so that no two requests share one.
const LENGTH: usize = 20;

/// Has panics written to the log, with the request in which they happened and the place in our code. A text that
/// was put together at that moment is left out: it may quote a message.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&'static str>().copied();
        let place = panic.location().map(tracing::field::display);
        tracing::error!(place, text, "a panic");
    }));
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request, made by this server: one that a client sends is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// A new one.
    pub fn random() -> Self {
        Self(secret::base62(LENGTH))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That of the request which is being answered, as it is written.
    pub fn current() -> Option<String> {
        CURRENT.try_with(|id| id.0.clone()).ok()
    }

    /// Answers a request under this id.
    pub fn scope<F: Future>(&self, answer: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), answer)
    }
}
