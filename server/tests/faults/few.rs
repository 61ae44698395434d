//! As few connections to Postgres as there may be, and none that is free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use crate::ground::Ground;
use crate::load::Load;
use crate::node::Node;
use crate::site::Site;
use crate::times;

const SENDERS: usize = 6;
/// More than can wait for a lock one after the other until they are refused.
const CROWD: usize = 12;
/// A machine that stands still for seconds may have somebody refused in one run, but not in each.
const RUNS: usize = 3;
/// How soon everyone is: a request waits 5 s for a connection, and 3 s for a lock.
const REFUSED: Duration = Duration::from_secs(15);

/// One that listens, and one for all the rest.
fn node(site: &Site) -> Node {
    site.node_with(vec![("MESHWIRE_POSTGRES_CONNECTIONS", "2".to_owned())])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_do_for_everything() {
    let mut refused = Vec::new();
    for _ in 0..RUNS {
        let site = Site::postgres().await;
        let nodes = [node(&site), node(&site)];
        let urls = nodes.each_ref().map(|node| &*node.url);
        let ground = Arc::new(Ground::new(&site, urls[0], SENDERS, 4).await);
        let load = Load::start(&ground, &urls, SENDERS);
        for _ in 0..times(1, 20) {
            load.goes_on_at(0, 100).await;
            load.goes_on_at(1, 100).await;
        }
        let story = load.finish().await;
        story.check();
        if story.counts.unavailable == [0, 0] {
            return;
        }
        eprintln!("refused: {:?}", story.counts.unavailable);
        refused.push(story.counts.unavailable);
    }
    panic!("somebody was refused in each run: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_no_connection_is_told_to_come_again() {
    let site = Site::postgres().await;
    let node = node(&site);
    let ground = Ground::new(&site, &node.url, 0, 0).await;
    let me = || ground.request(Method::GET, &node.url, "/me").send();
    let mut connection = PgConnection::connect(site.url()).await.unwrap();
    for _ in 0..times(1, 5) {
        let mut lock = connection.begin().await.unwrap();
        lock.execute("LOCK TABLE token IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let began = Instant::now();
        let crowd: Vec<_> = (0..CROWD).map(|_| tokio::spawn(me())).collect();
        for one in crowd {
            let answer = one.await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key(RETRY_AFTER));
        }
        assert!(began.elapsed() < REFUSED, "it took {:?}", began.elapsed());
        lock.rollback().await.unwrap();
        assert_eq!(me().await.unwrap().status(), StatusCode::OK);
    }
}
