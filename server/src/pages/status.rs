//! How this server is, for everyone.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::metrics::Spread;
use crate::pages::frame::{Frame, Here};
use crate::pages::html;
use crate::pages::visitor::Guest;
use crate::pages::when::When;

#[derive(Template)]
#[template(path = "status.html")]
struct Status {
    frame: Frame,
    version: &'static str,
    region: String,
    started: When,
    now: When,
    /// How long the store took; `None`: it does not answer.
    store: Option<String>,
    delivery: Option<Delivery>,
    open_polls: i64,
}

/// How late messages came to those who waited for them.
struct Delivery {
    count: u64,
    half: String,
    most: String,
}

/// `GET /status`. It answers 200 whatever the store does: the page itself is whole and says what is wrong, and a
/// balancer would put a page of its own in the place of a 503. Programs ask `/ready`, which is 503 then.
pub(crate) async fn page(State(app): State<App>, Guest(visitor): Guest) -> Response {
    let store = app.reach.look(&*app.store).await;
    let now = app.clock.now();
    let up = i64::try_from(app.started.elapsed().as_micros()).unwrap_or(i64::MAX);
    let mesh = app.metrics.mesh();
    let page = Status {
        frame: Frame::new(&app, &visitor, Here::Status),
        version: env!("CARGO_PKG_VERSION"),
        region: app.settings.region.clone(),
        started: When::new(now.saturating_sub(up), now),
        now: When::new(now, now),
        store: store.map(milliseconds),
        delivery: mesh.delivery.spread().map(Delivery::of),
        open_polls: mesh.open_polls.get(),
    };
    html(StatusCode::OK, &page)
}

impl Delivery {
    fn of(spread: Spread) -> Self {
        let within = |bound: Option<f64>| match bound {
            Some(bound) => format!("within {}", milliseconds(Duration::from_secs_f64(bound))),
            None => "later than 10 s".to_owned(),
        };
        Self { count: spread.count, half: within(spread.half), most: within(spread.most) }
    }
}

/// A short time for people.
fn milliseconds(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..100_000 => {
            let tenths = micros.div_ceil(100);
            match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole} ms"),
                (whole, tenth) => format!("{whole}.{tenth} ms"),
            }
        }
        100_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{} s", micros / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_said_in_milliseconds() {
        for (micros, text) in [
            (1, "0.1 ms"),
            (250, "0.3 ms"),
            (2_500, "2.5 ms"),
            (10_000, "10 ms"),
            (250_000, "250 ms"),
        ] {
            assert_eq!(milliseconds(Duration::from_micros(micros)), text);
        }
        assert_eq!(milliseconds(Duration::from_secs(10)), "10 s");
    }
}
