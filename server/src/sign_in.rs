//! Who a person is: GitHub or local accounts, browser sessions, and what keeps others from using them.
//!
//! Nothing here makes HTML; the pages that lead through a sign-in are in [`crate::pages`].

pub(crate) mod cli;
pub(crate) mod device;
mod github;
mod guesses;
mod origin;
mod passwords;
mod return_to;
mod sessions;
pub(crate) mod tickets;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use url::Url;

use crate::app::App;
use crate::clock::micros;
use crate::counts::Counts;
use crate::secret;
use crate::settings::Settings;
use crate::store::{AccountLink, LinkPurpose, Micros};

pub(crate) use self::github::{Callback, Github, GithubError};
pub(crate) use self::guesses::{Guesses, Try};
pub(crate) use self::origin::check_origin;
pub(crate) use self::passwords::{Passwords, check_password};
pub(crate) use self::return_to::ReturnTo;
pub use self::sessions::current_session;
pub(crate) use self::sessions::{
    Kind as CookieKind, cookie_value, end, is_live, login_cookie, removal, session_of, start,
    start_with_password,
};
pub(crate) use self::tickets::Tickets;

/// How long a one-time link may be used.
const LINK_LIFETIME: Duration = Duration::from_hours(24);

/// How people sign in here, and the secrets and counters that this needs.
pub struct SignIn {
    /// Who says who a person is.
    pub(crate) accounts: Accounts,
    /// Signs what a browser carries from one page to the next.
    pub(crate) tickets: Tickets,
    /// Counts wrong passwords and codes.
    pub(crate) guesses: Guesses,
    /// Counts visits by address.
    pub(crate) visits: Counts<IpAddr>,
    /// The origin of our own pages, as browsers write it.
    pub(crate) origin: String,
}

/// Who says who a person is.
pub(crate) enum Accounts {
    /// GitHub does.
    Github(Box<Github>),
    /// This server does, by a password.
    Local(Passwords),
}

impl SignIn {
    /// GitHub when it is set, else local accounts.
    pub fn new(settings: &Settings, public_url: &Url) -> Self {
        let accounts = match &settings.github {
            Some(github) => Accounts::Github(Box::new(Github::new(github, public_url))),
            None => Accounts::Local(Passwords::default()),
        };
        Self {
            accounts,
            tickets: Tickets::new(&settings.secret_key, settings.secret_key_previous.as_deref()),
            guesses: Guesses::default(),
            visits: Counts::new(Duration::from_mins(1)),
            origin: public_url.origin().ascii_serialization(),
        }
    }
}

/// What is to be done before the first request. With local accounts, and nobody there yet: the one-time
/// link that makes the first account, for the operator's eyes. A link from an earlier start ends here, but for one that
/// another node on the same store has printed: that is the same one.
///
/// # Errors
/// When the store does not answer, or when GitHub cannot be asked from this computer.
pub async fn first_start(app: &App) -> anyhow::Result<Option<String>> {
    if let Accounts::Github(github) = &app.sign_in.accounts {
        github.ready().context("cannot make HTTPS requests to GitHub")?;
        return Ok(None);
    }
    if app.store.any_user().await? {
        return Ok(None);
    }
    let (link, path) = first_link(app).await?;
    app.store.put_account_link(link).await?;
    Ok(Some(app.url(&path)))
}

/// The link that makes the first account. Of several nodes on one store each would end the link of the one before,
/// so there it follows from the secret key, which all have, and from the day: whoever knows that key may sign anything
/// in any case.
async fn first_link(app: &App) -> anyhow::Result<(AccountLink, String)> {
    let now = app.clock.now();
    if app.store.nodes().is_none() {
        return Ok(new_link(LinkPurpose::First, now));
    }
    let day = now / micros(LINK_LIFETIME);
    let code = |day: Micros| app.sign_in.tickets.shared_code(&format!("first account, {day}"));
    // One from before midnight goes on.
    let before = app.store.account_link(&secret::digest(&code(day - 1)), now).await?;
    let day = if before.is_some() { day - 1 } else { day };
    Ok(link_of(&code(day), LinkPurpose::First, now))
}

/// A one-time link of an account, and the path under which its holder uses it.
pub(crate) fn new_link(purpose: LinkPurpose, now: Micros) -> (AccountLink, String) {
    link_of(&secret::one_time(), purpose, now)
}

fn link_of(code: &str, purpose: LinkPurpose, now: Micros) -> (AccountLink, String) {
    let expires_at = now + micros(LINK_LIFETIME);
    (AccountLink { hash: secret::digest(code), purpose, expires_at }, format!("/setup?code={code}"))
}

/// A text from outside as it may stand in a line of a page or a list: without control and invisible
/// characters, and cut to a number of characters.
pub(crate) fn clean(text: &str, longest: usize) -> String {
    let visible =
        |c: &char| meshwire_protocol::check_printable(c.encode_utf8(&mut [0; 4]), 1).is_ok();
    let text: String = text.chars().filter(visible).take(longest).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn what_is_shown_has_nothing_hidden_in_it() {
        assert_eq!(clean(" lap\u{202e}top\r\n\u{200b}\u{e0041} ", 64), "laptop");
        assert_eq!(clean(&"x".repeat(100), 64).len(), 64);
        assert_eq!(clean("\u{7}\u{0}", 64), "");
    }
}
