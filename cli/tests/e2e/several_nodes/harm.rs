//! Nodes are killed and started again under load, and nobody who uses them is the worse for it.

use meshwire_protocol::MessageId;

use super::ground::{Ground, Place, Reader, json};
use crate::load::{Letter, Load, id_of, sender_name};
use crate::program::Computer;

/// How often something is done: in a short run, and in a long one.
fn times(short: usize, long: usize) -> usize {
    if std::env::var_os("MESHWIRE_TEST_LONG").is_some() { long } else { short }
}

fn reader_name(number: usize) -> String {
    format!("reader-{number}")
}

const READERS: usize = 3;

/// Listeners: one on each node, and one behind the balancer.
fn readers(ground: &Ground) -> Vec<Reader> {
    let computers: [_; READERS] = [ground.at(0), ground.at(1), ground.anywhere()];
    let named = (0..).map(reader_name).zip(computers);
    named.map(|(name, computer)| Reader::new(&name, computer)).collect()
}

/// Starts so many senders, of which each sends so many messages.
fn load(
    ground: &Ground,
    senders: usize,
    each: usize,
    send: impl Fn(&Letter<'_>) -> MessageId + Send + Sync + 'static,
) -> Load {
    let http = ground.http();
    // The last one sends the message after which there are no more.
    for sender in 0..=senders {
        http.register(&sender_name(sender));
    }
    let readers: Vec<String> = (0..READERS).map(reader_name).collect();
    Load::start(senders, each, &readers, send)
}

/// Starts so many senders that run a command for each message, which has to come to a good end by itself.
fn commands(ground: &Ground, senders: usize) -> Load {
    let computer = ground.anywhere();
    load(ground, senders, usize::MAX, move |letter| by_command(&computer, letter))
}

fn by_command(computer: &Computer, letter: &Letter<'_>) -> MessageId {
    let Letter { sender, to, text, .. } = letter;
    let speaker = sender_name(*sender);
    let line = format!("meshwire send {text} --as {speaker} --to {to} --json");
    id_of(&json(&computer.does(&line)))
}

/// Has everything sent and read to the end, and checks it.
fn finish(ground: &Ground, load: Load, readers: Vec<Reader>) {
    let attempts = load.finish();
    let sights: Vec<_> = readers.into_iter().map(|reader| reader.finish(&attempts)).collect();
    ground.check(&attempts, &sights);
}

pub(crate) fn a_killed_node_costs_the_command_line_no_message(place: &Place) {
    let mut ground = Ground::new(place);
    let readers = readers(&ground);
    let load = commands(&ground, 4);
    for round in 0..times(2, 20) {
        let node = round % 2;
        load.goes_on(20);
        ground.balancer.loses_an_answer(node);
        ground.nodes[node].kill();
        load.goes_on(20);
        ground.nodes[node].start_again();
    }
    load.stop();
    finish(&ground, load, readers);
}

pub(crate) fn sixteen_senders_lose_and_double_nothing_when_a_node_is_killed_half_way(
    place: &Place,
) {
    let (senders, each) = (16, times(60, 1_000));
    let mut ground = Ground::new(place);
    let readers = readers(&ground);
    let http = ground.http();
    let load = load(&ground, senders, each, move |letter| http.send(letter));
    load.comes_to(senders * each / 2);
    ground.nodes[0].kill();
    load.comes_to(4 * senders);
    ground.nodes[0].start_again();
    finish(&ground, load, readers);
}

pub(crate) fn a_rolling_restart_fails_no_command_and_ends_no_listener(place: &Place) {
    let mut ground = Ground::new(place);
    let readers = readers(&ground);
    let load = commands(&ground, 3);
    for round in 0..2 * times(1, 10) {
        let node = &mut ground.nodes[round % 2];
        load.goes_on(20);
        node.terminate();
        load.goes_on(20);
        node.start_again();
    }
    load.stop();
    finish(&ground, load, readers);
}
