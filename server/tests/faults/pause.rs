//! F11: a node stops for a while, and goes on as if nothing had been.

use std::sync::Arc;
use std::time::Duration;

use crate::dice::Dice;
use crate::ground::Ground;
use crate::load::Load;
use crate::site::Site;
use crate::times;

const SENDERS: usize = 6;

on_every_engine! { a_node_that_stood_still_does_no_harm }

async fn a_node_that_stood_still_does_no_harm(site: Site) {
    let mut dice = Dice::new();
    let nodes = [site.node(), site.node()];
    let ground = Arc::new(Ground::new(&site, &nodes[0].url, SENDERS, 4).await);
    let load = Load::start(&ground, &[&nodes[0].url, &nodes[1].url], SENDERS);
    for round in 0..times(2, 10) {
        let number = round % 2;
        load.goes_on_at(number, 30).await;
        dice.instant(Duration::from_millis(50)).await;
        nodes[number].signal("-STOP");
        dice.between(Duration::from_secs(1), Duration::from_secs(3)).await;
        // Whatever it held is free by now.
        load.goes_on_at(1 - number, 30).await;
        nodes[number].signal("-CONT");
        load.goes_on_at(number, 30).await;
    }
    load.finish().await.check();
}
