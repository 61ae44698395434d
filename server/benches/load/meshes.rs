//! A thousand messages a second, in one mesh or spread over ten thousand.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::Load;
use crate::http::Connection;
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::real;
use crate::world::{Site, World, agent_name};

/// Each sends a message every 16 ms: 1,000 a second in all.
const SENDERS: usize = 16;
const EVERY: Duration = Duration::from_millis(16);

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engine = load.args.store.unwrap_or(Engine::Sqlite);
    let site = Site::fresh(engine, load.folder.path()).await;
    let world = World::make(&site, load.args.meshes, 2).await;
    let server = Server::start(load, &site);
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(Spread::new(&server, &world, number).await);
    }
    // Each mesh once, so that none is met for the first time later.
    let (cold, per_mesh) = {
        let (began, cpu) = (Instant::now(), server.process.cpu());
        senders = Spread::each_once(senders).await;
        let used = (server.process.cpu() - cpu) * 1e6;
        (began.elapsed().as_secs_f64(), used / real(world.meshes.len()))
    };
    let [mut one, mut many] = [const { Vec::new() }; 2];
    for _ in 0..load.args.runs {
        for (to_one, values) in [(true, &mut one), (false, &mut many)] {
            let cpu = server.process.cpu();
            let sent;
            (senders, sent) = Spread::paced(senders, to_one, load.args.span() * 2).await;
            values.push((server.process.cpu() - cpu) * 1e6 / real(sent));
        }
    }
    let name = format!("meshes {engine}");
    report.row(&name, "meshes", "", &[real(world.meshes.len())], None);
    report.row(&name, "a first message to each, time", "s", &[cold], None);
    report.row(&name, "a first message, server CPU", "µs", &[per_mesh], None);
    report.row(&name, "1,000/s to one mesh, server CPU a message", "µs", &one, None);
    report.row(&name, "1,000/s to all in turn, server CPU a message", "µs", &many, None);
    report.ratio(&name, "CPU a message, all to one", &many, &one, AtMost(1.3));
}

/// A sender that has its share of the meshes.
struct Spread {
    connection: Connection,
    requests: Vec<Vec<u8>>,
    next: usize,
    number: u32,
}

impl Spread {
    async fn new(server: &Server, world: &World, number: usize) -> Self {
        let share = world.meshes.iter().skip(number).step_by(SENDERS);
        let requests = share.map(|mesh| server::send(world, mesh, 1, &agent_name(0), 0, ""));
        let (requests, connection) = (requests.collect(), server.connect().await);
        Self { connection, requests, next: 0, number: u32::try_from(number).unwrap_or(0) }
    }

    async fn each_once(senders: Vec<Self>) -> Vec<Self> {
        let mut tasks = JoinSet::new();
        for mut sender in senders {
            tasks.spawn_local(async move {
                for request in &sender.requests {
                    sender.connection.call(request).await.expect(201);
                }
                sender
            });
        }
        tasks.join_all().await
    }

    /// Sends at the pace for so long, all to one mesh or
    /// to all in turn; how many messages all sent.
    async fn paced(senders: Vec<Self>, to_one: bool, span: Duration) -> (Vec<Self>, usize) {
        let first = senders[0].requests[0].clone();
        let mut tasks = JoinSet::new();
        let began = tokio::time::Instant::now();
        for mut sender in senders {
            let first = first.clone();
            tasks.spawn_local(async move {
                let start = began + Duration::from_millis(1) * sender.number;
                let mut pace = interval_at(start, EVERY);
                pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
                let mut sent = 0;
                while began.elapsed() < span {
                    pace.tick().await;
                    let request = if to_one { &first } else { &sender.requests[sender.next] };
                    sender.connection.call(request).await.expect(201);
                    sender.next = (sender.next + 1) % sender.requests.len();
                    sent += 1;
                }
                (sender, sent)
            });
        }
        let ended = tasks.join_all().await;
        let sent = ended.iter().map(|(_, sent)| sent).sum();
        (ended.into_iter().map(|(sender, _)| sender).collect(), sent)
    }
}
