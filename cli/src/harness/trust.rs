//! Whether a harness trusts the project's folder, as far as a file of it tells. Only the user may grant it.

use std::path::Path;

use meshwire_protocol::Harness;
use serde_json::Value as Json;

use super::Places;
use crate::files;
use crate::wiring::Format;

/// Why a harness may not start us, and what the user can do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub(crate) what: String,
    pub(crate) mend: String,
}

/// What stands against it that a harness starts us in a project.
pub(crate) fn doubt(harness: Harness, places: &Places, project: &Path) -> Option<Doubt> {
    match harness {
        Harness::Gemini => gemini(places, project),
        Harness::Codex => codex(places, project),
        _ => None,
    }
}

/// Gemini CLI starts no server and no hook in a folder that it does not trust.
fn gemini(places: &Places, project: &Path) -> Option<Doubt> {
    let settings = read(Format::Json, &super::gemini::file(places, "settings.json"));
    let asks = settings.unwrap_or_default().pointer("/security/folderTrust/enabled")
        != Some(&false.into());
    if !asks {
        return None;
    }
    let path = super::gemini::file(places, "trustedFolders.json");
    let rules = read(Format::Json, &path).unwrap_or_default();
    let trusted = rules.as_object().into_iter().flatten().any(|(folder, rule)| {
        let folder = Path::new(folder);
        match rule.as_str() {
            Some("TRUST_FOLDER") => project.starts_with(folder),
            Some("TRUST_PARENT") => folder.parent().is_some_and(|above| project.starts_with(above)),
            _ => false,
        }
    });
    let refused = rules.get(places.project.as_str()).and_then(Json::as_str) == Some("DO_NOT_TRUST");
    (!trusted || refused).then(|| Doubt {
        what: format!(
            "gemini does not trust {}, and so starts nothing of ours there",
            project.display()
        ),
        mend: "start Gemini CLI there and trust the folder (/permissions changes an answer)"
            .to_owned(),
    })
}

/// Codex asks once. It remembers a no, too.
fn codex(places: &Places, project: &Path) -> Option<Doubt> {
    let path = places.home(places.vars.codex_home.as_deref(), ".codex", "config.toml");
    let config = read(Format::Toml, &path)?;
    let level = config.get("projects")?.get(places.project.as_str())?.get("trust_level")?;
    (level == "untrusted").then(|| Doubt {
        what: format!("codex does not trust {}", project.display()),
        mend: format!("set trust_level = \"trusted\" for it in {}", path.display()),
    })
}

fn read(format: Format, path: &Path) -> Option<Json> {
    format.read(&files::read(path).ok()??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::tests::{Os, places};

    #[test]
    fn gemini_trusts_what_its_file_says() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".gemini")).unwrap();
        let mut places = places(Os::Linux);
        places.home = folder.path().display().to_string();
        for (rules, trusted) in [
            ("{}", false),
            (r#"{"/home/ada/project": "TRUST_FOLDER"}"#, true),
            (r#"{"/home/ada": "TRUST_FOLDER"}"#, true),
            (r#"{"/home/ada/proj": "TRUST_FOLDER"}"#, false),
            (r#"{"/home/ada/other": "TRUST_PARENT"}"#, true),
            (r#"{"/home/ada": "TRUST_FOLDER", "/home/ada/project": "DO_NOT_TRUST"}"#, false),
            ("broken", false),
        ] {
            std::fs::write(folder.path().join(".gemini/trustedFolders.json"), rules).unwrap();
            let doubt = doubt(Harness::Gemini, &places, Path::new("/home/ada/project"));
            assert_eq!(doubt.is_none(), trusted, "{rules}: {doubt:?}");
        }
    }

    #[test]
    fn gemini_need_not_ask() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".gemini")).unwrap();
        let mut places = places(Os::Linux);
        places.vars.gemini_home = Some(folder.path().display().to_string());
        for (settings, doubted) in [
            (r#"{"security": {"folderTrust": {"enabled": false}}}"#, false),
            (r#"{"security": {"folderTrust": {"enabled": true}}}"#, true),
            (r#"{"security": {}}"#, true),
        ] {
            std::fs::write(folder.path().join(".gemini/settings.json"), settings).unwrap();
            let doubt = doubt(Harness::Gemini, &places, Path::new("/home/ada/project"));
            assert_eq!(doubt.is_some(), doubted, "{settings}");
        }
    }

    #[test]
    fn codex_remembers_a_no() {
        let folder = tempfile::tempdir().unwrap();
        let mut places = places(Os::Linux);
        places.vars.codex_home = Some(folder.path().display().to_string());
        for (level, trusted) in [("trusted", true), ("untrusted", false)] {
            let text = format!("[projects.\"/home/ada/project\"]\ntrust_level = \"{level}\"\n");
            std::fs::write(folder.path().join("config.toml"), text).unwrap();
            let doubt = doubt(Harness::Codex, &places, Path::new("/home/ada/project"));
            assert_eq!(doubt.is_none(), trusted);
        }
    }
}
