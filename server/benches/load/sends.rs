//! Durable sends, of one sender and of 64 to one mesh.

use crate::Load;
use crate::drive::{Drive, drive};
use crate::floor::{self, EmptyHandler};
use crate::nats::{Nats, Synced};
use crate::process;
use crate::redis::Redis;
use crate::report::Report;
use crate::report::Target::{AtLeast, AtMost};
use crate::server::Server;
use crate::settings::Engine;
use crate::world::{Site, World};

const MANY: usize = 64;

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engines = match load.args.store {
        Some(engine) => vec![engine],
        None => vec![Engine::Sqlite, Engine::Postgres],
    };
    for engine in engines {
        on(engine, load, report).await;
    }
}

/// One value for each run.
#[derive(Default)]
struct Values {
    disk: Vec<f64>,
    handler: Vec<f64>,
    one: Vec<f64>,
    one_p50: Vec<f64>,
    one_cpu: Vec<f64>,
    many: Vec<f64>,
    many_p50: Vec<f64>,
    many_cpu: Vec<f64>,
    tool_cpu: Vec<f64>,
    batch: Vec<f64>,
    redis_one: Vec<f64>,
    redis_many: Vec<f64>,
    redis_cpu: Vec<f64>,
    nats: [[Vec<f64>; 2]; 2],
}

async fn on(engine: Engine, load: &Load, report: &mut Report) {
    let folder = load.folder.path();
    let site = Site::fresh(engine, folder).await;
    let world = World::make(&site, 1, MANY).await;
    let server = Server::start(load, &site);
    let empty = EmptyHandler::start().await;
    let redis = Redis::start(folder).await;
    let nats =
        [Nats::start(folder, Synced::Usual).await, Nats::start(folder, Synced::Always).await];
    let mut values = Values::default();
    // Not counted: memory is taken, files grow.
    of_server(&server, load, &world, MANY).await;
    for _ in 0..load.args.runs {
        let span = load.args.span();
        values.disk.push(floor::fdatasync(folder, span / 2));
        values.handler.push(empty.measure(span / 2).await.p50());

        let one = of_server(&server, load, &world, 1).await;
        values.one.push(one.drive.rate());
        values.one_p50.push(one.drive.p50());
        values.one_cpu.push(one.cpu);
        let one = of_redis(&redis, load, 1).await.0;
        values.redis_one.push(one.rate());

        let many = of_server(&server, load, &world, MANY).await;
        values.many.push(many.drive.rate());
        values.many_p50.push(many.drive.p50());
        values.many_cpu.push(many.cpu);
        values.tool_cpu.push(many.tool);
        values.batch.push(many.batch);
        let (many, cpu) = of_redis(&redis, load, MANY).await;
        values.redis_many.push(many.rate());
        values.redis_cpu.push(cpu);

        for (nats, values) in nats.iter().zip(&mut values.nats) {
            let Some(nats) = nats else { continue };
            for (count, values) in [1, MANY].into_iter().zip(values) {
                values.push(of_nats(nats, load, count).await.rate());
            }
        }
    }
    values.tell(engine, report);
}

/// A measurement of the server.
struct Ours {
    drive: Drive,
    /// Of the server for each send, in µs.
    cpu: f64,
    /// Of this tool, the same.
    tool: f64,
    /// Messages that were written together, on the mean.
    batch: f64,
}

async fn of_server(server: &Server, load: &Load, world: &World, count: usize) -> Ours {
    let mut senders = Vec::new();
    for number in 0..count {
        senders.push(server.sender(load, world, number).await);
    }
    let batches = async || {
        let name = "meshwire_batch_messages";
        [server.metric(&format!("{name}_sum")).await, server.metric(&format!("{name}_count")).await]
    };
    let before = batches().await;
    let used = [server.process.cpu(), process::cpu("self")];
    let drive = drive(senders, load.args.span()).await;
    let used = [server.process.cpu() - used[0], process::cpu("self") - used[1]];
    let [cpu, tool] = used.map(|used| used * 1e6 / drive.sends());
    let after = batches().await;
    let batch = (after[0] - before[0]) / (after[1] - before[1]);
    Ours { drive, cpu, tool, batch }
}

