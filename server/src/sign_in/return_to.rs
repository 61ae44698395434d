//! Where a person goes after signing in.

use url::Url;

/// Longest place to return to, in bytes: it travels in a cookie.
const LONGEST: usize = 1_500;

/// A path on this server, never another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnTo(String);

impl ReturnTo {
    /// Takes a path of ours as it came in a request; anything else leads to the start page.
    pub(crate) fn new(wanted: Option<&str>) -> Self {
        Self(wanted.and_then(checked).unwrap_or_else(|| "/".to_owned()))
    }

    /// The path with its query; safe to stand in a `Location`.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn checked(wanted: &str) -> Option<String> {
    if wanted.len() > LONGEST || wanted.chars().any(char::is_control) || !is_path(wanted) {
        return None;
    }
    // As a browser would read it: what is not ASCII is escaped, and dots are resolved, which may bring
    // two slashes to the front ("/.//evil.example").
    let base = Url::parse("http://here.invalid/").expect("a valid URL");
    let url = base.join(wanted).ok()?;
    if url.origin() != base.origin() {
        return None;
    }
    let path = url[url::Position::BeforePath..].to_owned();
    is_path(&path).then_some(path)
}

/// One slash, and nothing after it that makes it the start of a host.
fn is_path(text: &str) -> bool {
    text.strip_prefix('/').is_some_and(|rest| !rest.starts_with(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::ReturnTo;

    #[test]
    fn only_a_path_of_ours_is_taken() {
        for (wanted, taken) in [
            ("/", "/"),
            ("/auth/cli?port=4000&state=x", "/auth/cli?port=4000&state=x"),
            ("/a b/\u{e4}#c", "/a%20b/%C3%A4#c"),
            ("/%2f%2fevil.example", "/%2f%2fevil.example"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/.//evil.example", "/"),
            ("/x/..//evil.example", "/"),
            ("/./\\evil.example", "/"),
            ("\\\\evil.example", "/"),
            ("%2f%2fevil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/\t/evil.example", "/"),
            ("/x\r\nSet-Cookie: a=b", "/"),
            ("", "/"),
        ] {
            assert_eq!(ReturnTo::new(Some(wanted)).as_str(), taken, "{wanted:?}");
        }
        assert_eq!(ReturnTo::new(None).as_str(), "/");
        assert_eq!(ReturnTo::new(Some(&format!("/{}", "x".repeat(2_000)))).as_str(), "/");
    }
}
