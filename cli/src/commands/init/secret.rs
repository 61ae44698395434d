//! The token of an agent's own, for what runs where nobody is signed in.

use std::path::Path;

use meshwire_protocol::{CreateToken, ErrorCode, Harness, MeshId, Registered};

use crate::client::Client;
use crate::credentials::Token;
use crate::failure::{Exit, Failure, Outcome};
use crate::git;
use crate::harness::headless::{SECRET_FILE, token_in};
use crate::settings::Settings;
use crate::wiring::ledger::{Ledger, User};

/// What became of the token of a harness.
#[derive(Debug)]
pub(super) enum Secret {
    /// There is none, for this reason.
    None(String),
    /// The one that is there still works.
    Kept(Token),
    /// A new one, with its id.
    New(Token, String),
}

/// Whether the harness keeps one in this project: of two harnesses only the first does.
pub(super) fn is_kept_for(harness: Harness, ledger: &Ledger, user: &User, folder: &Path) -> bool {
    let held = ledger.files.get(folder.join(SECRET_FILE).to_string_lossy().as_ref());
    matches!(harness, Harness::Hermes | Harness::Pi)
        && held.is_none_or(|record| record.is_for(user))
}

/// Refuses a file that git would show with the token in it, whatever it ignores.
pub(super) fn refuse_tracked(folder: &Path) -> Outcome<()> {
    if !git::tracks(folder, SECRET_FILE) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} is to hold a token, and is in the repository: git would show it to everybody",
        folder.join(SECRET_FILE).display()
    ))
    .hint(format!(
        "nothing was changed; run `git rm --cached {SECRET_FILE}`, commit that, and run this again. A token that it held \
         is to be revoked: `meshwire token list`, `meshwire token revoke ID`"
    )))
}

/// Keeps the token that is there while it works, else makes one. `before` is the id of the one that was made last.
pub(super) async fn own(
    settings: &Settings,
    client: &Client,
    mesh: &MeshId,
    registered: &Registered,
    folder: &Path,
    before: Option<&str>,
) -> Outcome<Secret> {
    if let Some(token) = token_in(folder, &settings.url)? {
        match Client::new(settings.url.clone(), Some(token.clone()))?.me().await {
            Ok(me) if me.token.agent_id.as_ref() == Some(&registered.agent_id) => {
                return Ok(Secret::Kept(token));
            }
            // Another agent's: ours of before, when the project has changed its mesh or its agent.
            Ok(me) if before == Some(me.token.id.as_str()) => {
                Client::new(settings.url.clone(), Some(token))?.revoke_token("current").await?;
            }
            Ok(_) => {}
            Err(failure) if failure.exit() == Exit::Refused => {}
            Err(failure) => return Err(failure),
        }
    }
    if let Some(id) = before {
        // Lost, or never written: nobody can use it any more.
        match client.revoke_token(id).await {
            Err(failure) if !matches!(failure.exit(), Exit::NotFound | Exit::Refused) => {
                return Err(failure);
            }
            _ => {}
        }
    }
    let wanted = CreateToken {
        name: registered.name.clone(),
        mesh_id: Some(mesh.to_string()),
        agent_id: Some(registered.agent_id.to_string()),
        scopes: None,
        expires_in_days: None,
    };
    match client.create_token(&wanted).await {
        Ok(created) => {
            let token = Token::parse(&created.token, "the new token")?;
            Ok(Secret::New(token, created.info.id.to_string()))
        }
        Err(failure) if failure.is(ErrorCode::InsufficientScope) => Ok(Secret::None(format!(
            "{SECRET_FILE} was not written: your token may make no other one. Where nobody is signed in, set \
             MESHWIRE_TOKEN yourself."
        ))),
        Err(failure) => Err(failure),
    }
}

/// Ends the token of a harness. It ends itself, so that nobody need be signed in.
pub(super) async fn revoke(settings: &Settings, folder: &Path, id: &str, url: &str) -> Outcome<()> {
    if settings.url.to_string() != url {
        return Err(Failure::failed(format!("the project is on {} now", settings.url)));
    }
    let done = match token_in(folder, &settings.url)? {
        Some(token) => {
            Client::new(settings.url.clone(), Some(token))?.revoke_token("current").await
        }
        None => settings.client()?.revoke_token(id).await,
    };
    match done {
        // It has ended already.
        Err(failure) if failure.is(ErrorCode::TokenNotFound) || failure.exit() == Exit::Refused => {
            Ok(())
        }
        done => done,
    }
}
