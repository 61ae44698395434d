//! What the service counts for its operator: `GET /metrics`, in the text format of `OpenMetrics`, which
//! Prometheus reads.
//!
//! It has a listener of its own and never stands on the public one. Labels come from lists of ours (routes,
//! methods, names of limits and of operations on the store), so there are only so many of them, and nothing about
//! users, meshes or messages is in them.

mod delays;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use meshwire_protocol::ErrorCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::delays::{Delays, Spread};
use crate::error::Refusal;

/// RFC 9110 section 8.3, and the `OpenMetrics` specification 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of times that should be short, in seconds.
const SHORT: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0,
];
/// Upper bounds of the waiting time of a poll, in seconds.
const WAITS: [f64; 7] = [0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0];
/// Upper bounds of the number of messages in a batch.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

type Named<M, C = fn() -> M> = Family<[(&'static str, &'static str); 1], M, C>;

/// The counters; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    waits: Histogram,
    limited: Named<Counter>,
    store: Named<Histogram>,
    mesh: MeshMetrics,
    connections: ConnectionMetrics,
}

/// What the mesh layer counts.
#[derive(Debug, Clone)]
pub struct MeshMetrics {
    pub(crate) send: Histogram,
    pub(crate) delivery: Delays,
    pub(crate) batch: Histogram,
    pub(crate) open_polls: Gauge,
}

/// What the listener counts.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    pub(crate) open: Gauge,
    pub(crate) refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

fn short() -> Histogram {
    Histogram::new(SHORT)
}

impl Default for MeshMetrics {
    fn default() -> Self {
        Self {
            send: short(),
            delivery: Delays::default(),
            batch: Histogram::new(BATCHES),
            open_polls: Gauge::default(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(short),
            waits: Histogram::new(WAITS),
            limited: Family::default(),
            store: Family::new_with_constructor(short),
            mesh: MeshMetrics::default(),
            connections: ConnectionMetrics::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// What the mesh layer counts.
    pub fn mesh(&self) -> MeshMetrics {
        self.0.mesh.clone()
    }

    /// What the listener counts.
    pub fn connections(&self) -> ConnectionMetrics {
        self.0.connections.clone()
    }

    /// Counts an answer. `route` is the pattern of the path, not the path; `took` is without the time that a
    /// poll has `waited`.
    pub(crate) fn answered(
        &self,
        method: &'static str,
        route: &str,
        status: u16,
        took: Duration,
        waited: Option<Duration>,
    ) {
        let inner = &self.0;
        let route = route.to_owned();
        let labels = RequestLabels { method, route: route.clone(), status };
        inner.requests.get_or_create(&labels).inc();
        inner.durations.get_or_create(&RouteLabels { method, route }).observe(took.as_secs_f64());
        if let Some(waited) = waited {
            inner.waits.observe(waited.as_secs_f64());
        }
    }

    /// Counts a refusal, when it was for a limit.
    pub(crate) fn refused(&self, refusal: Refusal) {
        let limit = match refusal.code {
            ErrorCode::RateLimited | ErrorCode::LoopSuspected | ErrorCode::LimitReached => {
                refusal.reason.unwrap_or(refusal.code.as_str())
            }
            _ => return,
        };
        self.0.limited.get_or_create(&[("limit", limit)]).inc();
    }

    /// Counts an operation on the store.
    pub(crate) fn stored(&self, operation: &'static str, took: Duration) {
        self.0.store.get_or_create(&[("operation", operation)]).observe(took.as_secs_f64());
    }

    /// All of them, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// Serves them at `/metrics`, and nothing else.
    pub fn router(&self) -> Router {
        Router::new().route("/metrics", get(show)).with_state(self.clone())
    }
}

impl Inner {
    fn register(&mut self) {
        let Self { registry, requests, durations, waits, limited, store, mesh, connections } = self;
        registry.register(
            "meshwire_requests",
            "Answers by method, route and status",
            requests.clone(),
        );
        registry.register_with_unit(
            "meshwire_request_duration",
            "Time to answer a request, without the time that a poll waited",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register_with_unit(
            "meshwire_poll_wait",
            "Time that an answered poll waited for messages",
            Unit::Seconds,
            waits.clone(),
        );
        registry.register_with_unit(
            "meshwire_send_duration",
            "Time from a checked request to its durable message",
            Unit::Seconds,
            mesh.send.clone(),
        );
        registry.register_with_unit(
            "meshwire_delivery_delay",
            "Time from a message's id to its being put into the answer of a poll that waited for it",
            Unit::Seconds,
            mesh.delivery.histogram(),
        );
        registry.register(
            "meshwire_batch_messages",
            "Messages of one mesh that were written as one batch",
            mesh.batch.clone(),
        );
        registry.register("meshwire_open_polls", "Polls that are open", mesh.open_polls.clone());
        registry.register_with_unit(
            "meshwire_store_duration",
            "Time that an operation on the store took",
            Unit::Seconds,
            store.clone(),
        );
        registry.register(
            "meshwire_limited",
            "Requests that were refused for a limit, by its setting",
            limited.clone(),
        );
        registry.register(
            "meshwire_connections",
            "Connections that are open",
            connections.open.clone(),
        );
        registry.register(
            "meshwire_connections_refused",
            "Connections that were refused, since there were too many from one address",
            connections.refused.clone(),
        );
        registry.register(
            "meshwire_build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        registry.register_with_unit(
            "process_start_time",
            "When the server was started, since 1970",
            Unit::Seconds,
            ConstGauge::new(now.as_secs_f64()),
        );
    }
}

async fn show(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS), (CACHE_CONTROL, "no-store")], metrics.text())
}
