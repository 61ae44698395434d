//! The pages that everyone may read, in a real browser.

use serde_json::json;

use crate::chromium::Scene;
use crate::page_checks::{check_page, check_without_scripts};
use crate::webdriver::{ENTER, TAB};

const RIGHT: &str = "\u{e014}";
/// The texts about tools that are to be seen.
fn panels(scene: &Scene) -> String {
    let script = "return [...document.querySelectorAll('.panel')]
         .filter(panel => panel.checkVisibility()).map(panel => panel.innerText).join()";
    scene.browser.script(script).as_str().unwrap().to_owned()
}

#[test]
fn the_pages_for_everyone_fit_are_quiet_and_need_no_scripts() {
    let scene = Scene::new();
    let browser = &scene.browser;
    for (path, title) in [
        ("/", "Messages between coding agents"),
        ("/guide", "Setup guide"),
        ("/docs", "Docs"),
        ("/docs/api", "HTTP API"),
        ("/docs/cli", "Command line"),
        ("/docs/errors", "Errors"),
        ("/docs/limits", "Limits"),
        ("/docs/self-hosting", "Self-hosting"),
        ("/docs/security", "Security"),
        ("/status", "Status"),
    ] {
        scene.open(path);
        let name = format!("public{}", path.replace('/', "-"));
        check_page(browser, &name, title, &[]);
        check_without_scripts(browser, &format!("{}{path}", scene.service.url));
    }
    // The calls of the API, by what they are about.
    scene.open("/docs/api");
    let parts = browser.script(
        "const links = document.querySelectorAll('main a[href^=\"/docs/api/\"]');
         return [...new Set([...links].map(link => link.pathname))]",
    );
    let parts: Vec<String> = serde_json::from_value(parts).unwrap();
    assert!(parts.len() > 3, "{parts:?}");
    for path in parts {
        scene.open(&path);
        let title = browser.title();
        let title = title.trim_end_matches(" · MeshWire");
        assert!(title.ends_with("(HTTP API)"), "{title}");
        check_page(browser, &path[1..].replace('/', "-"), title, &[]);
    }
}

#[test]
fn a_tool_is_chosen_and_its_command_copied_with_the_keyboard() {
    let scene = Scene::new();
    let browser = &scene.browser;
    scene.open("/guide");
    let mut pressed = 0;
    while browser.script("return document.activeElement.name") != "harness" {
        pressed += 1;
        assert!(pressed < 100, "the tools are never reached");
        browser.press(TAB);
    }
    assert!(panels(&scene).contains("--harness claude "), "{}", panels(&scene));
    browser.press(RIGHT);
    assert!(panels(&scene).contains("--harness copilot "), "{}", panels(&scene));
    assert!(!panels(&scene).contains("--harness claude "), "{}", panels(&scene));
    let ring = browser.script(
        "const label = document.activeElement.nextElementSibling;
         return parseFloat(getComputedStyle(label).outlineWidth)",
    );
    assert!(ring.as_f64() >= Some(2.0), "no ring around the tool: {ring}");
    browser.press(TAB);
    browser.wait_until("return document.activeElement.innerText === arguments[0]", "Copy");
    browser.press(ENTER);
    // Where pages may not copy, the command is selected.
    let done = "return arguments[0].includes(document.activeElement.innerText)";
    browser.wait_until(done, "Copied or Selected");
}

#[test]
fn a_tool_is_chosen_without_scripts() {
    let scene = Scene::new();
    let browser = &scene.browser;
    browser.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    scene.open("/guide");
    assert!(browser.all(".copy").is_empty(), "a script has run");
    browser.click("label[for=codex]");
    assert!(browser.text_of("#codex + label + .panel").contains("--harness codex "));
    assert_eq!(browser.text_of("#claude + label + .panel"), "");
}
