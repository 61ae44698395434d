//! Rules for the names that people choose, and how an address is read.

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_AGENT_NAME, MAX_CAPABILITY, MAX_LOGIN, MAX_NAME};

/// A name breaks its rule. The text is the rule, for the person who chose the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(pub &'static str);

/// Checks the name of an agent: 1 to 64 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit; `all` is
/// the address of everyone.
pub fn check_agent_name(name: &str) -> Result<(), InvalidName> {
    let mut bytes = name.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts_well
        || name.len() > MAX_AGENT_NAME
        || !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    {
        return Err(InvalidName(
            "must be 1 to 64 characters of a-z A-Z 0-9 . _ - and start with a letter or digit",
        ));
    }
    if name.eq_ignore_ascii_case("all") {
        return Err(InvalidName("\"all\" is the address of everyone, choose another name"));
    }
    Ok(())
}

/// Checks the name of a mesh or of a token: 1 to 64 printable characters.
pub fn check_mesh_name(name: &str) -> Result<(), InvalidName> {
    let rule = InvalidName("must be 1 to 64 printable characters, and not only spaces");
    if name.trim().is_empty() {
        return Err(rule);
    }
    check_printable(name, MAX_NAME).map_err(|_| rule)
}

/// Checks a text that is shown in a line of a terminal or a page: no control and no invisible characters,
/// and at most `longest` characters.
pub fn check_printable(text: &str, longest: usize) -> Result<(), InvalidName> {
    if text.chars().any(is_invisible) {
        return Err(InvalidName("must not contain control or invisible characters"));
    }
    if text.chars().count() > longest {
        return Err(InvalidName("is too long"));
    }
    Ok(())
}

/// Checks one capability of an agent: 1 to 64 printable characters.
pub fn check_capability(capability: &str) -> Result<(), InvalidName> {
    if capability.is_empty() || check_printable(capability, MAX_CAPABILITY).is_err() {
        return Err(InvalidName("each must be 1 to 64 printable characters"));
    }
    Ok(())
}

/// Checks the login of a local account: 1 to 39 of `a-z 0-9 -`, starting with a letter or digit.
pub fn check_login(login: &str) -> Result<(), InvalidName> {
    let mut bytes = login.bytes();
    let starts_well = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if starts_well
        && login.len() <= MAX_LOGIN
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Ok(());
    }
    Err(InvalidName("must be 1 to 39 characters of a-z 0-9 - and start with a letter or digit"))
}

/// The name of a person's agent.
pub fn person_name(login: &str) -> String {
    format!("@{login}")
}

/// Characters that show nothing or steer what shows them, besides controls: bidirectional marks, zero-width
/// and tag characters, line and paragraph separators.
const INVISIBLE: [(char, char); 15] = [
    ('\u{00AD}', '\u{00AD}'),
    ('\u{034F}', '\u{034F}'),
    ('\u{061C}', '\u{061C}'),
    ('\u{115F}', '\u{1160}'),
    ('\u{17B4}', '\u{17B5}'),
    ('\u{180B}', '\u{180F}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{2028}', '\u{202E}'),
    ('\u{2060}', '\u{206F}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{FE00}', '\u{FE0F}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{FFA0}', '\u{FFA0}'),
    ('\u{FFF0}', '\u{FFFB}'),
    ('\u{E0000}', '\u{E0FFF}'),
];

