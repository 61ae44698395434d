//! How soon the server and the command line are there, and what a send of the latter asks for.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::Load;
use crate::http::Connection;
use crate::process::{Process, free_address, mark};
use crate::report::Report;
use crate::report::Target::AtMost;
use crate::server::{self, Server};
use crate::settings::Engine;
use crate::stats::real;
use crate::world::{Site, World};

/// Messages that are there before.
const SENT: usize = 100;
/// Between two attempts to reach a server that starts.
const AGAIN: Duration = Duration::from_millis(1);
/// What happens only at the start has happened by then.
const SETTLED: Duration = Duration::from_secs(3);

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let engine = load.args.store.unwrap_or(Engine::Sqlite);
    let site = Site::fresh(engine, load.folder.path()).await;
    let world = World::make(&site, 1, 2).await;
    {
        let server = Server::start(load, &site);
        let mut connection = server.connect().await;
        for number in 0..SENT {
            let message = server::send(&world, &world.meshes[0], 0, "all", number, "");
            connection.call(&message).await.expect(201);
        }
    }
    let [mut up, mut resident] = [const { Vec::new() }; 2];
    for _ in 0..load.args.runs {
        let bind = free_address();
        let mut command = server::command(load, &site, bind);
        let began = Instant::now();
        let process = Process::start(command.stdout(Stdio::null()));
        until_well(bind).await;
        up.push(began.elapsed().as_secs_f64() * 1e3);
        sleep(SETTLED).await;
        resident.push(process.resident() / 1_024.0);
    }
    let name = format!("start {engine}");
    report.row(&name, "from the start to /health of the server", "ms", &up, Some(AtMost(150.0)));
    report.row(&name, "memory of an idle server", "MB", &resident, Some(AtMost(25.0)));
    match &load.args.cli {
        Some(cli) => command_line(cli, load, &site, &world, report).await,
        None => println!("The command line is measured with --cli PATH."),
    }
}

async fn until_well(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        sleep(AGAIN).await;
    }
    let mut connection = Connection::open(address).await;
    connection.call(b"GET /health HTTP/1.1\r\nhost: load\r\n\r\n").await.expect(200);
}

async fn command_line(cli: &Path, load: &Load, site: &Site, world: &World, report: &mut Report) {
    let server = Server::start(load, site);
    let [mut version, mut send, mut requests, mut connections] = [const { Vec::new() }; 4];
    for number in 0..load.args.runs {
        let began = Instant::now();
        let output = command(cli, load).arg("--version").output().expect("it runs");
        version.push(began.elapsed().as_secs_f64() * 1e3);
        assert!(output.status.success(), "{output:?}");

        let counted = Counted::start(server.address).await;
        let mut command = tokio::process::Command::from(command(cli, load));
        let command = command
            .env("MESHWIRE_TOKEN", &world.token)
            .env("MESHWIRE_URL", format!("http://{}", counted.address))
            .env("MESHWIRE_MESH_ID", world.meshes[0].as_str())
            .args(["send", &format!("message {number}"), "--to", "agent-0"]);
        let began = Instant::now();
        let output = command.output().await.expect("it runs");
        send.push(began.elapsed().as_secs_f64() * 1e3);
        assert!(output.status.success(), "{output:?}");
        requests.push(real(counted.requests.get()));
        connections.push(real(counted.connections.get()));
    }
    let name = "command line";
    report.row(name, "meshwire --version", "ms", &version, Some(AtMost(10.0)));
    report.row(name, "meshwire send", "ms", &send, None);
    report.row(name, "meshwire send, requests", "", &requests, Some(AtMost(1.0)));
    report.row(name, "meshwire send, connections", "", &connections, Some(AtMost(1.0)));
}

fn command(cli: &Path, load: &Load) -> Command {
    let mut command = Command::new(cli);
    command.env_clear().envs(mark()).env("HOME", load.folder.path());
    command.current_dir(load.folder.path()).stdin(Stdio::null());
    command
}

/// Hands on what clients say, and counts their requests.
struct Counted {
    address: SocketAddr,
    requests: Rc<Cell<usize>>,
    connections: Rc<Cell<usize>>,
}

impl Counted {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind(free_address()).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (requests, connections) = (Rc::default(), Rc::default());
        let counted =
            Self { address, requests: Rc::clone(&requests), connections: Rc::clone(&connections) };
        tokio::task::spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.set(connections.get() + 1);
                tokio::task::spawn_local(pass(client, to, Rc::clone(&requests)));
            }
        });
        counted
    }
}

async fn pass(client: TcpStream, to: SocketAddr, requests: Rc<Cell<usize>>) {
    let server = TcpStream::connect(to).await.expect("the server listens");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::task::spawn_local(
        async move { tokio::io::copy(&mut from_server, &mut to_client).await },
    );
    let mut said = Vec::new();
    loop {
        let before = said.len();
        if !matches!(from_client.read_buf(&mut said).await, Ok(1..)) {
            return;
        }
        let heads = |text: &[u8]| text.windows(11).filter(|text| text == b" HTTP/1.1\r\n").count();
        requests.set(requests.get() + heads(&said) - heads(&said[..before]));
        if to_server.write_all(&said[before..]).await.is_err() {
            return;
        }
    }
}
