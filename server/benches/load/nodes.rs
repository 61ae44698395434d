//! A message to a poll on the node that took the send, and on another one. In turns, so that what else the machine does
//! meets both alike.

use std::time::{Duration, Instant};

use crate::Load;
use crate::http::{Connection, get, number_after};
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::percentile;
use crate::world::{Site, World, agent_name};

/// Messages to each of the two nodes in a run, after some that do not count.
const ROUNDS: usize = 40;
const BEFORE: usize = 10;
/// Until a poll is parked: longer than it takes, so that no message is there before it.
const PARKED: Duration = Duration::from_millis(30);

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engines = match load.args.store {
        Some(engine) => vec![engine],
        None => vec![Engine::Postgres, Engine::Dynamodb],
    };
    for engine in engines {
        if engine == Engine::Sqlite {
            println!("SQLite has one node.");
        } else {
            on(engine, load, report).await;
        }
    }
}

async fn on(engine: Engine, load: &Load, report: &mut Report) {
    let site = Site::fresh(engine, load.folder.path()).await;
    let world = World::make(&site, 1, 3).await;
    let (here, there) = (Server::start(load, &site), Server::start(load, &site));
    let mut sender = here.connect().await;
    let mut readers = [Reader::open(&here, &world, 0).await, Reader::open(&there, &world, 1).await];
    let [mut same, mut other, mut late] = [const { Vec::new() }; 3];
    // The first run does not count.
    for run in 0..=load.args.runs {
        let mut times = [const { Vec::new() }; 2];
        for round in 0..if run == 0 { BEFORE } else { ROUNDS } {
            for (reader, times) in readers.iter_mut().zip(&mut times) {
                times.push(reader.wake(&mut sender, &world, round).await);
            }
        }
        if run > 0 {
            same.push(percentile(&times[0], 0.5) * 1e3);
            other.push(percentile(&times[1], 0.5) * 1e3);
            late.push(percentile(&times[1], 0.99) * 1e3);
        }
    }
    let name = format!("nodes {engine}");
    report.row(&name, "send to poll on the same node, p50", "ms", &same, None);
    let most = (engine == Engine::Dynamodb).then_some(AtMost(300.0));
    report.row(&name, "send to poll on another node, p50", "ms", &other, most);
    report.row(&name, "send to poll on another node, p99", "ms", &late, None);
    if engine == Engine::Postgres {
        report.ratio(&name, "another node to the same one", &other, &same, AtMost(3.0));
    }
}

struct Reader {
    connection: Option<Connection>,
    agent: usize,
    cursor: Option<u64>,
}

impl Reader {
    async fn open(server: &Server, world: &World, agent: usize) -> Self {
        let mut connection = server.connect().await;
        let name = agent_name(agent);
        let latest = format!("/mesh/{}/agents/{name}/messages?after=latest", world.meshes[0]);
        let page = connection.call(&get(&latest, &world.token)).await;
        let cursor = number_after(page.expect(200), br#""cursor":"#);
        Self { connection: Some(connection), agent, cursor }
    }

    /// From the start of a send to the answer of its poll.
    async fn wake(&mut self, sender: &mut Connection, world: &World, number: usize) -> Duration {
        let mesh = &world.meshes[0];
        let poll = server::poll(world, mesh, self.agent, self.cursor);
        let mut connection = self.connection.take().expect("it comes back");
        let reading = tokio::task::spawn_local(async move {
            let page = connection.call(&poll).await;
            let at = Instant::now();
            let cursor = number_after(page.expect(200), br#""cursor":"#);
            (connection, cursor, at)
        });
        tokio::time::sleep(PARKED).await;
        assert!(!reading.is_finished(), "it waits");
        let message = server::send(world, mesh, 2, &agent_name(self.agent), number, "");
        let began = Instant::now();
        sender.call(&message).await.expect(201);
        let (connection, cursor, at) = reading.await.expect("the poll is answered");
        (self.connection, self.cursor) = (Some(connection), cursor);
        at - began
    }
}