/// Whether a character shows nothing or steers what shows it. Such characters are used to deceive a reader or
/// to hide instructions from one (Unicode TR 36 section 2).
pub fn is_invisible(c: char) -> bool {
    c.is_control() || INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// What [`is_invisible`] refuses, as it stands between the brackets of a regular expression (ECMA-262 with
/// the flag `u`, as JSON Schema wants them).
#[cfg(feature = "openapi")]
pub(crate) fn invisible_class() -> String {
    let written = |c: char| match u32::from(c) {
        code @ ..=0xFFFF => format!("\\u{code:04X}"),
        // `\u{…}` is not known to every reader of such expressions; the character itself is.
        _ => c.to_string(),
    };
    let controls = [('\0', '\u{1F}'), ('\u{7F}', '\u{9F}')];
    let ranges = controls.iter().chain(&INVISIBLE);
    ranges.fold(String::new(), |mut class, (first, last)| {
        class.push_str(&written(*first));
        if first != last {
            class.push('-');
            class.push_str(&written(*last));
        }
        class
    })
}

/// Where a message goes, as the sender wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// Everyone in the mesh but the sender.
    All,
    /// The agent of the person with this login.
    Person(&'a str),
    /// An agent, by id or by name.
    Name(&'a str),
}

/// The address cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// `role:` and `room:` are kept for what is to come.
    #[error("{0} addresses are not supported yet; write to an agent, to @login or to all")]
    Reserved(&'static str),
    /// Neither an id nor a name.
    #[error("is neither \"all\" nor an agent's id or name nor @login")]
    Malformed,
}

impl<'a> Address<'a> {
    /// Reads an address. Whether it exists is for the mesh to say.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        if text.starts_with("role:") {
            return Err(AddressError::Reserved("role:"));
        }
        if text.starts_with("room:") {
            return Err(AddressError::Reserved("room:"));
        }
        if let Some(login) = text.strip_prefix('@') {
            // A label of an account that lost its login looks like `login~id`.
            let plausible = !login.is_empty()
                && login.len() <= 64
                && login
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~'));
            return if plausible { Ok(Self::Person(login)) } else { Err(AddressError::Malformed) };
        }
        check_agent_name(text).map_err(|_| AddressError::Malformed)?;
        Ok(Self::Name(text))
    }
}

/// What is being wired in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the variants are the products' names")]
pub enum Harness {
    Copilot,
    Claude,
    ClaudeDesktop,
    Cursor,
    Codex,
    Gemini,
    Kiro,
    Opencode,
    Vscode,
    Windsurf,
    Hermes,
    Pi,
    Generic,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_names() {
        let longest = "a".repeat(64);
        for good in ["a", "copilot-agent", "0", "A.b_c-d", "allx", longest.as_str()] {
            assert_eq!(check_agent_name(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in
            ["", "-a", ".a", "a b", "a@b", "é", "all", "ALL", "a\n", "role:x", too_long.as_str()]
        {
            assert!(check_agent_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mesh_names_are_printable() {
        for good in ["my-fleet", "Привет мир", "a", "日本語 🚀"] {
            assert_eq!(check_mesh_name(good), Ok(()), "{good}");
        }
        let too_long = "é".repeat(65);
        for bad in ["", "   ", "a\nb", "a\u{202E}b", "a\u{200B}b", "a\u{0}", too_long.as_str()] {
            assert!(check_mesh_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logins() {
        for good in ["ada", "0x", "a-b"] {
            assert_eq!(check_login(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(40);
        for bad in ["", "-a", "Ada", "a_b", "a b", too_long.as_str()] {
            assert!(check_login(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(Address::parse("ALL"), Ok(Address::All));
        assert_eq!(Address::parse("@ada"), Ok(Address::Person("ada")));
        assert_eq!(Address::parse("@ada~42"), Ok(Address::Person("ada~42")));
        assert_eq!(Address::parse("bob"), Ok(Address::Name("bob")));
        assert_eq!(Address::parse("role:coder"), Err(AddressError::Reserved("role:")));
        assert_eq!(Address::parse("room:x"), Err(AddressError::Reserved("room:")));
        for bad in ["", "@", "@a b", "a b", "*"] {
            assert_eq!(Address::parse(bad), Err(AddressError::Malformed), "{bad}");
        }
    }

    #[test]
    fn harness_names_are_those_of_the_contract() {
        assert_eq!(serde_json::to_string(&Harness::ClaudeDesktop).unwrap(), "\"claude-desktop\"");
        assert_eq!(serde_json::from_str::<Harness>("\"vscode\"").unwrap(), Harness::Vscode);
    }
}
