//! `meshwire-server user`: one-time links for accounts, made on the server's own computer.
//!
//! The links are written straight into the database, whether the server runs or not. That takes no lock that
//! would keep a server from starting, and needs no way into the running one: whoever may write the file may
//! do this.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Subcommand;
use meshwire_protocol::check_login;
use url::Url;

use crate::clock::Clock;
use crate::settings::Args;
use crate::sign_in::new_link;
use crate::store::{LinkPurpose, Linked, put_account_link};

/// What is to be done with an account.
#[derive(Debug, Clone, Subcommand)]
pub enum UserCommand {
    /// Print a one-time link that makes an account with this login
    ///
    /// The link works for 24 hours, also on a server that runs already. It takes the settings of the server that
    /// say where its data is and under which URL people come, in the environment or as the flags below; it needs no
    /// secret key.
    Add {
        /// 1 to 39 characters of a-z 0-9 -, starting with a letter or digit
        #[arg(value_parser = login)]
        login: String,
    },
    /// Print a one-time link that sets a new password for the account with this login
    ///
    /// When the link is used, the browsers that are signed in to the account are signed out. Tokens stay. It takes
    /// the same settings as `user add`.
    Reset {
        /// The login of the account
        #[arg(value_parser = login)]
        login: String,
    },
}

fn login(text: &str) -> std::result::Result<String, String> {
    check_login(text).map(|()| text.to_owned()).map_err(|rule| rule.0.to_owned())
}

/// Makes the link; what to tell the operator.
///
/// # Errors
/// When people sign in with GitHub here, when the login is taken or not there, or when the database or the
/// public URL is not known.
pub async fn run(settings: &Args, command: UserCommand) -> Result<String> {
    ensure!(
        settings.github_client_id.is_none(),
        "people sign in to this server with GitHub (MESHWIRE_GITHUB_CLIENT_ID is set), so that it has no \
         accounts of its own to add or reset"
    );
    let url = public_url(settings)?;
    let purpose = match &command {
        UserCommand::Add { login } => LinkPurpose::Add(login.clone()),
        UserCommand::Reset { login } => LinkPurpose::Reset(login.clone()),
    };
    let (link, path) = new_link(purpose, Clock::default().now());
    let data = settings.place()?;
    let linked = put_account_link(&data, link).await?;
    let link = url.join(&path).context("MESHWIRE_PUBLIC_URL")?;
    match (command, linked) {
        (UserCommand::Add { login }, Linked::Done) => Ok(format!(
            "Open this link once, within 24 hours, to make the account {login}:\n  {link}\n\n\
             Whoever opens it chooses the password. `user add {login}` again ends this link."
        )),
        (UserCommand::Reset { login }, Linked::Done) => Ok(format!(
            "Open this link once, within 24 hours, to set a new password for {login}:\n  {link}\n\n\
             Until then nothing changes. Then the browsers of {login} are signed out. Tokens of the command\n\
             line and of agents stay, so that agents go on; if they may have leaked, {login} ends them with\n\
             `meshwire token list` and `meshwire token revoke ID`."
        )),
        (UserCommand::Add { login } | UserCommand::Reset { login }, Linked::LoginTaken) => bail!(
            "there is an account {login} in {data}; `meshwire-server user reset {login}` gives it a new password"
        ),
        (UserCommand::Add { login } | UserCommand::Reset { login }, Linked::NoUser) => bail!(
            "there is no account {login} in {data}; `meshwire-server user add {login}` makes one"
        ),
    }
}

/// The address under which this computer itself reaches a listener: loopback, when it listens on all.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Where the server is, as its settings say.
fn public_url(settings: &Args) -> Result<Url> {
    if let Some(url) = settings.public_url()? {
        return Ok(url);
    }
    ensure!(
        settings.bind.port() != 0,
        "MESHWIRE_PUBLIC_URL is missing: with a free port (MESHWIRE_BIND={}) nobody knows where the server is",
        settings.bind
    );
    Ok(Url::parse(&format!("http://{}", reachable(settings.bind)))?)
}
