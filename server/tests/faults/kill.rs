//! F1: nodes are killed at any instant.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::ground::Ground;
use crate::load::Load;
use crate::site::Site;
use crate::times;

const SENDERS: usize = 6;

on_every_engine! { kill_9_of_a_node_loses_and_doubles_nothing }

async fn kill_9_of_a_node_loses_and_doubles_nothing(site: Site) {
    let mut dice = Dice::new();
    let mut nodes = [site.node(), site.node()];
    let urls = nodes.each_ref().map(|node| node.url.clone());
    let ground = Arc::new(Ground::new(&site, &urls[0], SENDERS, 4).await);
    let load = Load::start(&ground, &[&urls[0], &urls[1]], SENDERS);
    for round in 0..times(6, 30) {
        load.goes_on_at(round % 2, 10).await;
        dice.instant(Duration::from_millis(500)).await;
        nodes[round % 2].kill();
        nodes[round % 2].start_again();
    }
    load.finish().await.check();
}
