//! How a command fails: an exit code, one line that says what was wrong, and one that says what to do.

use std::fmt;
use std::time::Duration;

use meshwire_protocol::ErrorCode;

/// The exit codes, which scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed for a reason that has no code of its own.
    Failed = 1,
    /// Wrong usage, or a setting that cannot be.
    Usage = 2,
    /// Not signed in, or refused.
    Refused = 3,
    /// No such thing.
    NotFound = 4,
    /// The server is out of reach.
    Unreachable = 5,
}

/// What every fallible step of a command answers.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why a command ends early. Boxed, because it travels through every `Result`.
pub(crate) struct Failure(Box<Inner>);

struct Inner {
    exit: Exit,
    message: String,
    hint: Option<String>,
    code: Option<ErrorCode>,
    oauth: Option<String>,
    retry_after: Option<Duration>,
    transient: bool,
    silent: bool,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            exit,
            message: message.into(),
            hint: None,
            code: None,
            oauth: None,
            retry_after: None,
            transient: false,
            silent: false,
        }))
    }

    /// Exit 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Exit 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Exit 3.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Exit 4.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// Exit 5; may go away by itself.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message).transient()
    }

    /// Nobody reads our output any more (`| head`): the work ends, and there is nobody to tell.
    pub(crate) fn closed_pipe() -> Self {
        let mut failure = Self::new(Exit::Done, "standard output is closed");
        failure.0.silent = true;
        failure
    }

    /// Says what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says what to do next, unless something was said already.
    #[must_use]
    pub(crate) fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Notes the server's code for it.
    #[must_use]
    pub(crate) fn with_code(mut self, code: Option<ErrorCode>) -> Self {
        self.0.code = code;
        self
    }

    /// Notes the word of an OAuth error (RFC 6749 section 5.2).
    #[must_use]
    pub(crate) fn with_oauth_error(mut self, error: Option<String>) -> Self {
        self.0.oauth = error;
        self
    }

    /// Notes how long the server wants us to wait.
    #[must_use]
    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Marks it as one that may go away by itself.
    #[must_use]
    pub(crate) fn transient(mut self) -> Self {
        self.0.transient = true;
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// What was wrong.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The server's code, when it gave one that we know.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// The word of an OAuth error, when the server gave one.
    pub(crate) fn oauth_error(&self) -> Option<&str> {
        self.0.oauth.as_deref()
    }

    /// Whether the server gave this code.
    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        self.0.code == Some(code)
    }

    /// How long the server wants us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether it may go away by itself.
    pub(crate) fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Whether there is nothing to say about it.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.silent
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.exit, self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}
