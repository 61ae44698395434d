//! F8: the wire between one of two nodes and Postgres is cut.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::ground::Ground;
use crate::load::Load;
use crate::node::Node;
use crate::proxy::{Proxy, Wire};
use crate::{postgres, times};

const SENDERS: usize = 6;
/// What a node that is cut off may hold is free again by then.
const ENOUGH: usize = 30;

/// Node 0 is behind the proxy, node 1 is not.
async fn with_two_nodes(dice: &mut Dice, case: impl AsyncFnOnce(&mut Dice, &Proxy, &Load)) {
    let database = postgres::schema().await;
    let port = url::Url::parse(&database).unwrap().port().unwrap();
    let proxy = Proxy::start(port).await;
    let nodes = [Node::start(&proxy.url(&database)), Node::start(&database)];
    let ground = Arc::new(Ground::new(&database, &nodes[1].url, SENDERS, 4).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    load.goes_on(50).await;
    case(dice, &proxy, &load).await;
    let story = load.finish().await;
    story.check();
    assert_eq!(story.counts.hung, 0, "a node that cannot reach its database says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_wire_loses_and_doubles_nothing() {
    const CUTS: [Wire; 4] = [Wire::NoReplies, Wire::Reset, Wire::Nothing, Wire::NoRequests];
    let mut dice = Dice::new();
    with_two_nodes(&mut dice, async |dice, proxy, load| {
        for round in 0..times(6, 30) {
            dice.instant(Duration::from_millis(100)).await;
            // Most of all those after which it is not known what was committed.
            let cut = CUTS.get(round).copied().unwrap_or_else(|| CUTS[dice.below(2)]);
            println!("{cut:?}");
            proxy.cut(cut).await;
            load.goes_on_at(1, ENOUGH).await;
            proxy.mend(true);
            load.goes_on_at(0, ENOUGH).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_heard_of_is_found() {
    let mut dice = Dice::new();
    with_two_nodes(&mut dice, async |_, proxy, load| {
        for _ in 0..times(10, 100) {
            proxy.cut(Wire::NoCommits).await;
            proxy.mend(true);
            load.goes_on_at(0, 10).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stay_silent_for_ever_are_given_up() {
    let mut dice = Dice::new();
    with_two_nodes(&mut dice, async |_, proxy, load| {
        for _ in 0..times(1, 5) {
            let refused = load.counts().unavailable[0];
            proxy.cut(Wire::Nothing).await;
            load.goes_on_at(1, ENOUGH).await;
            load.until("node 0 refuses sends", |counts| counts.unavailable[0] > refused).await;
            proxy.mend(false);
            load.goes_on_at(0, ENOUGH).await;
        }
    })
    .await;
}
