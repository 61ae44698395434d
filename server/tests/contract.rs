//! `CONTRACT.md` beside this file says which test holds which promise; here it is held to name tests that exist.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("CONTRACT.md");

/// What stands between backquotes and looks like a test.
fn named() -> Vec<(&'static str, &'static str)> {
    let rows = TABLE.lines().filter(|line| line.starts_with('|'));
    rows.flat_map(|line| line.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(|test| test.rsplit_once("::").unwrap_or_else(|| panic!("{test} names no test")))
        .collect()
}

/// Where the tests of a module are, by the words at the head of the table.
fn file(module: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let (first, rest) = module.split_once('/').unwrap_or((module, ""));
    let path = match first {
        "store" => format!("server/tests/store_suite/{rest}"),
        "cli" if !rest.starts_with("src/") => format!("cli/tests/cli/{rest}"),
        "e2e" => format!("cli/tests/{module}"),
        "cli" | "protocol" | "server" => module.to_owned(),
        _ => format!("server/tests/{module}"),
    };
    root.join(path).with_extension("rs")
}

#[test]
fn every_row_names_tests_that_exist() {
    let named = named();
    assert!(named.len() > 200, "the table was not read");
    let mut sources = HashMap::new();
    for (module, test) in named {
        let path = file(module);
        let source = sources.entry(path.clone()).or_insert_with(|| {
            std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{module}: {}: {error}", path.display()))
        });
        assert!(source.contains(&format!("fn {test}(")), "{module} has no test {test}");
    }
}
