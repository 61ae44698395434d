//! Two nodes behind a balancer, and who uses them.

use std::time::Instant;

use reqwest::blocking::Client;
use serde_json::Value;
use tempfile::TempDir;

use super::balancer::Balancer;
use crate::Stream;
use crate::checker::{Attempt, Sight, check};
use crate::load::{Http, id_of};
use crate::program::{Computer, Running, signed_in_at};
use crate::service::{LIMIT, Service};

/// What names the DynamoDB of the run to programs of AWS.
const AWS: [&str; 5] = [
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_EC2_METADATA_DISABLED",
];

/// Where nodes keep what they share: the environment that says so.
pub(crate) struct Place(Vec<(&'static str, String)>);

impl Place {
    pub(crate) fn dynamodb() -> Self {
        let store = format!("dynamodb:{}", crate::dynamodb_tables::table());
        let given = AWS.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
        Self(given.chain([("MESHWIRE_STORE", store)]).collect())
    }

    pub(crate) fn postgres() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self(vec![("MESHWIRE_STORE", runtime.block_on(crate::postgres_server::schema()))])
    }
}

pub(crate) struct Ground {
    pub(crate) nodes: [Service; 2],
    pub(crate) balancer: Balancer,
    /// Of a person who is signed in over the balancer, in a mesh of their own.
    pub(crate) computer: Computer,
    pub(crate) mesh: String,
    pub(crate) token: String,
    _data: [TempDir; 2],
}

impl Ground {
    pub(crate) fn new(place: &Place) -> Self {
        let balancer = Balancer::start();
        let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let nodes = data.each_ref().map(|folder| {
            let mut environment = place.0.clone();
            environment.extend([
                ("MESHWIRE_SECRET_KEY", "the key of all nodes of these tests".to_owned()),
                ("MESHWIRE_PUBLIC_URL", balancer.url.clone()),
                ("MESHWIRE_METRICS_BIND", "127.0.0.1:0".to_owned()),
            ]);
            Service::with(folder.path(), environment)
        });
        balancer.leads_to(&nodes.each_ref().map(|node| node.url.clone()));
        // The node that started last has ended the link of the first.
        let (computer, _) = signed_in_at(&balancer.url, nodes[1].set_up.as_deref().unwrap());
        let mesh = computer.mesh();
        let token = computer.does("meshwire token create nodes").trim().to_owned();
        Self { nodes, balancer, computer, mesh, token, _data: data }
    }

    /// Another computer of the same person, which knows this node alone.
    pub(crate) fn at(&self, node: usize) -> Computer {
        with_token(&self.nodes[node].url, &self.token)
    }

    /// The same, which knows the balancer.
    pub(crate) fn anywhere(&self) -> Computer {
        with_token(&self.balancer.url, &self.token)
    }

    /// Requests of the nodes themselves.
    pub(crate) fn http(&self) -> Http {
        let nodes = self.nodes.iter().map(|node| node.url.clone()).collect();
        Http::new(nodes, &self.mesh, &self.token)
    }

    /// Waits until a node holds a poll.
    pub(crate) fn holds_a_poll(&self, node: usize) {
        let client = Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + LIMIT;
        loop {
            let metrics = client.get(self.nodes[node].metrics.as_deref().unwrap()).send().unwrap();
            if metrics.text().unwrap().contains("meshwire_open_polls 1\n") {
                return;
            }
            assert!(Instant::now() < deadline, "the poll never arrived");
            std::thread::yield_now();
        }
    }

    /// Holds what readers saw against what was sent, and against the log, which is the same on all nodes.
    pub(crate) fn check(&self, attempts: &[Attempt], sights: &[Sight]) {
        let logs = [0, 1].map(|node| self.log(node, sights));
        assert_eq!(logs[0].read, logs[1].read, "both nodes have the same log");
        assert_eq!(check(attempts, sights, &logs[0]), Ok(()));
        assert_eq!(attempts.len(), logs[0].read.len(), "and nothing else is there");
    }

    /// All that a node shows when it is asked for everything.
    fn log(&self, node: usize, sights: &[Sight]) -> Sight {
        let streams = sights.iter().flat_map(|sight| sight.streams.clone()).collect();
        let history = json(&self.at(node).does("meshwire history --limit 1000000 --json"));
        let mut log = Sight::of(streams);
        for message in history["messages"].as_array().unwrap().iter().rev() {
            log.saw(id_of(message), message["content"].as_str().unwrap());
        }
        log
    }
}

/// A computer with nothing but a token.
pub(crate) fn with_token(url: &str, token: &str) -> Computer {
    let mut computer = Computer::new();
    computer.set("MESHWIRE_URL", url);
    computer.set("MESHWIRE_TOKEN", token);
    computer
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A reader with a computer of its own.
pub(crate) struct Reader {
    name: String,
    listening: Running,
    _computer: Computer,
}

impl Reader {
    /// Begins to listen, and waits until it does.
    pub(crate) fn new(name: &str, computer: Computer) -> Self {
        let listening = computer.start(&format!("meshwire listen --agent {name} --json"));
        listening.says("Press Ctrl+C to stop");
        Self { name: name.to_owned(), listening, _computer: computer }
    }

    /// Reads up to the message that was sent last, and ends; what it was shown. It had nothing to say but that it
    /// lost its server for a while and has it again.
    pub(crate) fn finish(mut self, attempts: &[Attempt]) -> Sight {
        let last = attempts.last().map(|last| Attempt::text(last.sender, last.counter)).unwrap();
        let mut sight = Sight::of(vec![Stream::All, Stream::Agent(self.name)]);
        loop {
            let message = json(&self.listening.next_line());
            let text = message["content"].as_str().unwrap();
            sight.saw(id_of(&message), text);
            if text == last {
                break;
            }
        }
        assert_eq!(self.listening.interrupt(), 0);
        assert!(self.listening.is_silent(), "nothing comes after the last message");
        for line in self.listening.errors().lines().filter(|line| !line.is_empty()) {
            let hitch = line.ends_with("; trying again until it works");
            assert!(hitch || line.starts_with("connected to "), "{line}");
        }
        sight
    }
}
