//! Polls that wait, and wait: what they take, and whether a message still wakes all of them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::Load;
use crate::process::most_files;
use crate::readers::{Poller, Waiting};
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::real;
use crate::world::{Site, World};

const AGENTS: usize = 100;
/// Files that are no connections of polls, of the server or of this tool: more than enough.
const OTHER_FILES: usize = 200;
/// What was begun for a poll has ended by then: presence is written every 5 s, and the deadline for the header of a
/// connection's first request, which passes unheeded beside its answer, is 10 s.
const SETTLED: Duration = Duration::from_secs(12);
/// How long is looked at what idle polls take. All ends before the first poll does, after 60 s.
const LOOKED: Duration = Duration::from_secs(10);

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engine = load.args.store.unwrap_or(Engine::Sqlite);
    let most = most_files() - OTHER_FILES;
    if load.args.idle > most {
        println!("The limit on open files lets {most} of {} polls wait.", load.args.idle);
    }
    let meshes = load.args.idle.min(most) / AGENTS;
    let polls = meshes * AGENTS;
    let site = Site::fresh(engine, load.folder.path()).await;
    let world = Rc::new(World::make(&site, meshes, AGENTS + 1).await);
    let server = Server::start(load, &site);
    sleep(Duration::from_secs(1)).await;
    let alone = server.process.resident();
    let descriptors = server.process.descriptors();

    let began = Instant::now();
    let mut waiting = Waiting::new();
    for mesh in 0..meshes {
        // Together, for all must be open long before the first one ends, and an idle processor takes its time to wake.
        let open = |agent| Poller::open(&server, &world, mesh, agent, mesh * AGENTS + agent);
        for poller in join_all((0..AGENTS).map(open)).await {
            waiting.add(poller);
        }
    }
    server.until_open(real(polls)).await;
    let opened = began.elapsed();
    sleep(SETTLED).await;
    let (full, cpu) = (server.process.resident(), server.process.cpu());
    sleep(LOOKED).await;
    let used = (server.process.cpu() - cpu) / LOOKED.as_secs_f64() * 100.0;
    let held = server.process.descriptors() - descriptors;

    let mut sender = server.connect().await;
    let began = Instant::now();
    for (number, mesh) in world.meshes.iter().enumerate() {
        let message = server::send(&world, mesh, AGENTS, "all", number, "");
        sender.call(&message).await.expect(201);
    }
    let (woken, last) = waiting.last().await;
    assert_eq!(woken.len(), polls);

    let name = format!("idle {engine}");
    let refused = woken.iter().map(|poller| poller.refused).sum();
    report.row(&name, "polls refused with 503 (a cold server)", "", &[real(refused)], None);
    let each = (full - alone) / real(polls);
    report.row(&name, "waiting polls", "", &[real(polls)], None);
    report.row(&name, "time to open them", "s", &[opened.as_secs_f64()], None);
    report.row(&name, "memory of the server without them", "KiB", &[alone], None);
    report.row(&name, "memory for each poll", "KiB", &[each], Some(AtMost(12.0)));
    report.row(&name, "descriptors for each poll", "", &[held / real(polls)], None);
    // Measurable is what more than one tick of the clock (10 ms) in 10 s would be.
    report.row(&name, "CPU while all wait, of one processor", "%", &[used], Some(AtMost(0.1)));
    let took = (last - began).as_secs_f64();
    report.row(&name, "a message to each mesh, until all are woken", "s", &[took], None);
}
