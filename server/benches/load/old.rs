//! A mesh with millions of messages behind it beside an empty one, in the same server and in turns.

use std::time::{Duration, Instant};

use meshwire_protocol::{AgentKind, MeshId, Via};
use meshwire_server::clock::Clock;
use meshwire_server::store::{self, Appended, Batch, LogStore as _, NewMessage, Store, Stream};
use serde_json::Map;

use crate::Load;
use crate::client::content;
use crate::http::{Connection, get, number_after};
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::{percentile, real};
use crate::units::Meter;
use crate::world::{Site, World, agent_name};

/// Messages of a batch that fills the old mesh.
const BATCH: usize = 2_000;
/// Sends and polls of each mesh in a run.
const ROUNDS: usize = 300;
/// What DynamoDB Local can be filled with in a moment: there units are counted, not time.
const ON_DYNAMODB: usize = 20_000;

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engines = match load.args.store {
        Some(engine) => vec![engine],
        None => vec![Engine::Sqlite, Engine::Postgres, Engine::Dynamodb],
    };
    for engine in engines {
        if engine == Engine::Dynamodb {
            units(load, report).await;
        } else {
            times(engine, load, report).await;
        }
    }
}

async fn times(engine: Engine, load: &Load, report: &mut Report) {
    let site = Site::fresh(engine, load.folder.path()).await;
    let world = World::make(&site, 2, 2).await;
    let began = Instant::now();
    let store = store::open(&site.place).await.expect("the place can be used");
    fill(&*store, &world.meshes[0], load.args.old).await;
    store.close().await;
    println!("Filled in {:.0} s.", began.elapsed().as_secs_f64());

    let server = Server::start(load, &site);
    let mut old = Mesh::open(&server, &world, 0).await;
    let mut empty = Mesh::open(&server, &world, 1).await;
    let [mut sends, mut polls] = [const { [const { Vec::new() }; 2] }; 2];
    // The first run does not count.
    for run in 0..=load.args.runs {
        let mut times = [const { Times { send: Vec::new(), poll: Vec::new() } }; 2];
        for round in 0..ROUNDS {
            let both = [(&mut old, 0), (&mut empty, 1)];
            // Who comes first may wait for what the second one does not.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            let mut both = both.map(Some);
            for place in order {
                let (mesh, place) = both[place].take().expect("each once");
                mesh.once(&world, round, &mut times[place]).await;
            }
        }
        if run > 0 {
            for (place, times) in times.iter().enumerate() {
                sends[place].push(percentile(&times.send, 0.5) * 1e6);
                polls[place].push(percentile(&times.poll, 0.5) * 1e6);
            }
        }
    }
    let name = format!("old {engine}");
    report.row(&name, "messages behind", "", &[real(load.args.old)], None);
    for (what, [old, empty]) in [("send", &sends), ("poll at the head", &polls)] {
        report.row(&name, &format!("{what}, p50"), "µs", old, None);
        report.row(&name, &format!("{what}, p50, of an empty mesh"), "µs", empty, None);
        let what = format!("{what}, to that of an empty mesh");
        report.ratio(&name, &what, old, empty, AtMost(1.1));
    }
}

/// Appends so many messages to a mesh, in large batches.
async fn fill(store: &dyn Store, mesh: &MeshId, count: usize) {
    let roster = store.roster(mesh).await.expect("it answers").expect("the mesh is there");
    let sender = &roster.agents[1];
    let clock = Clock::default();
    let message = NewMessage {
        stream: Stream::All,
        from: sender.name.clone(),
        from_agent: sender.id.clone(),
        from_user: "load".to_owned(),
        from_kind: AgentKind::Agent,
        via: Via::Account,
        to: "all".to_owned(),
        content: content(0),
        metadata: Map::new(),
        hops: 0,
        key: None,
    };
    let mut left = count;
    while left > 0 {
        let messages = vec![message.clone(); left.min(BATCH)];
        left -= messages.len();
        let batch = Batch {
            mesh: mesh.clone(),
            id: rand::random(),
            epoch: roster.epoch,
            now: clock.now(),
            messages,
        };
        let written = store.append(batch.into()).await.expect("it is written");
        assert!(matches!(written, Appended::Written { .. }), "{written:?}");
    }
}

/// Times of acts on a mesh.
struct Times {
    send: Vec<Duration>,
    poll: Vec<Duration>,
}

/// One who sends to a mesh and reads there.
struct Mesh {
    connection: Connection,
    number: usize,
    cursor: u64,
}

impl Mesh {
    async fn open(server: &Server, world: &World, number: usize) -> Self {
        let mut connection = server.connect().await;
        let latest = path(world, number, "latest");
        let page = connection.call(&get(&latest, &world.token)).await;
        let cursor = number_after(page.expect(200), br#""cursor":"#).expect("a cursor");
        Self { connection, number, cursor }
    }

    /// A send, a poll that reads it, and one at the head that finds nothing.
    async fn once(&mut self, world: &World, number: usize, times: &mut Times) {
        let mesh = &world.meshes[self.number];
        let message = server::send(world, mesh, 1, &agent_name(0), number, "");
        let began = Instant::now();
        self.connection.call(&message).await.expect(201);
        times.send.push(began.elapsed());
        for reads in [true, false] {
            let path = path(world, self.number, &self.cursor.to_string());
            let request = get(&path, &world.token);
            let began = Instant::now();
            let page = self.connection.call(&request).await;
            // The first one writes how far the agent has read.
            if !reads {
                times.poll.push(began.elapsed());
            }
            let cursor = number_after(page.expect(200), br#""cursor":"#).expect("a cursor");
            assert_eq!(cursor > self.cursor, reads, "one message, once");
            self.cursor = cursor;
        }
    }
}

fn path(world: &World, mesh: usize, after: &str) -> String {
    format!("/mesh/{}/agents/{}/messages?after={after}", world.meshes[mesh], agent_name(0))
}

/// What the store pays for on DynamoDB: the same acts by a node that has just started.
async fn units(load: &Load, report: &mut Report) {
    let site = Site::fresh(Engine::Dynamodb, load.folder.path()).await;
    let world = World::make(&site, 2, 2).await;
    let behind = load.args.old.min(ON_DYNAMODB);
    let store = store::open(&site.place).await.expect("the place can be used");
    fill(&*store, &world.meshes[0], behind).await;
    let mut paid = Vec::new();
    for mesh in &world.meshes {
        let meter = Meter::default();
        let store = meter.open(&site).await;
        let head = store.head(mesh).await.expect("it answers").expect("it is there").head;
        meter.take();
        fill(&store, mesh, 1).await;
        let send = meter.take();
        let streams = [Stream::All];
        let page = store.read(mesh, &streams, head, 100).await.expect("it answers");
        assert_eq!(page.map(|page| page.messages.len()), Some(1));
        paid.push([send, meter.take()]);
    }
    let name = "old dynamodb";
    report.row(name, "messages behind", "", &[real(behind)], None);
    for (place, what) in ["send, with the roster read anew", "poll"].into_iter().enumerate() {
        let [old, empty] = [paid[0][place], paid[1][place]];
        report.row(name, &format!("{what}, consumed units"), "", &[old], None);
        report.row(name, &format!("{what}, consumed units, of an empty mesh"), "", &[empty], None);
        let what = format!("{what}, to that of an empty mesh");
        report.ratio(name, &what, &[old], &[empty], AtMost(1.1));
    }
}
