//! F8: the wire between one of two nodes and the engine is cut.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::ground::Ground;
use crate::load::Load;
use crate::proxy::{Proxy, Wire};
use crate::site::Site;
use crate::times;

const SENDERS: usize = 6;
/// What a node that is cut off may hold is free again by then.
const ENOUGH: usize = 30;

on_every_engine! {
    a_cut_wire_loses_and_doubles_nothing,
    a_commit_that_nobody_heard_of_is_found,
    connections_that_stay_silent_for_ever_are_given_up,
}

/// Node 0 is behind the proxy, node 1 is not.
async fn with_two_nodes(site: &Site, case: impl AsyncFnOnce(&Proxy, &Load)) {
    let proxy = Proxy::start(site.port()).await;
    let nodes = [site.over(proxy.port()).node(), site.node()];
    let ground = Arc::new(Ground::new(site, &nodes[1].url, SENDERS, 4).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    load.goes_on(50).await;
    case(&proxy, &load).await;
    let story = load.finish().await;
    story.check();
    assert_eq!(story.counts.hung, 0, "a node that cannot reach the engine says so");
}

async fn a_cut_wire_loses_and_doubles_nothing(site: Site) {
    const CUTS: [Wire; 4] = [Wire::NoReplies, Wire::Reset, Wire::Nothing, Wire::NoRequests];
    let mut dice = Dice::new();
    with_two_nodes(&site, async |proxy, load| {
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

async fn a_commit_that_nobody_heard_of_is_found(site: Site) {
    with_two_nodes(&site, async |proxy, load| {
        for _ in 0..times(10, 100) {
            proxy.cut(Wire::NoCommits).await;
            proxy.mend(true);
            load.goes_on_at(0, 10).await;
        }
    })
    .await;
}

async fn connections_that_stay_silent_for_ever_are_given_up(site: Site) {
    with_two_nodes(&site, async |proxy, load| {
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
