//! Faults: real servers on a real engine, under load, while something of it is killed, cut off or stopped.
//!
//! A case begins a [`load::Load`], does harm, waits until the load goes on, and has the checker compare all that was
//! sent with all that was read. With `MESHWIRE_TEST_LONG` each case does so many more times. A case is written once
//! and becomes a test for every engine that several nodes can share.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing loudly")]

#[path = "../support/checker.rs"]
mod checker;
#[path = "../support/dynamodb.rs"]
mod dynamodb;
#[path = "../support/dynamodb_client.rs"]
mod dynamodb_client;
#[path = "../support/postgres.rs"]
mod postgres;

/// Makes tests of cases, which are given a new place for their data.
macro_rules! on_every_engine {
    // Also where one node alone may be.
    (sqlite too: $($case:ident),*) => {
        on_every_engine! { sqlite = crate::site::Site::sqlite(); $($case)* }
        on_every_engine! { $($case),* }
    };
    ($($case:ident),* $(,)?) => {
        on_every_engine! { postgres = crate::site::Site::postgres().await; $($case)* }
        on_every_engine! { dynamodb = crate::site::Site::dynamodb(); $($case)* }
    };
    ($engine:ident = $site:expr; $($case:ident)*) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    Box::pin(super::$case($site)).await;
                }
            )*
        }
    };
}

mod clocks;
mod cluster;
mod dice;
mod disk;
mod engine;
mod few;
mod ground;
mod kill;
mod load;
mod local;
mod many;
mod nemesis;
mod node;
mod own;
mod partition;
mod pause;
mod proxy;
mod raging;
mod refusals;
mod rolling;
mod site;
mod soak;
mod tally;
mod torn;
mod volume;

use std::time::Duration;

use meshwire_server::store::Stream;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_mins(3);

/// How often a case does its harm: in a short run, and in a long one.
fn times(short: usize, long: usize) -> usize {
    if std::env::var_os("MESHWIRE_TEST_LONG").is_some() { long } else { short }
}

/// Asks again and again until there is an answer.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Sends a signal to a process.
fn signal(process: u32, name: &str) {
    let process = process.to_string();
    let status = std::process::Command::new("kill").args([name, &process]).status();
    assert!(status.unwrap().success());
}
