//! Tokens that a person makes and revokes on the page, and the command line that uses them.

use std::time::{Duration, Instant};

use crate::chromium::{Scene, tab_order};
use crate::page_checks::check_page;
use crate::program::Computer;
use crate::webdriver::{Chromium, ENTER, TAB};

/// The token that the page shows.
#[track_caller]
fn shown_token(browser: &Chromium) -> String {
    let token = browser.text_of(".secret");
    assert!(meshwire_protocol::check_token(&token).is_ok(), "{token}");
    token
}

/// A computer on which only these are set.
fn computer_with(token: &str, url: &str) -> Computer {
    let mut computer = Computer::new();
    computer.set("MESHWIRE_TOKEN", token);
    computer.set("MESHWIRE_URL", url);
    computer
}

/// Revokes the token of this name with the keyboard.
#[track_caller]
fn revoke(browser: &Chromium, name: &str) {
    let count = browser.all(".tokens li").len();
    let item = "[...document.querySelectorAll('.tokens li')]
        .find(item => item.querySelector('h3').innerText.startsWith";
    browser.script(&format!("{item}('{name}')).querySelector('summary').focus()"));
    browser.press(ENTER);
    // Not at once: it asks first.
    assert_eq!(browser.all(".tokens li").len(), count);
    browser.script(&format!("{item}('{name}')).querySelector('button').focus()"));
    browser.press(ENTER);
    browser.wait_until(
        "return document.readyState === 'complete' && ![...document.querySelectorAll('.tokens h3')]
             .some(name => name.innerText.startsWith(arguments[0]))",
        name,
    );
}

#[test]
fn a_token_of_the_page_works_until_it_is_revoked_there() {
    let (scene, mut other) = Scene::signed_in();
    let browser = &scene.browser;
    let mut ada = Computer::new();
    ada.set("MESHWIRE_URL", &scene.service.url);
    ada.sign_in("meshwire login", &mut other);
    ada.does("meshwire mesh create shop");
    ada.does("MESHWIRE_AGENT_NAME=worker meshwire send 'here I am'");
    let found = ada.does("meshwire doctor");
    assert!(!found.contains(['✗', '!']), "a new set-up is in order: {found}");

    scene.open("/");
    browser.click("a[href='/account/tokens']");
    browser.shows("Tokens");
    browser.says("cli on ");
    check_page(browser, "tokens", "Tokens", &[]);

    browser.click("#name");
    browser.press("CI of the shop");
    browser.script("document.querySelector('#for').value = \
        [...document.querySelectorAll('#for option')].find(it => it.innerText === 'Only the agent worker').value");
    browser.click("section[aria-labelledby=make] button");
    browser.says("“CI of the shop” is made");
    check_page(browser, "token-made", "Tokens", &[]);
    let token = shown_token(browser);
    let settings = browser.text_of(".made .copyable:first-of-type pre");
    assert_eq!(settings, format!("MESHWIRE_TOKEN={token}\nMESHWIRE_URL={}", scene.service.url));
    let command = browser.text_of(".made .copyable:last-of-type pre");
    assert_eq!(command, "meshwire send \"The build is green.\"");

    // Loaded again, and sent again as the browser then offers, it makes no second one.
    scene.open("/account/tokens");
    browser.shows("Tokens");
    assert!(!browser.text().contains(&token));
    assert_eq!(browser.all(".tokens li").len(), 2);

    let ci = computer_with(&token, &scene.service.url);
    assert!(ci.does(&command).contains("✓ Sent → all agents"));
    let history = ada.does("meshwire history");
    assert!(history.contains("worker") && history.contains("The build is green."), "{history}");
    let mut listener = ci.start("meshwire listen");
    listener.says("Press Ctrl+C to stop");
    ada.does("meshwire send 'are you there?' --to worker");
    listener.prints("are you there?");

    revoke(browser, "CI of the shop");
    let revoked = Instant::now();
    assert_eq!(listener.exit_code(), 3);
    let took = revoked.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}, as if its poll had come to its end");
    let refused = ci.run(&command);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let found = ci.run("meshwire doctor");
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(String::from_utf8_lossy(&found.stdout).contains("✗ sign-in"), "{found:?}");
    ada.does("meshwire whoami");

    // Those of sign-ins end here, too.
    revoke(browser, "cli on ");
    assert_eq!(ada.run("meshwire whoami").status.code(), Some(3));
    browser.says("You have none yet.");
    check_page(browser, "tokens-none", "Tokens", &[]);
}

#[test]
fn a_page_of_tokens_that_went_back_or_was_sent_again_makes_no_second_one() {
    let (scene, _) = Scene::signed_in();
    let browser = &scene.browser;
    scene.open("/account/tokens");
    browser.shows("Tokens");
    browser.click("#name");
    browser.press(&format!("once{ENTER}"));
    browser.says("“once” is made");
    let token = shown_token(browser);
    // The browser's own "reload" of this page sends the form again.
    browser.devtools("Page.reload", &serde_json::json!({}));
    browser.says("made its token already");
    assert!(!browser.text().contains(&token));
    assert_eq!(browser.all(".tokens li").len(), 1);

    // What was typed stays where something was wrong.
    scene.open("/account/tokens");
    browser.shows("Tokens");
    browser.click("#name");
    browser.press("no rights");
    browser.click("#scope-read");
    browser.click("#scope-send");
    browser.click("section[aria-labelledby=make] button");
    browser.says("Choose at least one.");
    assert_eq!(browser.script("return document.querySelector('#name').value"), "no rights");
    let line = "Failed to load resource: the server responded with a status of 400";
    check_page(browser, "tokens-refused", "Tokens", &[line]);
    browser.click("#scope-admin");
    browser.click("section[aria-labelledby=make] button");
    browser.says("“no rights” is made");
    assert_eq!(browser.text_of(".made .copyable:last-of-type pre"), "meshwire whoami");
}

#[test]
fn the_page_of_tokens_can_be_used_with_the_keyboard_and_takes_any_name() {
    let (scene, _) = Scene::signed_in();
    let browser = &scene.browser;
    scene.open("/account/tokens");
    browser.shows("Tokens");
    let name = "<img src=x onerror=alert(1)>".repeat(3)[..64].to_owned();
    // Past the frame, to the name; then to the button, and pressed.
    browser.press(&format!("{}{name}", TAB.repeat(9)));
    browser.focuses("name");
    browser.press(&format!("{}{ENTER}", TAB.repeat(7)));
    browser.says("is made");
    shown_token(browser);
    assert_eq!(browser.text_of(".tokens h3").replace("new", "").trim(), name);
    assert!(browser.all("main img, script:not([src])").is_empty());
    check_page(browser, "tokens-hostile", "Tokens", &[]);

    scene.open("/account/tokens");
    browser.shows("Tokens");
    let revoke_it = format!("Revoke {name}");
    assert_eq!(
        tab_order(browser),
        [
            "Skip to the content",
            "MeshWire",
            "Meshes",
            "Tokens",
            "Guide",
            "Docs",
            "Your account: ada",
            "Sign out",
            &revoke_it,
            "name",
            "scope-read",
            "scope-send",
            "scope-agents",
            "scope-admin",
            "for",
            "expires",
            "Make the token",
            // And below once more the guide, where the round is seen to have ended.
        ]
    );
    scene.open("/account/tokens");
    browser.shows("Tokens");
    browser.press(&format!("{}{ENTER}{TAB}{ENTER}", TAB.repeat(9)));
    browser.says("You have none yet.");
}
