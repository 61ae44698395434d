//! The address of a server, in one spelling, so that two of them can be compared.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::failure::{Failure, Outcome};

/// Where a server is unless somebody says otherwise. A distributor sets another when building.
pub(crate) const DEFAULT_URL: &str = match option_env!("MESHWIRE_DEFAULT_URL") {
    Some(url) => url,
    None => "http://127.0.0.1:4200",
};

/// An http or https address without user, query and fragment. Equal ones are the same server: a token
/// that one issued may be sent to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(Url);

impl ServerUrl {
    /// Reads an address; `from` says where it stands, for the error.
    pub(crate) fn parse(text: &str, from: &str) -> Outcome<Self> {
        let wrong = |what: &str| {
            Failure::usage(format!("{from}: {text:?} {what}"))
                .hint(format!("expected an address like {DEFAULT_URL}"))
        };
        let mut url = Url::parse(text.trim()).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("is neither an http nor an https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            // Not repeated: it may hold a password.
            return Err(Failure::usage(format!("{from}: a server URL holds no user or password")));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a query or a fragment, which a server URL has not"));
        }
        // It comes to stand in a file that shells read.
        let host = url.host_str().unwrap_or_default();
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c)) {
            return Err(wrong("has a host name with strange characters"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "/%.-_~:@+,=".contains(c);
        let escape =
            |c: char| if plain(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) };
        let path: String = url.path().trim_end_matches('/').chars().map(escape).collect();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// The default, or the error of whoever built this program.
    pub(crate) fn default_url() -> Outcome<Self> {
        Self::parse(DEFAULT_URL, "the default URL of this build")
    }

    /// The address of a path below this one. Each segment is escaped as it needs.
    pub(crate) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether it is this computer itself, which no proxy can reach for us.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }

    /// Whether the way to it is encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        ServerUrl::parse(text, "--url").unwrap().to_string()
    }

    #[test]
    fn one_server_has_one_spelling() {
        for text in [
            "HTTPS://MeshWire.Example",
            "https://meshwire.example/",
            "https://meshwire.example:443//",
        ] {
            assert_eq!(parse(text), "https://meshwire.example");
        }
        assert_eq!(parse("http://127.0.0.1:4200/"), "http://127.0.0.1:4200");
        assert_eq!(parse("https://x.example/mw/"), "https://x.example/mw");
        assert_eq!(parse("http://x/$(id);'%41"), "http://x/%24%28id%29%3B%27%41");
        assert_eq!(parse("http://[::1]:7/"), "http://[::1]:7");
    }

    #[test]
    fn other_things_are_refused() {
        for bad in [
            "",
            "meshwire.example",
            "ftp://x",
            "file:///etc",
            "http://u:p@x",
            "http://x?a=1",
            "http://x#a",
            "http://x$(id)",
            "http://x;id",
        ] {
            assert!(ServerUrl::parse(bad, "--url").is_err(), "{bad}");
        }
    }

    #[test]
    fn segments_are_escaped() {
        let url = ServerUrl::parse("http://x/base/", "--url").unwrap();
        assert_eq!(url.join(&["mesh", "a/b?c", "@d"]).as_str(), "http://x/base/mesh/a%2Fb%3Fc/@d");
    }

    #[test]
    fn loopback_is_known() {
        for (text, local) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://10.0.0.1", false),
            ("https://meshwire.example", false),
        ] {
            assert_eq!(ServerUrl::parse(text, "--url").unwrap().is_loopback(), local, "{text}");
        }
    }
}
