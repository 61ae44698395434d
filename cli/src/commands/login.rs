//! `meshwire login`

use clap::Args;
use meshwire_protocol::clean::clean_line;
use meshwire_protocol::{CliTokenRequest, ErrorCode};

use crate::browser;
use crate::client::Client;
use crate::credentials::{Entry, Token};
use crate::device;
use crate::failure::{Failure, Outcome};
use crate::host::host_name;
use crate::input::stdin_text;
use crate::loopback::{Loopback, Secrets};
use crate::output::{Style, note, print};
use crate::settings::{DEFAULT_PROFILE, Flags, Settings};

const EXAMPLES: &str = "\
Examples:
  meshwire login
  meshwire login --url https://mesh.example --profile work
  meshwire login --device
  printf %s \"$TOKEN\" | meshwire login --token -

The token is kept in ~/.meshwire/credentials.json, for you alone, and is only ever sent to the server that
issued it. $BROWSER chooses the browser.";

/// Sign in with your browser, or with a token that you have.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Login {
    /// Sign in with this token instead; - reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Sign in with a browser on another computer: shows a code to type there
    #[arg(long, conflicts_with = "token")]
    device: bool,
}

pub(crate) async fn run(args: Login, flags: &Flags) -> Outcome<()> {
    let settings = Settings::load(flags)?;
    let (token, login) = match args.token {
        Some(token) => given(&settings, &token).await?,
        None if args.device => by_device(&settings).await?,
        None => by_browser(&settings).await?,
    };
    save(&settings, token, &login)?;
    let style = Style::for_stdout();
    print(&format!("{} Signed in as {}!", style.green("✓"), clean_line(&login)))?;
    print(&format!("Credentials saved to {}", settings.home.credentials_path().display()))?;
    print(&format!("{} Connected to {}", style.green("✓"), settings.url))?;
    if settings.token_is_of_environment() {
        note("note: MESHWIRE_TOKEN is set and is used instead while it is");
    }
    Ok(())
}

/// Reads a token and asks the server whose it is.
pub(crate) async fn given(settings: &Settings, token: &str) -> Outcome<(Token, String)> {
    settings.refuse_url_of_mesh_file("the given token")?;
    let token = match token {
        "-" => Token::parse(&stdin_text()?, "standard input")?,
        token => Token::parse(token, "--token")?,
    };
    let me = Client::new(settings.url.clone(), Some(token.clone()))?.me().await?;
    Ok((token, me.user.login))
}

async fn by_browser(settings: &Settings) -> Outcome<(Token, String)> {
    let client = Client::new(settings.url.clone(), None)?;
    // Better told here than by a browser that shows an empty page while we wait.
    client.health().await?;
    let listener = Loopback::open().await?;
    let secrets = Secrets::new();
    let mut page = settings.url.join(&["auth", "cli"]);
    page.query_pairs_mut()
        .append_pair("port", &listener.port().to_string())
        .append_pair("state", &secrets.state)
        .append_pair("code_challenge", &secrets.challenge())
        .append_pair("code_challenge_method", "S256");
    if let Some(host) = host_name() {
        page.query_pairs_mut().append_pair("host", &host);
    }
    note(&format!("Opening your browser to sign in to {}", settings.url));
    note("If it does not open, open this page yourself:");
    note(&format!("{page}\n"));
    if !browser::open(page.as_str()) {
        note("No browser could be opened here. Waiting for you to open the page on this computer.");
        note("Is its browser elsewhere? Press Ctrl+C and run `meshwire login --device`.\n");
    } else if browser::is_remote() {
        note("Are you here over SSH? Press Ctrl+C and run `meshwire login --device`.\n");
    }
    let code = listener.code(&secrets.state).await?;
    let request = CliTokenRequest { code, code_verifier: secrets.verifier };
    let answer = client.cli_token(&request).await.map_err(|failure| {
        if failure.is(ErrorCode::InvalidGrant) {
            Failure::refused(failure.message()).hint("run `meshwire login` again")
        } else {
            failure
        }
    })?;
    Ok((Token::parse(&answer.token, "the server's answer")?, answer.user.login))
}

async fn by_device(settings: &Settings) -> Outcome<(Token, String)> {
    let client = Client::new(settings.url.clone(), None)?;
    let answer = device::sign_in(&client).await?;
    Ok((Token::parse(&answer.access_token, "the server's answer")?, answer.user.login))
}

/// Keeps a token in the profile; its mesh stays when nothing else changed.
pub(crate) fn save(settings: &Settings, token: Token, login: &str) -> Outcome<()> {
    let url = settings.url.to_string();
    let old = settings.entry.as_ref();
    if let Some(old) = old.filter(|old| old.login != login || old.url != url) {
        let again = match settings.profile.as_str() {
            DEFAULT_PROFILE => "Use --profile to keep several.".to_owned(),
            _ => String::new(),
        };
        note(&format!(
            "note: the profile {:?} was {} at {} until now. {again}",
            settings.profile,
            clean_line(&old.login),
            old.url
        ));
    }
    settings.home.change_credentials(|credentials| {
        let old = credentials.profiles.remove(&settings.profile);
        let same = old.filter(|old| old.url == url && old.login == login);
        let (mesh_id, more) = same.map(|old| (old.mesh_id, old.more)).unwrap_or_default();
        let entry = Entry { url, token, login: login.to_owned(), mesh_id, more };
        credentials.profiles.insert(settings.profile.clone(), entry);
    })
}
