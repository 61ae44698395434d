//! What is asked of a call of the API before its handler runs. In a table and not in layers of their own: a layer is a
//! box and a clone of all that is within it for each request, see [`super::layers::around`].

use std::collections::HashMap;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;

use crate::access::Action;
use crate::error::{ApiError, Result};

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// What it does, for access; `None` when everyone may make it.
    pub(super) action: Option<Action>,
    /// Whether it reads its query: one that nobody reads is a slip of the caller's.
    pub(super) takes_query: bool,
}

/// All calls, by the templates of their paths.
#[derive(Debug, Default)]
pub(super) struct CallTable(HashMap<String, Vec<(Method, Call)>>);

impl CallTable {
    pub(super) fn add(&mut self, path: &str, method: Method, call: Call) {
        self.0.entry(path.to_owned()).or_default().push((method, call));
    }

    /// The call that a request is; `None` when it is for something else.
    pub(super) fn of(&self, request: &Request) -> Option<Call> {
        let path = request.extensions().get::<MatchedPath>()?;
        // RFC 9110 section 9.3.2.
        let method =
            if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let calls = self.0.get(path.as_str())?;
        calls.iter().find(|(of, _)| of == method).map(|(_, call)| *call)
    }
}

impl Call {
    /// Refuses a query that nobody would read.
    pub(super) fn check_query(self, request: &Request) -> Result<()> {
        if self.takes_query {
            return Ok(());
        }
        let query = request.uri().query().unwrap_or_default();
        match url::form_urlencoded::parse(query.as_bytes()).next() {
            None => Ok(()),
            Some((name, _)) => {
                Err(ApiError::field(&name, "is not known here; this takes no query"))
            }
        }
    }
}
