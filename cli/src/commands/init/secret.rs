//! The token of an agent's own, for what runs where nobody is signed in.

use std::path::{Path, PathBuf};

use meshwire_protocol::{CreateToken, ErrorCode, Harness, MeshId, Registered};

use crate::client::Client;
use crate::credentials::Token;
use crate::failure::{Exit, Failure, Outcome};
use crate::files;
use crate::harness::headless::SECRET_FILE;
use crate::server_url::ServerUrl;
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

/// Where it is kept.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(SECRET_FILE)
}

/// Whether the harness keeps one in this project: of two harnesses only the first does.
pub(super) fn is_kept_for(harness: Harness, ledger: &Ledger, user: &User, folder: &Path) -> bool {
    let held = ledger.files.get(path(folder).to_string_lossy().as_ref());
    matches!(harness, Harness::Hermes | Harness::Pi)
        && held.is_none_or(|record| record.is_for(user))
}

/// The token in the file, when it is one of this server.
pub(super) fn in_file(folder: &Path, url: &ServerUrl) -> Outcome<Option<Token>> {
    let text = files::read(&path(folder))?.unwrap_or_default();
    let get = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(str::trim)
    };
    let (Some(token), Some(of)) = (get("MESHWIRE_TOKEN"), get("MESHWIRE_URL")) else {
        return Ok(None);
    };
    // It may have been put there by whoever wrote the project.
    if ServerUrl::parse(of, SECRET_FILE).ok().as_ref() != Some(url) {
        return Ok(None);
    }
    Ok(Token::parse(token, SECRET_FILE).ok())
}

/// Keeps the token that is there while it works, else makes one.
pub(super) async fn own(
    settings: &Settings,
    client: &Client,
    mesh: &MeshId,
    registered: &Registered,
    folder: &Path,
) -> Outcome<Secret> {
    if let Some(token) = in_file(folder, &settings.url)? {
        match Client::new(settings.url.clone(), Some(token.clone()))?.me().await {
            Ok(me) if me.token.agent_id.as_ref() == Some(&registered.agent_id) => {
                return Ok(Secret::Kept(token));
            }
            // Another agent's, or one that has ended.
            Ok(_) => {}
            Err(failure) if failure.exit() == Exit::Refused => {}
            Err(failure) => return Err(failure),
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
    let done = match in_file(folder, &settings.url)? {
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
