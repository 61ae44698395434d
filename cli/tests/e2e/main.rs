//! Both programs together, as users run them: real processes, a scratch home, an empty environment.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

#[path = "../../../server/tests/support/checker.rs"]
mod checker;
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../../../server/tests/support/github.rs"]
mod github;

#[path = "../../../server/tests/support/dynamodb.rs"]
mod dynamodb_tables;
#[path = "../../../server/tests/support/postgres.rs"]
mod postgres_server;

mod browser;
mod chromium;
mod codex;
mod dashboard;
mod device;
mod disk;
mod durability;
mod exchange;
mod extensions;
mod guide;
mod hooks;
mod init;
mod load;
mod mcp;
mod npm;
mod operations;
mod page_checks;
mod pages;
mod program;
mod push;
mod readme;
mod service;
mod several_nodes;
mod tokens;
mod users;
mod webdriver;
mod wiring;
mod with_github;

/// Whom a message is for, as the checker asks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stream {
    All,
    Agent(String),
}
