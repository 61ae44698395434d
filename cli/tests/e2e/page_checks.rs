//! What is asked of every page, whatever it says.

use std::path::Path;

use serde_json::{Value, json};

use crate::webdriver::Chromium;

/// Most bytes of a page with all that it loads.
const LARGEST: u64 = 100_000;

/// Checks the page that is shown: it fits, wide and on a phone; it is small; nothing of it was refused by its own
/// policy; whoever uses it by keyboard or by ear can; and nothing but what is expected is in the console.
#[track_caller]
pub(crate) fn check_page(browser: &Chromium, name: &str, title: &str, expected: &[&str]) {
    assert_eq!(browser.title(), format!("{title} · MeshWire"));
    for (size, width, height) in [("wide", 1200, 900), ("narrow", 360, 780)] {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": size == "narrow"});
        browser.devtools("Emulation.setDeviceMetricsOverride", &screen);
        for colours in ["light", "dark"] {
            let media = json!({"features": [{"name": "prefers-color-scheme", "value": colours}]});
            browser.devtools("Emulation.setEmulatedMedia", &media);
            keep_picture(browser, &format!("{name}-{size}-{colours}"));
            check_access(browser, &format!("{name} {size} {colours}"));
        }
        let measured = browser.script(
            "const page = document.documentElement;
             return [innerWidth, page.scrollWidth, getComputedStyle(document.body).marginTop]",
        );
        let [inner, scroll, margin] = &measured.as_array().unwrap()[..] else { panic!() };
        assert_eq!(inner, width, "{name} {size}");
        assert!(scroll.as_u64() <= inner.as_u64(), "{name} {size} scrolls sideways: {scroll}");
        assert_eq!(margin, "0px", "the style sheet of {name} is there");
    }
    browser.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
    check_size(browser, name);
    keep_source(browser, name);
    assert_eq!(browser.script("return refusedByPolicy"), json!([]), "{name}");
    let said = browser.console();
    let surprising: Vec<_> =
        said.iter().filter(|line| !expected.iter().any(|wanted| line.contains(wanted))).collect();
    assert!(surprising.is_empty(), "{name}: {surprising:?}");
}

/// Has axe-core (<https://github.com/dequelabs/axe-core>) look for what keeps people out.
#[track_caller]
fn check_access(browser: &Chromium, name: &str) {
    // Where it is not said, `infra/test.sh` does not run, which does say it.
    let Some(axe) = std::env::var_os("MESHWIRE_TEST_AXE") else { return };
    browser.script(&std::fs::read_to_string(axe).unwrap());
    let found = browser.script_that_calls_back(
        "const done = arguments[0];
         axe.run().then(result => done(result.violations
             .filter(it => ['serious', 'critical'].includes(it.impact))
             .map(it => `${it.id}: ${it.help}: ${it.nodes.map(node => node.html).join(' ')}`)))",
    );
    assert_eq!(found, json!([]), "{name}");
}

/// The page with its style, scripts and pictures.
#[track_caller]
fn check_size(browser: &Chromium, name: &str) {
    let sizes = browser.script(
        "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
             .filter(it => it.initiatorType !== 'fetch')
             .map(it => [it.name, it.decodedBodySize])",
    );
    let sizes = sizes.as_array().unwrap();
    let all: u64 = sizes.iter().filter_map(|size| size[1].as_u64()).sum();
    assert!(all > 1_000 && all < LARGEST, "{name} has {all} bytes: {}", Value::from(sizes.clone()));
}

/// With `MESHWIRE_TEST_PAGES=FOLDER` the pages are kept as the server sent them: `infra/test.sh` validates them.
#[track_caller]
fn keep_source(browser: &Chromium, name: &str) {
    if let Some(folder) = std::env::var_os("MESHWIRE_TEST_PAGES") {
        std::fs::write(Path::new(&folder).join(format!("{name}.html")), browser.source()).unwrap();
    }
}

/// With `MESHWIRE_TEST_PICTURES=FOLDER` the pages are kept as pictures for people to look at.
fn keep_picture(browser: &Chromium, name: &str) {
    if let Some(folder) = std::env::var_os("MESHWIRE_TEST_PICTURES") {
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), browser.screenshot())
            .unwrap();
    }
}

/// Opens a page without scripts, and with them: it says the same.
#[track_caller]
pub(crate) fn check_without_scripts(browser: &Chromium, url: &str) {
    // What scripts alone can do, they put there; what one has to do without them is said there; times move, and what
    // is measured differs.
    let read = "for (const it of document.querySelectorAll('.copy, #live, time')) it.remove();
        return document.querySelector('main').innerText.replace(/\\s+/g, ' ').trim()
            .replace(/\\d\\d:\\d\\d UTC/g, 'now').replace(/\\d+(\\.\\d+)? m?s\\b/g, 'a while')";
    let disabled = |value: bool| {
        browser.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": value}));
    };
    browser.open(url);
    let with = browser.script(read);
    disabled(true);
    browser.open(url);
    assert_eq!(browser.script("return document.querySelectorAll('.copy').length"), 0, "{url}");
    let without = browser.script(read);
    disabled(false);
    assert_eq!(with, without, "{url}");
    assert!(with.as_str().is_some_and(|text| text.len() > 40), "{url}: {with}");
}
