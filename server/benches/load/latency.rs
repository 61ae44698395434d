//! From the start of a send to the answer of a poll that waits for it, at a light load.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::Load;
use crate::client::NUMBER;
use crate::http::number_after;
use crate::nats::{Nats, Synced};
use crate::redis::{self, Redis, RedisConnection};
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::percentile;
use crate::world::{Site, World, agent_name};

/// Between two messages.
const EVERY: Duration = Duration::from_millis(20);

/// When each message was begun to be sent, by its number.
type Sent = Rc<RefCell<Vec<Instant>>>;

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engine = load.args.store.unwrap_or(Engine::Sqlite);
    let folder = load.folder.path();
    let site = Site::fresh(engine, folder).await;
    let world = Rc::new(World::make(&site, 1, 2).await);
    let server = Server::start(load, &site);
    let redis = Redis::start(folder).await;
    let nats = Nats::start(folder, Synced::Usual).await.expect("every version can");
    let [mut ours, mut theirs, mut others] = [const { Vec::new() }; 3];
    for _ in 0..load.args.runs {
        ours.push(of_server(&server, load, &world).await);
        theirs.push(of_redis(&redis, load).await);
        others.push(of_nats(&nats, load).await);
    }
    let name = format!("latency {engine}");
    let shares = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
    let of = |runs: &[Vec<Duration>], share| {
        runs.iter().map(|times| percentile(times, share) * 1e6).collect::<Vec<_>>()
    };
    for (who, runs) in [("", &ours), ("Redis ", &theirs), ("NATS (not synced) ", &others)] {
        for (share_name, share) in shares {
            let what = format!("{who}send to receive, {share_name}");
            report.row(&name, &what, "µs", &of(runs, share), None);
        }
    }
    let all = [percentile(&ours.concat(), 0.999) * 1e6];
    report.row(&name, "send to receive, p99.9 of all runs", "µs", &all, None);
    report.ratio(&name, "p50 to that of Redis", &of(&ours, 0.5), &of(&theirs, 0.5), AtMost(1.5));
    report.ratio(&name, "p99 to its own p50", &of(&ours, 0.99), &of(&ours, 0.5), AtMost(5.0));
}

/// So many messages that the time of a measurement is taken three times.
fn count(load: &Load) -> usize {
    let count = load.args.span().as_millis() * 3 / EVERY.as_millis();
    usize::try_from(count).expect("it is small").max(20)
}

/// Sends one message after the other at the pace; `act` is given its number.
async fn send_all(count: usize, sent: &Sent, mut act: impl AsyncFnMut(usize)) {
    let mut pace = tokio::time::interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..count {
        pace.tick().await;
        sent.borrow_mut().push(Instant::now());
        act(number).await;
    }
}

/// How long the messages in this text took until now.
fn note(mut text: &[u8], sent: &Sent, times: &mut Vec<Duration>) {
    let now = Instant::now();
    while let Some(place) = crate::http::find(text, NUMBER) {
        let number = number_after(text, NUMBER).and_then(|number| usize::try_from(number).ok());
        times.push(now - sent.borrow()[number.expect("a number")]);
        text = &text[place + NUMBER.len()..];
    }
}

async fn of_server(server: &Server, load: &Load, world: &Rc<World>) -> Vec<Duration> {
    let (count, sent) = (count(load), Sent::default());
    let (told, world_of_reader) = (Rc::clone(&sent), Rc::clone(world));
    let mut reader = server.connect().await;
    // From here on, whatever was not read before.
    let latest =
        format!("/mesh/{}/agents/{}/messages?after=latest", world.meshes[0], agent_name(0));
    let latest = crate::http::get(&latest, &world.token);
    let mut cursor = number_after(reader.call(&latest).await.expect(200), br#""cursor":"#);
    let reading = tokio::task::spawn_local(async move {
        let mut times = Vec::new();
        while times.len() < count {
            let poll = server::poll(&world_of_reader, &world_of_reader.meshes[0], 0, cursor);
            let answer = reader.call(&poll).await;
            let page = answer.expect(200);
            note(page, &told, &mut times);
            cursor = number_after(page, br#""cursor":"#);
        }
        times
    });
    server.until_open(1.0).await;
    let mut sender = server.connect().await;
    send_all(count, &sent, async |number| {
        let request = server::send(world, &world.meshes[0], 1, &agent_name(0), number, "");
        sender.call(&request).await.expect(201);
    })
    .await;
    reading.await.expect("all is read")
}

async fn of_redis(redis: &Redis, load: &Load) -> Vec<Duration> {
    let (count, sent) = (count(load), Sent::default());
    let (told, address) = (Rc::clone(&sent), redis.address);
    let stream = format!("latency-{:016x}", rand::random::<u64>());
    let name = stream.clone();
    let reading = tokio::task::spawn_local(async move {
        let mut reader = RedisConnection::open(address).await;
        let (mut times, mut last) = (Vec::new(), "0".to_owned());
        while times.len() < count {
            let answer = reader.call(&redis::read_after(&name, &last)).await;
            note(answer, &told, &mut times);
            redis::last_id(answer).clone_into(&mut last);
        }
        times
    });
    redis.until_waiting(1).await;
    let mut sender = RedisConnection::open(redis.address).await;
    send_all(count, &sent, async |number| {
        sender.call(&redis::add(&stream, number)).await;
    })
    .await;
    reading.await.expect("all is read")
}

async fn of_nats(nats: &Nats, load: &Load) -> Vec<Duration> {
    let (count, sent) = (count(load), Sent::default());
    let told = Rc::clone(&sent);
    let mut reader = nats.reader().await;
    let reading = tokio::task::spawn_local(async move {
        let mut times = Vec::new();
        while times.len() < count {
            note(reader.message().await, &told, &mut times);
        }
        times
    });
    let mut sender = nats.sender().await;
    send_all(count, &sent, async |number| sender.send_number(number).await).await;
    reading.await.expect("all is read")
}
