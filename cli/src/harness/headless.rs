//! What an agent needs that only has a shell: its settings with a token of its own, and a skill that says how to use
//! them.

use std::path::Path;

use super::places::{Places, in_project};
use crate::credentials::Token;
use crate::failure::Outcome;
use crate::harness_files;
use crate::server_url::ServerUrl;
use crate::wiring::{Content, FileEdit};

/// The one file in a project that may hold a token.
pub(crate) const SECRET_FILE: &str = ".env.meshwire";

/// The environment file, when there is a token for it, and the skill.
pub(super) fn files(places: &Places) -> Vec<FileEdit> {
    let skill = Content::Own { text: harness_files::headless_skill().to_owned(), secret: false };
    let mut files = Vec::new();
    if let Some(token) = &places.token {
        // First: the token is never there without it.
        files.push(in_project(places, ".gitignore", Content::Lines(vec![SECRET_FILE.to_owned()])));
        let text = format!(
            "# Written by `meshwire init`. It holds a token: never commit it.\n\
             MESHWIRE_TOKEN={}\nMESHWIRE_URL={}\nMESHWIRE_MESH_ID={}\nMESHWIRE_AGENT_NAME={}\n",
            token.secret(),
            places.url,
            places.mesh,
            places.agent
        );
        files.push(in_project(places, SECRET_FILE, Content::Own { text, secret: true }));
    }
    files.push(in_project(places, "MESHWIRE_SKILL.md", skill));
    files
}

/// How a shell takes the environment file over.
pub(super) fn step(places: &Places) -> Option<String> {
    places.token.as_ref()?;
    Some(format!(
        "Where nobody is signed in (a container, CI): `set -a; . ./{SECRET_FILE}; set +a` before the agent starts, \
         and give it MESHWIRE_SKILL.md."
    ))
}

/// The token in the file, when it is one of this server.
pub(crate) fn token_in(folder: &Path, url: &ServerUrl) -> Outcome<Option<Token>> {
    let text = crate::files::read(&folder.join(SECRET_FILE))?.unwrap_or_default();
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
