//! Signing in on a computer without a browser.

use crate::browser::{Browser, Page};
use crate::program::{Computer, Running};
use crate::service::Service;

const PASSWORD: &str = "correct horse battery";

/// The page and the code that the command line shows.
fn shown(login: &Running) -> (String, String) {
    let page = login.says("/device").trim().to_owned();
    login.says("type this code");
    let code = login.says("-").trim().to_owned();
    assert_eq!(code.len(), 9, "{code}");
    (page, code)
}

/// A person types the code elsewhere.
fn typed(browser: &mut Browser, (page, code): &(String, String)) -> Page {
    let page = browser.open(page);
    assert_eq!(page.url.path(), "/device", "{}", page.html);
    browser.submit(&page, "/device", &[("user_code", &code.to_lowercase())])
}

#[test]
fn a_computer_without_a_browser_signs_in() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(data.path());
    let mut browser = Browser::new(&service.url);
    browser.set_up(service.set_up.as_deref().unwrap(), "ada", PASSWORD);
    let mut computer = Computer::new();
    computer.set("MESHWIRE_URL", &service.url);

    let mut login = computer.start("meshwire login --device --profile work");
    let asked = shown(&login);
    assert_eq!(asked.0, format!("{}/device", service.url));
    let page = typed(&mut browser, &asked);
    assert!(page.html.contains("Did someone send you this code? Deny."), "{}", page.html);
    let done = browser.submit(&page, "/device/decide", &[("decision", "approve")]);
    assert!(done.html.contains("Done."), "{}", done.html);
    let (output, errors) = login.wait();
    assert!(output.contains("✓ Signed in as ada!"), "{output}{errors}");
    assert!(!output.contains("mw_") && !errors.contains("mw_"), "{output}{errors}");
    assert!(computer.does("meshwire --profile work whoami").starts_with("ada"));
    assert!(computer.does("meshwire --profile work token list").contains("cli on "));
    computer.does("meshwire --profile work mesh create from-device");
    assert_eq!(service.logged(&["a computer without a browser", "approved=true"]), 1);
    // Neither code stands in the log.
    assert_eq!(service.logged(&[&asked.1]), 0);

    // Another time the person says no.
    let mut login = computer.start("meshwire login --device");
    let page = typed(&mut browser, &shown(&login));
    browser.submit(&page, "/device/decide", &[("decision", "deny")]);
    login.says("said no");
    assert_eq!(login.exit_code(), 3);
    assert_eq!(computer.run("meshwire whoami").status.code(), Some(3));

    // Or they change their mind.
    let mut login = computer.start("meshwire login --device");
    shown(&login);
    assert_ne!(login.interrupt(), 0);
    assert_eq!(computer.run("meshwire whoami").status.code(), Some(3));
}

#[test]
fn a_server_that_goes_away_for_a_while_is_waited_for() {
    let data = tempfile::tempdir().unwrap();
    let mut service = Service::start(data.path());
    let mut browser = Browser::new(&service.url);
    browser.set_up(service.set_up.as_deref().unwrap(), "ada", PASSWORD);
    let mut computer = Computer::new();
    computer.set("MESHWIRE_URL", &service.url);
    let mut login = computer.start("meshwire login --device");
    let asked = shown(&login);
    service.kill();
    login.says("cannot reach");
    service.start_again();
    let page = typed(&mut browser, &asked);
    browser.submit(&page, "/device/decide", &[("decision", "approve")]);
    let (output, errors) = login.wait();
    assert!(output.contains("✓ Signed in as ada!"), "{output}{errors}");
}
