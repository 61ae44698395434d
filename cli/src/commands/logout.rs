//! `meshwire logout`

use clap::Args;
use meshwire_protocol::clean::clean_line;

use crate::client::Client;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Style, note, print};
use crate::server_url::ServerUrl;
use crate::settings::{Flags, Settings};

/// Revoke this computer's token and forget it.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Only forget the token here; it stays valid on the server
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(args: &Logout, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load_outside_project(flags)?;
    let Some(entry) = settings.entry.clone() else {
        return Err(Failure::refused(format!(
            "the profile {:?} is not signed in",
            settings.profile
        )));
    };
    // The profile's own server, unless the user names another one, which then is a mistake.
    let url = ServerUrl::parse(&entry.url, "credentials")?;
    if let Some(named) = &flags.url
        && ServerUrl::parse(named, "--url")? != url
    {
        return Err(Failure::refused(format!(
            "the profile {:?} is signed in to {url}, not to {named}",
            settings.profile
        )));
    }
    if !args.local {
        let client = Client::new(url, Some(entry.token.clone()))?;
        match client.revoke_token("current").await {
            Ok(()) => {}
            // It is no longer valid: that is what was wanted.
            Err(failure) if failure.exit() == Exit::Refused && !failure.is_transient() => {}
            Err(failure) => {
                return Err(failure.hint(
                    "you are still signed in; add --local to forget the token without revoking it",
                ));
            }
        }
    }
    settings.home.change_credentials(|credentials| {
        credentials.profiles.remove(&settings.profile);
    })?;
    print(&format!("{} Signed out {}", Style::for_stdout().green("✓"), clean_line(&entry.login)))?;
    if settings.token_is_of_environment() {
        note("note: MESHWIRE_TOKEN is still set, and is used");
    }
    Ok(())
}
