//! What would change, for people.

use std::path::Path;

use meshwire_protocol::TOKEN_PREFIX;
use similar::TextDiff;

/// A unified diff; empty when nothing changes. `None` is a file that is not there. Of a file that is ours alone only
/// tokens are not shown.
pub(crate) fn unified(path: &Path, old: Option<&str>, new: Option<&str>, ours: bool) -> String {
    if old == new {
        return String::new();
    }
    let shown = path.display().to_string();
    let name =
        |text: Option<&str>| if text.is_some() { shown.clone() } else { "/dev/null".to_owned() };
    let diff = TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
    let text = diff.unified_diff().context_radius(3).header(&name(old), &name(new)).to_string();
    text.lines().map(|line| masked(line, ours) + "\n").collect()
}

/// A line without what may be a secret of the user's: whoever asks for a diff may be a model.
fn masked(line: &str, ours: bool) -> String {
    let lower = line.to_ascii_lowercase();
    let secret =
        ["token", "secret", "passw", "api_key", "apikey", "api-key", "authorization", "bearer"]
            .iter()
            .any(|word| lower.contains(word));
    if (ours || !secret) && !line.contains(TOKEN_PREFIX) {
        return line.to_owned();
    }
    match line.find([':', '=']) {
        Some(at) => format!("{}{} ••••", &line[..at], &line[at..=at]),
        None => format!("{}••••", line.chars().next().unwrap_or(' ')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changes_and_no_secret() {
        let old = "{\n  \"API_KEY\": \"sk-1\",\n  \"a\": 1\n}\n";
        let new = "{\n  \"API_KEY\": \"sk-1\",\n  \"a\": 1,\n  \"b\": 2\n}\n";
        let text = unified(Path::new("/x.json"), Some(old), Some(new), false);
        assert_eq!(
            text,
            "--- /x.json\n+++ /x.json\n@@ -1,4 +1,5 @@\n {\n   \"API_KEY\": ••••\n-  \"a\": 1\n\
             +  \"a\": 1,\n+  \"b\": 2\n }\n"
        );
        assert_eq!(unified(Path::new("/x"), Some("a"), Some("a"), false), "");
        let ours = "# Says what a token is.\nMESHWIRE_TOKEN=mw_1\n";
        let text = unified(Path::new("/x"), None, Some(ours), true);
        assert_eq!(
            text,
            "--- /dev/null\n+++ /x\n@@ -0,0 +1,2 @@\n+# Says what a token is.\n+MESHWIRE_TOKEN= ••••\n"
        );
    }
}
