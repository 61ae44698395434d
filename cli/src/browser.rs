//! Opens the user's browser.

use std::process::{Command, Stdio};

/// Opens a page, in the background. `false`: there is no browser here, as far as one can tell.
pub(crate) fn open(url: &str) -> bool {
    if let Some(browsers) = std::env::var_os("BROWSER").filter(|value| !value.is_empty()) {
        return browsers.to_str().is_some_and(|browsers| open_with(browsers, url));
    }
    // Without a screen the desktop's openers fall back to browsers inside this terminal.
    let screen = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"];
    if cfg!(all(unix, not(target_os = "macos")))
        && !screen.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    {
        return false;
    }
    let url = url.to_owned();
    // Some openers return only when the browser is closed.
    std::thread::spawn(move || webbrowser::open(&url));
    true
}

/// Whether this terminal is shown on another computer, where the browser that the person sees is too.
pub(crate) fn is_remote() -> bool {
    ["SSH_CONNECTION", "SSH_TTY"].iter().any(|name| std::env::var_os(name).is_some())
}

/// `$BROWSER` holds commands, separated by colons, of which the first that starts is taken; `%s` stands
/// for the page, which else is the last argument.
fn open_with(browsers: &str, url: &str) -> bool {
    // A colon is part of a path on Windows.
    let separator = if cfg!(windows) { ';' } else { ':' };
    browsers.split(separator).any(|command| {
        let mut words: Vec<String> = if std::path::Path::new(command).is_file() {
            vec![command.to_owned()]
        } else {
            command.split_whitespace().map(str::to_owned).collect()
        };
        if words.iter().any(|word| word.contains("%s")) {
            words = words.iter().map(|word| word.replace("%s", url)).collect();
        } else {
            words.push(url.to_owned());
        }
        let Some((program, arguments)) = words.split_first().filter(|(_, rest)| !rest.is_empty())
        else {
            return false;
        };
        Command::new(program)
            .args(arguments)
            .env_remove("MESHWIRE_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_ok()
    })
}
