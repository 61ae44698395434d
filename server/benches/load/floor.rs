//! What the machine allows: one page to the disk, one request to a handler that does nothing.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::Load;
use crate::client::Client;
use crate::drive::{Drive, drive};
use crate::http::Connection;
use crate::process::{self, Process};
use crate::report::Report;
use crate::stats::percentile;

const PAGE: usize = 4_096;
/// Pages of the file: written before, so that a write changes no metadata.
const PAGES: u64 = 256;
/// Where the empty handler is to listen.
const ADDRESS: &str = "MESHWIRE_LOAD_ADDRESS";

pub(crate) async fn run(load: &Load, report: &mut Report) {
    let empty = EmptyHandler::start().await;
    let (mut disk, mut handler) = (Vec::new(), Vec::new());
    for _ in 0..load.args.runs {
        disk.push(fdatasync(load.folder.path(), load.args.span()) * 1e6);
        handler.push(empty.measure(load.args.span()).await.p50() * 1e6);
    }
    report.row("floor", "fdatasync of one page, p50", "µs", &disk, None);
    report.row("floor", "empty handler over loopback, p50", "µs", &handler, None);
}

/// The median time that a page takes to the disk, in seconds.
pub(crate) fn fdatasync(folder: &Path, span: Duration) -> f64 {
    let file = folder.join("floor");
    let mut page = [0_u8; PAGE];
    let opened = File::options().create(true).truncate(true).read(true).write(true).open(&file);
    let opened = opened.expect("a file of our own");
    for number in 0..PAGES {
        opened.write_all_at(&page, number * 4_096).expect("there is room");
    }
    opened.sync_all().expect("it is written");
    let mut times = Vec::new();
    let end = Instant::now() + span;
    let mut number = 0;
    while Instant::now() < end {
        page[0] = page[0].wrapping_add(1);
        let began = Instant::now();
        opened.write_all_at(&page, number % PAGES * 4_096).expect("there is room");
        opened.sync_data().expect("it is written");
        times.push(began.elapsed());
        number += 1;
    }
    percentile(&times, 0.5)
}

/// An axum handler that answers at once with nothing, in a process of its own.
pub(crate) struct EmptyHandler {
    address: SocketAddr,
    _process: Process,
}

impl EmptyHandler {
    pub(crate) async fn start() -> Self {
        let address = process::free_address();
        let program = std::env::current_exe().expect("this program has a path");
        let process = Process::start(
            Command::new(program)
                .arg("--serve-nothing")
                .env_clear()
                .envs(process::mark())
                .env(ADDRESS, address.to_string()),
        );
        process::until_it_listens(address).await;
        Self { address, _process: process }
    }

    /// One client, one request after the other.
    pub(crate) async fn measure(&self, span: Duration) -> Drive {
        drive(vec![EmptyClient(Connection::open(self.address).await)], span).await
    }
}

struct EmptyClient(Connection);

impl Client for EmptyClient {
    async fn send(&mut self) {
        self.0.call(b"GET / HTTP/1.1\r\nhost: load\r\n\r\n").await.expect(200);
    }
}

/// What `--serve-nothing` does.
pub(crate) async fn serve_nothing() {
    let address = std::env::var(ADDRESS).expect("its address");
    let listener = TcpListener::bind(address).await.expect("it is free");
    let service = TowerToHyperService::new(Router::new().route("/", get(async || ())));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            let _ = serving.await;
        });
    }
}
