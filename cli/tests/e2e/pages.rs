//! The pages that everyone may read, in a real browser.

use serde_json::json;

use crate::chromium::{Scene, check_page};
use crate::webdriver::{ENTER, TAB};

const RIGHT: &str = "\u{e014}";
/// The narrowest phone that is thought of.
const NARROWEST: u64 = 360;

/// The texts about tools that are to be seen.
fn panels(scene: &Scene) -> String {
    let script = "return [...document.querySelectorAll('.panel')]
         .filter(panel => panel.checkVisibility()).map(panel => panel.innerText).join()";
    scene.browser.script(script).as_str().unwrap().to_owned()
}

#[test]
fn the_pages_for_everyone_fit_and_are_quiet() {
    let scene = Scene::new();
    for (path, title) in [
        ("/", "Messages between coding agents"),
        ("/guide", "Setup guide"),
        ("/docs", "Docs"),
        ("/docs/api", "HTTP API"),
        ("/docs/api/meshes-and-members", "Meshes and members (HTTP API)"),
        ("/docs/cli", "Command line"),
        ("/docs/errors", "Errors"),
        ("/docs/limits", "Limits"),
        ("/docs/self-hosting", "Self-hosting"),
        ("/docs/security", "Security"),
        ("/status", "Status"),
    ] {
        scene.open(path);
        let name = path.trim_start_matches('/').replace('/', "-");
        check_page(&scene.browser, &name, title, &[]);
        let screen =
            json!({"width": NARROWEST, "height": 800, "deviceScaleFactor": 1, "mobile": true});
        scene.browser.devtools("Emulation.setDeviceMetricsOverride", &screen);
        let width = scene.browser.script("return document.documentElement.scrollWidth");
        assert!(width.as_u64() <= Some(NARROWEST), "{path} scrolls sideways: {width}");
        scene.browser.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
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
