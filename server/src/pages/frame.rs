//! What every page has around it: where one is, who is signed in, where else one can go.

use crate::app::App;
use crate::pages::visitor::{Visitor, session_ticket};

/// A place that the navigation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    /// The meshes of who is signed in; the landing page for strangers.
    Home,
    /// Inside of one of the meshes.
    Mesh,
    Tokens,
    Account,
    Guide,
    Docs,
    Status,
}

/// The frame of a page, as `site.html` shows it.
pub(crate) struct Frame {
    here: Here,
    pub who: Option<Who>,
}

/// Someone who is signed in.
pub(crate) struct Who {
    pub login: String,
    /// For the form that ends the session.
    pub ticket: String,
}

impl Frame {
    /// The frame for who asks.
    pub(crate) fn new(app: &App, visitor: &Visitor, here: Here) -> Self {
        let who = visitor.session.as_ref().map(|(session, user)| Who {
            login: user.login.clone(),
            ticket: session_ticket(app, session),
        });
        Self { here, who }
    }

    /// `aria-current` of a link to a place.
    pub(crate) fn current(&self, place: Here) -> &'static str {
        match (self.here, place) {
            (here, place) if here == place => "page",
            (Here::Mesh, Here::Home) => "true",
            _ => "false",
        }
    }
}
