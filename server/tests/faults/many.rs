//! F10: several nodes, one mesh, and readers everywhere.

use std::sync::Arc;

use meshwire_server::store::{Stored, Stream};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ground::{Ground, reader_name};
use crate::load::Load;
use crate::node::Node;
use crate::site::Site;
use crate::times;

on_every_engine! { two_nodes_have_one_log, four_nodes_have_one_log }

async fn two_nodes_have_one_log(site: Site) {
    one_log(&site, 2).await;
}

async fn four_nodes_have_one_log(site: Site) {
    one_log(&site, 4).await;
}

async fn one_log(site: &Site, nodes: usize) {
    let senders = times(8, 32);
    let nodes: Vec<Node> = (0..nodes).map(|_| site.node()).collect();
    let urls: Vec<&str> = nodes.iter().map(|node| node.url.as_str()).collect();
    let ground = Arc::new(Ground::new(site, urls[0], senders, 2 * nodes.len()).await);
    let load = Load::start(&ground, &urls, senders);
    for _ in 0..times(1, 40) {
        load.goes_on(500).await;
    }
    load.finish().await.check();

    let log = ground.log().await;
    let (of_all, of_one) = (Stream::All, Stream::Agent(ground.readers[0].clone()));
    let concerns = |stored: &&Stored| stored.stream == of_all || stored.stream == of_one;
    let mut expected = Sha256::new();
    for stored in log.iter().filter(concerns) {
        add(&mut expected, &serde_json::to_value(&stored.message).unwrap());
    }
    let expected = expected.finalize();
    for url in urls {
        assert_eq!(log_of(&ground, url).await, expected, "{url} has another log");
    }
}

fn add(hash: &mut Sha256, message: &Value) {
    hash.update(message.to_string());
    hash.update("\n");
}

/// What the first reader is shown from the beginning by this node.
async fn log_of(ground: &Ground, node: &str) -> sha2::digest::Output<Sha256> {
    let (mut hash, mut after) = (Sha256::new(), "earliest".to_owned());
    loop {
        let (mesh, reader) = (&ground.mesh, reader_name(0));
        let path =
            format!("/mesh/{mesh}/agents/{reader}/messages?ack=false&limit=1000&after={after}");
        let answer = ground.request(Method::GET, node, &path).send().await.unwrap();
        let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        for message in page["messages"].as_array().unwrap() {
            add(&mut hash, message);
        }
        after = page["cursor"].to_string();
        if page["more"] == false {
            return hash.finalize();
        }
    }
}
