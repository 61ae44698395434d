//! Bugs that are put in on purpose, to see that the tests find them; `infra/planted.sh` runs each against its test.
//!
//! Without the feature `planted-bugs` there are none, and nothing of this is compiled in.

/// Whether this bug is the one that `MESHWIRE_PLANTED_BUG` names.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: &str) -> bool {
    use std::sync::OnceLock;
    static PLANTED: OnceLock<Option<String>> = OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("MESHWIRE_PLANTED_BUG").ok()).as_deref() == Some(bug)
}

/// None is planted.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_: &str) -> bool {
    false
}
