//! Who waits for messages: the same for the service and its peers.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::client::NUMBER;
use crate::http::{Connection, find, number_after};
use crate::redis::{self, Redis, RedisConnection};
use crate::server::{self, Server};
use crate::world::World;

/// One connection that waits for one message after the other.
pub(crate) trait Reader {
    /// Waits until something has come.
    async fn read(&mut self);
}

/// Readers that wait, and come back when they have read.
pub(crate) struct Waiting<R>(JoinSet<(R, Instant)>);

impl<R: Reader + 'static> Waiting<R> {
    pub(crate) fn new() -> Self {
        Self(JoinSet::new())
    }

    pub(crate) fn add(&mut self, mut reader: R) {
        self.0.spawn_local(async move {
            reader.read().await;
            (reader, Instant::now())
        });
    }

    pub(crate) fn all(readers: impl IntoIterator<Item = R>) -> Self {
        let mut waiting = Self::new();
        for reader in readers {
            waiting.add(reader);
        }
        waiting
    }

    /// Waits for all of them; when the last one had read.
    pub(crate) async fn last(self) -> (Vec<R>, Instant) {
        let ended = self.0.join_all().await;
        let last = ended.iter().map(|(_, at)| *at).max().expect("at least one reader");
        (ended.into_iter().map(|(reader, _)| reader).collect(), last)
    }
}

/// Polls the inbox of an agent, acknowledging what it has read.
pub(crate) struct Poller {
    connection: Connection,
    world: Rc<World>,
    mesh: usize,
    agent: usize,
    cursor: Option<u64>,
    /// How often it was told to come again later.
    pub(crate) refused: usize,
}

/// Between two attempts of a poll that was refused.
const AGAIN: Duration = Duration::from_millis(200);
/// Connections from one address of loopback, each from a port of its own: to look for a free one takes the longer the
/// more are in use, and opening must end long before the first poll does.
const PER_ADDRESS: usize = 10_000;
/// The first of these ports, below those that the system gives to clients.
const FIRST_PORT: usize = 10_000;

impl Poller {
    /// The one with this number of all that there are.
    pub(crate) async fn open(
        server: &Server,
        world: &Rc<World>,
        mesh: usize,
        agent: usize,
        number: usize,
    ) -> Self {
        let host = u8::try_from(number / PER_ADDRESS).expect("there are no more addresses");
        let port = u16::try_from(FIRST_PORT + number % PER_ADDRESS).expect("it is a port");
        let socket = TcpSocket::new_v4().expect("a socket");
        // The last run's connections may linger.
        socket.set_reuseaddr(true).expect("an option of sockets");
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, host + 1), port));
        socket.bind(source).unwrap_or_else(|error| panic!("{source} must be free: {error}"));
        let stream = socket.connect(server.address).await.expect("the server listens");
        let connection = Connection::over(stream);
        Self { connection, world: Rc::clone(world), mesh, agent, cursor: None, refused: 0 }
    }
}

impl Reader for Poller {
    async fn read(&mut self) {
        loop {
            let poll =
                server::poll(&self.world, &self.world.meshes[self.mesh], self.agent, self.cursor);
            let page = self.connection.call(&poll).await;
            if page.status == 503 {
                self.refused += 1;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            self.cursor = number_after(page.expect(200), br#""cursor":"#);
            // Else it has waited for as long as a poll does.
            if find(page.body, NUMBER).is_some() {
                return;
            }
        }
    }
}

pub(crate) struct RedisReader {
    connection: RedisConnection,
    stream: String,
    last: String,
}

impl RedisReader {
    /// Of what is added from now on.
    pub(crate) async fn open(redis: &Redis, stream: &str) -> Self {
        let connection = RedisConnection::open(redis.address).await;
        Self { connection, stream: stream.to_owned(), last: "$".to_owned() }
    }
}

impl Reader for RedisReader {
    async fn read(&mut self) {
        let answer = self.connection.call(&redis::read_after(&self.stream, &self.last)).await;
        redis::last_id(answer).clone_into(&mut self.last);
    }
}