/// How it went, and its CPU in µs for each message.
async fn of_redis(redis: &Redis, load: &Load, count: usize) -> (Drive, f64) {
    let mut senders = Vec::new();
    for _ in 0..count {
        senders.push(redis.sender("load").await);
    }
    let before = redis.process.cpu();
    let drive = drive(senders, load.args.span()).await;
    let cpu = (redis.process.cpu() - before) * 1e6 / drive.sends();
    (drive, cpu)
}

async fn of_nats(nats: &Nats, load: &Load, count: usize) -> Drive {
    let mut senders = Vec::new();
    for _ in 0..count {
        senders.push(nats.sender().await);
    }
    drive(senders, load.args.span()).await
}

impl Values {
    fn tell(&self, engine: Engine, report: &mut Report) {
        let micros = |seconds: &[f64]| seconds.iter().map(|value| value * 1e6).collect::<Vec<_>>();
        let floor: Vec<f64> =
            self.disk.iter().zip(&self.handler).map(|(disk, handler)| disk + handler).collect();
        let sqlite = engine == Engine::Sqlite;
        let if_sqlite = |target| sqlite.then_some(target);

        let name = &format!("1 sender {engine}");
        report.row(name, "fdatasync of one page, p50", "µs", &micros(&self.disk), None);
        report.row(name, "empty handler over loopback, p50", "µs", &micros(&self.handler), None);
        report.row(name, "send, p50", "µs", &micros(&self.one_p50), None);
        report.row(name, "sends a second", "/s", &self.one, None);
        report.row(name, "server CPU for each send", "µs", &self.one_cpu, None);
        report.row(name, "Redis XADD a second", "/s", &self.redis_one, None);
        self.tell_nats(name, 0, report);
        let what = "send to fdatasync + empty handler";
        report.row(name, what, "×", &ratios(&self.one_p50, &floor), if_sqlite(AtMost(1.5)));
        let to_redis = ratios(&self.one, &self.redis_one);
        report.row(name, "rate to that of Redis", "×", &to_redis, if_sqlite(AtLeast(0.9)));

        let name = &format!("64 senders {engine}");
        report.row(name, "sends a second", "/s", &self.many, None);
        report.row(name, "send, p50", "µs", &micros(&self.many_p50), None);
        report.row(name, "tool CPU for each send", "µs", &self.tool_cpu, None);
        report.row(name, "Redis XADD a second", "/s", &self.redis_many, None);
        report.row(name, "Redis CPU for each XADD", "µs", &self.redis_cpu, None);
        self.tell_nats(name, 1, report);
        let batch = (engine == Engine::Postgres).then_some(AtLeast(8.0));
        report.row(name, "messages of a batch, mean", "", &self.batch, batch);
        let to_redis = ratios(&self.many, &self.redis_many);
        report.row(
            name,
            "rate to that of Redis (aim: 0.5)",
            "×",
            &to_redis,
            if_sqlite(AtLeast(0.3)),
        );
        let synced: Vec<f64> = self.disk.iter().map(|disk| 1.0 / disk).collect();
        report.row(name, "rate to fdatasyncs in a row", "×", &ratios(&self.many, &synced), None);
        report.ratio(
            name,
            "rate to one commit a send (1 sender)",
            &self.many,
            &self.one,
            AtLeast(10.0),
        );
        report.row(
            name,
            "server CPU for each send (aim: 40)",
            "µs",
            &self.many_cpu,
            if_sqlite(AtMost(60.0)),
        );
    }

    fn tell_nats(&self, name: &str, place: usize, report: &mut Report) {
        for (sync, values) in ["synced every 2 min", "synced always"].iter().zip(&self.nats) {
            let what = format!("NATS JetStream a second, {sync}");
            if values[place].is_empty() {
                println!("{name:<18} {what}: this nats-server cannot");
            } else {
                report.row(name, &what, "/s", &values[place], None);
            }
        }
    }
}

fn ratios(of: &[f64], to: &[f64]) -> Vec<f64> {
    of.iter().zip(to).map(|(of, to)| of / to).collect()
}
