//! How long a message takes from the start of its send to the answer of a poll that waits for it: on the node that
//! takes the send, and on another one. Both in turns, so that what else the machine does meets both alike.
//!
//! `infra/test.sh -- cargo bench -p meshwire-server --bench wake`

#![expect(clippy::unwrap_used, reason = "what tests and this have in common fails loudly")]

#[path = "../tests/support/dynamodb.rs"]
mod dynamodb;
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[expect(dead_code, reason = "tests use the rest of it")]
#[path = "../tests/support/server.rs"]
mod server;

use std::time::{Duration, Instant};

use meshwire_protocol::MeshId;
use meshwire_server::settings::Place;
use reqwest::Method;
use tokio::runtime::Runtime;

use crate::server::{Answer, Server, User};

/// Messages to each of the two nodes, after some that do not count.
const ROUNDS: usize = 200;
const BEFORE: usize = 10;
/// Until a poll is parked: longer than it takes, so that no message is there before it.
const PARKED: Duration = Duration::from_millis(30);

fn main() {
    let runtime = Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        measure("Postgres", Place::postgres(postgres::schema().await)).await;
        measure("DynamoDB", Place::DynamoDb(dynamodb::table())).await;
    });
}

async fn measure(engine: &str, place: Place) {
    let no_rates =
        ["--limit-sends-per-second", "0", "--limit-mesh-sends-per-second", "0"].as_slice();
    let folder = || tempfile::tempdir().expect("a scratch folder");
    let here = Server::on(place.clone(), folder(), no_rates).await;
    let there = Server::on(place, folder(), no_rates).await;
    let (ada, mesh) = here.mesh_of_two().await;
    let far = User { server: &there, row: ada.row.clone(), token: ada.token.clone() };
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for round in 0..BEFORE + ROUNDS {
        for (times, reader) in [(&mut same, &ada), (&mut other, &far)] {
            let time = wake(&ada, reader, &mesh).await;
            if round >= BEFORE {
                times.push(time);
            }
        }
    }
    let (same, other) = (Times::of(same), Times::of(other));
    println!(
        "{engine}: same node p50 {:.1} ms, p99 {:.1} ms; another node p50 {:.1} ms, p99 {:.1} ms; ratio of the \
         medians {:.2}",
        same.median,
        same.late,
        other.median,
        other.late,
        other.median / same.median
    );
}

/// From the start of a send to the answer of a poll.
async fn wake(sender: &User<'_>, reader: &User<'_>, mesh: &MeshId) -> Duration {
    let path = format!("/mesh/{mesh}/agents/b/messages?wait=30");
    let request = reader.request(Method::GET, &path);
    let poll = tokio::spawn(async move { (Answer::of(request).await, Instant::now()) });
    tokio::time::sleep(PARKED).await;
    let began = Instant::now();
    sender.send(mesh, "a", "b", "wake up").await;
    let (answer, at) = poll.await.expect("the poll is answered");
    let page = answer.expect(200);
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1), "{page}");
    let done = format!("/mesh/{mesh}/agents/b/messages?after={}", page["cursor"]);
    reader.get(&done).await.expect(200);
    at - began
}

/// In milliseconds.
struct Times {
    median: f64,
    late: f64,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |of_100: usize| times[times.len() * of_100 / 100].as_secs_f64() * 1_000.0;
        Self { median: at(50), late: at(99) }
    }
}
