//! Stands between nodes and DynamoDB, and has happen there what may happen on the real one.
//!
//! A refusal is one that the engine could have given: then it never sees the request. What is lost is the answer,
//! after the engine has done what was asked. What is torn is what a query may show: some of what a transaction wrote,
//! and not yet the rest.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::dice::Dice;
use crate::tally::Tally;
use crate::torn::{Rosters, give_back, hide_one, take_one};
use crate::{refusals, site::Site};

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Fine,
    /// It meets another transaction at the same items.
    Conflict,
    /// There are too many.
    Throttled,
    /// It is done, and then the engine fails.
    FailsAfter,
    /// It is done, and then the connection is cut.
    CutAfter,
    CutBefore,
    /// One of the same token has not ended, it is said: it was this one, or it never came to be.
    InProgress,
    /// Not all of what a query is to show is seen yet.
    Torn,
    /// One item of several is not looked at.
    Unprocessed,
    /// It was signed at another time than this, says its signature. This befalls no request that was not.
    Misdated,
}

impl Fate {
    /// Those that befall by chance.
    pub(crate) const ALL: [Self; 9] =
        [Fine, Conflict, Throttled, FailsAfter, CutAfter, CutBefore, InProgress, Torn, Unprocessed];
}

use Fate::{
    Conflict, CutAfter, CutBefore, FailsAfter, Fine, InProgress, Misdated, Throttled, Torn,
    Unprocessed,
};

/// What befalls so many of a hundred requests of a kind.
fn fates(act: &str) -> Vec<(usize, Fate)> {
    let special: &[(usize, Fate)] = match act {
        "TransactWriteItems" => &[(20, Conflict), (2, InProgress)],
        "TransactGetItems" | "PutItem" | "UpdateItem" | "DeleteItem" => &[(20, Conflict)],
        "Query" => &[(20, Torn)],
        "BatchGetItem" | "BatchWriteItem" => &[(20, Unprocessed)],
        "GetItem" => &[],
        // What makes the table.
        _ => return Vec::new(),
    };
    let common = [(10, Throttled), (5, FailsAfter), (2, CutAfter), (1, CutBefore)];
    special.iter().copied().chain(common).collect()
}

pub(crate) struct Nemesis {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    engine: String,
    client: Client,
    rages: AtomicBool,
    dice: Mutex<Dice>,
    tally: Mutex<Tally>,
    rosters: Mutex<Rosters>,
}

/// An answer, or an end of the connection without one.
type Answer = io::Result<Response<Full<Bytes>>>;

fn cut() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, "application/x-amz-json-1.0".parse().unwrap());
    answer
}

fn refused(body: &Value) -> Response<Full<Bytes>> {
    json(StatusCode::BAD_REQUEST, body.to_string())
}

/// What is said to a request that was signed at another time than this.
fn misdated(headers: &HeaderMap) -> Option<Value> {
    let date = headers.get("x-amz-date")?.to_str().unwrap();
    let signed = DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    let signed = signed.to_zoned(TimeZone::UTC).unwrap().timestamp();
    let now = Timestamp::now();
    (now.duration_since(signed).abs() > refusals::TOLERANCE)
        .then(|| refusals::misdated(signed, now))
}

impl Nemesis {
    /// Before the engine of a site. At first it only looks on.
    pub(crate) async fn start(site: &Site) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            engine: site.url().to_owned(),
            client: Client::builder().no_proxy().build().unwrap(),
            rages: AtomicBool::new(false),
            dice: Mutex::new(Dice::new()),
            tally: Mutex::default(),
            rosters: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let shared = Arc::clone(&serving);
                let service = service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { shared.serve(request).await }
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                // One that was cut ends with an error.
                tokio::spawn(async { drop(serving.await) });
            }
        });
        Self { port, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn rage(&self) {
        self.shared.rages.store(true, Ordering::SeqCst);
    }

    /// What it has seen and done.
    pub(crate) fn tally(&self) -> Tally {
        self.shared.tally.lock().unwrap().clone()
    }
}

impl Shared {
    fn below(&self, end: usize) -> usize {
        self.dice.lock().unwrap().below(end)
    }

    fn fate(&self, act: &str) -> Fate {
        if !self.rages.load(Ordering::SeqCst) {
            return Fine;
        }
        let mut thrown = self.below(100);
        for (share, fate) in fates(act) {
            if thrown < share {
                return fate;
            }
            thrown -= share;
        }
        Fine
    }

    async fn serve(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| cut())?.to_bytes();
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let (_, act) = target.unwrap_or_default().split_once('.').unwrap_or_default();
        let mut asked: Value = serde_json::from_slice(&body).unwrap();
        let misdated = misdated(&head.headers);
        let fate = if misdated.is_some() { Misdated } else { self.fate(act) };
        let passes = match fate {
            Conflict | Throttled | CutBefore | Misdated => false,
            InProgress => self.below(2) == 0,
            _ => true,
        };
        self.tally.lock().unwrap().note(act, fate, &asked, passes);
        if let Some(refusal) = misdated {
            return Ok(refused(&refusal));
        }
        if !passes {
            let actions = asked["TransactItems"].as_array().map_or(0, Vec::len);
            let below = |end| self.below(end);
            return match fate {
                Conflict => Ok(refused(&refusals::conflict(actions, below))),
                Throttled => Ok(refused(&refusals::throttled(actions, below))),
                InProgress => Ok(refused(&refusals::in_progress())),
                _ => Err(cut()),
            };
        }
        let mut left = None;
        let mut to_do = body;
        if fate == Unprocessed {
            left = Some(take_one(&mut asked, |end| self.below(end)));
            to_do = asked.to_string().into();
        }
        // When nothing is left to be done, the engine would not understand it.
        let (status, answer) = match &left {
            Some(left) if left.all => (StatusCode::OK, Bytes::from_static(b"{}")),
            _ => self.pass_on(head.headers.clone(), to_do).await?,
        };
        match fate {
            FailsAfter => {
                let failure = refusals::failure().to_string();
                Ok(json(StatusCode::INTERNAL_SERVER_ERROR, failure))
            }
            CutAfter => Err(cut()),
            InProgress => Ok(refused(&refusals::in_progress())),
            // What it refuses is not torn.
            _ if status != StatusCode::OK => Ok(json(status, answer)),
            _ if act == "Query" => Ok(json(status, self.shown(&asked, &answer, fate == Torn))),
            _ => Ok(json(status, left.map_or(answer.clone(), |left| give_back(&answer, left)))),
        }
    }

    /// What a query shows.
    fn shown(&self, asked: &Value, answer: &[u8], torn: bool) -> String {
        let mut shown: Value = serde_json::from_slice(answer).unwrap();
        let below = |end| self.below(end);
        let pk = asked["ExpressionAttributeValues"][":pk"]["S"].as_str().unwrap_or_default();
        if pk.starts_with("mesh#") {
            self.rosters.lock().unwrap().show(pk, &mut shown, torn, below);
        } else if pk.starts_with("log#") && torn {
            hide_one(&mut shown, below);
        }
        shown.to_string()
    }

    async fn pass_on(
        &self,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> io::Result<(StatusCode, Bytes)> {
        headers.remove(HOST);
        headers.remove(CONTENT_LENGTH);
        let sent = self.client.post(&self.engine).headers(headers).body(body).send().await;
        let answer = sent.map_err(|_| cut())?;
        Ok((answer.status(), answer.bytes().await.map_err(|_| cut())?))
    }
}
