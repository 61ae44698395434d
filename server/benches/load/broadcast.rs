//! One message to a thousand agents whose polls wait: until the last of them is answered.

use std::rc::Rc;
use std::time::Instant;

use crate::Load;
use crate::client::Client as _;
use crate::readers::{Poller, RedisReader, Waiting};
use crate::redis::Redis;
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::{median, real};
use crate::world::{Site, World};

const READERS: usize = 1_000;
/// Messages in a run.
const ROUNDS: usize = 5;

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engine = load.args.store.unwrap_or(Engine::Sqlite);
    let site = Site::fresh(engine, load.folder.path()).await;
    let world = Rc::new(World::make(&site, 1, READERS + 1).await);
    let server = Server::start(load, &site);
    let redis = Redis::start(load.folder.path()).await;

    let (mut pollers, mut readers) = (Vec::new(), Vec::new());
    for number in 0..READERS {
        pollers.push(Poller::open(&server, &world, 0, number, number).await);
        readers.push(RedisReader::open(&redis, "broadcast").await);
    }
    let mut sender = server.connect().await;
    let mut adder = redis.sender("broadcast").await;
    let [mut ours, mut answered, mut theirs] = [const { Vec::new() }; 3];
    // The first run does not count.
    for run in 0..=load.args.runs {
        let [mut times, mut sends, mut theirs_of_run] = [const { Vec::new() }; 3];
        for number in 0..ROUNDS {
            let waiting = Waiting::all(pollers);
            server.until_open(real(READERS)).await;
            let message = server::send(&world, &world.meshes[0], READERS, "all", number, "");
            let began = Instant::now();
            sender.call(&message).await.expect(201);
            sends.push(began.elapsed().as_secs_f64() * 1e3);
            let (all, last) = waiting.last().await;
            times.push((last - began).as_secs_f64() * 1e3);
            pollers = all;

            let waiting = Waiting::all(readers);
            redis.until_waiting(READERS).await;
            let began = Instant::now();
            adder.send().await;
            let (all, last) = waiting.last().await;
            theirs_of_run.push((last - began).as_secs_f64() * 1e3);
            readers = all;
        }
        if run > 0 {
            ours.push(median(&times));
            answered.push(median(&sends));
            theirs.push(median(&theirs_of_run));
        }
    }
    let name = format!("broadcast {engine}");
    let refused = pollers.iter().map(|poller| poller.refused).sum();
    report.row(&name, "polls refused with 503 (a cold server)", "", &[real(refused)], None);
    report.row(&name, "1,000 polls, until the last is answered", "ms", &ours, None);
    report.row(&name, "until the send is answered", "ms", &answered, None);
    report.row(&name, "Redis, 1,000 readers, until the last is answered", "ms", &theirs, None);
    report.ratio(&name, "the last of 1,000, to that of Redis", &ours, &theirs, AtMost(2.0));
}
