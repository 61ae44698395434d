//! The name of this computer, for people who look at a list of sign-ins or agents.

use meshwire_protocol::clean::clean_line;
use meshwire_protocol::limits::MAX_HOST;

/// The name, or `None` where there is none to be found: nothing depends on it.
pub(crate) fn host_name() -> Option<String> {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let of_env = || ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let of_command = || {
        let output = std::process::Command::new("hostname").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let usable = |name: String| {
        let name: String = clean_line(name.trim()).chars().take(MAX_HOST).collect();
        (!name.is_empty()).then_some(name)
    };
    of_kernel()
        .and_then(usable)
        .or_else(|| of_env().and_then(usable))
        .or_else(|| of_command().and_then(usable))
}
